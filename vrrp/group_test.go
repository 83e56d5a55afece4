package vrrp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// groupConfig is instance VI_k of two in a group, on a network of its own.
func groupConfig(k int, priority uint8) Config {
	c := instanceConfig(priority)
	c.Name, c.Interface, c.VRID = "VI_"+string(rune('0'+k)), "eth"+string(rune('0'+k)), uint8(50+k)
	c.Addresses = []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(k), 200}), 24)}}
	return c
}

var bothMembers = SyncGroup{Name: "G", Members: []string{"VI_1", "VI_2"}}

// grouped starts a director whose two instances are a group. host is the last
// byte of its addresses.
func (l *lan) grouped(name string, host byte, priorities [2]uint8, change ...func(*Config)) *node {
	n := l.director(name, netip.Addr{}, Config{})
	n.lastOf = map[uint8]uint8{}
	n.deafOn, n.muteOn = map[string]bool{}, map[string]bool{}
	n.cfgs = []Config{groupConfig(1, priorities[0]), groupConfig(2, priorities[1])}
	for k := range n.cfgs {
		for _, c := range change {
			c(&n.cfgs[k])
		}
		n.SetLink(LinkState{Interface: n.cfgs[k].Interface, Up: true, Primary: memberAddr(k+1, host), Index: k + 2})
	}
	n.SetReady(map[string]bool{"VI_1": true, "VI_2": true})
	n.group(bothMembers)
	return n.run()
}

func memberAddr(k int, host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(k), host})
}

func (n *node) group(groups ...SyncGroup) {
	n.lan.t.Helper()
	if err := n.Apply(n.cfgs, groups, nil); err != nil {
		n.lan.t.Fatal(err)
	}
}

// roles are those of all instances, in order.
func (n *node) roles() string {
	var out []string
	for _, s := range n.Status() {
		r := string(s.Role)
		if s.Handover {
			r += "*"
		}
		out = append(out, r)
	}
	return strings.Join(out, " ")
}

// expectGroup is expect for the lines of groups alone.
func (l *lan) expectGroup(d time.Duration, want string) {
	l.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	l.mu.Lock()
	l.lines = slices.DeleteFunc(l.lines, func(s string) bool { return !strings.Contains(s, " group ") })
	l.mu.Unlock()
	l.expect(0, want)
}

// groupPair starts a (150) and b (100); a is master.
func groupPair(l *lan, change ...func(*Config)) (a, b *node) {
	a = l.grouped("a", 102, [2]uint8{150, 150}, change...)
	b = l.grouped("b", 112, [2]uint8{100, 100}, change...)
	l.forget(11 * time.Second)
	if a.roles() != "MASTER MASTER" || b.roles() != "BACKUP BACKUP" {
		l.t.Fatalf("a is %s, b is %s", a.roles(), b.roles())
	}
	return a, b
}

func TestSyncGroup(t *testing.T) {
	bubble(t, "starts as one", func(t *testing.T, l *lan) {
		a := l.grouped("a", 102, [2]uint8{150, 100})
		l.expect(8*time.Second, `
			0s a VI_1 withdraws
			0s a VI_1 INIT>BACKUP: startup
			0s a VI_2 withdraws
			0s a VI_2 INIT>BACKUP: startup
			0s a G group INIT>BACKUP: startup
			3.609s a VI_1 BACKUP>MASTER: no advert within the master down interval
			3.609s a VI_1 takes
			3.609s a VI_2 BACKUP>MASTER: no advert within the master down interval
			3.609s a VI_2 takes
			3.609s a 51 sends 150
			3.609s a VI_1 announces
			3.609s a 52 sends 100
			3.609s a VI_2 announces
			3.609s a G group BACKUP>MASTER: no advert within the master down interval`)
		if a.roles() != "MASTER MASTER" {
			t.Error(a.roles())
		}
	})
	bubble(t, "one member's link fails: all move (fault 17)", func(t *testing.T, l *lan) {
		a, b := groupPair(l)
		a.SetLink(LinkState{Interface: "eth2", Primary: memberAddr(2, 102), Index: 3})
		l.expect(1024500*time.Microsecond, `
			11s a 51 sends 0
			11s a VI_1 withdraws
			11s a VI_1 MASTER>FAULT: sync group member in fault (VI_2: link down)
			11s a VI_2 withdraws
			11s a VI_2 MASTER>FAULT: link down
			11s a G group MASTER>FAULT: link down
			12.024s b VI_1 BACKUP>MASTER: master resigned
			12.024s b VI_1 takes from 192.168.1.102
			12.024s b VI_2 BACKUP>MASTER: master resigned
			12.024s b VI_2 takes from 192.168.2.102
			12.024s b 51 sends 100
			12.024s b VI_1 announces
			12.024s b 52 sends 100
			12.024s b VI_2 announces
			12.024s b G group BACKUP>MASTER: master resigned`)
		l.forget(3*time.Second - 1024500*time.Microsecond)
		a.SetLink(LinkState{Interface: "eth2", Up: true, Primary: memberAddr(2, 102), Index: 3})
		l.expectGroup(10*time.Second, `
			14s a G group FAULT>BACKUP: link up
			17.414s a G group BACKUP>MASTER: preempted a lower priority
			17.415s b G group MASTER>BACKUP: advert of a higher priority`)
		if a.roles() != "MASTER MASTER" || b.roles() != "BACKUP BACKUP" {
			t.Errorf("a is %s, b is %s", a.roles(), b.roles())
		}
	})
	bubble(t, "a network that is cut moves nobody, and nobody back and forth", func(t *testing.T, l *lan) {
		a, b := groupPair(l)
		cut := func(yes bool) {
			a.change(func() { a.deafOn["eth2"], a.muteOn["eth2"] = yes, yes })
		}
		cut(true)
		l.expect(50*time.Second, ``)
		if a.roles() != "MASTER MASTER" || b.roles() != "BACKUP BACKUP" {
			t.Errorf("a is %s, b is %s", a.roles(), b.roles())
		}
		a.die() // now the other network is silent as well
		l.expectGroup(4*time.Second, `1m4.024s b G group BACKUP>MASTER: no advert within the master down interval`)
	})
	bubble(t, "one-way loss on one network", func(t *testing.T, l *lan) {
		a, b := groupPair(l)
		a.change(func() { a.muteOn["eth2"] = true })
		l.expect(50*time.Second, ``)
		if a.roles() != "MASTER MASTER" || b.roles() != "BACKUP BACKUP" {
			t.Errorf("a is %s, b is %s", a.roles(), b.roles())
		}
	})
	bubble(t, "each hears the other on another network", func(t *testing.T, l *lan) {
		a := l.grouped("a", 102, [2]uint8{150, 150})
		b := l.grouped("b", 112, [2]uint8{100, 100})
		a.change(func() { a.deafOn["eth1"], a.muteOn["eth2"] = true, true })
		l.forget(20 * time.Second)
		before := a.told(NoticeTransition) + b.told(NoticeTransition)
		l.forget(10 * time.Minute)
		if n := a.told(NoticeTransition) + b.told(NoticeTransition) - before; n != 0 || a.roles() != "MASTER MASTER" || b.roles() != "BACKUP BACKUP" {
			t.Errorf("%d transitions in 10 minutes; a is %s, b is %s", n, a.roles(), b.roles())
		}
	})
	bubble(t, "priorities that contradict one another", func(t *testing.T, l *lan) {
		// Both would be master of their better half in the same instant.
		one := []string{"MASTER MASTER", "BACKUP BACKUP"}
		a := l.grouped("a", 102, [2]uint8{150, 100})
		b := l.grouped("b", 112, [2]uint8{100, 150})
		l.forget(30 * time.Second)
		before := a.told(NoticeTransition) + b.told(NoticeTransition)
		l.forget(10 * time.Minute)
		if n := a.told(NoticeTransition) + b.told(NoticeTransition) - before; n != 0 || a.roles() == b.roles() || !slices.Contains(one, a.roles()) || !slices.Contains(one, b.roles()) {
			t.Errorf("%d transitions in 10 minutes; a is %s, b is %s", n, a.roles(), b.roles())
		}
	})
	for _, name := range []string{"VI_2", "G", ""} {
		bubble(t, "handed over as one: "+name, func(t *testing.T, l *lan) {
			a, b := groupPair(l)
			if err := a.Failover(name); err != nil {
				t.Fatal(err)
			}
			l.expectGroup(time.Minute, `
				11.61s b G group BACKUP>MASTER: master resigned
				11.611s a G group MASTER>BACKUP: failover`)
			if n := a.told(NoticeHandoverDone); n != 2 {
				t.Errorf("%d handovers", n)
			}
			if err := a.Failover(name); err == nil {
				t.Error("a backup was handed over")
			}
			if a.roles() != "BACKUP BACKUP" || b.roles() != "MASTER MASTER" {
				t.Errorf("a is %s, b is %s", a.roles(), b.roles())
			}
		})
	}
	bubble(t, "a handover that only one member can end is ended for all", func(t *testing.T, l *lan) {
		a, b := groupPair(l)
		b.change(func() { b.muteOn["eth2"] = true })
		if err := a.Failover("G"); err != nil {
			t.Fatal(err)
		}
		l.expectGroup(8*time.Second, `
			11.61s b G group BACKUP>MASTER: master resigned
			14.996s a G group MASTER>BACKUP: failover`)
		if a.told(NoticeHandoverDone) != 1 || a.told(NoticeHandoverFailed) != 1 || b.roles() != "MASTER MASTER" {
			t.Errorf("a told %d %d, b is %s", a.told(NoticeHandoverDone), a.told(NoticeHandoverFailed), b.roles())
		}
	})
	bubble(t, "a member that is not ready holds all back", func(t *testing.T, l *lan) {
		a, _ := groupPair(l)
		b := l.grouped("c", 122, [2]uint8{50, 50})
		b.SetReady(map[string]bool{"VI_1": true})
		a.die()
		l.forget(time.Second)
		l.forget(time.Minute) // b took over
		if b.roles() != "BACKUP BACKUP" {
			t.Errorf("c is %s", b.roles())
		}
	})
	bubble(t, "ready late", func(t *testing.T, l *lan) {
		a := l.grouped("a", 102, [2]uint8{150, 150})
		a.SetReady(map[string]bool{"VI_1": true})
		l.expectGroup(time.Minute, `0s a G group INIT>BACKUP: startup`)
		a.SetReady(map[string]bool{"VI_1": true, "VI_2": true})
		l.expectGroup(time.Second, `1m0s a G group BACKUP>MASTER: no advert within the master down interval`)
	})
	bubble(t, "the track of the group and of a member bear on all", func(t *testing.T, l *lan) {
		a, _ := groupPair(l)
		a.SetTrack(map[string]TrackState{"script/chk": {Up: true}, "script/own": {Up: true}})
		a.cfgs[0].Track = []Track{{Kind: TrackScript, Name: "own", Weight: -100}}
		g := bothMembers
		g.Track = []Track{chk(0)}
		a.group(g)
		l.expect(time.Second, ``)
		a.SetTrack(map[string]TrackState{"script/chk": {Up: true}, "script/own": {}})
		synctest.Wait()
		for _, s := range a.Status() {
			if s.EffectivePriority != 50 || s.Group != "G" {
				t.Errorf("%s of group %q has priority %d", s.Config.Name, s.Group, s.EffectivePriority)
			}
		}
		l.expectGroup(5*time.Second, `
			15.024s b G group BACKUP>MASTER: preempted a lower priority
			15.025s a G group MASTER>BACKUP: advert of a higher priority`)
		a.SetTrack(map[string]TrackState{"script/own": {}, "script/chk": {Reason: "exit 1"}})
		l.expectGroup(5*time.Second, `17s a G group BACKUP>FAULT: tracked script failed`)
	})
}

func TestSyncGroupReload(t *testing.T) {
	bubble(t, "keeps what the group is, takes in a member and lets one go", func(t *testing.T, l *lan) {
		a, b := groupPair(l)
		three := SyncGroup{Name: "G", Members: []string{"VI_3", "VI_2", "VI_1"}}
		for _, n := range []*node{b, a} {
			n.cfgs = append(n.cfgs, groupConfig(3, n.cfgs[0].Priority))
			n.SetLink(LinkState{Interface: "eth3", Up: true, Primary: memberAddr(3, map[*node]byte{a: 102, b: 112}[n]), Index: 4})
			n.SetReady(map[string]bool{"VI_1": true, "VI_2": true, "VI_3": true})
			n.group(three)
			synctest.Wait()
		}
		l.expect(5*time.Second, `
			11s b VI_3 withdraws
			11s b VI_3 INIT>BACKUP: startup
			11s a VI_3 withdraws
			11s a VI_3 INIT>BACKUP: startup
			11s a VI_3 BACKUP>MASTER: sync group
			11s a VI_3 takes
			11s a 53 sends 150
			11s a VI_3 announces
			11.001s b VI_3 peer_found 192.168.3.102
			16s a VI_3 announces`)
		a.cfgs = a.cfgs[1:]
		a.group(SyncGroup{Name: "G", Members: []string{"VI_2", "VI_3"}})
		l.expectGroup(10*time.Second, ``)
		if a.roles() != "MASTER MASTER" {
			t.Error(a.roles())
		}
	})
	bubble(t, "what it begins to track has time to answer", func(t *testing.T, l *lan) {
		a, _ := groupPair(l)
		a.cfgs[1].Track = []Track{chk(0)}
		a.group(bothMembers)
		l.expectGroup(3*time.Second, ``)
		l.expectGroup(time.Second, `
			14.414s a G group MASTER>FAULT: tracked script failed`)
	})
	bubble(t, "a member without an interface is a fault, but not at once", func(t *testing.T, l *lan) {
		a, _ := groupPair(l)
		a.cfgs = append(a.cfgs, groupConfig(3, 150))
		a.group(SyncGroup{Name: "G", Members: []string{"VI_1", "VI_2", "VI_3"}})
		l.expectGroup(3*time.Second, ``)
		l.expectGroup(500*time.Millisecond, `
			14.414s a VI_1 MASTER>FAULT: sync group member in fault (VI_3: interface was not found)
			14.414s a VI_2 MASTER>FAULT: sync group member in fault (VI_3: interface was not found)
			14.414s a G group MASTER>FAULT: interface was not found`)
		if a.roles() != "FAULT FAULT FAULT" {
			t.Error(a.roles())
		}
	})
	bubble(t, "a member that is started anew takes the others along, without a gap", func(t *testing.T, l *lan) {
		a, _ := groupPair(l)
		a.cfgs[0].VMAC = &VMAC{Name: "v1"}
		a.group(bothMembers)
		l.expectGroup(20*time.Second, `
			11.61s b G group BACKUP>MASTER: master resigned
			11.611s a G group MASTER>BACKUP: stopped
			15.025s a G group BACKUP>MASTER: preempted a lower priority
			15.026s b G group MASTER>BACKUP: advert of a higher priority`)
	})
}

// What ends one member of a group that is stopping ends all of them at once.
func TestGroupEndsWhileItIsLookedThrough(t *testing.T) {
	now := t0
	c := NewCore(EngineOptions{
		Listen:    func(Endpoint) (Conn, error) { return &loop{from: addrB}, nil },
		Addresses: nothing{}, Announcer: nothing{}, Notify: func(Notice) {},
		Now: func() time.Time { return now }, Wall: func() time.Time { return now },
	})
	cfgs := []Config{groupConfig(1, 150), groupConfig(2, 150)}
	for k := range cfgs {
		cfgs[k].Track = []Track{{Kind: TrackScript, Name: "chk"}}
		c.SetLink(LinkState{Interface: cfgs[k].Interface, Up: true, Primary: memberAddr(k+1, 102), Index: 2 + k})
	}
	c.SetReady(map[string]bool{"VI_1": true, "VI_2": true})
	c.SetTrack(map[string]TrackState{"script/chk": {Up: true}})
	c.Apply(cfgs, []SyncGroup{bothMembers}, nil)
	for range 20 {
		now = now.Add(time.Second)
		c.Tick()
	}
	c.Stop(false)
	if s := c.Status(); len(s) != 2 || !s[0].Handover || !s[1].Handover {
		t.Fatalf("they do not hand over: %+v", s)
	}
	c.SetTrack(map[string]TrackState{"script/chk": {}})
	if !c.Stopped() {
		t.Error("a fault does not end the handover")
	}
}
