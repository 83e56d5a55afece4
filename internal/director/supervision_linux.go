package director

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/netif"
	"baton/vrrp"
)

// stable is how long a child must have lived for its death to count as the
// first again.
const stable = 30 * time.Second

// speakerChild describes the speaker. Started by root it keeps two
// capabilities of its own accord; started by somebody who was given
// capabilities it inherits those it needs.
func (c *core) speakerChild() (*supervised, error) {
	s := &supervised{hello: make(chan struct{})}
	var ambient []uintptr
	if os.Geteuid() != 0 {
		have, err := permitted()
		if err != nil {
			return nil, err
		}
		for _, cp := range append([]uintptr{unix.CAP_SYS_NICE, unix.CAP_IPC_LOCK}, speakerCaps...) {
			if have&(1<<cp) != 0 {
				ambient = append(ambient, cp)
			}
		}
	}
	s.Child = ipc.Child{
		Name: "speaker", Path: selfPath, Args: []string{speakerCommand}, Env: childEnv(),
		Attr:    childAttr(nil, ambient),
		Backoff: speakerBackoff, Stable: stable, StopWithin: func() time.Duration { return time.Duration(c.stopWithin.Load()) },
		Started: func(pid int, conn *ipc.Conn) {
			c.postAlways(func() {
				c.speaker.connect(pid, conn, c.tellUnsendable("speaker"))
				c.say(event.ChildStarted, event.F(event.Child, "speaker"), event.F(event.PID, pid))
				c.sendSpeaker()
				c.traceSpeaker()
			})
		},
		Message: func(m ipc.Message) { c.fromSpeaker(s, m) },
		Exited:  func(pid int, reason string) { c.postAlways(func() { c.speakerDied(pid, reason) }) },
		Waiting: c.tellWaiting("speaker"),
		Failed:  c.tellFailed("speaker"),
	}
	return s, nil
}

// proberChild describes the prober, which runs as another user.
func (c *core) proberChild(user string) (*supervised, error) {
	cred, note, err := proberIdentity(user)
	if err != nil {
		return nil, err
	}
	if note != "" {
		c.postAlways(func() {
			c.say(event.ChildLimited, event.F(event.Child, "prober"), event.F(event.Reason, "not its own user"), event.F(event.Detail, note))
		})
	}
	s := &supervised{hello: make(chan struct{})}
	s.Child = ipc.Child{
		Name: "prober", Path: selfPath, Args: []string{proberCommand}, Env: childEnv(),
		Attr:    childAttr(cred, nil),
		Confine: emptyBoundingSet,
		Records: c.serveMarks,
		Backoff: proberBackoff, Stable: stable, StopWithin: func() time.Duration { return 2 * time.Second },
		Started: func(pid int, conn *ipc.Conn) {
			c.postAlways(func() {
				c.prober.connect(pid, conn, c.tellUnsendable("prober"))
				c.say(event.ChildStarted, event.F(event.Child, "prober"), event.F(event.PID, pid))
				c.sendProber()
				c.traceProber()
			})
		},
		Message: func(m ipc.Message) { c.fromProber(s, m) },
		Exited: func(pid int, reason string) {
			c.postAlways(func() {
				// Fail static: its last verdicts stand, and the states of what it watched.
				c.prober.disconnect()
				c.prober.deaths++
				c.inspections.abandon()
				c.tellExit("prober", pid, reason)
			})
		},
		Waiting: c.tellWaiting("prober"),
		Failed:  c.tellFailed("prober"),
	}
	return s, nil
}

// postAlways hands f to the core, which outlives whoever calls this.
func (c *core) postAlways(f func()) { c.inbox <- f }

func (c *core) tellExit(name string, pid int, reason string) {
	if c.stopAt.IsZero() {
		c.say(event.ChildExited, event.F(event.Child, name), event.F(event.PID, pid), event.F(event.Reason, reason))
	}
}

func (c *core) tellWaiting(name string) func(int, time.Duration) {
	return func(n int, d time.Duration) {
		c.postAlways(func() {
			c.say(event.ChildRestarted, event.F(event.Child, name), event.F(event.Count, n), event.F(event.Took, d))
		})
	}
}

func (c *core) tellFailed(name string) func(error) {
	return func(err error) {
		c.postAlways(func() {
			c.say(event.ChildExited, event.F(event.Child, name), event.F(event.Reason, err))
		})
	}
}

// tellUnsendable tells of a message that a child cannot be sent.
func (c *core) tellUnsendable(child string) func(error) {
	return func(err error) {
		c.postAlways(func() {
			c.say(event.ChildLimited, event.F(event.Child, child), event.F(event.Reason, err),
				event.F(event.Detail, "it goes on with what it was told before: make the configuration smaller"))
		})
	}
}

// speakerStopWithin is the longest planned stop: the handover of the slowest
// instance, its linger, and room for a busy machine.
func speakerStopWithin(instances []vrrp.Config) time.Duration {
	var d time.Duration
	for _, vi := range instances {
		d = max(d, handoverWithin(vi)+vi.HandoverLinger)
	}
	return d + 5*time.Second
}

// fromSpeaker acts on a message of the speaker, in its reader's goroutine.
func (c *core) fromSpeaker(s *supervised, m ipc.Message) {
	switch m.Kind {
	case kindHello:
		s.once.Do(func() { close(s.hello) })
		c.postAlways(c.speakerIsBack)
	case kindEvent:
		c.forward(m)
	case kindNotice:
		var n vrrp.Notice
		if c.decoded(m, &n) {
			c.postAlways(func() { c.noticed(n) })
		}
	case kindAlive:
		c.postAlways(func() { c.alive("speaker", &c.speaker) })
	case kindStatus:
		var f speakerFacts
		if c.decoded(m, &f) {
			c.postAlways(func() { c.gotStatus(f) })
		}
	case kindRefused:
		var r refusal
		if c.decoded(m, &r) {
			c.postAlways(func() {
				c.endHandover(vrrp.Notice{Kind: vrrp.NoticeHandoverFailed, Instance: r.Instance, Reason: r.Reason})
				for _, m := range c.fellows(r.Instance) { // one was asked for all
					c.endHandover(vrrp.Notice{Kind: vrrp.NoticeHandoverFailed, Instance: m, Reason: r.Reason})
				}
			})
		}
	}
}

// fromProber acts on a message of the prober, in its reader's goroutine.
func (c *core) fromProber(s *supervised, m ipc.Message) {
	switch m.Kind {
	case kindHello:
		s.once.Do(func() { close(s.hello) })
	case kindEvent:
		c.forward(m)
	case kindVerdict:
		var v healthcheck.Verdict
		if c.decoded(m, &v) {
			c.postAlways(func() { c.judged(v) })
		}
	case kindAlive:
		c.postAlways(func() { c.alive("prober", &c.prober) })
	case kindChecks:
		var f proberFacts
		if c.decoded(m, &f) {
			c.postAlways(func() {
				c.checkFacts = &f
				c.prober.answered()
			})
		}
	case kindInspect:
		var i inspection
		if c.decoded(m, &i) {
			c.postAlways(func() { c.inspected(i) })
		}
	case kindTracked:
		var f trackFact
		if c.decoded(m, &f) {
			c.postAlways(func() { c.gotTrack(f.Key, f.State) })
		}
	}
}

// forward writes a child's event as it is, if it is one of the catalogue.
func (c *core) forward(m ipc.Message) {
	var e event.Event
	if c.decoded(m, &e) {
		c.postAlways(func() { c.emit(e) })
	}
}

// decoded reads a message's body. A child of the same binary sends what can be
// read; what cannot is told, not acted upon.
func (c *core) decoded(m ipc.Message, v any) bool {
	if err := m.Decode(v); err != nil {
		c.postAlways(func() {
			c.say(event.ChildLimited, event.F(event.Reason, err), event.F(event.Detail, "message ignored; do the processes run the same version?"))
		})
		return false
	}
	return true
}

// speakerDied: the heartbeat has stopped. The next speaker resumes what was
// master; if none is back within an advertisement interval the peer is about to
// take over, and an address on both sides would divide the clients.
func (c *core) speakerDied(pid int, reason string) {
	c.speaker.disconnect()
	c.speaker.deaths++
	c.tellExit("speaker", pid, reason)
	if !c.stopAt.IsZero() {
		return
	}
	now := time.Now()
	for _, in := range c.instances {
		master := in.role == vrrp.Master
		if master && !in.diedAsMaster { // else one has died that had not begun to send
			in.diedAt = now
		}
		in.diedAsMaster = master
	}
	if c.withdrawIn == nil {
		c.withdrawLater()
	}
}

// withdrawLater waits for the first instance that has no more time.
func (c *core) withdrawLater() {
	var first time.Time
	for _, in := range c.instances {
		if at := in.withdrawnAt(); in.diedAsMaster && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		c.withdrawIn = time.AfterFunc(time.Until(first), func() { c.postAlways(c.withdraw) })
	}
}

// respawnWithin is how long a master may be without a speaker. A machine needs a
// moment to start a process, however short the interval.
func (in *instance) respawnWithin() time.Duration { return max(in.cfg.AdvertInterval, minRespawn) }

func (in *instance) withdrawnAt() time.Time { return in.diedAt.Add(in.respawnWithin()) }

// minRespawn is the time that a restarted speaker is given before its
// addresses are withdrawn. A peer waits three intervals and its skew.
const minRespawn = 50 * time.Millisecond

// speakerIsBack cancels the withdrawal.
func (c *core) speakerIsBack() {
	if c.withdrawIn != nil {
		c.withdrawIn.Stop()
		c.withdrawIn = nil
	}
	for _, in := range c.instances {
		in.diedAsMaster = false
	}
}

// withdraw takes the addresses of the dead speaker's instances away, of those
// whose time is over.
func (c *core) withdraw() {
	if c.withdrawIn == nil {
		return // it came back in this very moment
	}
	c.withdrawIn = nil
	m, err := netif.New(netif.Options{RecordFile: netif.RecordFile(c.started.RuntimeDir)})
	if err != nil {
		c.say(event.AddressFailed, event.F(event.Err, err))
		return
	}
	defer m.Close()
	defer c.withdrawLater()
	now := time.Now()
	for name, in := range c.instances {
		if !in.diedAsMaster || now.Before(in.withdrawnAt()) {
			continue
		}
		in.diedAsMaster = false
		in.role = vrrp.Fault
		if err := newAddresses(m, c.say).set(in.cfg, false); err != nil {
			c.say(event.AddressFailed, event.F(event.Instance, name), event.F(event.Interface, in.cfg.Interface), event.F(event.Err, err))
		} else if err := resign(m, in.cfg); err != nil {
			c.say(event.VRRPSendFailed, event.F(event.Instance, name), event.F(event.VRID, in.cfg.VRID), event.F(event.Interface, in.cfg.Interface), event.F(event.Err, err))
		}
		c.say(event.VRRPWithdrawn, event.F(event.Instance, name),
			event.F(event.Reason, fmt.Sprintf("the speaker is not back within %v", in.respawnWithin())))
		c.disown(name, now)
		c.notifyTransition(vrrp.Notice{Instance: name, From: vrrp.Master, To: vrrp.Fault, Reason: speakerDead})
	}
}

// speakerDead is why an instance is in FAULT whose addresses were withdrawn.
const speakerDead = "the speaker died"

// disown has the last answer of a dead speaker say of an instance what has become
// of it: until the next one answers, status and metrics show that.
func (c *core) disown(name string, now time.Time) {
	for i := range c.statuses {
		s := &c.statuses[i]
		if s.Config.Name != name {
			continue
		}
		s.Role, s.Reason, s.Detail, s.Since = vrrp.Fault, speakerDead, speakerDead, now
		s.Master, s.MasterPriority, s.Handover = netip.Addr{}, 0, false
	}
}
