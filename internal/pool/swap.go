package pool

import (
	"time"

	"baton/conf"
	"baton/ipvs"
)

// finish lets those finish whom the swap with the sorry server takes out of
// service although they are well: the sorry server on its way out, and servers
// that are up when the quorum is lost. They keep an entry of weight 0 until
// their connections are gone or drain_timeout has passed. keepalived removes them
// at once, and the kernel then drops what their clients send.
func (s *State) finish(vs conf.VirtualServer, was State, in Inputs) {
	begin := func(k ipvs.ServerKey, leaves bool) bool {
		d, already := was.Finishing[k]
		switch {
		case already:
		case leaves && vs.DrainTimeout > 0:
			d = NewDrain(in.Now, vs.DrainTimeout)
		default:
			return false
		}
		if s.Finishing == nil {
			s.Finishing = map[ipvs.ServerKey]Drain{}
		}
		s.Finishing[k] = d
		return true
	}
	if vs.Sorry != nil && !s.Sorry {
		begin(vs.Sorry.Server.Key, was.Sorry || was.Servers == nil && in.Start && quiet(vs, in.Table))
	}
	if !s.Sorry {
		return
	}
	for _, rs := range vs.Servers {
		k := rs.Server.Key
		sv, before := s.Servers[k], was.Servers[k]
		if sv.Why == Replaced && begin(k, before.In && before.Why != Replaced) {
			sv.In = true
			s.Servers[k] = sv
		}
	}
}

// quiet says whether the kernel's table has the sorry server with weight 0: a
// director before this one was letting it finish.
func quiet(vs conf.VirtualServer, table ipvs.Table) bool {
	for _, k := range vs.Keys {
		if s, there := table[k].Servers[conf.ServerAt(k, vs.Sorry.Server).Key]; there && s.Weight == 0 {
			return true
		}
	}
	return false
}

// Read takes over a reading of the table for those that finish: how many
// connections each has, and whether it is there at all. It returns the ends that
// were seen, nil if there were none, and leaves s as it was.
func (s State) Read(held func(ipvs.ServerKey) (active int, there bool), now time.Time) (State, map[ipvs.ServerKey]Drain) {
	var ended, left map[ipvs.ServerKey]Drain
	for k, d := range s.Finishing {
		active, there := held(k)
		into := &left
		if d = d.Read(active, there, now); !d.Done.IsZero() {
			into = &ended
		}
		if *into == nil {
			*into = map[ipvs.ServerKey]Drain{}
		}
		(*into)[k] = d
	}
	s.Finishing = left
	return s, ended
}
