// Package pool decides what a virtual server's real servers are and what IPVS
// should hold of them: health × drains × weights × slow start, the quorum and
// the sorry server. Everything in it is a function of its arguments, the time
// among them, so that the director and `baton plan` predict the same table.
package pool

import (
	"slices"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// State is what is known of a pool: the outcome of the last Next, and what the
// following one starts from. The zero State is that of a pool that is new.
type State struct {
	Servers map[ipvs.ServerKey]Server // by RealServer.Server.Key, which has port 0 where the server has its service's
	Quorum  Quorum
	Sorry   bool // the sorry server stands in for the pool
	Weights
	// Finishing are servers, the sorry server among them, that a swap with it has
	// taken out of service, or whose entries nothing keeps any more, until their
	// connections are gone.
	Finishing map[ipvs.ServerKey]Drain
	Aside     ipvs.ServerKey // the sorry server while sorry_server_inhibit keeps its entry
	Look      time.Time      // when a weight changes by itself the next time; zero: none does
}

// Inputs are what a pool's state follows from besides its configuration and
// the state before.
type Inputs struct {
	Verdicts map[string]healthcheck.Verdict // by check
	Orders   map[ipvs.ServerKey]Order       // the operator's
	Table    ipvs.Table                     // what the kernel holds: counts for servers that are seen for the first time
	Start    bool                           // the director has just started: what is seen now was there before it
	Now      time.Time
}

// Next returns the state that follows from was.
func Next(vs conf.VirtualServer, was State, in Inputs) State {
	is := State{Servers: make(map[ipvs.ServerKey]Server, len(vs.Servers))}
	if was.Servers == nil && in.Start {
		was.Sorry = sorryFound(vs, in.Table)
	}
	for _, rs := range vs.Servers {
		key := rs.Server.Key
		_, seen := was.Servers[key]
		s := was.before(vs, rs, in).next(rs, in)
		if !seen {
			s.Since = in.Now
		}
		is.Servers[key] = s
	}
	is.Weights = weigh(vs, is.Servers)
	is.Quorum = was.Quorum.next(vs, is.Weights)
	is.Sorry = vs.Sorry != nil && is.needsSorry(was)
	for _, rs := range vs.Servers {
		s := is.Servers[rs.Server.Key]
		if is.Sorry {
			s = s.replaced(rs.InhibitOnFailure)
			is.Servers[rs.Server.Key] = s
		}
		if !s.Step.IsZero() && (is.Look.IsZero() || s.Step.Before(is.Look)) {
			is.Look = s.Step
		}
	}
	is.finish(vs, was, in)
	return is
}

// before is a server as it was.
func (s State) before(vs conf.VirtualServer, rs conf.RealServer, in Inputs) Server {
	if was, seen := s.Servers[rs.Server.Key]; seen {
		return was
	}
	return first(vs, rs, in)
}

// needsSorry says whether the sorry server stands in: without quorum; and, while
// that is not known yet, where it did before or nobody else serves.
func (s State) needsSorry(was State) bool {
	switch s.Quorum {
	case Gained:
		return false
	case Lost:
		return true
	}
	if was.Sorry {
		return true
	}
	for _, sv := range s.Servers {
		if sv.In && sv.Weight > 0 {
			return false
		}
	}
	return true
}

// sorryFound says whether the kernel's table has the sorry server in place of
// the pool.
func sorryFound(vs conf.VirtualServer, table ipvs.Table) bool {
	if vs.Sorry == nil {
		return false
	}
	for _, k := range vs.Keys {
		sorry := conf.ServerAt(k, vs.Sorry.Server).Key
		if s, _ := table[k].Servers.Get(sorry); s.Weight == 0 {
			continue
		}
		return !slices.ContainsFunc(table[k].Servers, func(s ipvs.Server) bool { return s.Key != sorry && s.Weight > 0 })
	}
	return false
}
