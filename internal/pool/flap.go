package pool

import "time"

// Something flaps once it has changed flapChanges times within flapWithin, and
// no longer when flapCalm has passed without a change. While it does, it is
// told again every flapAgain.
const (
	flapChanges = 6 // three times down and up
	flapWithin  = 2 * time.Minute
	flapCalm    = time.Minute
	flapAgain   = 10 * time.Minute
)

// Flaps remembers the changes of something, as many as it takes to tell that
// there are too many. Its zero value has not changed yet.
type Flaps struct {
	Since time.Time // since when it flaps; zero: it does not
	Count int       // changes since then, with those that showed it

	recent []time.Time // the last changes, the newest first; most have none
	told   time.Time
}

// On says whether it flaps.
func (f Flaps) On() bool { return !f.Since.IsZero() }

// Change takes over a change. Tell says that it is to be told as flapping, now
// or once more.
func (f Flaps) Change(now time.Time) (_ Flaps, tell bool) {
	before := f.recent[:min(len(f.recent), flapChanges-1)]
	f.recent = append(append(make([]time.Time, 0, flapChanges), now), before...)
	oldest := f.recent[len(f.recent)-1]
	switch {
	case f.On():
		f.Count++
		if tell = now.Sub(f.told) >= flapAgain; tell {
			f.told = now
		}
	case len(f.recent) == flapChanges && now.Sub(oldest) <= flapWithin:
		f.Since, f.Count, f.told, tell = oldest, flapChanges, now, true
	}
	return f, tell
}

// Calm says whether it has stopped flapping; what is returned then begins anew.
func (f Flaps) Calm(now time.Time) (_ Flaps, calm bool) {
	if !f.On() || now.Sub(f.recent[0]) < flapCalm {
		return f, false
	}
	return Flaps{}, true
}
