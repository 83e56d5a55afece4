package vrrp

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnnouncementsAreSpacedOnAnInterface(t *testing.T) {
	bubble(t, "garp_interval, over all instances", func(t *testing.T, l *lan) {
		const every = 100 * time.Millisecond
		n := l.director("a", addrA, Config{})
		for k := range 3 {
			c := instanceConfig(150)
			c.Name, c.VRID, c.GARP.Interval = "VI_"+string(rune('1'+k)), uint8(51+k), every
			c.GARP.MasterRepeat, c.GARP.MasterDelay, c.GARP.MasterRefresh = 1, 0, 0
			c.Addresses = nil
			for a := range 4 {
				c.Addresses = append(c.Addresses, Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 16, byte(10*k + a + 1)}), 24)})
			}
			c.Excluded = []Address{{Prefix: netip.MustParsePrefix("2001:db8::1/64"), Device: "eth" + string(rune('1'+k))}}
			n.cfgs = append(n.cfgs, c)
		}
		var at []time.Time
		var which []netip.Addr
		n.onAnnounce = func(c Config) {
			if len(c.Addresses) != 1 || len(c.Excluded) != 0 {
				t.Errorf("announces %v and %v at once", c.Addresses, c.Excluded)
			}
			if ip := c.Addresses[0].Prefix.Addr(); ip.Is4() {
				at, which = append(at, time.Now()), append(which, ip)
			}
		}
		n.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		n.SetReady(map[string]bool{"VI_1": true, "VI_2": true, "VI_3": true})
		n.group()
		n.run()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(at) != 12 || n.announced != 15 {
			t.Fatalf("%d announcements, %d on eth0, want 15 and 12", n.announced, len(at))
		}
		for k := range at[1:] {
			if d := at[k+1].Sub(at[k]); d != every {
				t.Errorf("%v between two announcements on eth0, want %v", d, every)
			}
		}
		slices.SortFunc(which, netip.Addr.Compare)
		if len(slices.Compact(which)) != 12 {
			t.Error("an address was announced twice, another not at all")
		}
	})
}

// TestAnnouncementsFollowAReload: an address that a reload takes away while its
// turn has not come is not announced any more, another may hold it by then; and
// one that comes has its turn.
func TestAnnouncementsFollowAReload(t *testing.T) {
	bubble(t, "with garp_interval", func(t *testing.T, l *lan) {
		address := func(last byte) Address {
			return Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 16, last}), 24)}
		}
		c := instanceConfig(150)
		c.GARP.Interval, c.GARP.MasterRepeat, c.GARP.MasterDelay, c.GARP.MasterRefresh = time.Second, 1, 0, 0
		c.Addresses = []Address{address(1), address(2), address(3)}
		a := l.director("a", addrA, c)
		var told []byte
		a.onAnnounce = func(c Config) { told = append(told, c.Addresses[0].Prefix.Addr().As4()[3]) }
		a.start()
		for a.count() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		a.change(func() { told = nil })
		a.cfg.Addresses = []Address{address(1), address(2), address(4)}
		a.apply(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		a.change(func() {
			slices.Sort(told)
			if got := slices.Compact(told); !slices.Equal(got, []byte{1, 2, 4}) {
				t.Errorf("after the reload %v were announced, want 1, 2 and 4", got)
			}
		})
	})
}

func TestAnswerToALowerMaster(t *testing.T) {
	lower := Advert{Version: V3, VRID: 51, Priority: 10, Interval: time.Second, Checksum: ChecksumRFC}
	bubble(t, "garp_lower_prio_repeat at once and again after garp_lower_prio_delay", func(t *testing.T, l *lan) {
		a, _ := pair(l, func(c *Config) { c.GARP.LowerPrioRepeat, c.GARP.LowerPrioDelay = 2, 3*time.Second })
		before := a.count()
		l.inject(lower, addrC, vip)
		l.forget(2 * time.Second)
		if n := a.count() - before; n != 2 {
			t.Errorf("%d announcements at once, want 2", n)
		}
		l.forget(2 * time.Second)
		if n := a.count() - before; n != 4 {
			t.Errorf("%d announcements with the second burst, want 4", n)
		}
	})
	bubble(t, "none", func(t *testing.T, l *lan) {
		a, _ := pair(l, func(c *Config) { c.GARP.LowerPrioRepeat = 0 })
		before := a.count()
		l.inject(lower, addrC, vip)
		l.forget(10 * time.Second)
		if n := a.count() - before; n != 0 {
			t.Errorf("%d announcements, want none", n)
		}
	})
	bubble(t, "who gives way after a partition makes the other repair the caches (fault 6)", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.change(func() { b.deaf, b.mute = true, true })
		l.forget(10*time.Second + 100*time.Millisecond) // b has just sent, a speaks next
		before := a.count()
		b.change(func() { b.deaf, b.mute = false, false })
		l.forget(time.Second)
		if a.count() == before {
			t.Error("the neighbours were not told who is left")
		}
		if a.told(NoticeMasterConflict) != 1 || b.told(NoticeMasterConflict) != 1 {
			t.Errorf("told %d and %d times", a.told(NoticeMasterConflict), b.told(NoticeMasterConflict))
		}
	})
	bubble(t, "an ordinary preemption is no conflict", func(t *testing.T, l *lan) {
		b := l.director("b", addrB, instanceConfig(100)).start()
		l.forget(10 * time.Second)
		a := l.director("a", addrA, instanceConfig(150)).start()
		l.forget(10 * time.Second)
		if a.status().Role != Master || a.told(NoticeMasterConflict)+b.told(NoticeMasterConflict) != 0 {
			t.Errorf("a is %s, told %d and %d times", a.status().Role, a.told(NoticeMasterConflict), b.told(NoticeMasterConflict))
		}
	})
}

func TestReloadOfWhatIsHeld(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"virtual_ipaddress_excluded": func(c *Config) { c.Excluded = []Address{{Prefix: netip.MustParsePrefix("10.0.0.1/32")}} },
		"virtual_routes":             func(c *Config) { c.Routes = []Route{{Destination: netip.MustParsePrefix("10.0.0.0/8"), Via: addrC}} },
		"virtual_rules":              func(c *Config) { c.Rules = []Rule{{Family: IPv4, Priority: 100, Table: 7}} },
		"no_accept":                  func(c *Config) { c.NoAccept = true },
	} {
		bubble(t, name, func(t *testing.T, l *lan) {
			a, _ := pair(l)
			change(&a.cfg)
			a.apply(nil)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if lines := l.taken(); !slices.Contains(lines, "11s a takes") {
				t.Errorf("the addresses were not set again: %q", lines)
			}
			if s := a.status(); s.Role != Master || s.Transitions != 2 {
				t.Errorf("a is %s after %d transitions", s.Role, s.Transitions)
			}
		})
	}
}
