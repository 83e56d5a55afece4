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
	Servers Servers // nil: the pool is new
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
	// Judged are the places of the servers whose verdicts differ from those that the
	// state before follows from, where nothing else does, but the time: neither the
	// configuration nor an order. nil: nobody knows.
	Judged []int
	// Room is written over for the new state: of ten thousand verdicts those that
	// nobody needs any more would be gigabytes.
	Room Servers
}

// Next returns the state that follows from was.
func Next(vs conf.VirtualServer, was State, in Inputs) State {
	is := State{Servers: in.Room.sized(len(vs.Servers))}
	if was.Servers == nil && in.Start {
		was.Sorry = sorryFound(vs, in.Table)
	}
	if in.Judged == nil || len(was.Servers) != len(vs.Servers) {
		for i := range vs.Servers {
			s, seen := was.before(&vs, i, &in)
			is.Servers[i] = s.next(&vs.Servers[i], &in)
			if !seen {
				is.Servers[i].Since = in.Now
			}
		}
	} else {
		copy(is.Servers, was.Servers)
		for i := range is.Servers {
			if !was.Servers[i].rests() {
				is.Servers[i] = was.Servers[i].next(&vs.Servers[i], &in)
			}
		}
		for _, i := range in.Judged {
			is.Servers[i] = was.Servers[i].next(&vs.Servers[i], &in)
		}
	}
	is.Weights = is.Servers.weigh()
	is.Quorum = was.Quorum.next(vs, is.Weights)
	is.Sorry = vs.Sorry != nil && is.needsSorry(was)
	for i := range is.Servers {
		s := &is.Servers[i]
		if is.Sorry {
			*s = s.replaced(vs.Servers[i].InhibitOnFailure)
		}
		if !s.Step.IsZero() && (is.Look.IsZero() || s.Step.Before(is.Look)) {
			is.Look = s.Step
		}
	}
	is.finish(&vs, was, &in)
	return is
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
	for i := range s.Servers {
		if sv := &s.Servers[i]; sv.In && sv.Weight > 0 {
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
