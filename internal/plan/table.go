package plan

import (
	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/pool"
	"baton/ipvs"
)

// table is what the kernel should hold. A server whose health the running
// director does not know stays as it is.
func (p *planner) table(cfg *conf.Config) ipvs.Table {
	states := make(map[string]pool.State, len(cfg.Services))
	known := p.known()
	for _, vs := range cfg.Services {
		in := pool.Inputs{Table: p.now.Table, Start: p.now.Status == nil, Verdicts: map[string]healthcheck.Verdict{}, Now: p.now.Time}
		for _, rs := range vs.Servers {
			p.judge(vs, rs, known, in.Verdicts)
		}
		states[vs.Name] = pool.Next(vs, pool.State{}, in)
	}
	return pool.Table(cfg.Services, states, nil)
}

type serverID struct{ service, server string }

func (p *planner) known() map[serverID]control.Server {
	known := map[serverID]control.Server{}
	if p.now.Status != nil {
		for _, s := range p.now.Status.Services {
			for _, sv := range s.Servers {
				known[serverID{s.Name, sv.Address}] = sv
			}
		}
	}
	return known
}

// judge makes verdicts of what the director says of a server as a whole.
// Without a director every check counts as passed. A server that is new to the
// director is shown as it will be, with what it waits for.
func (p *planner) judge(vs conf.VirtualServer, rs conf.RealServer, known map[serverID]control.Server, verdicts map[string]healthcheck.Verdict) {
	s, heard := known[serverID{vs.Name, rs.Server.Key.String()}]
	state := healthcheck.State(s.State)
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
			verdicts[c.ID] = healthcheck.Verdict{ID: c.ID, Up: true}
		case healthcheck.Down:
			verdicts[c.ID] = healthcheck.Verdict{ID: c.ID}
		}
	}
}

// holds says whether the kernel's table has the server anywhere.
func (p *planner) holds(vs conf.VirtualServer, rs conf.RealServer) bool {
	for _, k := range vs.Keys {
		if _, there := p.now.Table[k].Servers[conf.ServerAt(k, rs.Server).Key]; there {
			return true
		}
	}
	return false
}
