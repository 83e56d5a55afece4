package pool

import (
	"baton/conf"
	"baton/ipvs"
)

// Servers are what is known of a pool's servers, in the order of its configuration.
// They are no map: a verdict on one of a hundred has all of them looked at.
type Servers []Server

// Get returns the server with the key. It is found the faster the closer to place
// near it is.
func (s Servers) Get(k ipvs.ServerKey, near int) (Server, bool) {
	for below, above := min(near, len(s)-1), max(near+1, 0); below >= 0 || above < len(s); below, above = below-1, above+1 {
		if below >= 0 && s[below].Key == k {
			return s[below], true
		}
		if above < len(s) && s[above].Key == k {
			return s[above], true
		}
	}
	return Server{}, false
}

// sized is a list of n, of which each place is still to be written, in the room of s if
// that is enough and not far too much.
func (s Servers) sized(n int) Servers {
	if s == nil || cap(s) < n || cap(s) > 2*n {
		return make(Servers, n)
	}
	return s[:n]
}

// before is the server at a place of the configuration as it was, and whether it was
// there.
func (s State) before(vs *conf.VirtualServer, place int, in *Inputs) (Server, bool) {
	rs := &vs.Servers[place]
	if was, seen := s.Servers.Get(rs.Server.Key, place); seen {
		return was, true
	}
	return first(vs, rs, in), false
}

// rests says whether nothing but a verdict or an order moves the server: neither time
// nor the sorry server, and no connection keeps an entry that it no longer earns.
func (s *Server) rests() bool {
	switch s.Why {
	case Replaced:
		return false
	case Failed, Unproven:
		return !s.In
	}
	return s.Step.IsZero()
}

// Same says whether the kernel should hold the same of the pool as before, of which
// the configuration is the same.
func (s State) Same(before State) bool {
	if s.Sorry != before.Sorry || len(s.Servers) != len(before.Servers) || len(s.Finishing) != len(before.Finishing) {
		return false
	}
	for k := range s.Finishing {
		if _, too := before.Finishing[k]; !too {
			return false
		}
	}
	for i := range s.Servers {
		is, was := &s.Servers[i], &before.Servers[i]
		if is.In != was.In || is.Weight != was.Weight {
			return false
		}
	}
	return true
}
