package vrrp

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a scenario on a virtual LAN and clock.
func bubble(t *testing.T, name string, f func(*testing.T, *lan)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newLAN(t)) })
	})
}

// pair starts directors a (150) and b (100) and forgets their election: a is
// master, its last advert was sent at 10.414 s.
func pair(l *lan, change ...func(*Config)) (a, b *node) {
	ca, cb := instanceConfig(150), instanceConfig(100)
	for _, c := range change {
		c(&ca)
		c(&cb)
	}
	a = l.director("a", addrA, ca).start()
	b = l.director("b", addrB, cb).start()
	l.forget(11 * time.Second)
	return a, b
}

func TestElection(t *testing.T) {
	bubble(t, "the higher priority becomes master", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150)).start()
		synctest.Wait()
		b := l.director("b", addrB, instanceConfig(100)).start()
		l.expect(time.Minute, `
			0s a withdraws
			0s a INIT>BACKUP: startup
			0s b withdraws
			0s b INIT>BACKUP: startup
			3.414s a BACKUP>MASTER: no advert within the master down interval
			3.414s a takes
			3.414s a sends 150
			3.414s a announces
			3.415s b peer_found 192.168.16.102
			8.414s a announces`)
		if s := a.status(); s.Role != Master || s.Master != addrA || s.MasterPriority != 150 || s.Sent != 57 || !s.Ready || !s.Link {
			t.Errorf("status of a: %+v", s)
		}
		if s := b.status(); s.Role != Backup || s.Master != addrA || s.MasterPriority != 150 || s.Received != 57 || s.Transitions != 1 {
			t.Errorf("status of b: %+v", s)
		}
		if a.count() != 10 {
			t.Errorf("a announced %d times, want two bursts of 5", a.count())
		}
		l.expect(10*time.Second, `1m8.494s a announces`) // garp_master_refresh after the last of the second burst
	})
	bubble(t, "equal priorities: the higher address wins", func(t *testing.T, l *lan) {
		na := l.director("a", addrA, instanceConfig(100)).start()
		nb := l.director("b", addrB, instanceConfig(100)).start()
		// Both become master in the same instant, each before it hears the other.
		l.forget(3*time.Second + 609*time.Millisecond)
		l.forget(delay)
		l.forget(time.Second)
		l.expect(0, ``)
		a, b := na.status(), nb.status()
		if a.Role != Backup || b.Role != Master || a.Master != addrB {
			t.Errorf("a is %s, b is %s, a's master is %v", a.Role, b.Role, a.Master)
		}
	})
	bubble(t, "master dies", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.die()
		l.expect(10*time.Second, `
			14.024s b peer_lost 192.168.16.102
			14.024s b BACKUP>MASTER: no advert within the master down interval
			14.024s b takes
			14.024s b sends 100
			14.024s b announces
			19.024s b announces`)
	})
	bubble(t, "version 2", func(t *testing.T, l *lan) {
		a, b := pair(l, func(c *Config) { c.Version = V2 })
		if message, _ := a.wire(); message[0] != 0x21 || len(message) != 20 {
			t.Errorf("a sends %x", message)
		}
		a.die()
		l.expect(4*time.Second, `
			14.024s b peer_lost 192.168.16.102
			14.024s b BACKUP>MASTER: no advert within the master down interval
			14.024s b takes
			14.024s b sends 100
			14.024s b announces`)
		if s := b.status(); len(s.Dropped) != 0 {
			t.Errorf("b dropped %v", s.Dropped)
		}
	})
	bubble(t, "10 ms adverts", func(t *testing.T, l *lan) {
		a, b := pair(l, func(c *Config) { c.AdvertInterval = 10 * time.Millisecond })
		before := b.status().Received
		time.Sleep(time.Second)
		if got := b.status().Received - before; got != 100 {
			t.Errorf("b heard %d adverts in a second, want 100", got)
		}
		l.expect(0, ``)
		a.die()
		l.expect(40*time.Millisecond, `
			12.031s b peer_lost 192.168.16.102
			12.031s b BACKUP>MASTER: no advert within the master down interval
			12.031s b takes
			12.031s b sends 100
			12.031s b announces`)
	})
}

func TestPlannedStop(t *testing.T) {
	bubble(t, "addresses stay until the successor is heard", func(t *testing.T, l *lan) {
		a, b := pair(l)
		go func() {
			if err := a.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			l.write("a", "is down")
		}()
		l.expect(time.Second, `
			11s a handover_begun stopped
			11s a sends 0
			11.61s b BACKUP>MASTER: master resigned
			11.61s b takes from 192.168.16.102
			11.61s b sends 100
			11.61s b announces
			11.611s a peer_found 192.168.16.112
			11.611s a withdraws for 192.168.16.112
			11.611s a handover_done 192.168.16.112 611ms
			11.611s a MASTER>INIT: stopped
			11.611s a is down`)
		if s := b.status(); s.PriorityZeroSeen != 1 {
			t.Errorf("b saw %d resignations", s.PriorityZeroSeen)
		}
	})
	bubble(t, "without a successor", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.die()
		go func() {
			a.Shutdown(t.Context())
			l.write("a", "is down")
		}()
		l.expect(5*time.Second, `
			11s a handover_begun stopped
			11s a sends 0
			14.996s a withdraws
			14.996s a handover_failed no successor was heard 3.996s
			14.996s a MASTER>INIT: stopped
			14.996s a is down`)
	})
	bubble(t, "a lost resignation costs an interval", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.change(func() { b.deaf = true })
		go a.Shutdown(t.Context())
		l.forget(500 * time.Millisecond)
		b.change(func() { b.deaf = false })
		l.expect(2*time.Second, `
			12.61s b BACKUP>MASTER: master resigned
			12.61s b takes from 192.168.16.102
			12.61s b sends 100
			12.61s b announces
			12.611s a peer_found 192.168.16.112
			12.611s a withdraws for 192.168.16.112
			12.611s a handover_done 192.168.16.112 1.611s
			12.611s a MASTER>INIT: stopped`)
	})
	bubble(t, "of a backup, at once", func(t *testing.T, l *lan) {
		_, b := pair(l)
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.expect(0, `11s b BACKUP>INIT: stopped`)
	})
	bubble(t, "patience ends", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.die()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := a.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		l.expect(0, `
			11s a handover_begun stopped
			11s a sends 0
			11.5s a withdraws
			11.5s a handover_failed stopped 500ms
			11.5s a MASTER>INIT: stopped`)
	})
	bubble(t, "the context of Run ends", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.stopRun()
		l.expect(0, `
			11s a sends 0
			11s a withdraws
			11s a MASTER>INIT: stopped`)
	})
	bubble(t, "the instance leaves the configuration, and comes back in time", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		if err := a.Apply(nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		l.expect(300*time.Millisecond, `
			11s a handover_begun stopped
			11s a sends 0`)
		a.apply(nil)
		l.expect(time.Second, `
			11.3s a handover_failed startup 300ms
			11.3s a sends 150
			11.3s a announces`)
		if a.status().Role != Master {
			t.Error("a is not master")
		}
	})
	bubble(t, "the instance leaves the configuration for good", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		if err := a.Apply(nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		l.forget(5 * time.Second)
		if s := a.Status(); len(s) != 0 {
			t.Errorf("a still has %+v", s)
		}
	})
}

func TestFailover(t *testing.T) {
	bubble(t, "with a successor, which is not preempted until it goes", func(t *testing.T, l *lan) {
		a, b := pair(l)
		if err := a.Failover("VI_1"); err != nil {
			t.Fatal(err)
		}
		l.expect(time.Second, `
			11s a handover_begun failover
			11s a sends 0
			11.61s b BACKUP>MASTER: master resigned
			11.61s b takes from 192.168.16.102
			11.61s b sends 100
			11.61s b announces
			11.611s a peer_found 192.168.16.112
			11.611s a withdraws for 192.168.16.112
			11.611s a handover_done 192.168.16.112 611ms
			11.611s a MASTER>BACKUP: failover`)
		l.forget(time.Hour)
		if a, b := a.status(), b.status(); a.Role != Backup || b.Role != Master {
			t.Fatalf("an hour later a is %s, b is %s", a.Role, b.Role)
		}
		// Back again, the same way.
		if err := b.Failover(""); err != nil {
			t.Fatal(err)
		}
		l.forget(5 * time.Second)
		if a, b := a.status(), b.status(); a.Role != Master || b.Role != Backup {
			t.Fatalf("after the way back a is %s, b is %s", a.Role, b.Role)
		}
	})
	bubble(t, "without a successor it stays", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.die()
		if err := a.Failover("VI_1"); err != nil {
			t.Fatal(err)
		}
		if !a.status().Handover {
			t.Error("the status does not say that it hands over")
		}
		l.expect(4*time.Second, `
			11s a handover_begun failover
			11s a sends 0
			14.996s a handover_failed no successor was heard 3.996s
			14.996s a sends 150
			14.996s a announces`)
		if s := a.status(); s.Role != Master || s.Handover {
			t.Errorf("a is %s, handover %v", s.Role, s.Handover)
		}
	})
	bubble(t, "announces nothing while it leaves", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150)).start()
		l.forget(3*time.Second + 415*time.Millisecond) // in the middle of the first burst
		before := a.count()
		if err := a.Failover(""); err != nil {
			t.Fatal(err)
		}
		l.forget(3 * time.Second)
		if a.count() != before {
			t.Errorf("announced %d times more", a.count()-before)
		}
	})
	bubble(t, "says why not", func(t *testing.T, l *lan) {
		a, b := pair(l)
		for _, tt := range []struct {
			n          *node
			name, want string
		}{
			{a, "VI_2", "none of that name"},
			{b, "VI_1", "it is BACKUP here; the master is 192.168.16.102"},
			{b, "", "no instance is master here"},
		} {
			if err := tt.n.Failover(tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("failover of %q on %s: %v, want %q", tt.name, tt.n.name, err, tt.want)
			}
		}
		if err := a.Failover("VI_1"); err != nil {
			t.Fatal(err)
		}
		if err := a.Failover("VI_1"); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("second failover: %v", err)
		}
	})
}

func TestPreemption(t *testing.T) {
	alone := func(l *lan) *node {
		b := l.director("b", addrB, instanceConfig(100)).start()
		l.forget(11 * time.Second)
		return b
	}
	bubble(t, "takes the addresses before the other lets go", func(t *testing.T, l *lan) {
		alone(l)
		l.director("a", addrA, instanceConfig(150)).start()
		l.expect(4*time.Second, `
			11s a withdraws
			11s a INIT>BACKUP: startup
			11.61s a peer_found 192.168.16.112
			14.414s a BACKUP>MASTER: preempted a lower priority
			14.414s a takes from 192.168.16.112
			14.414s a sends 150
			14.414s a announces
			14.415s b peer_found 192.168.16.102
			14.415s b withdraws for 192.168.16.102
			14.415s b MASTER>BACKUP: advert of a higher priority`)
	})
	bubble(t, "nopreempt stays backup", func(t *testing.T, l *lan) {
		alone(l)
		c := instanceConfig(150)
		c.Preempt = false
		a := l.director("a", addrA, c).start()
		l.forget(time.Hour)
		if s := a.status(); s.Role != Backup || s.Master != addrB {
			t.Errorf("a is %s, its master %v", s.Role, s.Master)
		}
	})
	bubble(t, "preempt_delay is kept, across reload too", func(t *testing.T, l *lan) {
		alone(l)
		c := instanceConfig(150)
		c.PreemptDelay = 30 * time.Second
		a := l.director("a", addrA, c).start()
		l.expect(20*time.Second, `
			11s a withdraws
			11s a INIT>BACKUP: startup
			11.61s a peer_found 192.168.16.112
			11.61s a preempt_delayed 192.168.16.112 30s`)
		c.GARP.MasterRepeat = 1
		a.apply(nil, c)
		l.expect(15*time.Second, `
			44.024s a BACKUP>MASTER: preempted a lower priority
			44.024s a takes from 192.168.16.112
			44.024s a sends 150
			44.024s a announces
			44.025s b peer_found 192.168.16.102
			44.025s b withdraws for 192.168.16.102
			44.025s b MASTER>BACKUP: advert of a higher priority`)
	})
	bubble(t, "only when ready, then at once", func(t *testing.T, l *lan) {
		alone(l)
		a := l.director("a", addrA, instanceConfig(150)).start()
		a.SetReady(nil)
		l.forget(30 * time.Second)
		if s := a.status(); s.Role != Backup || s.Ready {
			t.Fatalf("a is %s, ready %v", s.Role, s.Ready)
		}
		a.SetReady(map[string]bool{"VI_1": true})
		l.expect(delay, `
			41s a BACKUP>MASTER: became ready
			41s a takes from 192.168.16.112
			41s a sends 150
			41s a announces
			41.001s b peer_found 192.168.16.102
			41.001s b withdraws for 192.168.16.102
			41.001s b MASTER>BACKUP: advert of a higher priority`)
	})
}

func TestLink(t *testing.T) {
	bubble(t, "down: withdrawn at once; up: preempts again", func(t *testing.T, l *lan) {
		a, b := pair(l)
		a.change(func() { a.deaf, a.mute = true, false })
		a.SetLink(LinkState{Interface: "eth0", Up: false, Primary: netip.Addr{}, Index: 2})
		l.expect(4*time.Second, `
			11s a withdraws
			11s a MASTER>FAULT: link down
			14.024s b peer_lost 192.168.16.102
			14.024s b BACKUP>MASTER: no advert within the master down interval
			14.024s b takes
			14.024s b sends 100
			14.024s b announces`)
		a.change(func() { a.deaf = false })
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		l.forget(10 * time.Second)
		if a, b := a.status(), b.status(); a.Role != Master || b.Role != Backup {
			t.Errorf("a is %s, b is %s", a.Role, b.Role)
		}
	})
	bubble(t, "never told of: a fault after a while", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		a.apply(nil)
		a.run()
		l.expect(time.Minute, `
			3.414s a withdraws
			3.414s a INIT>FAULT: interface was not found`)
	})
	bubble(t, "without an address: a fault", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: netip.Addr{}, Index: 2})
		l.expect(0, `
			11s a withdraws
			11s a MASTER>FAULT: interface has no address for adverts`)
	})
	bubble(t, "without the source that is configured: a fault", func(t *testing.T, l *lan) {
		cfg := instanceConfig(150)
		cfg.Source = addrA
		a := l.director("a", addrA, cfg)
		missing := func(is bool) {
			a.change(func() {
				if a.noSource, a.sendErr = is, nil; is {
					a.sendErr = errors.New("invalid argument")
				}
			})
		}
		missing(true)
		a.start()
		l.expect(9500*time.Millisecond, `
			0s a withdraws
			0s a INIT>FAULT: interface has no address for adverts (192.168.16.102, which is configured, is no address of this node)`)
		missing(false)
		l.expect(5*time.Second, `
			10s a withdraws
			10s a FAULT>BACKUP: fault cleared
			13.414s a BACKUP>MASTER: no advert within the master down interval
			13.414s a takes
			13.414s a sends 150
			13.414s a announces`)
		missing(true)
		l.expect(time.Second, `
			15.414s a send_failed invalid argument
			15.414s a withdraws
			15.414s a MASTER>FAULT: interface has no address for adverts (192.168.16.102, which is configured, is no address of this node)`)
	})
	bubble(t, "made again under the same name", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 7})
		l.expect(0, `
			11s a withdraws
			11s a MASTER>FAULT: link down
			11s a withdraws
			11s a FAULT>BACKUP: link up`)
		if n := l.sockets(); n != 2 {
			t.Errorf("%d sockets are open, want one each", n)
		}
	})
	bubble(t, "socket refused: tried again", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		a.listenErr = errors.New("not now")
		a.start()
		l.forget(300 * time.Millisecond)
		a.change(func() { a.listenErr = nil })
		l.expect(time.Second, `
			700ms a withdraws
			700ms a FAULT>BACKUP: fault cleared`)
	})
	bubble(t, "who waits for its socket has not heard the silence", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		a.listenTakes = 10 * time.Second
		a.start()
		l.expect(14*time.Second, `
			10s a withdraws
			10s a INIT>BACKUP: startup
			13.414s a BACKUP>MASTER: no advert within the master down interval
			13.414s a takes
			13.414s a sends 150
			13.414s a announces`)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 3}) // another interface of that name
		l.expect(14*time.Second, `
			14s a withdraws
			14s a MASTER>FAULT: link down
			24s a withdraws
			24s a FAULT>BACKUP: link up
			27.414s a BACKUP>MASTER: no advert within the master down interval
			27.414s a takes
			27.414s a sends 150
			27.414s a announces`)
	})
	bubble(t, "a virtual address is never the source", func(t *testing.T, l *lan) {
		a, b := pair(l)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: vip[0].Prefix.Addr(), Index: 2})
		l.expect(5*time.Second, ``)
		if s := b.status(); s.Master != addrA {
			t.Errorf("b hears %v", s.Master)
		}
	})
}

func TestResume(t *testing.T) {
	bubble(t, "the speaker was started again under a live master", func(t *testing.T, l *lan) {
		a, b := pair(l)
		a.die()
		again := l.director("a", addrA, a.cfg)
		again.apply(map[string]Past{"VI_1": {Master: true}})
		again.run()
		l.expect(300*time.Millisecond, ``) // nothing is withdrawn before the link is known
		again.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		l.expect(10*time.Second, `
			11.3s a INIT>MASTER: resumed after restart
			11.3s a takes
			11.3s a sends 150
			11.3s a announces
			16.3s a announces`)
		if s := b.status(); s.Role != Backup || s.Transitions != 1 {
			t.Errorf("b is %s after %d transitions", s.Role, s.Transitions)
		}
	})
}

// TestStartupDelayIsWaitedForOnce: a speaker that is started again goes on with what
// is left of it, of its instances and of no others.
func TestStartupDelayIsWaitedForOnce(t *testing.T) {
	bubble(t, "the backup's speaker is started again long after", func(t *testing.T, l *lan) {
		cfg := instanceConfig(150)
		cfg.StartupDelay = time.Minute
		again := l.director("a", addrA, cfg)
		again.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		again.SetReady(map[string]bool{cfg.Name: true})
		again.apply(map[string]Past{"VI_1": {Waited: 58 * time.Second}, "VI_3": {Waited: time.Hour}})
		again.run()
		l.forget(5 * time.Second)
		if s := again.status(); s.Role != Backup {
			t.Errorf("after 5 s it is %s", s.Role)
		}
		l.forget(time.Second)
		if s := again.status(); s.Role != Master {
			t.Errorf("after 6 s it is %s", s.Role)
		}
		second := cfg
		second.Name, second.VRID = "VI_2", 52
		again.SetReady(map[string]bool{cfg.Name: true, second.Name: true})
		again.apply(nil, cfg, second)
		l.forget(time.Minute)
		if s := again.Status(); s[1].Role != Backup {
			t.Errorf("what a reload has added is %s after a minute", s[1].Role)
		}
		l.forget(5 * time.Second)
		if s := again.Status(); s[1].Role != Master {
			t.Errorf("what a reload has added is %s at last", s[1].Role)
		}
		second.VRID = 53
		again.apply(map[string]Past{"VI_2": {Waited: time.Hour}}, cfg, second)
		l.forget(10 * time.Second)
		if s := again.Status(); s[1].Role != Master || s[1].Config.VRID != 53 {
			t.Errorf("what a reload has moved is %s as %d", s[1].Role, s[1].Config.VRID)
		}
	})
}

func TestAddressesFail(t *testing.T) {
	bubble(t, "tried again; nothing is said before they are there", func(t *testing.T, l *lan) {
		l.director("b", addrB, instanceConfig(100)).start()
		l.forget(11 * time.Second)
		a := l.director("a", addrA, instanceConfig(150))
		a.setErr = errors.New("no buffer space")
		a.start()
		l.forget(3*time.Second + 400*time.Millisecond)
		l.expect(40*time.Millisecond, `
			14.414s a BACKUP>MASTER: preempted a lower priority
			14.414s a takes from 192.168.16.112: no buffer space
			14.424s a takes from 192.168.16.112: no buffer space`)
		a.change(func() { a.setErr = nil })
		l.expect(time.Second, `
			14.444s a takes from 192.168.16.112
			14.444s a sends 150
			14.444s a announces
			14.445s b peer_found 192.168.16.102
			14.445s b withdraws for 192.168.16.102
			14.445s b MASTER>BACKUP: advert of a higher priority`)
	})
	bubble(t, "but one bad address of many does not keep the others from service", func(t *testing.T, l *lan) {
		a := l.director("a", addrA, instanceConfig(150))
		a.setErr = errors.New("no such device")
		a.start()
		l.forget(10 * time.Second)
		if _, sent := a.wire(); sent == 0 {
			t.Error("a never advertised")
		}
		if a.count() != 0 {
			t.Error("a announced addresses that it does not have")
		}
		count := a.told(NoticeAddressFailed)
		if count > 2 {
			t.Errorf("%d notices about it in 10 s", count)
		}
	})
	bubble(t, "slow work before the advert is no stall", func(t *testing.T, l *lan) {
		c := instanceConfig(150)
		c.AdvertInterval = 10 * time.Millisecond
		a := l.director("a", addrA, c)
		a.setTakes = 200 * time.Millisecond
		a.start()
		l.expect(time.Second, `
			0s a withdraws
			0s a INIT>BACKUP: startup
			34ms a BACKUP>MASTER: no advert within the master down interval
			234ms a takes
			234ms a sends 150
			234ms a announces`)
	})
}

func TestReload(t *testing.T) {
	bubble(t, "an added address is taken and announced, an unchanged file changes nothing", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		c := a.cfg
		c.Addresses = append([]Address{{Prefix: netip.MustParsePrefix("192.168.16.201/24")}}, c.Addresses...)
		a.apply(nil, c)
		l.expect(time.Second, `
			11s a takes
			11s a announces
			11.414s a sends 150
			11.415s b addresses_mismatch 192.168.16.102 only in its adverts: 192.168.16.201; only configured here: none`)
		l.expect(2*time.Second, ``) // told once
		a.apply(nil, c)
		l.expect(time.Second, ``)
	})
	bubble(t, "a new name hands over from the old", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		c := a.cfg
		c.Name = "VI_new"
		a.SetReady(map[string]bool{"VI_1": true, "VI_new": true})
		a.apply(nil, c)
		l.expect(10*time.Second, `
			11s a handover_begun stopped
			11s a sends 0
			11.61s b BACKUP>MASTER: master resigned
			11.61s b takes from 192.168.16.102
			11.61s b sends 100
			11.61s b announces
			11.611s a peer_found 192.168.16.112
			11.611s a withdraws for 192.168.16.112
			11.611s a handover_done 192.168.16.112 611ms
			11.611s a MASTER>INIT: stopped
			11.611s a withdraws
			11.611s a INIT>BACKUP: startup
			12.611s a peer_found 192.168.16.112
			15.025s a BACKUP>MASTER: preempted a lower priority
			15.025s a takes from 192.168.16.112
			15.025s a sends 150
			15.025s a announces
			15.026s b withdraws for 192.168.16.102
			15.026s b MASTER>BACKUP: advert of a higher priority
			20.025s a announces`)
		if s := a.status(); s.Config.Name != "VI_new" || s.Role != Master {
			t.Errorf("a runs %s as %s", s.Config.Name, s.Role)
		}
	})
	bubble(t, "two instances change places", func(t *testing.T, l *lan) {
		c1, c2 := instanceConfig(150), instanceConfig(150)
		c2.Name, c2.VRID = "VI_2", 52
		c2.Addresses = []Address{{Prefix: netip.MustParsePrefix("192.168.16.201/24")}}
		a := l.director("a", addrA, c1)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		a.SetReady(map[string]bool{"VI_1": true, "VI_2": true})
		a.apply(nil, c1, c2)
		a.run()
		l.forget(11 * time.Second)
		c1.VRID, c2.VRID = 52, 51
		a.apply(nil, c1, c2)
		l.forget(20 * time.Second)
		for _, s := range a.Status() {
			if s.Role != Master || s.Config.VRID != map[string]uint8{"VI_1": 52, "VI_2": 51}[s.Config.Name] {
				t.Errorf("%s is %s with VRID %d", s.Config.Name, s.Role, s.Config.VRID)
			}
		}
	})
	bubble(t, "another interface", func(t *testing.T, l *lan) {
		a, b := pair(l)
		b.die()
		c := a.cfg
		c.Interface = "eth1"
		a.SetLink(LinkState{Interface: "eth1", Up: true, Primary: addrA, Index: 3})
		a.apply(nil, c)
		l.forget(10 * time.Second)
		if s := a.status(); s.Role != Master || s.Config.Interface != "eth1" {
			t.Errorf("a is %s on %s", s.Role, s.Config.Interface)
		}
		if n := l.sockets(); n != 1 {
			t.Errorf("%d sockets are open, want 1", n)
		}
	})
	bubble(t, "of something that cannot be changes nothing", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		bad := a.cfg
		bad.Priority = 0
		if err := a.Apply([]Config{bad}, nil, nil); err == nil || !strings.Contains(err.Error(), `use instance "VI_1": priority is 0`) {
			t.Errorf("Apply: %v", err)
		}
		twice := a.cfg
		twice.Name = "VI_2"
		if err := a.Apply([]Config{a.cfg, twice}, nil, nil); err == nil || !strings.Contains(err.Error(), "virtual_router_id 51 on eth0 already") {
			t.Errorf("Apply: %v", err)
		}
		l.expect(5*time.Second, ``)
	})
}
