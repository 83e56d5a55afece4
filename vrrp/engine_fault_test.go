package vrrp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

func TestStalledDirector(t *testing.T) {
	bubble(t, "a master that slept steps back without a word (fault 9)", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		// The advert at 11.414 s is the last thing it does for 20 s.
		a.change(func() { a.sleeps = 20 * time.Second })
		l.expect(25*time.Second, `
			15.024s b peer_lost 192.168.16.102
			15.024s b BACKUP>MASTER: no advert within the master down interval
			15.024s b takes
			15.024s b sends 100
			15.024s b announces
			20.024s b announces
			31.414s a peer_found 192.168.16.112
			31.414s a stalled 20s
			31.414s a MASTER>BACKUP: stalled
			31.414s a withdraws for 192.168.16.112
			34.828s a BACKUP>MASTER: preempted a lower priority
			34.828s a takes from 192.168.16.112
			34.828s a sends 150
			34.828s a announces
			34.829s b peer_found 192.168.16.102
			34.829s b withdraws for 192.168.16.102
			34.829s b MASTER>BACKUP: advert of a higher priority
			34.829s b master_conflict 192.168.16.102 had fallen silent: it was cut off, or has come back`)
	})
	bubble(t, "a machine that was suspended", func(t *testing.T, l *lan) {
		a, b := pair(l)
		a.change(func() { a.warp = time.Hour })
		l.expect(3*time.Second, `
			11.414s a stalled 1h0m1s
			11.414s a MASTER>BACKUP: stalled
			12.414s a BACKUP>MASTER: no other master was heard
			12.414s a takes
			12.414s a sends 150
			12.414s a announces`)
		b.change(func() { b.warp = time.Hour })
		l.expect(time.Second, `
			14.415s b stalled 59m57.391s`)
	})
}

func TestPartition(t *testing.T) {
	bubble(t, "two masters; one an interval after it heals (fault 6)", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.change(func() { b.deaf, b.mute = true, false })
		a.change(func() { a.deaf = true })
		l.forget(10 * time.Second)
		if a, b := a.status(), b.status(); a.Role != Master || b.Role != Master {
			t.Fatalf("apart: a is %s, b is %s", a.Role, b.Role)
		}
		b.change(func() { b.deaf = false })
		a.change(func() { a.deaf = false })
		before := a.count()
		l.expect(2*time.Second, `
			21.025s a peer_found 192.168.16.112
			21.025s a announces
			21.025s a master_conflict 192.168.16.112
			21.026s b peer_found 192.168.16.102
			21.026s b withdraws for 192.168.16.102
			21.026s b MASTER>BACKUP: advert of a higher priority
			21.026s b master_conflict 192.168.16.102 had fallen silent: it was cut off, or has come back`)
		if a.count() == before {
			t.Error("the neighbours were not told who is left")
		}
	})
	bubble(t, "two owners: the higher address stays, and both are told", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(PriorityOwner)).start()
		b := l.director("b", addrB, instanceConfig(PriorityOwner)).start()
		time.Sleep(10 * time.Second)
		if a, b := a.status(), b.status(); a.Role != Backup || b.Role != Master {
			t.Errorf("a is %s (%s), b is %s (%s)", a.Role, a.Reason, b.Role, b.Reason)
		}
		for _, n := range []*node{a, b} {
			if n.told(NoticePeerFound)+n.told(NoticeMasterConflict) == 0 {
				t.Errorf("%s was not told of the other owner", n.name)
			}
			if n.told(NoticeTransition) > 4 {
				t.Errorf("%s changed %d times", n.name, n.told(NoticeTransition))
			}
		}
	})
	bubble(t, "one-way loss (fault 7)", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.change(func() { b.deaf = true })
		time.Sleep(time.Minute)
		b.change(func() { b.deaf = false })
		l.forget(2 * time.Second)
		if a, b := a.status(), b.status(); a.Role != Master || b.Role != Backup || a.Transitions != 2 || b.Transitions != 3 {
			t.Errorf("a is %s after %d transitions, b is %s after %d", a.Role, a.Transitions, b.Role, b.Transitions)
		}
		if told := a.told(NoticeMasterConflict); told < 2 || told > 8 {
			t.Errorf("told %d times in a minute that b is master as well", told)
		}
		// Each of b's 57 adverts called for an announcement of a.
		if a.count() > 57*5+15 { // and a's own bursts
			t.Errorf("a announced %d times", a.count())
		}
	})
}

func TestInvalidPackets(t *testing.T) {
	good := func() ([]byte, Meta) {
		a := Advert{Version: V3, VRID: 51, Priority: 200, Interval: time.Second, Checksum: ChecksumRFC}
		return AppendAdvert(nil, a, addrC, Group, vip), Meta{Source: addrC, Destination: Group, TTL: 255}
	}
	bubble(t, "are counted and told by reason, and change nothing (fault 14)", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		for reason, spoil := range map[DropReason]func(*[]byte, *Meta){
			DropTooShort:     func(b *[]byte, _ *Meta) { *b = (*b)[:11] },
			DropTTL:          func(_ *[]byte, m *Meta) { m.TTL = 1 },
			DropDestination:  func(_ *[]byte, m *Meta) { m.Destination = addrA },
			DropVersion:      func(b *[]byte, _ *Meta) { (*b)[0] = 0x41 },
			DropType:         func(b *[]byte, _ *Meta) { (*b)[0] = 0x35 },
			DropChecksum:     func(b *[]byte, _ *Meta) { (*b)[7] ^= 1 },
			DropAddressCount: func(b *[]byte, _ *Meta) { (*b)[3] = 0; resum((*b)[:8]) },
			DropIntervalZero: func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0; resum(*b) },
			DropOwnPacket:    func(_ *[]byte, m *Meta) { m.Source = addrA },
		} {
			b, meta := good()
			spoil(&b, &meta)
			for range 3 {
				a.port.arrive(b, meta)
			}
			time.Sleep(100 * time.Millisecond)
			if s := a.status(); s.Role != Master || s.Transitions != 2 || s.Dropped[reason.String()] != 3 {
				t.Errorf("%v: a is %s, dropped %v", reason, s.Role, s.Dropped)
			}
		}
	})
	bubble(t, "of others on the network are told of once", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		for range 3 {
			l.inject(Advert{Version: V3, VRID: 9, Priority: 255, Interval: time.Second, Checksum: ChecksumRFC}, addrC, vip)
			l.inject(Advert{Version: V2, VRID: 10, Priority: 255, Interval: time.Second}, addrC, vip)
		}
		l.forget(time.Minute)
		told := a.told(NoticeAdvertDropped)
		if s := a.status(); told != 2 || s.InterfaceDropped["vrid"] != 6 {
			t.Errorf("told %d times, counted %v", told, s.InterfaceDropped)
		}
	})
	bubble(t, "a flood is one line each ten seconds", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		b, meta := good()
		b[7] ^= 1
		for range 3000 { // 21 s
			a.port.arrive(b, meta)
			time.Sleep(7 * time.Millisecond)
		}
		l.expect(10*time.Second, `
			11s a advert_dropped checksum 192.168.16.122 0x34f7, must be 0x34f6, or 0x8344 with the pseudo-header
			21s a advert_dropped checksum 192.168.16.122 x1428 0x34f7, must be 0x34f6, or 0x8344 with the pseudo-header
			31s a advert_dropped checksum 192.168.16.122 x1429 0x34f7, must be 0x34f6, or 0x8344 with the pseudo-header
			41s a advert_dropped checksum 192.168.16.122 x142 0x34f7, must be 0x34f6, or 0x8344 with the pseudo-header`)
		if s := a.status(); s.Dropped["checksum"] != 3000 {
			t.Errorf("counted %v", s.Dropped)
		}
	})
	bubble(t, "our own address", func(t *testing.T, l *lan) {
		a, b := pair(l)
		a.die() // to it the packet would be from a master of priority 200
		l.inject(Advert{Version: V3, VRID: 51, Priority: 200, Interval: time.Second, Checksum: ChecksumRFC}, addrB, vip)
		l.expect(10*time.Millisecond, `11.001s b own_address own_packet 192.168.16.112`)
		if s := b.status(); s.Master != addrA {
			t.Errorf("b believes in %v", s.Master)
		}
	})
	bubble(t, "invented peers are told of in bounds", func(t *testing.T, l *lan) {
		_, b := pair(l)
		for i := range 1000 {
			from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			l.inject(Advert{Version: V3, VRID: 51, Priority: 1, Interval: time.Second, Checksum: ChecksumRFC}, from, vip)
		}
		l.forget(time.Second)
		found := b.told(NoticePeerFound)
		if found > peerNotices+1 {
			t.Errorf("told of %d peers", found)
		}
	})
}

func TestChecksumAuto(t *testing.T) {
	form := func(n *node) ChecksumMode {
		message, _ := n.wire()
		f, _ := checksumForm(message, V3, n.addr, Group)
		return f
	}
	lower := func(m ChecksumMode) Advert {
		return Advert{Version: V3, VRID: 51, Priority: 100, Interval: time.Second, Checksum: m}
	}
	bubble(t, "follows what is heard", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150)).start()
		l.forget(5 * time.Second)
		if f := form(a); f != ChecksumPseudo {
			t.Errorf("before anybody was heard: %q", f)
		}
		for _, heard := range []ChecksumMode{ChecksumRFC, ChecksumPseudo, ChecksumRFC} {
			l.inject(lower(heard), addrB, vip)
			l.forget(time.Second)
			if f := form(a); f != heard {
				t.Errorf("after %q it sends %q", heard, f)
			}
		}
	})
	for _, forced := range []ChecksumMode{ChecksumRFC, ChecksumPseudo} {
		bubble(t, string(forced)+" is kept, and both are heard", func(t *testing.T, l *lan) {
			c := instanceConfig(150)
			c.Checksum = forced
			a := l.director("a", addrA, c).start()
			l.forget(5 * time.Second)
			l.inject(lower(ChecksumRFC), addrB, vip)
			l.inject(lower(ChecksumPseudo), addrC, vip)
			l.forget(time.Second)
			if f := form(a); f != forced {
				t.Errorf("sends %q", f)
			}
			if s := a.status(); s.Received != 2 {
				t.Errorf("heard %d, dropped %v", s.Received, s.Dropped)
			}
		})
	}
}

func TestSocketFails(t *testing.T) {
	bubble(t, "sending: told in bounds, the master stays", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.change(func() { a.sendErr = errors.New("network is unreachable") })
		l.forget(25 * time.Second)
		told := a.told(NoticeSendFailed)
		if told != 3 || a.status().Role != Master {
			t.Errorf("told %d times in 25 s, a is %s", told, a.status().Role)
		}
	})
	bubble(t, "receiving: a fault until it is open again", func(t *testing.T, l *lan) {
		_, b := pair(l)
		b.change(func() { b.receiveErr = errors.New("bad file descriptor") })
		l.expect(450*time.Millisecond, `
			11.415s b receive_failed bad file descriptor
			11.415s b BACKUP>FAULT: no socket for adverts`)
		b.change(func() { b.receiveErr = nil })
		l.expect(time.Second, `
			11.515s b withdraws
			11.515s b FAULT>BACKUP: fault cleared`)
	})
}

func TestEngineLifetime(t *testing.T) {
	bubble(t, "answers before and after Run", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		if s := a.Status(); s != nil {
			t.Errorf("before: %+v", s)
		}
		if err := a.Failover(""); err == nil {
			t.Error("before: failover without an error")
		}
		a.start()
		synctest.Wait()
		if err := a.Run(t.Context()); err == nil {
			t.Error("runs twice")
		}
		a.die()
		if s := a.Status(); s != nil {
			t.Errorf("after: %+v", s)
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Errorf("after: %v", err)
		}
	})
	bubble(t, "stopped before it ran", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		if err := a.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		a.start()
		<-a.ran
	})
}

// An advert that waits in the socket when the deadline passes counts: a busy
// machine must not take over from a master that lives.
func TestDeadlineBelievesTheSocketFirst(t *testing.T) {
	c, conn, now := quietCore(t, 1, 100)
	follow(c, conn)
	*now = now.Add(4 * time.Second)
	conn.repeat = 1
	c.Tick()
	if s := c.Status()[0]; s.Role != Backup {
		t.Errorf("it is %s: %s", s.Role, s.Reason)
	}
	for range 4 {
		*now, _ = c.Next()
		c.Tick()
	}
	if s := c.Status()[0]; s.Role != Master {
		t.Errorf("with nothing in the socket it is %s", s.Role)
	}
}

// So does one that waits there when the deadline has passed and something else is
// told of first: a link, a track, a reload.
func TestNewsBelievesTheSocketFirst(t *testing.T) {
	for name, news := range map[string]func(*Core, []Config){
		"track": func(c *Core, _ []Config) { c.SetTrack(map[string]TrackState{"script/chk": {}}) },
		"link": func(c *Core, _ []Config) {
			c.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrC, Index: 2})
		},
		"reload": func(c *Core, cfgs []Config) {
			cfgs[0].Priority = 120
			c.Apply(cfgs, nil, nil)
		},
		"ready": func(c *Core, _ []Config) {
			c.SetReady(nil)
			c.SetReady(map[string]bool{"VI_0": true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			chk := Track{Kind: TrackScript, Name: "chk", Weight: -10}
			c, conn, now := quietCore(t, 1, 100, func(cfg *Config) { cfg.Track = []Track{chk} })
			c.SetTrack(map[string]TrackState{chk.Key(): {Up: true}})
			follow(c, conn)
			*now = now.Add(4 * time.Second)
			conn.repeat = 1
			news(c, []Config{c.Status()[0].Config})
			if s := c.Status()[0]; s.Role != Backup {
				t.Errorf("it is %s: %s", s.Role, s.Reason)
			}
		})
	}
}

// What status says is so now: the fault that keeps an instance where it is, not
// the one that is mended, and a master that is heard, not one that was.
func TestStatusIsOfNow(t *testing.T) {
	chk := Track{Kind: TrackScript, Name: "chk"}
	c, conn, now := quietCore(t, 1, 100)
	cfg := c.Status()[0].Config
	cfg.Track = []Track{chk}
	c.SetTrack(map[string]TrackState{chk.Key(): {Up: true}})
	c.Apply([]Config{cfg}, nil, nil)
	up := LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2}
	down := up
	down.Up = false
	is := func(what, want string) {
		t.Helper()
		s := c.Status()[0]
		if got := fmt.Sprintf("%s %s; master %v %d", s.Role, s.Reason, s.Master, s.MasterPriority); got != want {
			t.Errorf("%s: %s\nwant %s", what, got, want)
		}
	}
	c.SetLink(down)
	is("the link fails", "FAULT link down; master invalid IP 0")
	c.SetTrack(map[string]TrackState{chk.Key(): {}})
	c.SetLink(up)
	is("it is mended, the script fails", "FAULT tracked script failed; master invalid IP 0")
	c.SetTrack(map[string]TrackState{chk.Key(): {Up: true}})
	follow(c, conn)
	is("a master is heard", "BACKUP fault cleared; master 192.168.16.112 200")
	c.SetReady(nil)
	*now = now.Add(time.Minute)
	for range 3 { // it listens first, as after a stall
		c.Tick()
		*now = now.Add(time.Second)
	}
	is("it has gone, the gate is closed", "BACKUP fault cleared; master invalid IP 0")
}

func TestAnnouncementsKeepTheirDistance(t *testing.T) {
	var a announcing
	g := DefaultGARP()
	now, count := t0, 0
	for range 1000 { // an advert of a lower master each millisecond
		a.answer(now, &g)
		if announce, _ := a.due(now, &g); announce {
			count++
		}
		now = now.Add(time.Millisecond)
	}
	if count != g.LowerPrioRepeat {
		t.Errorf("%d announcements in a second, want one burst of %d", count, g.LowerPrioRepeat)
	}
	a, count = announcing{}, 0
	for range 1000 { // the addresses change each millisecond
		a.start(now, &g)
		if announce, _ := a.due(now, &g); announce {
			count++
		}
		now = now.Add(time.Millisecond)
	}
	if want := int(time.Second / announceSpacing); count != want {
		t.Errorf("%d announcements in a second, want %d", count, want)
	}
}

func TestPeersAreBounded(t *testing.T) {
	var ps peers
	for i := range 1000 {
		a := Advert{Version: V3, Priority: 100, Interval: time.Second}
		ps.heard(t0, &a, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), nil, time.Second, func(Notice) {})
	}
	if n := len(ps.known); n != maxPeers {
		t.Errorf("remembers %d peers, want %d", n, maxPeers)
	}
}

// The values travel between processes as JSON.
func TestValuesTravel(t *testing.T) {
	there := func(in, out any) {
		t.Helper()
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if got := reflect.ValueOf(out).Elem().Interface(); !reflect.DeepEqual(got, in) {
			t.Errorf("\n got %+v\nwant %+v\n  as %s", got, in, b)
		}
	}
	c := instanceConfig(150)
	there(c, new(Config))
	c.Source = addrA
	there(c, new(Config))
	there(Notice{Kind: NoticeAdvertDropped, Time: t0, Instance: "VI_1", Peer: addrB, Drop: DropChecksum, Count: 3, Duration: time.Second}, new(Notice))
	there(Notice{Kind: NoticeTransition, Time: t0, From: Backup, To: Master}, new(Notice))
	there(Status{Config: c, Role: Master, Since: t0, Master: addrA, Dropped: map[string]uint64{"ttl": 1}}, new(Status))
}

// Addresses that cannot be withdrawn when an instance stops: another director
// is about to have them too.
func TestStopTriesUntilTheAddressesAreGone(t *testing.T) {
	now := t0
	have, broken, done := false, false, 0
	c := NewCore(EngineOptions{
		Listen: func(Endpoint) (Conn, error) { return &loop{from: addrB}, nil },
		Addresses: setFunc(func(present bool) error {
			if broken {
				return errors.New("device or resource busy")
			}
			have = present
			return nil
		}),
		Announcer: nothing{}, Notify: func(n Notice) {
			if n.Kind == NoticeTransition && n.To == Init {
				done++
			}
		},
		Now: func() time.Time { return now }, Wall: func() time.Time { return now },
	})
	run := func(d time.Duration) {
		for end := now.Add(d); ; c.Tick() {
			next, ok := c.Next()
			if !ok || next.After(end) {
				now = end
				return
			}
			now = next
		}
	}
	start := func() {
		c.Apply([]Config{instanceConfig(150)}, nil, nil)
		run(10 * time.Second)
		if !have {
			t.Fatal("it is not master")
		}
	}
	c.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
	c.SetReady(map[string]bool{"VI_1": true})
	start()
	broken = true
	c.Apply(nil, nil, nil)
	run(time.Minute) // the leave window is long over
	if len(c.Status()) != 1 {
		t.Error("it was forgotten with its addresses on the interface")
	}
	broken = false
	run(time.Minute)
	if have || len(c.Status()) != 0 || done != 1 {
		t.Errorf("has the addresses: %v, instances: %d, stopped %d times", have, len(c.Status()), done)
	}

	start()
	broken = true
	c.Stop(false)
	run(5 * time.Second)
	if c.Stopped() {
		t.Error("it has not tried again")
	}
	run(time.Minute)
	if !c.Stopped() {
		t.Error("a stop waits for ever")
	}

	// What has failed since long before, and would succeed now.
	broken = false
	c = NewCore(c.opts)
	c.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
	c.SetReady(map[string]bool{"VI_1": true})
	start()
	broken = true
	c.SetLink(LinkState{Interface: "eth0", Primary: addrA, Index: 2})
	run(time.Hour)
	broken = false
	c.Stop(true)
	if have || !c.Stopped() {
		t.Errorf("has stopped: %v, has the addresses: %v", c.Stopped(), have)
	}
}

// It goes on trying while another instance keeps the process anyway.
func TestStopTriesWhileAnotherStops(t *testing.T) {
	now := t0
	have, broken := map[string]bool{}, true
	set := func(c Config, present bool) error {
		if broken && !present && now.After(t0.Add(10*time.Minute)) {
			return errors.New("device or resource busy")
		}
		have[c.Name] = present
		return nil
	}
	c := NewCore(EngineOptions{
		Listen:    func(Endpoint) (Conn, error) { return &loop{from: addrB}, nil },
		Addresses: setNamed(set), Announcer: nothing{}, Notify: func(Notice) {},
		Now: func() time.Time { return now }, Wall: func() time.Time { return now },
	})
	run := func(end time.Time) {
		for now.Before(end) {
			now = now.Add(10 * time.Millisecond)
			c.Tick()
		}
	}
	slow := groupConfig(2, 150)
	slow.AdvertInterval = 40 * time.Second
	for k, cfg := range []Config{groupConfig(1, 150), slow} {
		c.SetLink(LinkState{Interface: cfg.Interface, Up: true, Primary: memberAddr(k+1, 102), Index: 2 + k})
	}
	c.SetReady(map[string]bool{"VI_1": true, "VI_2": true})
	c.Apply([]Config{groupConfig(1, 150), slow}, nil, nil)
	run(t0.Add(10 * time.Minute))
	c.Stop(false)
	run(now.Add(time.Minute)) // VI_1 has waited for its successor, VI_2 waits
	broken = false
	run(now.Add(10 * time.Second))
	if have["VI_1"] || c.Stopped() {
		t.Errorf("VI_1 has its addresses: %v, all has stopped: %v", have["VI_1"], c.Stopped())
	}
}

type setNamed func(c Config, present bool) error

func (f setNamed) Set(c Config, present bool, _ Handover) error { return f(c, present) }

type setFunc func(present bool) error

func (f setFunc) Set(_ Config, present bool, _ Handover) error { return f(present) }
