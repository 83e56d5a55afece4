package vrrp

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	// batch bounds what one Receive reads, so that a flood leaves timers their
	// time.
	batch = 256
	// drainLimit bounds what is read before a backup's deadline is believed.
	drainLimit = 4096
)

// Core runs virtual routers without goroutines, sockets or a clock of its own:
// its owner calls Receive when a Conn has packets and Tick when Next has come.
// Engine is such an owner; a simulation is another. A Core must not be called
// from two goroutines at once, nor from its own callbacks.
type Core struct {
	opts      EngineOptions
	instances map[string]*instance
	waiting   []*instance // for the place of another on their interface
	groups    map[string]*group
	groupOf   map[string]*group  // by the name of a member
	lanes     map[lane]time.Time // when the next announcement may leave
	batch     bool               // groups are looked at afterwards
	facts     map[string]LinkState
	links     map[Endpoint]*link
	ready     map[string]bool
	tracked   map[string]TrackState
	timers    schedule
	beat      time.Duration // Tick comes at least as often; 0: there is no need to
	alive     time.Time     // when anything was last done
	stopping  bool
	hurried   bool // Stop does not wait
	tracing   bool // each advert is a notice
	packet    [MaxPacket]byte
}

// NewCore returns a core without instances. All of opts is needed.
func NewCore(opts EngineOptions) *Core {
	return &Core{opts: opts, instances: map[string]*instance{}, lanes: map[lane]time.Time{}, facts: map[string]LinkState{}, links: map[Endpoint]*link{}}
}

// Apply is Engine.Apply, without the validation. It keeps what it is given.
func (c *Core) Apply(cfgs []Config, groups []SyncGroup, past map[string]Past) {
	if c.stopping {
		return
	}
	c.listen()
	c.together(func() { c.apply(cfgs, groups, past) })
	c.beat = 0
	for _, cfg := range cfgs {
		if b := beat(cfg.AdvertInterval); c.beat == 0 || b < c.beat {
			c.beat = b
		}
	}
}

func (c *Core) apply(cfgs []Config, groups []SyncGroup, past map[string]Past) {
	now := c.opts.Now()
	c.setGroups(cfgs, groups)
	for _, i := range c.instances {
		if i.group != nil {
			i.await(now)
		}
	}
	named := make(map[string]bool, len(cfgs))
	for _, cfg := range cfgs {
		named[cfg.Name] = true
	}
	for _, name := range sorted(c.instances) {
		if !named[name] {
			c.remove(now, c.instances[name])
		}
	}
	for _, cfg := range cfgs {
		i := c.instances[cfg.Name]
		switch {
		case i == nil:
			c.add(now, cfg, past[cfg.Name])
		case i.restarts(&cfg):
			i.removing, i.next = false, &cfg
			i.past.Waited = past[cfg.Name].Waited
			i.step(now, Event{Kind: EventShutdown})
		default:
			if i.removing || i.next != nil {
				i.removing, i.next = false, nil
				i.step(now, Event{Kind: EventStartup})
				i.group.restart(now)
			}
			if !reflect.DeepEqual(i.cfg, cfg) {
				i.configure(now, cfg)
			}
		}
	}
	// Who comes to a group or leaves it, and whoever is in it already, finds
	// other facts than before.
	for _, name := range sorted(c.instances) {
		i := c.instances[name]
		if i.group != nil || i.params.Group {
			i.factsChanged(now, false)
		}
	}
}

func (c *Core) add(now time.Time, cfg Config, past Past) {
	i := &instance{core: c, group: c.groupOf[cfg.Name], past: past, since: c.opts.Wall(), timer: timer{pos: -1}}
	i.timer.fire = i.expired
	i.configure(now, cfg)
	c.instances[cfg.Name] = i
	if !c.attach(now, i) {
		c.waiting = append(c.waiting, i)
	}
}

// attach gives i its place on its interface and starts it, if the place is free.
func (c *Core) attach(now time.Time, i *instance) bool {
	l := c.link(i.cfg.Endpoint())
	if l.byVRID[i.cfg.VRID] != nil {
		return false
	}
	l.byVRID[i.cfg.VRID] = i
	l.members++
	i.link = l
	l.open(now)
	now = c.opts.Now() // who could not hear yet has not waited
	i.known = nil
	i.await(now)
	i.factsChanged(now, false)
	i.step(now, Event{Kind: EventStartup, Resume: i.past.Master, Waited: i.past.Waited})
	return true
}

// remove stops i and forgets it once it has handed over.
func (c *Core) remove(now time.Time, i *instance) {
	i.removing, i.next = true, nil
	i.step(now, Event{Kind: EventShutdown})
}

// finished takes out an instance that has stopped, starts what it becomes, and
// what has waited for its place.
func (c *Core) finished(now time.Time, i *instance) {
	next := i.next
	i.removing, i.next = false, nil
	i.announce.stop()
	c.timers.set(&i.timer, time.Time{})
	delete(c.instances, i.cfg.Name)
	c.waiting = slices.DeleteFunc(c.waiting, func(w *instance) bool { return w == i })
	if l := i.link; l != nil {
		i.link = nil
		l.byVRID[i.cfg.VRID] = nil
		if l.members--; l.members == 0 {
			l.close()
			l.reschedule()
		}
	}
	for _, w := range slices.Clone(c.waiting) {
		if c.attach(now, w) {
			c.waiting = slices.DeleteFunc(c.waiting, func(x *instance) bool { return x == w })
		}
	}
	if next != nil && !c.stopping {
		c.add(now, *next, Past{Waited: i.past.Waited})
	}
}

func (c *Core) link(at Endpoint) *link {
	l := c.links[at]
	if l == nil {
		l = &link{core: c, at: at, timer: timer{pos: -1}}
		l.timer.fire = l.expired
		if f, known := c.facts[at.Interface]; known {
			l.learn(f)
		}
		c.links[at] = l
	}
	return l
}

// SetReady is Engine.SetReady. It keeps what it is given.
func (c *Core) SetReady(ready map[string]bool) {
	c.listen()
	now := c.opts.Now()
	c.ready = ready
	c.together(func() {
		c.eachGroupOnce(func(i *instance) { i.factsChanged(now, false) })
	})
}

// eachGroupOnce calls f for every instance, but for one member of a sync group
// only.
func (c *Core) eachGroupOnce(f func(*instance)) {
	done := make(map[*group]bool, len(c.groups))
	for _, name := range sorted(c.instances) {
		// f may have been the end of others.
		if i := c.instances[name]; i != nil && (i.group == nil || !done[i.group]) {
			if i.link == nil {
				continue
			}
			if i.group != nil {
				done[i.group] = true
			}
			f(i)
		}
	}
}

// SetLink is Engine.SetLink.
func (c *Core) SetLink(f LinkState) {
	c.listen()
	c.facts[f.Interface] = f
	now := c.opts.Now()
	var on []*link
	for at, l := range c.links {
		if at.Interface == f.Interface {
			on = append(on, l)
		}
	}
	slices.SortFunc(on, func(a, b *link) int { return a.at.compare(b.at) })
	c.together(func() {
		for _, l := range on {
			l.set(now, f)
		}
	})
	for _, i := range c.instances {
		if v := i.cfg.VMAC; v != nil && v.Name == f.Interface {
			i.overhear(now)
		}
	}
	c.reconsider(func(t Track) bool { return t.Kind == TrackInterface && t.Name == f.Interface })
}

// SetTracing is Engine.SetTracing.
func (c *Core) SetTracing(on bool) { c.tracing = on }

// SetTrack is Engine.SetTrack. It keeps what it is given.
func (c *Core) SetTrack(states map[string]TrackState) {
	c.tracked = states
	c.reconsider(func(t Track) bool { return t.Kind != TrackInterface })
}

// reconsider looks at the facts of every instance with a track that concerned
// is true for.
func (c *Core) reconsider(concerned func(Track) bool) {
	c.listen()
	now := c.opts.Now()
	c.together(func() {
		c.eachGroupOnce(func(i *instance) {
			if slices.ContainsFunc(i.watched(), concerned) {
				i.factsChanged(now, false)
			}
		})
	})
}

// Failover is Engine.Failover.
func (c *Core) Failover(name string) error {
	targets, err := c.masters(name)
	if err != nil {
		return err
	}
	now := c.opts.Now()
	var errs []error
	c.together(func() {
		for _, i := range targets {
			errs = append(errs, i.failover(now))
		}
	})
	return errors.Join(errs...)
}

// masters returns the instances that a failover of name means: all members of
// a sync group where it names one of them, or the group.
func (c *Core) masters(name string) ([]*instance, error) {
	var targets []*instance
	if name != "" {
		i, g := c.instances[name], c.groups[name]
		switch {
		case i != nil && i.group == nil:
			return []*instance{i}, nil
		case i != nil:
			targets = i.group.members()
		case g != nil:
			targets = g.members()
		default:
			return nil, fmt.Errorf("fail over instance %q: there is none of that name", name)
		}
		for _, i := range targets {
			if err := i.mayFailOver(c.opts.Now()); err != nil {
				return nil, err
			}
		}
		return targets, nil
	}
	for _, name := range sorted(c.instances) {
		if i := c.instances[name]; i.state.Role == Master && i.state.Leaving == "" {
			targets = append(targets, i)
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("fail over: no instance is master here; run it on the master's director")
	}
	return targets, nil
}

func (i *instance) failover(now time.Time) error {
	if err := i.mayFailOver(now); err != nil {
		return err
	}
	i.step(now, Event{Kind: EventFailover})
	return nil
}

func (i *instance) mayFailOver(now time.Time) error {
	switch {
	case i.state.Role != Master:
		where := "the master is not known"
		if i.state.Role == Backup && i.state.hears(now) {
			where = "the master is " + i.state.Peer.String()
		}
		return fmt.Errorf("fail over instance %q: it is %s here; %s", i.cfg.Name, i.state.role(), where)
	case i.state.Leaving != "":
		return fmt.Errorf("fail over instance %q: it is being handed over already", i.cfg.Name)
	}
	return nil
}

// Stop begins to stop every instance: with a handover, or when now is set
// without. It may be called again to lose patience. Apply does nothing from
// here on.
func (c *Core) Stop(now bool) {
	c.stopping, c.hurried = true, now
	at := c.opts.Now()
	c.together(func() {
		for _, name := range sorted(c.instances) {
			if i := c.instances[name]; i != nil {
				i.removing, i.next = true, nil
				if !i.claim.present && !i.claim.retryAt.IsZero() {
					i.claim.backoff = 0 // what failed for long is tried once more
					i.apply(at)
				}
				i.step(at, Event{Kind: EventShutdown, Now: now})
			}
		}
	})
}

// anyRunning says whether an instance has not stopped.
func (c *Core) anyRunning() bool {
	for _, i := range c.instances {
		if i.state.Running {
			return true
		}
	}
	return false
}

// Stopped says whether every instance has stopped after Stop.
func (c *Core) Stopped() bool { return c.stopping && len(c.instances) == 0 }

// listen has the backups whose deadline has passed hear what arrived before. What
// their owner tells of is acted on at once, which must not make a master of one
// that comes late to its socket.
func (c *Core) listen() {
	now := c.opts.Now()
	c.woke(now)
	for _, name := range sorted(c.instances) {
		// What is heard may be the end of others.
		if i := c.instances[name]; i != nil && i.state.Role == Backup && !now.Before(i.state.Deadline) && i.link != nil {
			i.link.receive(now, drainLimit)
		}
	}
}

// woke looks whether this core was left alone for longer than it asked for. Its
// backups hear what has come meanwhile, and then wait for what has not.
func (c *Core) woke(now time.Time) {
	lost := now.Sub(c.alive) - c.beat
	first := c.alive.IsZero()
	c.alive = now
	if first || c.beat == 0 || lost < c.beat/4 { // no instance cares for less: see Params.stood
		return
	}
	for _, name := range sorted(c.instances) {
		i := c.instances[name]
		if i == nil || i.link == nil || i.state.Role != Backup || !i.params.stood(&i.state, lost) {
			continue
		}
		i.link.receive(now, drainLimit)
		if c.instances[name] == i && i.state.Role == Backup {
			i.step(now, Event{Kind: EventStood, Lost: lost})
		}
	}
}

// Receive reads what the Conn of an endpoint has, and says whether it was so
// much that there may be more.
func (c *Core) Receive(at Endpoint) (more bool) {
	now := c.opts.Now()
	c.woke(now)
	l := c.links[at]
	return l != nil && l.receive(now, batch)
}

// Next returns when Tick is to be called, false for never.
func (c *Core) Next() (time.Time, bool) {
	t := c.timers.next()
	if t == nil {
		return time.Time{}, false
	}
	if c.beat > 0 && !c.alive.IsZero() {
		return earlier(t.at, c.alive.Add(c.beat)), true
	}
	return t.at, true
}

// Tick does all that is due now.
func (c *Core) Tick() {
	now := c.opts.Now()
	c.woke(now)
	// Whoever is due again at once waits for the next call: nobody may keep
	// the others from their turn.
	for range len(c.timers.heap) {
		t := c.timers.next()
		if t == nil || now.Before(t.at) {
			return
		}
		t.fire(now)
	}
}

// Close closes every Conn.
func (c *Core) Close() {
	for _, l := range c.links {
		l.close()
	}
}

// Status is Engine.Status.
func (c *Core) Status() []Status {
	out := make([]Status, 0, len(c.instances))
	for _, i := range c.instances {
		out = append(out, i.status())
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Config.Name, b.Config.Name) })
	return out
}

func (c *Core) notify(n Notice) {
	n.Time = c.opts.Wall()
	c.opts.Notify(n)
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
