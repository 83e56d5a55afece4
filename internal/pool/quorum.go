package pool

import (
	"baton/conf"
	"baton/healthcheck"
)

// Quorum says whether enough of a pool is up.
type Quorum string

// The states of a quorum.
const (
	Undecided Quorum = ""     // too many checks have not answered yet
	Gained    Quorum = "up"   // keepalived's QUORUM_UP
	Lost      Quorum = "down" // keepalived's QUORUM_DOWN
)

// Weights are sums over a pool of the weights that its servers have when
// nothing but their health counts: neither slow start nor the sorry server
// does, or the quorum would depend on itself. Drained servers, and those on
// their way there, carry nothing.
type Weights struct {
	Up      int // servers that are up, their number
	Alive   int // of those
	Serving int // besides, of those in the table whose checks have not answered
	Waiting int // besides, of those outside of it whose checks have not answered
}

func (s Servers) weigh() (w Weights) {
	for i := range s {
		s := &s[i]
		switch {
		case s.Why == Drained || s.Why == Draining:
		case s.Health.State == healthcheck.Up:
			w.Up++
			w.Alive += s.Target
		case s.Health.State != healthcheck.Unknown:
		case s.Found > 0:
			w.Serving += s.Target
		default:
			w.Waiting += s.Target
		}
	}
	return w
}

// next is keepalived's rule: gained at quorum + hysteresis, lost below quorum −
// hysteresis or when nothing is left. keepalived decides at the start, when its
// checks have not run; here the quorum is undecided until what has not
// answered cannot change the outcome any more, and a server that is in the
// table counts for it until it has failed.
func (q Quorum) next(vs conf.VirtualServer, w Weights) Quorum {
	gain, hold := max(vs.Quorum+vs.Hysteresis, 1), max(vs.Quorum-vs.Hysteresis, 1)
	alive := w.Alive
	if !vs.Alpha {
		alive += w.Serving // trusted until they fail
	}
	switch {
	case q == Gained && w.Alive+w.Serving >= hold:
		return Gained
	case q == Gained:
		return Lost
	case alive >= gain:
		return Gained
	case q == Undecided && w.Alive+w.Serving+w.Waiting >= gain:
		return Undecided
	}
	return Lost
}
