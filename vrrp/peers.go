package vrrp

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	maxPeers = 8

	// A stranger can invent peers as fast as it can send: this many notices
	// about them are told in each period of length quiet.
	peerNotices = 16
)

// peer is what one sender's adverts said last.
type peer struct {
	addr     netip.Addr
	priority uint8 // the last that was not 0
	interval time.Duration
	list     uint64 // of its addresses where they were not ours, else 0
	seen     time.Time
}

// peers remembers who was heard, to tell changes once.
type peers struct {
	known  []peer
	period time.Time
	told   int
}

var listSeed = maphash.MakeSeed()

// heard compares an advert with the sender's last and tells what is new.
// ours are the addresses of the instance as an advert carries them, interval
// is its own.
func (ps *peers) heard(now time.Time, a *Advert, from netip.Addr, ours []byte, interval time.Duration, tell func(Notice)) {
	p, fresh := ps.find(now, from)
	old := *p
	*p = peer{addr: from, priority: a.Priority, interval: a.Interval, seen: now}
	if a.Priority == 0 {
		p.priority = old.priority
	}
	if string(a.addresses) != string(ours) {
		p.list = max(maphash.Bytes(listSeed, a.addresses), 1)
	}
	n := Notice{Kind: NoticePeerChanged, Peer: from, Priority: a.Priority}
	switch {
	case fresh && ps.may(now):
		n.Kind = NoticePeerFound
		tell(n)
		if a.Interval != interval { // RFC 9568 section 7.1
			n.Kind, n.Detail = NoticePeerChanged, fmt.Sprintf("advert_int is %v there, %v here", a.Interval, interval)
			tell(n)
		}
	case fresh:
	case old.priority != 0 && p.priority != old.priority && ps.may(now):
		n.Detail = fmt.Sprintf("priority %d is now %d", old.priority, p.priority)
		tell(n)
	case p.interval != old.interval && ps.may(now):
		n.Detail = fmt.Sprintf("advert_int %v is now %v", old.interval, p.interval)
		tell(n)
	}
	if p.list != 0 && p.list != old.list && ps.may(now) {
		theirs, missing := differ(a.addresses, ours, a.size()), differ(ours, a.addresses, a.size())
		if len(theirs)+len(missing) > 0 {
			n.Kind = NoticeAddressesMismatch
			n.Detail = fmt.Sprintf("only in its adverts: %s; only configured here: %s", some(theirs), some(missing))
			tell(n)
		}
	}
}

// lost forgets a peer, so that it is told of when it comes back.
func (ps *peers) lost(addr netip.Addr) {
	ps.known = slices.DeleteFunc(ps.known, func(p peer) bool { return p.addr == addr })
}

// find returns the entry for addr. A new one takes the place of what was silent
// longest when there is no room.
func (ps *peers) find(now time.Time, addr netip.Addr) (p *peer, fresh bool) {
	oldest := 0
	for i := range ps.known {
		if ps.known[i].addr == addr {
			return &ps.known[i], false
		}
		if ps.known[i].seen.Before(ps.known[oldest].seen) {
			oldest = i
		}
	}
	if len(ps.known) < maxPeers {
		ps.known = append(ps.known, peer{})
		oldest = len(ps.known) - 1
	}
	ps.known[oldest] = peer{}
	return &ps.known[oldest], true
}

// may says whether one more notice may be told in this period.
func (ps *peers) may(now time.Time) bool {
	if !now.Before(ps.period) {
		ps.period, ps.told = now.Add(quiet), 0
	}
	ps.told++
	return ps.told <= peerNotices
}

// differ returns the addresses of a, of size bytes each, that b lacks; the
// order does not matter.
func differ(a, b []byte, size int) []netip.Addr {
	have := make(map[string]bool, len(b)/size)
	for ; len(b) >= size; b = b[size:] {
		have[string(b[:size])] = true
	}
	var out []netip.Addr
	for ; len(a) >= size; a = a[size:] {
		if !have[string(a[:size])] {
			addr, _ := netip.AddrFromSlice(a[:size])
			out = append(out, addr)
		}
	}
	return out
}

// some lists addresses for people: the first few and how many more.
func some(addrs []netip.Addr) string {
	const few = 5
	if len(addrs) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, a := range addrs {
		if i == few {
			fmt.Fprintf(&b, " and %d more", len(addrs)-few)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.String())
	}
	return b.String()
}
