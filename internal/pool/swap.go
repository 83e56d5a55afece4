package pool

import (
	"time"

	"baton/conf"
	"baton/ipvs"
)

// finish lets those finish whom the swap with the sorry server takes out of
// service although they are well: the sorry server on its way out, and servers
// that are up when the quorum is lost. The same holds for those whose entries
// sorry_server_inhibit or inhibit_on_failure has kept for their connections, when a
// reload switches that off. They keep an entry of weight 0 until
// their connections are gone or drain_timeout has passed. keepalived removes them
// at once, and the kernel then drops what their clients send.
func (s *State) finish(vs *conf.VirtualServer, was State, in *Inputs) {
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
		k := vs.Sorry.Server.Key
		// A pool that is new here may have let it finish under another name or
		// director, and whoever was one of the pool may have become its sorry server.
		served, _ := was.Servers.Get(k, 0)
		begin(k, was.Sorry || served.In || was.Aside == k && !vs.SorryInhibit || was.Servers == nil && first(vs, vs.Sorry, in).In)
		if vs.SorryInhibit {
			s.Aside = k
		}
	}
	for i := range vs.Servers {
		rs, sv := &vs.Servers[i], &s.Servers[i]
		k := sv.Key
		if sv.Why != Replaced && sv.Why != Failed && sv.Why != Unproven {
			continue
		}
		before, _ := was.before(vs, i, in)
		freed := before.Kept && !rs.InhibitOnFailure
		switch {
		case sv.Why == Replaced:
			sv.In = begin(k, freed || before.In && before.Why != Replaced) || sv.In
		case !sv.In && (freed || before.Why != Replaced):
			// Who is replaced, finishes and fails has nothing left to finish.
			sv.In = begin(k, freed)
		}
		sv.Kept = sv.In && rs.InhibitOnFailure
	}
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
