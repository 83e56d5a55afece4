package sim

import (
	"time"

	"baton/vrrp"
)

// checks are the invariants. Those about one director are looked at whenever it
// has run, those about a cluster whenever a role, an address or the shape of
// the network has changed, and when a state that may only pass has lasted too
// long.
type checks struct {
	w     *world
	dirty bool
	at    time.Duration // when due is to be called

	calm    time.Duration   // since when nothing has disturbed the cluster; never: something does
	resting time.Duration   // not calm before
	slow    time.Duration   // the longest delay that a packet may have had
	longest vrrp.Config     // the slowest configuration there was
	startup time.Duration   // the longest startup_delay
	delay   time.Duration   // the longest preempt_delay
	bad     [maxLANs][]open // states that may only pass
	settled bool            // what holds in the end was looked at
}

// open is a state of a component of the cluster that may only pass.
type open struct {
	group int           // the component
	two   time.Duration // since when it has two masters; never: it has not
	none  time.Duration // since when it has none although it could
}

func (c *checks) init(w *world) {
	c.w, c.at = w, never
	for i := range w.s.Directors {
		c.learn(&w.s.Directors[i].Config)
	}
}

// learn keeps what the bounds need to know of a configuration.
func (c *checks) learn(cfg *vrrp.Config) {
	l := &c.longest
	l.Version = cfg.Version
	l.Priority = 1
	l.AdvertInterval = max(l.AdvertInterval, cfg.AdvertInterval)
	l.DownTimerAdverts = max(l.DownTimerAdverts, cfg.DownTimerAdverts)
	c.startup = max(c.startup, cfg.StartupDelay)
	c.delay = max(c.delay, cfg.PreemptDelay)
}

// slack is what the network and the machines may add to any bound.
func (c *checks) slack() time.Duration {
	n := &c.w.s.Network
	return 3*(n.Delay+n.Jitter+n.Late) + 2*c.slow + 4*n.SetCost + time.Millisecond
}

// idleBound is how long a component may be without a master in which n can be
// it: Active_Down_Interval.
func (c *checks) idleBound(n *node) time.Duration {
	down := downInterval(n.weighed(&n.cfg), c.longest.AdvertInterval)
	if c.w.s.Group {
		down += c.groupBound()
	}
	return n.cfg.StartupDelay + down + c.slack()
}

// groupBound is what a sync group may take longer: a member leaves until its
// window ends, and of two groups that have given way to one another one waits
// until the other has had its time.
func (c *checks) groupBound() time.Duration {
	return 2*leaveWindow(&c.longest) + downInterval(&c.longest, c.longest.AdvertInterval) + c.longest.AdvertInterval
}

// settleBound is after what time of peace nothing moves any more: somebody has
// become master, a handover has failed, a preemption was delayed and happened.
func (c *checks) settleBound() time.Duration {
	down := downInterval(&c.longest, c.longest.AdvertInterval)
	if c.w.s.Group {
		down += c.groupBound()
	}
	// Each preemption may be delayed, and the next begins when it has happened.
	times := time.Duration(max(1, len(c.w.s.Directors)-1))
	return c.startup + (2+times)*down + leaveWindow(&c.longest) + times*(c.delay+c.longest.AdvertInterval) + 4*c.slack()
}

// disturb says that something has happened for which the cluster may move.
func (w *world) disturb() { w.check.disturbed() }

func (c *checks) disturbed() {
	if c.calm != never {
		c.calm = max(c.w.now, c.resting)
	}
	c.settled = false
	c.dirty = true
	for l := range c.bad {
		c.bad[l] = c.bad[l][:0]
	}
}

// unsettled says that what happens now is felt for a time.
func (c *checks) unsettled(d time.Duration) { c.resting = max(c.resting, c.w.now+d) }

// shape looks at the faults that are active: under some of them the cluster
// need not settle.
func (c *checks) shape() {
	c.calm = 0
	for _, f := range c.w.active {
		switch f.Kind {
		case Loss, OneWay, Delay, SocketBreaks, SetFails:
			c.calm = never
		case Partition:
			if c.w.s.Group && len(c.w.lans) > 1 {
				c.calm = never // networks that differ: no group can be right on both
			}
		}
	}
	c.disturbed()
}

// reachable says whether n takes part on a LAN.
func (n *node) reachable(l int) bool {
	if n.w.s.Group {
		for k := range n.inst {
			if !n.inst[k].carrier() {
				return false // all are in fault
			}
		}
	}
	return n.engine != nil && n.stalled == 0 && !n.w.s.Directors[n.id].Lost && n.inst[l].carrier() && n.inst[l].started
}

// able says whether n can become master on a LAN.
func (n *node) able(l int) bool {
	for k := range n.inst {
		if n.inst[k].deaf > 0 && (k == l || n.w.s.Group) {
			return false
		}
	}
	return n.reachable(l) && n.unready == 0 && n.unsettable == 0 && n.causes.stop == long && !n.inFault(&n.cfg)
}

func (in *instance) master() bool { return in.role == vrrp.Master && !in.leaving }

// look finds states that may only pass and when they must have.
func (c *checks) look() {
	c.dirty = false
	c.at = never
	if c.calm != never {
		for l := range c.w.lans {
			c.lan(l)
		}
		if !c.settled {
			c.at = min(c.at, c.calm+c.settleBound())
		}
	}
	c.w.reschedule()
}

func (c *checks) lan(l int) {
	w := c.w
	for id, n := range w.nodes {
		group := w.lans[l].group[id]
		first, masters, holders, bound := true, 0, 0, never
		fastest := never
		for k, m := range w.nodes {
			if w.lans[l].group[k] != group || !m.reachable(l) {
				continue
			}
			if k < id {
				first = false // this component has been looked at
				break
			}
			in := &m.inst[l]
			if in.master() {
				masters++
				fastest = min(fastest, m.cfg.AdvertInterval)
			}
			if in.role == vrrp.Master {
				holders++
			}
			if m.able(l) {
				bound = min(bound, c.idleBound(m))
			}
		}
		if !first || !n.reachable(l) {
			continue
		}
		b := c.state(l, group)
		if masters < 2 {
			b.two = never
		} else {
			b.two = min(b.two, max(w.now, c.calm))
			// The next advert of any of them ends it, or is answered.
			if limit := b.two + fastest + c.slack(); w.now > limit {
				w.violate("one master", "%d directors on %s are master since %v", masters, lanName(l), b.two)
			} else {
				c.at = min(c.at, limit+1)
			}
		}
		if holders > 0 || bound == never {
			b.none = never
		} else {
			b.none = min(b.none, max(w.now, c.calm))
			if limit := b.none + bound; w.now > limit {
				w.violate("no idle", "nobody on %s is master since %v although a director there can be", lanName(l), b.none)
			} else {
				c.at = min(c.at, limit+1)
			}
		}
	}
}

func (c *checks) state(l, group int) *open {
	for k := range c.bad[l] {
		if c.bad[l][k].group == group {
			return &c.bad[l][k]
		}
	}
	c.bad[l] = append(c.bad[l], open{group, never, never})
	return &c.bad[l][len(c.bad[l])-1]
}

// due is called when a state has lasted as long as it may, or when everything
// must have settled.
func (c *checks) due() {
	if c.calm != never && !c.settled && c.w.now >= c.calm+c.settleBound() {
		c.settled = true
		c.w.stats.Settled++
		c.atRest()
	}
	c.look()
}

// atRest is what holds once nothing has happened for long enough.
func (c *checks) atRest() {
	w := c.w
	for _, n := range w.nodes {
		if n.engine == nil || n.stalled > 0 {
			continue
		}
		for _, s := range n.engine.Status() {
			if in := n.named(s.Config.Name); s.Role != in.role || s.Handover != in.leaving {
				w.violate("told", "%s is %s, handover %v, but what it has told is %s, %v", nodeName(n.id), s.Role, s.Handover, in.role, in.leaving)
			}
		}
		for l := range n.inst {
			if n.inst[l].leaving {
				w.violate("settles", "%s still leaves on %s", nodeName(n.id), lanName(l))
			}
		}
	}
	for _, n := range w.nodes {
		for l := range n.inst {
			if in := &n.inst[l]; w.s.Group && n.engine != nil && n.stalled == 0 && in.role != n.inst[0].role {
				w.violate("together", "%s is %s on %s and %s on %s", nodeName(n.id), n.inst[0].role, lanName(0), in.role, lanName(l))
			}
		}
	}
	for l := range w.lans {
		for _, n := range w.nodes {
			if n.inst[l].role != vrrp.Backup || !n.able(l) || !n.cfg.Preempt && n.cfg.Priority != vrrp.PriorityOwner || n.causes.yielded {
				continue
			}
			for _, m := range w.nodes {
				if w.lans[l].group[m.id] == w.lans[l].group[n.id] && m.reachable(l) && m.inst[l].master() && m.priority(&m.cfg) < n.priority(&n.cfg) {
					w.violate("priority", "%s with priority %d leaves %s master, which has %d, on %s",
						nodeName(n.id), n.priority(&n.cfg), nodeName(m.id), m.priority(&m.cfg), lanName(l))
				}
			}
		}
	}
}

// sends looks at an advert before it leaves.
func (c *checks) sends(in *instance, message []byte) {
	now, priority := in.n.time(), int(message[2])
	beat := in.n.has.AdvertInterval
	if onBeat := priority == in.sentPrio && now-in.sent >= beat && now-in.sent < 2*beat; !onBeat || c.w.o.Packets {
		c.w.tell(in.n, in.lan, "sends %d", priority)
	}
	if priority > 0 == in.leaving && c.w.s.Group {
		in.leaving = in.hands() // a group's member leaves with the others without a notice
	}
	switch {
	case priority > 0 && !in.master():
		c.w.violate("silence", "%s advertises priority %d as %s, leaving %v", nodeName(in.n.id), priority, in.role, in.leaving)
	case priority == 0 && in.role != vrrp.Master:
		c.w.violate("resignation", "%s resigns as %s", nodeName(in.n.id), in.role)
	case priority == 0 && !in.leaving:
		in.zero = true // it must be no master when its turn ends
	}
	in.sent, in.sentPrio = now, priority
}

// hands says whether in hands over, as the engine's status has it.
func (in *instance) hands() bool {
	for _, s := range in.n.engine.Status() {
		if s.Config.Name == instName(in.lan) {
			return s.Handover
		}
	}
	return false
}

// announces looks at an announcement.
func (c *checks) announces(in *instance) {
	switch {
	case !in.master():
		c.w.violate("silence", "%s announces as %s, leaving %v", nodeName(in.n.id), in.role, in.leaving)
	case !in.held:
		c.w.violate("silence", "%s announces addresses that it does not have", nodeName(in.n.id))
	}
}

// turn looks at a director that has run and is to run next at wake.
func (c *checks) turn(n *node, wake time.Duration) {
	for l := range n.inst {
		in := &n.inst[l]
		if in.role == vrrp.Master {
			if latest := n.time() + n.has.AdvertInterval; wake > latest {
				c.w.violate("deadline", "%s is master on %s and has nothing to do before %v", nodeName(n.id), lanName(l), wake)
			}
			if in.zero {
				c.w.violate("resignation", "%s has sent priority 0 and stays master", nodeName(n.id))
			}
		}
		in.zero = false
		if in.held != (in.role == vrrp.Master) && in.started && n.unsettable == 0 && c.w.now > n.broken {
			holding := in.role == vrrp.Backup && in.reason == vrrp.ReasonStalled
			waits := in.role == vrrp.Init && n.causes.stop == long // for its interface
			if !holding && !waits {
				c.w.violate("addresses", "%s is %s on %s and has the addresses: %v", nodeName(n.id), in.role, lanName(l), in.held)
			}
		}
	}
}
