package vrrp

import "time"

// announceSpacing is the least time between two announcements of an instance.
// The repetitions of a burst are that far apart, so that one moment of loss
// does not swallow all; and a storm of foreign adverts, each of which calls
// for an announcement, is not answered with a larger one.
const announceSpacing = 20 * time.Millisecond

// answerSpacing is the least time between two bursts that answer adverts of a
// lower master: one that goes on sending them is answered for as long, but not
// advert by advert.
const answerSpacing = time.Second

// announcing is the timetable of an instance's announcements while it is
// master: a burst, a second one after GARP.MasterDelay, then refreshes.
type announcing struct {
	at       time.Time // of the next; zero: none
	left     int       // in this burst
	first    bool      // the next is the first of its burst
	second   time.Time // when the second burst begins; zero: it did
	repeat   int       // announcements in the second burst
	answered time.Time // when the last burst began that answers a lower master
	last     time.Time
	told     time.Time // when due last asked to tell
}

// start begins with the first burst.
func (a *announcing) start(now time.Time, g *GARP) {
	a.begin(now, g.MasterRepeat, g.MasterDelay)
}

// answer begins with a burst that answers the advert of a lower master, unless
// one is under way: the other side may have told the neighbours that it has the
// addresses.
func (a *announcing) answer(now time.Time, g *GARP) {
	if g.LowerPrioRepeat <= 0 || now.Sub(a.answered) < answerSpacing || a.left > 0 && !a.first && !a.at.IsZero() {
		return
	}
	a.answered = now
	a.begin(now, g.LowerPrioRepeat, g.LowerPrioDelay)
}

func (a *announcing) begin(now time.Time, repeat int, delay time.Duration) {
	a.at, a.left, a.first, a.repeat = now, repeat, true, repeat
	if earliest := a.last.Add(announceSpacing); now.Before(earliest) {
		a.at = earliest
	}
	a.second = time.Time{}
	if delay > 0 {
		a.second = now.Add(delay)
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
		a.at, a.left, a.first, a.second = a.second, a.repeat, true, time.Time{}
	case g.MasterRefresh > 0:
		a.at, a.left, a.first = now.Add(g.MasterRefresh), g.MasterRefreshRepeat, true
	default:
		a.at = time.Time{}
	}
	return true, tell
}

// pacing spreads one announcement of an instance over time, address by address,
// where GARP.Interval or NAInterval asks for it.
type pacing struct {
	left []Address // still to be announced
	at   time.Time // when the first of them may be; zero: not asked for yet
}

// lane is what neighbours are told over: both intervals are each interface's.
type lane struct {
	device string
	family Family
}

// turn reserves the next moment at which an announcement may leave on w.
func (c *Core) turn(now time.Time, w lane, every time.Duration) time.Time {
	at := now
	if free := c.lanes[w]; now.Before(free) {
		at = free
	}
	c.lanes[w] = at.Add(every)
	return at
}

// paced says whether announcements of c must keep a distance.
func (g *GARP) paced() bool { return g.Interval > 0 || g.NAInterval > 0 }

// firePaced announces what is left of an announcement, as far as it is its turn.
func (i *instance) firePaced(now time.Time) {
	for len(i.pacing.left) > 0 {
		a := i.pacing.left[0]
		w, every := lane{i.cfg.AddressDevice(a), familyOf(a.Prefix.Addr())}, i.cfg.GARP.Interval
		if w.family == IPv6 {
			every = i.cfg.GARP.NAInterval
		}
		if every > 0 && i.pacing.at.IsZero() {
			i.pacing.at = i.core.turn(now, w, every)
		}
		if now.Before(i.pacing.at) {
			return
		}
		i.pacing.left, i.pacing.at = i.pacing.left[1:], time.Time{}
		one := i.cfg
		one.Addresses, one.Excluded = []Address{a}, nil
		i.tellNeighbours(now, one)
	}
}
