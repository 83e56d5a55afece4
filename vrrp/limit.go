package vrrp

import "time"

// quiet is how long the notices of one kind are collected after the first.
const quiet = 10 * time.Second

// The subjects that a limits tells apart: each DropReason, then these.
const (
	limitSend = dropReasons + iota
	limitAddress
	limitAnnounce
	limitReceive
	limitSubjects
)

// limits holds back notices about things that may happen at any rate: the
// first is told at once, those that follow within quiet as one, counted.
type limits struct {
	subjects [limitSubjects]struct {
		until time.Time
		last  Notice // the last that was held back; Count of all
	}
	flush time.Time // when something held back is due; zero: nothing is
}

// tell passes n to notify, or holds it back.
func (l *limits) tell(now time.Time, subject int, n Notice, notify func(Notice)) {
	s := &l.subjects[subject]
	if !now.Before(s.until) {
		n.Count += s.last.Count
		s.last = Notice{}
		s.until = now.Add(quiet)
		notify(n)
		return
	}
	count := s.last.Count + n.Count
	s.last = n
	s.last.Count = count
	l.flush = soonest(l.flush, s.until)
}

// due tells what was held back long enough.
func (l *limits) due(now time.Time, notify func(Notice)) {
	if l.flush.IsZero() || now.Before(l.flush) {
		return
	}
	l.flush = time.Time{}
	for i := range l.subjects {
		s := &l.subjects[i]
		switch {
		case s.last.Count == 0:
		case now.Before(s.until):
			l.flush = soonest(l.flush, s.until)
		default:
			n := s.last
			s.last = Notice{}
			s.until = now.Add(quiet)
			notify(n)
		}
	}
}
