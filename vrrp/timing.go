package vrrp

import "time"

// All timing policy of the protocol. Section numbers are RFC 9568's.

// Constants of the implementation.
const (
	// leaveFloor is the least time that a resigned master waits for its
	// successor. Taking over costs the successor netlink and firewall work
	// that does not get faster when adverts do.
	leaveFloor = 500 * time.Millisecond

	// maxStalls is how many stalls in a row make a backup listen: one that is
	// always late must take over in the end.
	maxStalls = 3
)

// skewTime is Skew_Time of section 6.1: the higher the priority, the sooner a
// backup acts. Version 2 has it in fractions of a second (RFC 3768 section
// 6.1), version 3 of the master's interval. The division comes last: with
// adverts every 10 ms a point of priority is worth 39 µs.
func skewTime(v Version, priority uint8, interval time.Duration) time.Duration {
	if v == V2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

// downInterval is Active_Down_Interval of section 6.1 for the given interval
// of the master.
func (p *Params) downInterval(interval time.Duration) time.Duration {
	return time.Duration(p.DownTimerAdverts)*interval + skewTime(p.Version, p.Priority, interval)
}

// activeInterval is Active_Adver_Interval of section 6.1. Version 2 has one
// interval for all.
func (p *Params) activeInterval(s *State) time.Duration {
	if p.Version == V2 || s.ActiveInterval == 0 {
		return p.AdvertInterval
	}
	return s.ActiveInterval
}

// leaveWindow is how long a resigned master keeps the addresses for a
// successor: the longest that any backup may wait if it missed the
// resignation, which is that of priority 1.
func (p *Params) leaveWindow() time.Duration {
	w := time.Duration(p.DownTimerAdverts)*p.AdvertInterval + skewTime(p.Version, 1, p.AdvertInterval)
	return max(w, leaveFloor)
}

// masterStalled says whether a master whose advert was due at s.Deadline has by
// now been silent so long that a backup of no higher priority may have
// replaced it. It never takes less than an interval: with DownTimerAdverts 1 the
// skew alone is left, some milliseconds, and who then listens for an interval
// instead of sending the advert that is late has a backup replace it.
func (p *Params) masterStalled(s *State, now time.Time) bool {
	return now.Sub(s.Deadline) >= max(p.downInterval(p.AdvertInterval)-p.AdvertInterval, p.AdvertInterval)
}

// backupStalled says whether a backup that wakes at now was due so long ago
// that its own clock is no witness against the master. Packets that reached
// the socket are read before time is acted on; but those of a machine that is
// suspended are lost, and where many directors share one busy machine, or its
// network interrupts starve, the master's advert may not have got that far.
func (p *Params) backupStalled(s *State, now time.Time) bool {
	return now.Sub(s.Deadline) >= p.activeInterval(s)
}

// listenTime is for how long a backup listens that has stalled. A master that stood
// still on the same host listens for an interval itself, and needs a moment to
// speak again: with adverts every 100 ms the skew alone would not give it that.
func (p *Params) listenTime(s *State) time.Duration {
	interval := p.activeInterval(s)
	return 2*interval + skewTime(p.Version, p.Priority, interval)
}

// stood says whether a stall is long enough to have lost adverts that a backup
// counts on.
func (p *Params) stood(s *State, lost time.Duration) bool { return 2*lost >= p.activeInterval(s) }

// beat is how often a core looks at its clock at least, so that it knows of a
// stall before a deadline has passed. Adverts come more often than that.
func beat(interval time.Duration) time.Duration { return interval + interval/4 }

// nextAdvert is when a master whose advert was due at s.Deadline sends the one
// after it. Counting from the deadline keeps small delays from adding up.
func (p *Params) nextAdvert(s *State, now time.Time) time.Time {
	if next := s.Deadline.Add(p.AdvertInterval); next.After(now) {
		return next
	}
	return now.Add(p.AdvertInterval)
}
