package vrrp

import (
	"net/netip"
	"time"
)

const (
	openRetryFirst = 100 * time.Millisecond
	openRetryMost  = 5 * time.Second
)

// link is an interface and the socket on it, shared by its instances.
type link struct {
	core    *Core
	at      Endpoint
	known   bool // somebody has told of it
	up      bool
	primary netip.Addr
	index   int

	conn    Conn
	timer   timer
	retryAt time.Time // to open the socket
	backoff time.Duration

	byVRID  [256]*instance
	members int

	limits  limits
	dropped [dropReasons]uint64
	foreign [4]uint64 // VRIDs of others that were told of, a bit each
}

// learn takes over what is known about the interface.
func (l *link) learn(f LinkState) {
	l.known, l.up, l.primary, l.index = true, f.Up, f.Primary, f.Index
	if l.at.Family == IPv6 {
		l.primary = f.LinkLocal
	}
}

// set is learn, and acts on it.
func (l *link) set(now time.Time, f LinkState) {
	if l.conn != nil && f.Index != l.index {
		// Another interface under the old name: its addresses and its group
		// membership went with the old one.
		l.close()
		l.up = false
		l.tellMembers(now)
	}
	l.learn(f)
	l.retryAt, l.backoff = time.Time{}, 0
	l.open(now)
	l.tellMembers(l.core.opts.Now()) // who could not hear yet has not waited
}

// open makes the socket where one is needed and can be had.
func (l *link) open(now time.Time) {
	if l.conn == nil && l.up && l.members > 0 && !now.Before(l.retryAt) {
		conn, err := l.core.opts.Listen(l.at)
		if err != nil {
			l.failed(now, err)
		} else {
			l.conn, l.retryAt, l.backoff = conn, time.Time{}, 0
		}
	}
	l.reschedule()
}

func (l *link) close() {
	if l.conn != nil {
		// Nothing is lost with it: an advert is sent or it was not.
		_ = l.conn.Close()
		l.conn = nil
	}
}

// failed tells of a socket that is of no use and tries again later.
func (l *link) failed(now time.Time, err error) {
	l.close()
	l.backoff = min(max(2*l.backoff, openRetryFirst), openRetryMost)
	l.retryAt = now.Add(l.backoff)
	l.limits.tell(now, limitReceive, Notice{Kind: NoticeReceiveFailed, Err: err.Error(), Count: 1}, l.notify)
	l.reschedule()
}

func (l *link) tellMembers(now time.Time) {
	for _, i := range l.byVRID {
		if i != nil {
			i.factsChanged(now, false)
		}
	}
}

func (l *link) expired(now time.Time) {
	l.limits.due(now, l.notify)
	if had := l.conn != nil; !l.retryAt.IsZero() && !now.Before(l.retryAt) {
		l.open(now)
		if !had && l.conn != nil {
			l.tellMembers(l.core.opts.Now())
		}
	}
	l.reschedule()
}

func (l *link) reschedule() {
	at := l.limits.flush
	if l.conn == nil && l.up && l.members > 0 {
		at = soonest(at, l.retryAt)
	}
	l.core.timers.set(&l.timer, at)
}

// receive reads up to limit packets, and says whether there may be more.
func (l *link) receive(now time.Time, limit int) bool {
	for range limit {
		if l.conn == nil {
			return false
		}
		message, meta, err := l.conn.Receive(l.core.packet[:])
		if err == ErrEmpty {
			return false
		}
		if err != nil {
			l.failed(now, err)
			l.tellMembers(now)
			return false
		}
		l.hear(now, message, meta)
	}
	return true
}

func (l *link) hear(now time.Time, message []byte, meta Meta) {
	if len(message) > 1 {
		if i := l.byVRID[message[1]]; i != nil {
			i.hear(now, message, meta)
			return
		}
	}
	l.stray(now, message, meta)
}

// stray counts a packet that is for none of our instances. A virtual router of
// others on the same network is told of once.
func (l *link) stray(now time.Time, message []byte, meta Meta) {
	want := Want{Version: V3, Group: l.at.Group}
	if len(message) > 0 && Version(message[0]>>4) == V2 {
		want.Version = V2
	}
	// What was sent to this node alone comes to the socket of every group.
	want.Unicast, want.AnySource = meta.Destination != l.at.Group, true
	a, drop := Parse(message, meta, &want)
	if drop == DropNone || drop > DropVRID {
		drop = DropVRID // VRID 0, which nobody can have
	}
	if drop == DropVRID && want.Unicast && l.elsewhere(a.VRID) {
		return
	}
	l.dropped[drop]++
	n := Notice{Kind: NoticeAdvertDropped, VRID: a.VRID, Drop: drop, Peer: meta.Source, Count: 1, mismatch: want.mismatch(drop, message, &meta)}
	if drop != DropVRID {
		l.limits.tell(now, int(drop), n, l.notify)
		l.reschedule()
		return
	}
	word, bit := a.VRID/64, uint64(1)<<(a.VRID%64)
	if l.foreign[word]&bit == 0 {
		l.foreign[word] |= bit
		l.notify(n.worded())
	}
}

// elsewhere says whether an instance of that VRID listens for another group.
func (l *link) elsewhere(vrid uint8) bool {
	for at, o := range l.core.links {
		if o != l && at.Interface == l.at.Interface && at.Family == l.at.Family && o.byVRID[vrid] != nil {
			return true
		}
	}
	return false
}

func (l *link) notify(n Notice) {
	n.Interface = l.at.Interface
	l.core.notify(n)
}
