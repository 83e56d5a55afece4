package vrrp

import "time"

// announceSpacing is the least time between two announcements of an instance.
// The repetitions of a burst are that far apart, so that one moment of loss
// does not swallow all; and a storm of foreign adverts, each of which calls
// for an announcement, is not answered with a larger one.
const announceSpacing = 20 * time.Millisecond

// announcing is the timetable of an instance's announcements while it is
// master: a burst, a second one after GARP.MasterDelay, then refreshes.
type announcing struct {
	at     time.Time // of the next; zero: none
	left   int       // in this burst
	first  bool      // the next is the first of its burst
	second time.Time // when the second burst begins; zero: it did
	last   time.Time
	told   time.Time // when due last asked to tell
}

// start begins with the first burst.
func (a *announcing) start(now time.Time, g *GARP) {
	a.at, a.left, a.first = now, g.MasterRepeat, true
	if earliest := a.last.Add(announceSpacing); now.Before(earliest) {
		a.at = earliest
	}
	a.second = time.Time{}
	if g.MasterDelay > 0 {
		a.second = now.Add(g.MasterDelay)
	}
}

func (a *announcing) stop() { a.at = time.Time{} }

// due says whether to announce now, and advances the timetable if so. It also
// says whether to tell of it: of each burst once, of bursts that chase one
// another at most one a second.
func (a *announcing) due(now time.Time, g *GARP) (announce, tell bool) {
	if a.at.IsZero() || now.Before(a.at) {
		return false, false
	}
	if tell = a.first && now.Sub(a.told) >= time.Second; tell {
		a.told = now
	}
	a.first, a.last = false, now
	a.left--
	switch {
	case a.left > 0:
		a.at = now.Add(announceSpacing)
	case !a.second.IsZero():
		a.at, a.left, a.first, a.second = a.second, g.MasterRepeat, true, time.Time{}
	case g.MasterRefresh > 0:
		a.at, a.left, a.first = now.Add(g.MasterRefresh), g.MasterRefreshRepeat, true
	default:
		a.at = time.Time{}
	}
	return true, tell
}
