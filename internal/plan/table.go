package plan

import (
	"cmp"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/pool"
	"baton/ipvs"
)

// table is what the kernel should hold. A server whose health the running
// director does not know stays as it is; one that the director is waiting for,
// because the configuration no longer has it, does so too.
func (p *planner) table(cfg *conf.Config) ipvs.Table {
	states := make(map[string]pool.State, len(cfg.Services))
	if p.now.Status != nil {
		p.services = renamed(p.now.Status.Services, cfg)
	}
	known := p.known()
	for _, vs := range cfg.Services {
		in := pool.Inputs{Table: p.now.Table, Start: p.now.Status == nil, Verdicts: map[string]healthcheck.Verdict{},
			Orders: map[ipvs.ServerKey]pool.Order{}, Now: p.now.Time}
		was := p.pool(vs)
		for _, rs := range vs.Servers {
			sv := known[serverID{vs.Name, rs.Server.Key.String()}]
			in.Orders[rs.Server.Key] = orderOf(sv)
			switch {
			case sv.Why == string(pool.Failed) && sv.Kernel != nil:
				was.Servers = append(was.Servers, pool.Server{Key: rs.Server.Key, Health: pool.Health{State: healthcheck.Down}, In: true, Why: pool.Failed, Kept: true})
			case sv.Ramp != nil:
				was.Servers = append(was.Servers, pool.Server{Key: rs.Server.Key, Health: pool.Health{State: healthcheck.Up}, Ramp: *sv.Ramp})
			}
			if sv.Why == string(pool.Replaced) && sv.Kernel != nil {
				was.Finishing[rs.Server.Key] = pool.Drain{}
			}
			p.judge(vs, rs, known, in.Verdicts)
		}
		states[vs.Name] = pool.Next(vs, was, in)
	}
	return pool.Table(cfg.Services, states, p.leaving(cfg, known))
}

// pool is what the director knows of a pool as a whole.
func (p *planner) pool(vs conf.VirtualServer) (was pool.State) {
	if p.now.Status == nil {
		return was
	}
	was.Servers, was.Finishing = pool.Servers{}, map[ipvs.ServerKey]pool.Drain{}
	for _, s := range p.services {
		if s.Name != vs.Name {
			continue
		}
		if q := s.Quorum; q != nil && (q.State == string(pool.Gained) || q.State == string(pool.Lost)) {
			was.Quorum = pool.Quorum(q.State)
		}
		if s.Sorry == nil || vs.Sorry == nil {
			continue
		}
		was.Sorry = s.Sorry.In
		if d := s.Sorry.Drain; d != nil && s.Sorry.Address == vs.Sorry.Server.Key.String() {
			was.Finishing[vs.Sorry.Server.Key] = pool.Drain{Begun: d.Begun, Deadline: d.Deadline}
		} else if s.Sorry.Kernel != nil && !s.Sorry.In && s.Sorry.Address == vs.Sorry.Server.Key.String() {
			was.Aside = vs.Sorry.Server.Key
		}
	}
	return was
}

// orderOf is what the operator has said of a server.
func orderOf(s control.Server) pool.Order {
	o := pool.Order{Weight: s.Override}
	if d := s.Drain; d != nil && !s.Leaving {
		o.Drain = &pool.Drain{Begun: d.Begun, Deadline: d.Deadline, Done: d.Done}
	}
	return o
}

// leaving are the servers whose connections the director waits for.
func (p *planner) leaving(cfg *conf.Config, known map[serverID]control.Server) (out []pool.Leaving) {
	waited := map[string]bool{}
	for id, s := range known {
		if s.Leaving {
			waited[id.server] = true
		}
	}
	if len(waited) == 0 {
		return nil
	}
	for _, l := range pool.Unwanted(p.now.Table, cfg.Services, p.now.Owned.Has) {
		if waited[l.Server.Key.String()] {
			out = append(out, l)
		}
	}
	return out
}

type serverID struct{ service, server string }

func (p *planner) known() map[serverID]control.Server {
	known := map[serverID]control.Server{}
	for _, s := range p.services {
		for _, sv := range s.Servers {
			known[serverID{s.Name, sv.Address}] = sv
		}
	}
	return known
}

// judge makes verdicts of what the director says of a server as a whole.
// Without a director every check counts as passed. A server that is new to the
// director is shown as it will be, with what it waits for.
func (p *planner) judge(vs conf.VirtualServer, rs conf.RealServer, known map[serverID]control.Server, verdicts map[string]healthcheck.Verdict) {
	s, heard := known[serverID{vs.Name, rs.Server.Key.String()}]
	state := healthcheck.State(cmp.Or(s.Health, s.State))
	switch {
	case len(rs.Checks) == 0:
		return
	case p.now.Status == nil:
		state = healthcheck.Up
	case !heard && !p.holds(vs, rs):
		state = healthcheck.Up
		p.note("real_server %s of %s: the director adds it when its health checks have passed", rs.Server.Key, vs.Name)
	}
	for _, c := range rs.Checks {
		switch state {
		case healthcheck.Up:
			verdicts[c.ID] = healthcheck.Verdict{ID: c.ID, Up: true, Weight: s.Dynamic}
		case healthcheck.Down:
			verdicts[c.ID] = healthcheck.Verdict{ID: c.ID}
		}
	}
}

// holds says whether the kernel's table has the server anywhere.
func (p *planner) holds(vs conf.VirtualServer, rs conf.RealServer) bool {
	for _, k := range vs.Keys {
		if _, there := p.now.Table[k].Servers.Get(conf.ServerAt(k, rs.Server).Key); there {
			return true
		}
	}
	return false
}
