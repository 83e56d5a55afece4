package vrrp

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// group is a vrrp_sync_group: what its members have to do with one another.
//
// It becomes master when every member would. One member that hears no master
// while another still does is a broken network, not a dead master: taking over
// for it would only be undone by the member that hears, again and again. It
// stops being master when one member does: the others resign and wait for
// their successor as in a planned handover, since the peer's group comes too.
type group struct {
	core   *Core
	cfg    SyncGroup // members sorted
	tracks []Track   // of the group and of all members, each once

	role   Role // the last that all members had
	reason Reason
	detail string

	settling bool // its members are being stepped: look at them afterwards
	events   groupEvents

	// A group that has just lost may be one of two that gave way to one another,
	// each on another network. One of them must be slower the next time.
	lostAt time.Time // until somebody was heard to have won; zero: so it is
	waits  time.Time // it takes over no sooner
}

// groupEvents is what has happened to a member that bears on the others.
type groupEvents struct {
	lost    bool // it had the addresses, and gave them up
	left    bool // it begins a planned handover
	hurry   bool // its master has resigned
	faulted bool
	changed bool // anything else that decide looks at
}

// fellow is a member as decide sees it.
type fellow struct {
	role     Role // Init also where it has no place on its interface yet
	leaving  bool
	follows  bool // leaving, and the others know
	holding  bool // a stalled master that listens
	expired  bool // it would become master
	ready    bool
	resigned bool // its master has
}

func (f *fellow) master() bool { return f.role == Master && !f.leaving }

// agrees says whether f is, or would become, master.
func (f *fellow) agrees() bool {
	return f.master() || f.role == Backup && f.expired && (f.ready || f.holding)
}

// decide says what each of a group has to be told: the zero Event is nothing.
// It is a function of its arguments alone.
func decide(members []fellow, complete bool, ev groupEvents) []Event {
	out := make([]Event, len(members))
	told := false
	tell := func(k int, e Event) { out[k], told = e, true }
	any := func(is func(*fellow) bool) bool {
		for k := range members {
			if is(&members[k]) {
				return true
			}
		}
		return false
	}
	if ev.lost || ev.left {
		for k := range members {
			f := &members[k]
			if f.master() || ev.lost && (f.holding || f.leaving && !f.follows) {
				tell(k, Event{Kind: EventLeave})
			}
		}
		if told {
			return out
		}
	}
	agreed := complete && !any(func(f *fellow) bool { return !f.agrees() })
	joins := any((*fellow).master) && !any(func(f *fellow) bool { return f.leaving || f.holding })
	for k := range members {
		f := &members[k]
		switch {
		case f.role != Backup:
		case agreed:
			tell(k, Event{Kind: EventTake})
		case joins && f.ready:
			// It came to the group, or the others were resumed: as master the
			// group takes it along, and whoever is better says so.
			tell(k, Event{Kind: EventTake, Reason: ReasonGroup})
		case f.holding && f.expired && any(func(o *fellow) bool { return o.role == Backup && !o.holding && !o.agrees() }):
			tell(k, Event{Kind: EventLeave})
		case ev.hurry && !f.resigned && !f.expired:
			tell(k, Event{Kind: EventHurry})
		}
	}
	if !told {
		return nil
	}
	return out
}

// setGroups takes over the groups of a configuration. What a group remembers
// stays with its name.
func (c *Core) setGroups(cfgs []Config, groups []SyncGroup) {
	tracks := make(map[string][]Track, len(cfgs))
	for i := range cfgs {
		tracks[cfgs[i].Name] = cfgs[i].Track
	}
	old := c.groups
	c.groups, c.groupOf = make(map[string]*group, len(groups)), map[string]*group{}
	for _, cfg := range groups {
		g := old[cfg.Name]
		if g == nil {
			g = &group{core: c}
		}
		cfg.Members = slices.Sorted(slices.Values(cfg.Members))
		g.cfg, g.tracks = cfg, nil
		for _, name := range cfg.Members {
			c.groupOf[name] = g
			g.add(tracks[name])
		}
		g.add(cfg.Track)
		c.groups[cfg.Name] = g
	}
	for name, i := range c.instances {
		i.group = c.groupOf[name]
	}
}

func (g *group) add(tracks []Track) {
	for _, t := range tracks {
		if !slices.Contains(g.tracks, t) {
			g.tracks = append(g.tracks, t)
		}
	}
}

// together lets f change many instances and looks at the groups afterwards.
func (c *Core) together(f func()) {
	nested := c.batch
	c.batch = true
	f()
	if nested {
		return
	}
	c.batch = false
	for _, name := range sorted(c.groups) {
		g := c.groups[name]
		g.events.changed = true
		g.settle()
	}
}

// members returns those that exist, sorted by name.
func (g *group) members() []*instance {
	out := make([]*instance, 0, len(g.cfg.Members))
	for _, name := range g.cfg.Members {
		if i := g.core.instances[name]; i != nil {
			out = append(out, i)
		}
	}
	return out
}

// saw notes what a step of i means to the group.
func (g *group) saw(now time.Time, i *instance, before *State) {
	a, b := &i.state, before
	e := &g.events
	switch {
	case b.had() && !a.had() && a.Role == Backup:
		e.lost = true
		if g.lostAt.IsZero() { // the first of its members
			g.lostAt = now
		}
	case b.Role == Master && b.Leaving == "" && a.Role == Master && (a.Leaving == ReasonFailover || a.Leaving == ReasonStop):
		e.left = true
	case a.Role == Fault && b.Role != Fault:
		e.faulted = true
	case a.Role == Backup && b.Role == Backup && b.PeerPriority > 0 && a.PeerPriority == 0:
		e.hurry = true
	}
	if a.Role != b.Role || a.Leaving != b.Leaving || a.Holding != b.Holding || a.Expired != b.Expired {
		e.changed = true
	}
	// Who gives way hears for a moment what was under way before the other gave
	// way as well.
	if !g.lostAt.IsZero() && a.Role == Backup && a.PeerPriority > 0 && !a.PeerUntil.Equal(b.PeerUntil) &&
		!now.Before(g.lostAt.Add(i.params.AdvertInterval/2)) {
		g.lostAt = time.Time{}
	}
}

// had says whether the addresses are here.
func (s *State) had() bool { return s.Role == Master || s.Role == Backup && s.Holding }

// settle steps members until all is said.
func (g *group) settle() {
	if g.settling || g.core.batch {
		return
	}
	g.settling = true
	defer func() { g.settling = false }()
	for range 4 * len(g.cfg.Members) {
		ev := g.events
		if ev == (groupEvents{}) {
			break
		}
		g.events = groupEvents{}
		if ev.faulted {
			g.factsChanged(g.core.opts.Now(), nil)
		}
		g.obey(ev)
	}
	g.tell()
}

// obey asks decide and does it.
func (g *group) obey(ev groupEvents) {
	members := g.members()
	fellows := make([]fellow, len(members))
	for k, i := range members {
		s := &i.state
		fellows[k] = fellow{
			role: s.role(), leaving: s.Role == Master && s.Leaving != "", follows: s.Follow || s.Leaving == ReasonGroup || s.Leaving == ReasonStop,
			holding: s.Role == Backup && s.Holding, expired: s.Expired, ready: i.params.Ready,
			resigned: s.PeerPriority == 0,
		}
	}
	todo := decide(fellows, len(members) == len(g.cfg.Members), ev)
	var takers []*instance
	var takes []Event
	now := g.core.opts.Now()
	for k, e := range todo {
		switch e.Kind {
		case EventTick:
		case EventTake:
			takers, takes = append(takers, members[k]), append(takes, e)
		default:
			members[k].step(now, e)
		}
	}
	if len(takers) == 0 {
		g.waits = time.Time{}
	} else if g.mayTake(now, members) {
		g.lostAt, g.waits = time.Time{}, time.Time{}
		g.take(now, takers, takes)
	}
	for _, i := range members {
		i.reschedule()
	}
}

// mayTake says whether a group that would become master may do so now.
func (g *group) mayTake(now time.Time, members []*instance) bool {
	if g.lostAt.IsZero() {
		return true
	}
	// Both of two groups come here, and agree on who is first: the one with the
	// higher address where the first of the virtual routers is.
	lead := slices.MinFunc(members, func(a, b *instance) int {
		return cmp.Or(cmp.Compare(a.cfg.VRID, b.cfg.VRID), cmp.Compare(a.cfg.Name, b.cfg.Name))
	})
	p := &lead.params
	recently := g.lostAt.Add(-p.downInterval(p.AdvertInterval))
	if !slices.ContainsFunc(lead.peers.known, func(o peer) bool { return o.addr.Compare(p.Source) > 0 && !o.seen.Before(recently) }) {
		return true
	}
	// Past all that the first may have to wait for.
	g.waits = g.lostAt.Add(p.leaveWindow() + p.downInterval(p.AdvertInterval) + p.AdvertInterval)
	return !now.Before(g.waits)
}

// take makes members master as one: first all addresses are brought here, then
// the adverts leave that make the old master withdraw them.
func (g *group) take(now time.Time, members []*instance, events []Event) {
	before := make([]State, len(members))
	todo := make([]Actions, len(members))
	rest := make([]int, len(members))
	for k, i := range members {
		before[k] = i.state
		i.state, todo[k] = Step(i.params, i.state, now, events[k])
	}
	for k, i := range members {
		for n, a := range todo[k].All() {
			i.do(now, &a)
			if a.Kind == ActionSetAddresses && a.Present {
				rest[k] = n + 1
				break
			}
			rest[k] = n + 1
		}
	}
	after := g.core.opts.Now()
	for k, i := range members {
		i.state.delay(after.Sub(now))
		for _, a := range todo[k].All()[rest[k]:] {
			i.do(after, &a)
		}
		i.reschedule()
		g.saw(after, i, &before[k])
	}
}

// tell tells of a role that all members have now.
func (g *group) tell() {
	var role Role
	members := g.members()
	if len(members) != len(g.cfg.Members) {
		return
	}
	for _, i := range members {
		r := i.state.role()
		if role != "" && r != role {
			return
		}
		role = r
	}
	if role != g.role {
		n := Notice{Kind: NoticeGroup, Instance: g.cfg.Name, From: cmp.Or(g.role, Init), To: role, Reason: string(cmp.Or(g.reason, ReasonGroup)), Detail: g.detail}
		if n.From != n.To {
			g.core.notify(n)
		}
		g.role = role
	}
	g.reason, g.detail = "", ""
}

// cause notes why a member changed its role, for tell.
func (g *group) cause(why Reason, detail string) {
	if g.reason == "" && why != ReasonGroup && why != ReasonGroupFault {
		g.reason, g.detail = why, detail
	}
}

// factsChanged builds the parameters of all members anew: the fault of one is
// that of all. The configuration of reloaded has changed; nil: of none.
func (g *group) factsChanged(now time.Time, reloaded *instance) {
	members := g.members()
	facts := make([]facts, len(members))
	worst := -1
	for k, i := range members {
		if i.link == nil {
			continue
		}
		facts[k] = i.facts(now)
		if f := &facts[k]; f.fault != "" && (worst < 0 || facts[worst].early && !f.early) {
			worst = k
		}
	}
	settling := g.settling
	g.settling = true
	for k, i := range members {
		if i.link == nil {
			continue
		}
		f := facts[k]
		if worst >= 0 && (f.fault == "" || f.early && !facts[worst].early) {
			w := &facts[worst]
			f.fault, f.early = ReasonGroupFault, w.early
			f.detail = fmt.Sprintf("%s: %s", members[worst].cfg.Name, w.fault)
			if w.detail != "" {
				f.detail += ": " + w.detail
			}
		}
		i.accept(now, f, i == reloaded)
	}
	g.settling = settling
	g.events.changed = true
	g.settle()
}

// restart calls back the others of a group whose member, which was to be stopped,
// stays after all.
func (g *group) restart(now time.Time) {
	if g == nil {
		return
	}
	for _, i := range g.members() {
		if i.state.Leaving == ReasonGroup {
			i.step(now, Event{Kind: EventStartup})
		}
	}
}
