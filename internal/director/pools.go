package director

import (
	"maps"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/pool"
	"baton/ipvs"
	"baton/vrrp"
)

// pools are the virtual servers at work. A verdict costs no more than its own.
type pools struct {
	list    []*service // in the order of the file
	named   map[string]*service
	keyed   map[ipvs.ServiceKey]*service
	checked map[string]member // by the ID of a check
	orders  map[string]map[ipvs.ServerKey]pool.Order
	leaving map[ipvs.ServiceKey]*departure
	unsaved bool // orders or leaving have changed since they were written down
	// recorded are the names in orders by the services that they had when those were
	// written down; nil after the start.
	recorded map[ipvs.ServiceKey]string

	// unsettled are the checks whose verdicts have come and moved nothing yet, and
	// unsettledIn the services that they belong to, in the order in which they came.
	unsettled   map[string]struct{}
	unsettledIn []*service
	spare       pool.Servers // of a state that is no more: room for the next

	flapping map[*service]bool // those with a server that flaps, or that do so themselves
	starting bool              // the first configuration is being installed
	// ours says which services of the kernel's table are the director's; nil:
	// all, for the table is the desired one.
	ours func(ipvs.ServiceKey) bool
}

// service is a virtual_server at work.
type service struct {
	*conf.VirtualServer // of the configuration in force
	state               pool.State
	since               time.Time // of the quorum
	sorry               time.Time // since when the sorry server is in, or out

	judged     []int  // the places of servers of which a verdict has moved nothing yet
	fresh      bool   // not as it was before the configuration was installed
	unanswered int    // checks without a verdict
	track      string // key of the track that it is; "": nobody tracks it

	flaps   pool.Flaps                    // of the quorum
	servers map[ipvs.ServerKey]pool.Flaps // of those whose health has changed
	weights map[ipvs.ServerKey]pool.Flaps // of those for which a check has named another weight
}

// member is a server among those of a service.
type member struct {
	s     *service
	place int // among s.Servers
}

func (m member) key() ipvs.ServerKey { return m.s.Servers[m.place].Server.Key }

// state is the member's in the words of baton status, with a drain or none.
func (m member) state(d *pool.Drain) string { return serverWord(m.s.known(m.place).Health.State, d) }

func (m member) String() string { return m.key().String() + " of " + m.s.Name }

// known is what is known of the server at a place: the state follows from the
// configuration in force, whenever anybody looks.
func (s *service) known(place int) pool.Server {
	known, _ := s.state.Servers.Get(s.Servers[place].Server.Key, place)
	return known
}

// awaited is the first check without a verdict.
func (s *service) awaited(verdicts map[string]healthcheck.Verdict) string {
	for i := range s.Servers {
		for j := range s.Servers[i].Checks {
			id := s.Servers[i].Checks[j].ID
			if _, answered := verdicts[id]; !answered {
				return id
			}
		}
	}
	return ""
}

func newPools() pools {
	return pools{named: map[string]*service{}, flapping: map[*service]bool{}, unsettled: map[string]struct{}{},
		orders: map[string]map[ipvs.ServerKey]pool.Order{}, leaving: map[ipvs.ServiceKey]*departure{}}
}

// installPools makes the virtual servers of cfg those at work: what is known of
// them stays, and what is no longer among them leaves.
func (c *core) installPools(cfg *conf.Config, now time.Time) {
	c.depart(cfg, now)
	was := c.named
	c.rename(cfg)
	c.inherit(cfg)
	n := len(cfg.Services)
	c.list, c.named = make([]*service, 0, n), make(map[string]*service, n)
	c.keyed, c.checked = make(map[ipvs.ServiceKey]*service, n), map[string]member{}
	tracked := wanted(cfg)
	for i := range cfg.Services {
		vs := &cfg.Services[i]
		s := was[vs.Name]
		if s == nil {
			s = &service{since: now, sorry: now}
		}
		s.fresh = was[vs.Name] == nil || !s.Equal(*vs)
		c.unsaved = c.unsaved || s.fresh && c.orders[vs.Name] != nil // its addresses stand there, too
		s.VirtualServer, s.track = vs, ""
		if key := (vrrp.Track{Kind: vrrp.TrackVirtualServer, Name: vs.Name}).Key(); tracked[key] {
			s.track = key
		}
		c.list = append(c.list, s)
		c.named[vs.Name] = s
		for _, k := range vs.Keys {
			c.keyed[k] = s
		}
		for i := range vs.Servers {
			for j := range vs.Servers[i].Checks {
				c.checked[vs.Servers[i].Checks[j].ID] = member{s, i}
			}
		}
	}
	for id := range c.verdicts {
		if c.checked[id].s == nil {
			delete(c.verdicts, id)
		}
	}
	for s := range c.flapping {
		if c.named[s.Name] != s {
			delete(c.flapping, s)
		}
	}
	c.forgetOrders()
	for _, s := range c.list {
		if s.fresh || c.starting {
			c.settle(s, now)
		}
	}
	for k := range c.table {
		if c.keyed[k] == nil {
			c.keep(k)
		}
	}
}

// settle brings a virtual server in line with what is known, tells what has
// changed and puts it into the table.
func (c *core) settle(s *service, now time.Time) {
	c.move(s, nil, now)
	s.unanswered = 0
	for i := range s.Servers {
		for j := range s.Servers[i].Checks {
			if _, answered := c.verdicts[s.Servers[i].Checks[j].ID]; !answered {
				s.unanswered++
			}
		}
	}
	left := func(k ipvs.ServerKey, _ pool.Flaps) bool {
		_, stays := s.state.Servers.Get(k, 0)
		return !stays
	}
	maps.DeleteFunc(s.servers, left)
	maps.DeleteFunc(s.weights, left)
	for _, k := range s.Keys {
		c.keep(k)
	}
}

// settleJudged is settle where only verdicts have come since the last time: most of
// them, as those that a director hears when it starts, change nothing in the table.
func (c *core) settleJudged(s *service, now time.Time) {
	was := c.move(s, s.judged, now)
	if !s.state.Same(was) {
		for _, k := range s.Keys {
			c.keep(k)
		}
	}
	c.spare = was.Servers
}

// move takes a pool to the state that follows from what is known, of which the verdicts
// of the judged alone are new, nil: nobody knows. It tells what has changed and returns
// the state before.
func (c *core) move(s *service, judged []int, now time.Time) (was pool.State) {
	was = s.state
	in := pool.Inputs{Verdicts: c.verdicts, Orders: c.orders[s.Name], Table: c.table, Start: c.starting, Now: now, Judged: judged, Room: c.spare}
	c.spare = nil
	s.state = pool.Next(*s.VirtualServer, was, in)
	s.judged = s.judged[:0]
	if c.endDrains(s, now) {
		in.Judged, in.Room, in.Orders = nil, nil, c.orders[s.Name]
		s.state = pool.Next(*s.VirtualServer, s.state, in)
	}
	c.tellPool(s, was, now)
	return was
}

// keep puts into the table what a service should hold now: its pool, and who is
// leaving it.
func (c *core) keep(k ipvs.ServiceKey) {
	s, going := c.keyed[k], c.leaving[k]
	var e ipvs.Entry
	switch {
	case s != nil:
		e = s.state.Entry(*s.VirtualServer, k)
	case going != nil:
		e = ipvs.Entry{Service: going.service}
	}
	if going != nil {
		going.into(&e)
	}
	c.put(k, e, s != nil || going != nil)
}

// look takes care of what depends on time alone.
func (c *core) look(now time.Time) {
	for _, s := range c.list {
		if !s.state.Look.IsZero() && !now.Before(s.state.Look) {
			c.settle(s, now)
		}
	}
	c.calm(now)
	c.calmInstances(now)
	c.expireLevels(now)
	c.tellLost(now)
	if c.settleServiceTracks(now) {
		c.sendTrack()
	}
	if keys := c.awaited(); len(keys) > 0 {
		c.prog.lookAt(keys...)
	}
}

// judged takes over a verdict of the prober. What follows from it is found out
// once for all that have come together, in settleVerdicts: a pool of a hundred
// servers is looked at whole. Two of one check are two decisions.
func (c *core) judged(v healthcheck.Verdict) {
	at := c.checked[v.ID]
	if at.s == nil {
		return // of a check that the configuration no longer has
	}
	before, answered := c.verdicts[v.ID]
	if before.Up != v.Up {
		c.paths.stale = true
	}
	if !answered {
		at.s.unanswered--
	}
	if _, again := c.unsettled[v.ID]; again {
		c.settleVerdicts(time.Now())
	}
	c.verdicts[v.ID] = v
	c.unsettled[v.ID] = struct{}{}
	if len(at.s.judged) == 0 {
		c.unsettledIn = append(c.unsettledIn, at.s)
	}
	at.s.judged = append(at.s.judged, at.place)
}

// settleVerdicts draws the consequences of the verdicts that have come.
func (c *core) settleVerdicts(now time.Time) {
	tracked := false
	for _, s := range c.unsettledIn {
		c.settleJudged(s, now)
		tracked = c.settleTrack(s, now) || tracked
	}
	clear(c.unsettledIn)
	c.unsettledIn = c.unsettledIn[:0]
	clear(c.unsettled)
	if tracked {
		c.sendTrack()
	}
}
