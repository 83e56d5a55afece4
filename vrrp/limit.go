package vrrp

import (
	"net/netip"
	"time"
)

// quiet is how long the notices of one kind are collected after the first.
const quiet = 10 * time.Second

// The subjects that a limits tells apart: each DropReason, then these.
const (
	limitSend = dropReasons + iota
	limitAddress
	limitAnnounce
	limitReceive
	limitContest
	limitSubjects
)

// limits holds back notices about things that may happen at any rate: the
// first is told at once, those that follow within quiet as one, counted.
type limits struct {
	subjects [limitSubjects]held
	flush    time.Time // when something held back is due; zero: nothing is
}

// held is what is known of the notices that were held back: how many, and the
// last.
type held struct {
	until    time.Time
	count    int
	kind     NoticeKind
	vrid     uint8
	drop     DropReason
	priority uint8
	peer     netip.Addr
	text     string // Err or Detail
	mismatch mismatch
}

// tell passes n to notify, or holds it back.
func (l *limits) tell(now time.Time, subject int, n Notice, notify func(Notice)) {
	h := &l.subjects[subject]
	if !now.Before(h.until) && h.count == 0 {
		h.until = now.Add(quiet)
		notify(n.worded())
		return
	}
	*h = held{until: h.until, count: h.count + n.Count, kind: n.Kind, vrid: n.VRID, drop: n.Drop, priority: n.Priority, peer: n.Peer, text: n.Err, mismatch: n.mismatch}
	if n.Detail != "" {
		h.text = n.Detail
	}
	l.flush = soonest(l.flush, h.until)
}

// due tells what was held back long enough.
func (l *limits) due(now time.Time, notify func(Notice)) {
	if l.flush.IsZero() || now.Before(l.flush) {
		return
	}
	l.flush = time.Time{}
	for i := range l.subjects {
		h := &l.subjects[i]
		switch {
		case h.count == 0:
		case now.Before(h.until):
			l.flush = soonest(l.flush, h.until)
		default:
			n := Notice{Kind: h.kind, VRID: h.vrid, Drop: h.drop, Priority: h.priority, Peer: h.peer, Count: h.count, mismatch: h.mismatch}
			if h.kind == NoticeMasterConflict {
				n.Detail = h.text
			} else {
				n.Err = h.text
			}
			*h = held{until: now.Add(quiet)}
			notify(n.worded())
		}
	}
}

// worded is n with its mismatch in words.
func (n Notice) worded() Notice {
	if n.mismatch.drop != DropNone {
		n.Detail, n.mismatch = n.mismatch.String(), mismatch{}
	}
	return n
}
