package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"baton/vrrp"
)

// Engine is what a director runs. It is a vrrp.Core, except in tests of the
// invariants.
type Engine interface {
	Apply(cfgs []vrrp.Config, groups []vrrp.SyncGroup, past map[string]vrrp.Past)
	SetReady(ready map[string]bool)
	SetLink(l vrrp.LinkState)
	SetTrack(states map[string]vrrp.TrackState)
	Failover(name string) error
	Stop(now bool)
	Stopped() bool
	Receive(at vrrp.Endpoint) (more bool)
	Next() (time.Time, bool)
	Tick()
	Status() []vrrp.Status
}

// Options are how a Scenario is run.
type Options struct {
	// Trace takes the transcript line by line; nil: none is written.
	Trace func(line string)
	// Packets puts every advert into the transcript, else only those that are
	// not simply the next of a master's beat.
	Packets bool
	// Engine makes a director's engine; nil: vrrp.NewCore.
	Engine func(vrrp.EngineOptions) Engine
	// Only is the one invariant that is looked at; "": all are.
	Only string

	watch func(*world) // called after each fault
}

const (
	never = time.Duration(1<<63 - 1)
	long  = -time.Duration(1 << 61) // ago: before anything has happened

	// rounds is how many events may happen at one instant of virtual time. More
	// is a loop that never lets the clock go on.
	rounds = 100_000
)

// epoch is the time of day at which every run begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is one run.
type world struct {
	s     *Scenario
	o     Options
	dice  *rand.Rand
	now   time.Duration
	lans  []lan
	nodes []*node

	groups []vrrp.SyncGroup

	flight flight
	free   []*packet
	seq    uint64

	fault  int     // the next of s.Faults
	active []Fault // those that will end
	alarms []alarm // what else is to be done, by time
	soon   time.Duration

	check checks
	stats Stats
	bad   *Violation
}

// alarm is work of the simulation itself.
type alarm struct {
	at time.Duration
	do func()
}

// Run runs a scenario up to its end or its first violation.
func Run(s *Scenario, o Options) (Stats, *Violation) {
	if o.Engine == nil {
		o.Engine = func(opts vrrp.EngineOptions) Engine { return vrrp.NewCore(opts) }
	}
	w := &world{s: s, o: o, dice: rand.New(rand.NewPCG(s.Seed, 2)), lans: make([]lan, max(s.LANs, 1))}
	w.stats.Transitions = map[string]uint64{}
	w.stats.Faults = map[string]uint64{}
	if s.Group {
		w.groups = []vrrp.SyncGroup{{Name: "G", Members: instNames[:len(w.lans)]}}
	}
	w.check.init(w)
	for i := range s.Directors {
		n := newNode(w, i)
		w.nodes = append(w.nodes, n)
		if !s.Directors[i].Absent {
			w.after(s.Directors[i].Start, n.start)
		}
	}
	w.shape()
	w.loop()
	w.stats.Simulated = w.now
	w.stats.Runs = 1
	w.stats.Intervals = map[time.Duration]time.Duration{s.Directors[0].Config.AdvertInterval: w.now}
	return w.stats, w.bad
}

// loop is the event queue. What is due at the same time comes in this order:
// faults and other work of the simulation, arrivals, directors by their number.
func (w *world) loop() {
	instant := 0
	w.reschedule()
	for w.bad == nil {
		at, next := w.soon, -1
		if len(w.flight) > 0 && w.flight[0].at < at {
			at, next = w.flight[0].at, -2
		}
		for i, n := range w.nodes {
			if n.wake < at {
				at, next = n.wake, i
			}
		}
		if at >= w.s.Length {
			w.now = w.s.Length
			return
		}
		if at > w.now {
			w.now, instant = at, 0
		} else if instant++; instant > rounds {
			w.violate("progress", "%d events at one instant", instant)
			return
		}
		w.stats.Events++
		switch next {
		case -1:
			w.simulate()
		case -2:
			w.arrive()
		default:
			w.nodes[next].run()
		}
		if w.check.dirty {
			w.check.look()
		}
	}
}

// simulate does the work of the simulation that is due.
func (w *world) simulate() {
	for k := 0; k < len(w.alarms); {
		a := w.alarms[k]
		if a.at > w.now {
			k++
			continue
		}
		w.alarms = append(w.alarms[:k], w.alarms[k+1:]...)
		a.do()
		k = 0
	}
	for w.fault < len(w.s.Faults) && w.s.Faults[w.fault].At <= w.now {
		f := w.s.Faults[w.fault]
		w.fault++
		w.begin(f)
		if w.o.watch != nil {
			w.o.watch(w)
		}
	}
	if w.check.at <= w.now {
		w.check.due()
	}
	w.reschedule()
}

func (w *world) after(d time.Duration, do func()) {
	w.alarms = append(w.alarms, alarm{w.now + d, do})
	w.reschedule()
}

func (w *world) reschedule() {
	w.soon = w.check.at
	for _, a := range w.alarms {
		w.soon = min(w.soon, a.at)
	}
	if w.fault < len(w.s.Faults) {
		w.soon = min(w.soon, w.s.Faults[w.fault].At)
	}
}

// tell writes a line about a node, or about none, to the transcript.
func (w *world) tell(n *node, lan int, format string, args ...any) {
	if w.o.Trace == nil {
		return
	}
	who, at := "--", w.now
	if n != nil {
		who, at = nodeName(n.id), w.now+n.lag
		if len(w.lans) > 1 && lan >= 0 {
			who += " " + instName(lan)
		}
	}
	w.o.Trace(fmt.Sprintf("%v %s %s", at, who, fmt.Sprintf(format, args...)))
}

// violate records the first violation, which ends the run.
func (w *world) violate(invariant, format string, args ...any) {
	if w.bad != nil || w.o.Only != "" && w.o.Only != invariant {
		return
	}
	w.bad = &Violation{At: w.now, Invariant: invariant, Text: fmt.Sprintf(format, args...)}
	w.tell(nil, -1, "VIOLATION %s: %s", invariant, w.bad.Text)
}

// Violation is an invariant that did not hold.
type Violation struct {
	At        time.Duration
	Invariant string
	Text      string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("invariant %q is violated at %v: %s", v.Invariant, v.At, v.Text)
}
