package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	t0    = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	addrA = netip.MustParseAddr("192.168.16.102")
	addrB = netip.MustParseAddr("192.168.16.112")
	addrC = netip.MustParseAddr("192.168.16.122")
)

// script plays events to one instance and reads back what Step decides, one
// line for each event:
//
//	+1s advert 100 from 192.168.16.112 -> advert 150, announce
type script struct {
	t   *testing.T
	p   Params
	s   State
	now time.Time
}

func director(change ...func(*Params)) Params {
	p := Params{
		Version: V3, Priority: 150, AdvertInterval: time.Second, Preempt: true,
		DownTimerAdverts: 3, Source: addrA, CanSend: true, Ready: true,
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func play(t *testing.T, p Params) *script {
	return &script{t: t, p: p, now: t0}
}

// at moves the clock to an offset from the beginning.
func (x *script) at(d time.Duration) *script { x.now = t0.Add(d); return x }

func (x *script) event(ev Event, want string) *script {
	x.t.Helper()
	var todo Actions
	x.s, todo = Step(x.p, x.s, x.now, ev)
	if got := describe(&todo); got != want {
		x.t.Errorf("at %v:\n got %s\nwant %s", x.now.Sub(t0), got, want)
	}
	return x
}

func (x *script) startup(want string) *script {
	x.t.Helper()
	return x.event(Event{Kind: EventStartup}, want)
}

func (x *script) tick(want string) *script {
	x.t.Helper()
	return x.event(Event{Kind: EventTick}, want)
}

func (x *script) stood(lost time.Duration, want string) *script {
	x.t.Helper()
	return x.event(Event{Kind: EventStood, Lost: lost}, want)
}

func (x *script) hears(priority uint8, from netip.Addr, want string) *script {
	x.t.Helper()
	return x.event(Event{Kind: EventAdvert, From: from, Advert: Advert{
		Version: x.p.Version, Priority: priority, Interval: x.p.AdvertInterval}}, want)
}

func (x *script) changed(change func(*Params), want string) *script {
	x.t.Helper()
	change(&x.p)
	return x.event(Event{Kind: EventChanged}, want)
}

// due checks the live deadline, given as an offset from the beginning.
func (x *script) due(want time.Duration) *script {
	x.t.Helper()
	if got := x.s.Deadline.Sub(t0); got != want {
		x.t.Errorf("at %v: deadline is %v, want %v", x.now.Sub(t0), got, want)
	}
	return x
}

func (x *script) is(want Role) *script {
	x.t.Helper()
	if got := x.s.role(); got != want {
		x.t.Errorf("at %v: role is %s, want %s", x.now.Sub(t0), got, want)
	}
	return x
}

func describe(a *Actions) string {
	if a.n == 0 {
		return "nothing"
	}
	var out []string
	for _, x := range a.All() {
		out = append(out, x.describe())
	}
	return strings.Join(out, ", ")
}

func (a Action) describe() string {
	switch a.Kind {
	case ActionSendAdvert:
		return fmt.Sprintf("advert %d", a.Priority)
	case ActionAnnounce:
		return "announce"
	case ActionSetAddresses:
		s := "withdraw"
		if a.Present {
			s = "take"
		}
		if a.Handover.Predecessor.IsValid() {
			s += " from " + a.Handover.Predecessor.String()
		}
		if a.Handover.Successor.IsValid() {
			s += " for " + a.Handover.Successor.String()
		}
		return s
	case ActionTransition:
		return fmt.Sprintf("%s>%s (%s)", a.From, a.To, a.Reason)
	case ActionHandoverBegun:
		return "begin " + string(a.Reason)
	case ActionHandoverDone:
		return fmt.Sprintf("handed to %s in %v", a.Peer, a.Took)
	case ActionHandoverFailed:
		return fmt.Sprintf("not handed over (%s) in %v", a.Reason, a.Took)
	case ActionPreemptDelayed:
		return fmt.Sprintf("delay %v", a.Took)
	case ActionStalled:
		return fmt.Sprintf("stalled %v", a.Took)
	}
	return fmt.Sprintf("unknown %d", a.Kind)
}

const (
	skew150   = 106 * time.Second / 256 // at one second
	skew100   = 156 * time.Second / 256
	down150   = 3*time.Second + skew150
	listen150 = 2*time.Second + skew150
	down100   = 3*time.Second + skew100

	becameBackup = "withdraw, INIT>BACKUP (startup)"
	tookOver     = "BACKUP>MASTER (no advert within the master down interval), take, advert 150, announce"
)

// backup is an instance that has started; master one that then heard nobody,
// at the time down150.
func backup(t *testing.T, change ...func(*Params)) *script {
	return play(t, director(change...)).startup(becameBackup)
}

func master(t *testing.T, change ...func(*Params)) *script {
	x := backup(t, change...)
	x.now = x.s.Deadline
	x.tick(tookOver)
	return x
}

func prio(n uint8) func(*Params)          { return func(p *Params) { p.Priority = n } }
func noPreempt(p *Params)                 { p.Preempt = false }
func version2(p *Params)                  { p.Version = V2 }
func notReady(p *Params)                  { p.Ready = false }
func ready(p *Params)                     { p.Ready = true }
func linkDown(p *Params)                  { p.Fault, p.CanSend = ReasonLinkDown, false }
func linkUnknown(p *Params)               { p.Fault, p.CanSend = ReasonLinkUnknown, false }
func linkUp(p *Params)                    { p.Fault, p.CanSend = "", true }
func every(d time.Duration) func(*Params) { return func(p *Params) { p.AdvertInterval = d } }

// Section 6.4.1, Initialize.
func TestInit(t *testing.T) {
	t.Run("who owns the addresses is master at once", func(t *testing.T) {
		play(t, director(prio(255))).
			startup("INIT>MASTER (address owner), take, advert 255, announce").
			due(time.Second)
	})
	t.Run("everybody else waits one down interval", func(t *testing.T) {
		backup(t).due(down150).
			at(down150 - 1).tick("nothing").
			at(down150).tick(tookOver).
			due(down150 + time.Second)
	})
	t.Run("v2: skew is in fractions of a second (RFC 3768 6.1)", func(t *testing.T) {
		backup(t, version2, every(5*time.Second)).due(15*time.Second + skew150)
	})
	t.Run("v3: skew is in fractions of the interval", func(t *testing.T) {
		backup(t, every(10*time.Millisecond)).due(30*time.Millisecond + 106*10*time.Millisecond/256)
	})
	t.Run("startup_delay comes on top", func(t *testing.T) {
		delayed := func(p *Params) { p.StartupDelay = time.Minute }
		backup(t, delayed).due(time.Minute + down150)
		play(t, director(prio(255), delayed)).startup(becameBackup).due(time.Minute).
			at(time.Minute).tick("BACKUP>MASTER (address owner), take, advert 255, announce")
	})
	t.Run("what of startup_delay is over is not waited for again", func(t *testing.T) {
		delayed := func(p *Params) { p.StartupDelay = time.Minute }
		waited := func(d time.Duration) Event { return Event{Kind: EventStartup, Waited: d} }
		play(t, director(delayed)).event(waited(50*time.Second), becameBackup).due(10*time.Second + down150)
		play(t, director(delayed)).event(waited(time.Hour), becameBackup).due(down150)
		play(t, director(delayed, prio(255))).event(waited(time.Hour), "INIT>MASTER (address owner), take, advert 255, announce")
	})
	t.Run("an owner whose elder died says so", func(t *testing.T) {
		play(t, director(prio(255), func(p *Params) { p.StartupDelay = time.Minute })).startup(becameBackup).
			at(time.Second).hears(255, addrB, "nothing").
			at(5 * time.Second).tick("BACKUP>MASTER (no advert within the master down interval), take, advert 255, announce")
	})
	t.Run("an owner that is not ready waits until it is", func(t *testing.T) {
		play(t, director(prio(255), notReady)).startup(becameBackup).
			at(time.Minute).tick("nothing").
			changed(ready, "BACKUP>MASTER (address owner), take, advert 255, announce")
	})
	t.Run("resumes as master without a word to lose", func(t *testing.T) {
		play(t, director(notReady)).
			event(Event{Kind: EventStartup, Resume: true}, "INIT>MASTER (resumed after restart), take, advert 150, announce")
	})
	t.Run("waits for an interface that nobody has told of", func(t *testing.T) {
		play(t, director(linkUnknown)).
			event(Event{Kind: EventStartup, Resume: true}, "nothing").
			at(time.Second).tick("nothing").
			changed(linkUp, "INIT>MASTER (resumed after restart), take, advert 150, announce")
		play(t, director(linkUnknown)).
			event(Event{Kind: EventStartup, Resume: true}, "nothing").
			at(down150).tick("withdraw, INIT>FAULT (interface was not found)").
			at(time.Hour).changed(linkUp, "withdraw, FAULT>BACKUP (link up)").
			due(time.Hour + down150)
	})
	t.Run("link down is a fault", func(t *testing.T) {
		play(t, director(linkDown)).startup("withdraw, INIT>FAULT (link down)")
	})
	t.Run("hears nothing, and stops", func(t *testing.T) {
		play(t, director()).hears(100, addrB, "nothing").tick("nothing").
			event(Event{Kind: EventFailover}, "nothing").
			event(Event{Kind: EventShutdown}, "nothing").is(Init)
		play(t, director(linkUnknown)).event(Event{Kind: EventStartup, Resume: true}, "nothing").
			event(Event{Kind: EventShutdown}, "withdraw").
			changed(linkUp, "nothing").is(Init)
	})
}

// Section 6.4.2, Backup.
func TestBackup(t *testing.T) {
	t.Run("priority 0: deadline is the skew time", func(t *testing.T) {
		backup(t).at(time.Second).hears(200, addrB, "nothing").due(time.Second+down150).
			at(2*time.Second).hears(0, addrB, "nothing").due(2*time.Second + skew150).
			at(2*time.Second + skew150).
			tick("BACKUP>MASTER (master resigned), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("priority 0, said again, puts nothing off", func(t *testing.T) {
		// The other side has a tenth of our interval, which counts while its
		// adverts are not accepted: it is to be preempted.
		x := backup(t).at(time.Second).hears(100, addrB, "nothing")
		const leaves = 1100 * time.Millisecond
		for n := range 4 {
			x.at(leaves+time.Duration(n)*100*time.Millisecond).hears(0, addrB, "nothing").due(leaves + skew150)
		}
		x.at(leaves + skew150).
			tick("BACKUP>MASTER (master resigned), take from 192.168.16.112, advert 150, announce")
		// One that came back in between leaves anew.
		backup(t).at(time.Second).hears(0, addrB, "nothing").
			at(1100*time.Millisecond).hears(200, addrB, "nothing").
			at(1200*time.Millisecond).hears(0, addrB, "nothing").due(1200*time.Millisecond + skew150)
	})
	t.Run("higher and equal priorities reset the deadline", func(t *testing.T) {
		backup(t).at(time.Second).hears(151, addrB, "nothing").due(time.Second+down150).
			at(2*time.Second).hears(150, addrB, "nothing").due(2*time.Second + down150)
	})
	t.Run("a lower priority is discarded and preempted", func(t *testing.T) {
		backup(t).at(time.Second).hears(149, addrB, "nothing").due(down150).
			at(3*time.Second).hears(149, addrB, "nothing").due(down150).
			at(down150).
			tick("BACKUP>MASTER (preempted a lower priority), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("without preemption a lower priority is accepted", func(t *testing.T) {
		backup(t, noPreempt).at(time.Second).hears(1, addrB, "nothing").due(time.Second + down150).
			at(time.Second + down150).tick(tookOver)
	})
	t.Run("an owner preempts whatever Preempt_Mode says (6.1)", func(t *testing.T) {
		x := backup(t, noPreempt)
		x.p.Priority = 255
		x.at(time.Second).hears(254, addrB, "nothing").due(down150)
	})
	t.Run("v3: the master's interval counts", func(t *testing.T) {
		x := backup(t)
		ev := Event{Kind: EventAdvert, From: addrB, Advert: Advert{Version: V3, Priority: 200, Interval: 2 * time.Second}}
		x.at(time.Second).event(ev, "nothing").due(time.Second+6*time.Second+2*skew150).
			at(2*time.Second).hears(0, addrB, "nothing").due(2*time.Second + 2*skew150)
	})
	t.Run("a stale expiry does nothing", func(t *testing.T) {
		backup(t).at(3*time.Second).hears(200, addrB, "nothing").
			at(down150).tick("nothing").is(Backup)
	})
	t.Run("an unplanned takeover has no predecessor", func(t *testing.T) {
		backup(t).at(time.Second).hears(200, addrB, "nothing").
			at(time.Second + down150).tick(tookOver)
	})
	t.Run("a predecessor that died while it was to be preempted is none", func(t *testing.T) {
		// The last lower advert comes when the gate is closed; it is gone when
		// the gate opens.
		backup(t, notReady).at(time.Second).hears(100, addrB, "nothing").
			at(down150).tick("nothing").
			at(time.Minute).changed(ready, "BACKUP>MASTER (became ready), take, advert 150, announce")
	})
	t.Run("ready gate: listens, and acts when it opens", func(t *testing.T) {
		x := backup(t, notReady).at(3*time.Second).hears(100, addrB, "nothing").
			at(down150).tick("nothing").is(Backup)
		if _, ok := x.s.Wake(); ok {
			t.Error("asks to be woken while the gate is closed")
		}
		x.at(4*time.Second).hears(100, addrB, "nothing").
			changed(ready, "BACKUP>MASTER (became ready), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("ready gate: an accepted advert starts the deadline anew", func(t *testing.T) {
		backup(t, notReady).at(down150).tick("nothing").
			at(5*time.Second).hears(200, addrB, "nothing").changed(ready, "nothing").
			due(5*time.Second + down150)
	})
	t.Run("ready gate: once closed, it still wakes for the deadline of a new master", func(t *testing.T) {
		x := backup(t, notReady).at(down150).tick("nothing").at(5*time.Second).hears(200, addrB, "nothing")
		if at, ok := x.s.Wake(); !ok || at != x.s.Deadline {
			t.Errorf("wakes at %v, %v", at, ok)
		}
	})
	t.Run("ready gate: a resignation is not taken for an expiry", func(t *testing.T) {
		backup(t, notReady).at(down150).tick("nothing").
			at(5*time.Second).hears(0, addrB, "nothing").
			at(5*time.Second+time.Millisecond).changed(ready, "nothing").
			at(5*time.Second + skew150).
			tick("BACKUP>MASTER (master resigned), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("v2: a shorter interval counts, whatever was heard before", func(t *testing.T) {
		backup(t, version2, every(40*time.Second)).at(time.Second).hears(200, addrB, "nothing").
			at(2*time.Second).changed(every(time.Second), "nothing").due(2*time.Second + down150)
	})
	t.Run("startup_delay ends with a master that is left in place, or resigns", func(t *testing.T) {
		slow := func(p *Params) { p.StartupDelay = time.Minute }
		backup(t, slow).at(time.Second).hears(100, addrB, "nothing").due(time.Minute+down150).
			at(2*time.Second).hears(200, addrB, "nothing").due(2*time.Second + down150)
		backup(t, slow).at(time.Second).hears(100, addrB, "nothing").
			at(2*time.Second).hears(0, addrB, "nothing").due(2*time.Second + skew150)
	})
	t.Run("startup_delay is for the startup only", func(t *testing.T) {
		backup(t, func(p *Params) { p.StartupDelay = time.Minute }).
			at(time.Minute).changed(linkDown, "BACKUP>FAULT (link down)").
			at(61*time.Second).changed(linkUp, "withdraw, FAULT>BACKUP (link up)").due(61*time.Second + down150)
	})
	t.Run("startup_delay is not cut short by a link that flaps at the boot", func(t *testing.T) {
		backup(t, func(p *Params) { p.StartupDelay = time.Minute }).
			at(time.Second).changed(linkDown, "BACKUP>FAULT (link down)").
			at(2*time.Second).changed(linkUp, "withdraw, FAULT>BACKUP (link up)").due(time.Minute + down150)
		owner := director(prio(255), linkDown, func(p *Params) { p.StartupDelay = time.Minute })
		play(t, owner).startup("withdraw, INIT>FAULT (link down)").
			at(2*time.Second).changed(linkUp, "withdraw, FAULT>BACKUP (link up)").due(time.Minute)
	})
	t.Run("shutdown says nothing", func(t *testing.T) {
		backup(t).event(Event{Kind: EventShutdown}, "BACKUP>INIT (stopped)").
			at(time.Hour).tick("nothing").changed(linkUp, "nothing").is(Init)
	})
	t.Run("a shorter interval does not wait for the longer one's deadline", func(t *testing.T) {
		backup(t, every(40*time.Second)).at(time.Second).
			changed(every(time.Second), "nothing").due(time.Second + down150)
	})
	t.Run("link down and up", func(t *testing.T) {
		backup(t).at(time.Second).changed(linkDown, "BACKUP>FAULT (link down)").
			hears(100, addrB, "nothing").at(time.Hour).tick("nothing").
			changed(linkUp, "withdraw, FAULT>BACKUP (link up)").due(time.Hour + down150)
	})
}

// preempt_delay, as keepalived has it.
func TestPreemptDelay(t *testing.T) {
	delayed := func(p *Params) { p.PreemptDelay = 10 * time.Second }
	t.Run("protects a lower master from its first advert on", func(t *testing.T) {
		x := backup(t, delayed).at(time.Second).hears(100, addrB, "delay 10s").due(time.Second + down150)
		for n := 2; n <= 10; n++ {
			x.at(time.Duration(n)*time.Second).hears(100, addrB, "nothing").due(time.Duration(n)*time.Second + down150)
		}
		x.at(11*time.Second).hears(100, addrB, "nothing").due(10*time.Second+down150).
			at(13*time.Second).hears(100, addrB, "nothing").
			at(10*time.Second + down150).
			tick("BACKUP>MASTER (preempted a lower priority), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("is cancelled by a higher or equal advert", func(t *testing.T) {
		backup(t, delayed).at(time.Second).hears(100, addrB, "delay 10s").
			at(2*time.Second).hears(150, addrB, "nothing").
			at(3*time.Second).hears(100, addrB, "delay 10s")
	})
	t.Run("survives a reload", func(t *testing.T) {
		x := backup(t, delayed).at(time.Second).hears(100, addrB, "delay 10s").
			at(2*time.Second).event(Event{Kind: EventChanged, Reload: true}, "nothing").
			hears(100, addrB, "nothing")
		x.at(12 * time.Second).s.Deadline = t0.Add(15 * time.Second)
		x.hears(100, addrB, "nothing").due(15 * time.Second)
	})
	t.Run("does not protect one that died or resigned", func(t *testing.T) {
		backup(t, delayed).at(time.Second).hears(100, addrB, "delay 10s").
			at(time.Second + down150).tick(tookOver)
		backup(t, delayed).at(time.Second).hears(100, addrB, "delay 10s").
			at(2*time.Second).hears(0, addrB, "nothing").due(2*time.Second + skew150)
	})
}

// Section 6.4.3, Active.
func TestMaster(t *testing.T) {
	t.Run("advertises every interval, without drift", func(t *testing.T) {
		master(t).due(down150 + time.Second).
			at(down150 + time.Second + 5*time.Millisecond).tick("advert 150").due(down150 + 2*time.Second).
			at(down150 + 2*time.Second - 1).tick("nothing").
			at(down150 + 2*time.Second).tick("advert 150").due(down150 + 3*time.Second)
	})
	t.Run("priority 0 is answered at once", func(t *testing.T) {
		master(t).at(4*time.Second).hears(0, addrB, "advert 150").due(5 * time.Second)
	})
	t.Run("a lower priority is answered and the neighbours are told", func(t *testing.T) {
		master(t).at(4*time.Second).hears(100, addrB, "advert 150, announce").due(5 * time.Second)
	})
	t.Run("a higher priority wins", func(t *testing.T) {
		x := master(t).at(4*time.Second).
			hears(200, addrB, "advert 150, withdraw for 192.168.16.112, MASTER>BACKUP (advert of a higher priority)").
			due(4*time.Second + down150)
		if x.s.Peer != addrB || x.s.PeerPriority != 200 {
			t.Errorf("follows %v with priority %d", x.s.Peer, x.s.PeerPriority)
		}
	})
	t.Run("a higher priority wins whatever Preempt_Mode says", func(t *testing.T) {
		master(t, noPreempt).at(4*time.Second).
			hears(200, addrB, "advert 150, withdraw for 192.168.16.112, MASTER>BACKUP (advert of a higher priority)")
	})
	t.Run("equal priority: the higher address wins, as an unsigned number", func(t *testing.T) {
		high := netip.MustParseAddr("200.0.0.1")
		master(t).at(4*time.Second).
			hears(150, high, "advert 150, withdraw for 200.0.0.1, MASTER>BACKUP (advert of equal priority from a higher address)")
		master(t).at(4*time.Second).hears(150, netip.MustParseAddr("10.0.0.1"), "advert 150, announce")
		master(t).at(4*time.Second).hears(150, netip.MustParseAddr("192.168.16.99"), "advert 150, announce")
	})
	t.Run("equal priority from our own address is nobody", func(t *testing.T) {
		master(t).at(4*time.Second).hears(150, addrA, "nothing").is(Master)
	})
	t.Run("a master whose priority was lowered stays until it hears the other", func(t *testing.T) {
		master(t).at(4*time.Second).changed(prio(50), "advert 50"). // at once, so that the other can make up its mind
										due(5*time.Second).tick("nothing").
										at(5*time.Second).tick("advert 50").
										at(5500*time.Millisecond).hears(100, addrB, "advert 50, withdraw for 192.168.16.112, MASTER>BACKUP (advert of a higher priority)")
	})
	t.Run("a gate that closes takes no master out", func(t *testing.T) {
		master(t).at(4*time.Second).changed(notReady, "nothing").is(Master)
	})
	t.Run("a shorter interval counts at once", func(t *testing.T) {
		backup(t, every(10*time.Second)).at(40*time.Second).
			tick(tookOver).due(50*time.Second).
			at(45*time.Second).changed(every(time.Second), "nothing").due(46 * time.Second).
			at(46 * time.Second).tick("advert 150")
	})
	t.Run("link down: withdrawn at once, without an advert", func(t *testing.T) {
		master(t).at(4*time.Second).changed(linkDown, "withdraw, MASTER>FAULT (link down)").
			at(5*time.Second).changed(linkUp, "withdraw, FAULT>BACKUP (link up)")
	})
	t.Run("another fault: resigns and withdraws", func(t *testing.T) {
		failed := func(p *Params) { p.Fault = "script failed" }
		master(t).at(4*time.Second).changed(failed, "advert 0, withdraw, MASTER>FAULT (script failed)").
			at(5*time.Second).changed(linkUp, "withdraw, FAULT>BACKUP (fault cleared)")
	})
	t.Run("without patience: resigns and withdraws", func(t *testing.T) {
		master(t).at(4*time.Second).
			event(Event{Kind: EventShutdown, Now: true}, "advert 0, withdraw, MASTER>INIT (stopped)")
	})
}

// Leaving on purpose: make before break.
func TestHandover(t *testing.T) {
	begun := 4 * time.Second
	window := 3*time.Second + 255*time.Second/256
	failover := func(t *testing.T, change ...func(*Params)) *script {
		return master(t, change...).at(begun).event(Event{Kind: EventFailover}, "begin failover, advert 0").
			is(Master).due(begun + time.Second)
	}
	stop := func(t *testing.T, change ...func(*Params)) *script {
		return master(t, change...).at(begun).event(Event{Kind: EventShutdown}, "begin stopped, advert 0").
			is(Master).due(begun + time.Second)
	}
	t.Run("stop: addresses stay until the successor is heard", func(t *testing.T) {
		stop(t).at(begun+600*time.Millisecond).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 600ms, MASTER>INIT (stopped)").
			at(time.Hour).tick("nothing").is(Init)
	})
	t.Run("stop: without a successor they go after its longest wait", func(t *testing.T) {
		stop(t).
			at(begun + 1*time.Second).tick("advert 0").
			at(begun + 2*time.Second).tick("advert 0").
			at(begun + 3*time.Second).tick("advert 0").due(begun + window).
			at(begun + window - 1).tick("nothing").
			at(begun + window).tick("withdraw, not handed over (no successor was heard) in 3.99609375s, MASTER>INIT (stopped)")
	})
	t.Run("stop: said twice is said once", func(t *testing.T) {
		stop(t).at(begun+time.Millisecond).event(Event{Kind: EventShutdown}, "nothing").
			event(Event{Kind: EventFailover}, "nothing")
	})
	t.Run("stop: quick adverts leave the successor time for its work", func(t *testing.T) {
		x := master(t, every(10*time.Millisecond))
		x.event(Event{Kind: EventShutdown}, "begin stopped, advert 0")
		if got := x.s.LeaveBy.Sub(x.now); got != leaveFloor {
			t.Errorf("waits %v for a successor, want %v", got, leaveFloor)
		}
	})
	t.Run("failover: the successor is not preempted", func(t *testing.T) {
		x := failover(t).at(begun+600*time.Millisecond).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 600ms, MASTER>BACKUP (failover)").
			due(begun + 600*time.Millisecond + down150)
		for n := 5; n < 20; n++ {
			x.at(time.Duration(n)*time.Second).hears(100, addrB, "nothing").due(time.Duration(n)*time.Second + down150)
		}
		x.at(19*time.Second + down150).tick(tookOver)
	})
	t.Run("failover: but another lower one is", func(t *testing.T) {
		failover(t).at(5*time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>BACKUP (failover)").
			at(6*time.Second).hears(90, addrC, "nothing").due(5*time.Second + down150)
	})
	t.Run("failover: the successor that resigns is followed", func(t *testing.T) {
		failover(t).at(5*time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>BACKUP (failover)").
			at(6*time.Second).hears(0, addrB, "nothing").due(6*time.Second + skew150).
			at(6*time.Second + skew150).
			tick("BACKUP>MASTER (master resigned), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("failover: the successor that resigned and is back is preempted", func(t *testing.T) {
		failover(t).at(5*time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>BACKUP (failover)").
			at(6*time.Second).hears(0, addrB, "nothing").
			at(6*time.Second+time.Millisecond).hears(100, addrB, "nothing").due(6*time.Second + skew150)
	})
	t.Run("failover: the successor that lost to a better one is preempted when it is back", func(t *testing.T) {
		failover(t).at(5*time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>BACKUP (failover)").
			at(6*time.Second).hears(200, addrC, "nothing").
			at(7*time.Second).hears(100, addrB, "nothing").due(6*time.Second + down150)
	})
	t.Run("failover: a reload ends the yielding", func(t *testing.T) {
		failover(t).at(5*time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>BACKUP (failover)").
			event(Event{Kind: EventChanged}, "nothing").
			at(6*time.Second).hears(100, addrB, "nothing").due(6*time.Second+down150).
			event(Event{Kind: EventChanged, Reload: true}, "nothing").
			at(7*time.Second).hears(100, addrB, "nothing").due(6*time.Second + down150)
	})
	t.Run("failover: without a successor it stays master", func(t *testing.T) {
		failover(t).
			at(begun + 1*time.Second).tick("advert 0").
			at(begun + 2*time.Second).tick("advert 0").
			at(begun + 3*time.Second).tick("advert 0").
			at(begun + window).tick("not handed over (no successor was heard) in 3.99609375s, advert 150, announce").
			is(Master).due(begun + window + time.Second)
	})
	t.Run("failover: another one that resigns is no successor", func(t *testing.T) {
		failover(t).at(5*time.Second).hears(0, addrB, "nothing").is(Master)
	})
	t.Run("failover: becomes a stop", func(t *testing.T) {
		failover(t).at(begun+500*time.Millisecond).event(Event{Kind: EventShutdown}, "advert 0").
			at(begun+time.Second).
			hears(100, addrB, "withdraw for 192.168.16.112, handed to 192.168.16.112 in 1s, MASTER>INIT (stopped)")
	})
	t.Run("link down in the middle: withdrawn at once", func(t *testing.T) {
		failover(t).at(5*time.Second).
			changed(linkDown, "withdraw, not handed over (link down) in 1s, MASTER>FAULT (link down)")
		stop(t).at(5*time.Second).
			changed(linkDown, "withdraw, not handed over (link down) in 1s, MASTER>INIT (stopped)")
	})
	t.Run("stop: taken back", func(t *testing.T) {
		stop(t).at(begun + 500*time.Millisecond).
			startup("not handed over (startup) in 500ms, advert 150, announce").is(Master)
	})
	t.Run("stop: patience lost", func(t *testing.T) {
		stop(t).at(begun+500*time.Millisecond).
			event(Event{Kind: EventShutdown, Now: true}, "advert 0, withdraw, not handed over (stopped) in 500ms, MASTER>INIT (stopped)")
	})
}

// Fault 9: who has slept listens before it speaks.
func TestStall(t *testing.T) {
	// The last advert is at down150; what follows was due a second later.
	asleep := down150 + down150
	t.Run("a master that was away for its down interval steps back", func(t *testing.T) {
		master(t).at(asleep - 1).tick("advert 150").is(Master)
		master(t).at(asleep).tick("stalled 3.4140625s, MASTER>BACKUP (stalled)").due(asleep + time.Second).
			at(asleep + time.Second).
			tick("BACKUP>MASTER (no other master was heard), take, advert 150, announce")
	})
	t.Run("also when the first thing it sees is an advert that lay waiting", func(t *testing.T) {
		master(t).at(time.Minute).
			hears(100, addrB, "stalled 56.5859375s, MASTER>BACKUP (stalled), withdraw for 192.168.16.112").
			due(time.Minute+down150).
			at(time.Minute+time.Second).hears(100, addrB, "nothing").
			at(time.Minute+down150-1).hears(100, addrB, "nothing").
			at(time.Minute + down150).
			tick("BACKUP>MASTER (preempted a lower priority), take from 192.168.16.112, advert 150, announce")
	})
	t.Run("with one advert that may be lost, a little late is no stall", func(t *testing.T) {
		x := backup(t, prio(254), func(p *Params) { p.DownTimerAdverts = 1 })
		due := x.s.Deadline.Sub(t0) + time.Second
		x.at(due - time.Second).tick("BACKUP>MASTER (no advert within the master down interval), take, advert 254, announce").
			at(due + 8*time.Millisecond).tick("advert 254").
			at(due + 2*time.Second).tick("stalled 1.992s, MASTER>BACKUP (stalled)")
	})
	t.Run("and gives way while it listens", func(t *testing.T) {
		master(t).at(time.Minute).tick("stalled 56.5859375s, MASTER>BACKUP (stalled)").
			at(time.Minute+300*time.Millisecond).hears(100, addrB, "withdraw for 192.168.16.112").
			due(time.Minute + 300*time.Millisecond + down150)
	})
	t.Run("the ready gate does not hold back what it has", func(t *testing.T) {
		master(t).changed(notReady, "nothing").at(time.Minute).tick("stalled 56.5859375s, MASTER>BACKUP (stalled)").
			at(time.Minute + time.Second).
			tick("BACKUP>MASTER (no other master was heard), take, advert 150, announce")
	})
	t.Run("a fault or a stop meanwhile withdraws", func(t *testing.T) {
		master(t).at(time.Minute).tick("stalled 56.5859375s, MASTER>BACKUP (stalled)").
			changed(linkDown, "withdraw, BACKUP>FAULT (link down)")
		master(t).at(time.Minute).
			event(Event{Kind: EventShutdown}, "stalled 56.5859375s, MASTER>BACKUP (stalled), withdraw, BACKUP>INIT (stopped)")
	})
	t.Run("a handover fails by it", func(t *testing.T) {
		master(t).at(4*time.Second).event(Event{Kind: EventFailover}, "begin failover, advert 0").
			at(time.Minute).tick("stalled 56s, not handed over (stalled) in 56s, MASTER>BACKUP (stalled)")
	})
	t.Run("a stop does not speak, so it ends", func(t *testing.T) {
		master(t).at(4*time.Second).event(Event{Kind: EventShutdown}, "begin stopped, advert 0").
			at(time.Minute).tick("withdraw, not handed over (no successor was heard) in 56s, MASTER>INIT (stopped)")
	})
	t.Run("a backup that cannot know what it missed listens", func(t *testing.T) {
		backup(t).at(down150 + time.Second - 1).tick(tookOver)
		late := down150 + time.Second
		backup(t).at(late).tick("stalled 1s").is(Backup).due(late + listen150).
			at(late + listen150 - 1).tick("nothing").
			at(late + listen150).tick(tookOver)
		backup(t).at(late).tick("stalled 1s").
			at(late+time.Second/2).hears(200, addrB, "nothing").due(late + time.Second/2 + down150)
	})
	t.Run("and listens again when it has slept through that", func(t *testing.T) {
		backup(t).at(time.Minute).tick("stalled 56.5859375s").
			at(2*time.Minute).tick("stalled 57.5859375s").due(2*time.Minute+listen150).
			hears(200, addrB, "nothing").is(Backup)
		master(t).at(time.Minute).tick("stalled 56.5859375s, MASTER>BACKUP (stalled)").
			at(2*time.Minute).hears(200, addrB, "stalled 59s, withdraw for 192.168.16.112").is(Backup)
	})
	t.Run("but not for ever: a machine that is always late still takes over", func(t *testing.T) {
		backup(t).at(time.Minute).tick("stalled 56.5859375s").at(2 * time.Minute).tick("stalled 57.5859375s").
			at(3 * time.Minute).tick("stalled 57.5859375s").at(4 * time.Minute).tick(tookOver)
	})
	t.Run("a backup that wakes just before its deadline, or after it, listens", func(t *testing.T) {
		const soon = down150 - 100*time.Millisecond
		backup(t).at(soon).stood(time.Second/2, "stalled 500ms").due(soon+listen150).
			at(soon+time.Second).tick("nothing").hears(200, addrB, "nothing").due(soon + time.Second + down150)
		backup(t).at(down150+1).stood(2*time.Second, "stalled 2s").due(down150 + 1 + listen150)
	})
	t.Run("not after a stall that no advert is lost in, nor when it has time left", func(t *testing.T) {
		backup(t).at(down150-1).stood(time.Second/2-1, "nothing").due(down150)
		backup(t).at(down150-listen150).stood(time.Minute, "nothing").due(down150)
		backup(t, notReady).at(down150).tick("nothing").at(down150+time.Second).stood(time.Minute, "nothing")
	})
	t.Run("nor for ever", func(t *testing.T) {
		x := backup(t).at(down150-1).stood(time.Second, "stalled 1s").stood(time.Second, "nothing")
		for range 2 {
			x.at(x.s.Deadline.Sub(t0)-1).stood(time.Second, "stalled 1s")
		}
		x.at(x.s.Deadline.Sub(t0)-1).stood(time.Second, "nothing").at(x.s.Deadline.Sub(t0)).tick(tookOver)
	})
	t.Run("a second stall is one again", func(t *testing.T) {
		backup(t).at(time.Minute).tick("stalled 56.5859375s").hears(200, addrB, "nothing").
			at(2 * time.Minute).tick("stalled 56.5859375s")
	})
	t.Run("a closed gate is no stall", func(t *testing.T) {
		backup(t, notReady).at(down150).tick("nothing").
			at(time.Hour).changed(ready, "BACKUP>MASTER (became ready), take, advert 150, announce")
	})
	t.Run("a reload with a shorter interval is no stall", func(t *testing.T) {
		backup(t, every(40*time.Second)).at(137*time.Second).tick(tookOver).
			at(167*time.Second).changed(every(time.Second), "nothing").is(Master)
	})
}

func TestReloadOfABackup(t *testing.T) {
	priority := func(n uint8) func(*Params) { return func(p *Params) { p.Priority = n } }
	noPreempt := func(p *Params) { p.Preempt = false }
	discards := func(t *testing.T) *script {
		return backup(t).at(2*time.Second).hears(200, addrB, "nothing").
			changed(priority(254), "nothing").at(3*time.Second).hears(200, addrB, "nothing").due(5*time.Second + 2*time.Second/256)
	}
	t.Run("a master that is not to be preempted any more is waited for", func(t *testing.T) {
		discards(t).at(4*time.Second).changed(priority(100), "nothing").due(6*time.Second + 2*time.Second/256)
		discards(t).at(4*time.Second).changed(noPreempt, "nothing").due(6*time.Second + 2*time.Second/256)
	})
	t.Run("also when the gate was closed until then", func(t *testing.T) {
		discards(t).at(4*time.Second).changed(notReady, "nothing").at(5500*time.Millisecond).hears(200, addrB, "nothing").tick("nothing").
			changed(priority(100), "nothing").changed(ready, "nothing").is(Backup)
	})
	t.Run("a shorter interval makes nobody a lower priority", func(t *testing.T) {
		backup(t, every(40*time.Second)).at(time.Second).hears(200, addrB, "nothing").
			at(2*time.Second).changed(func(p *Params) { p.DownTimerAdverts = 1 }, "nothing").
			at(2*time.Second + 40*time.Second + skewTime(V3, 150, 40*time.Second)).tick(tookOver)
	})
}

// What is left of a fault when the first has gone names the end of it.
func TestLastFaultNamesTheEnd(t *testing.T) {
	noSocket := func(p *Params) { p.CanSend, p.Fault = false, ReasonNoSocket }
	master(t).at(4*time.Second).changed(linkDown, "withdraw, MASTER>FAULT (link down)").
		changed(noSocket, "nothing").changed(linkUp, "withdraw, FAULT>BACKUP (fault cleared)")
}

func TestFaultsCombined(t *testing.T) {
	// The longest list: it must fit Actions.
	x := master(t).at(4*time.Second).event(Event{Kind: EventFailover}, "begin failover, advert 0")
	linkDown(&x.p)
	x.at(time.Minute).event(Event{Kind: EventShutdown},
		"stalled 56s, not handed over (stalled) in 56s, MASTER>BACKUP (stalled), withdraw, BACKUP>FAULT (link down), FAULT>INIT (stopped)")
}
