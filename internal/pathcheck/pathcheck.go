// Package pathcheck finds real servers of LVS-DR and LVS-TUN that are healthy on
// their own address and do not do their part for the virtual one: that do not
// hold it, or that answer ARP for it. It sends what a client's first packet looks
// like when it arrives through IPVS, and watches the wire for the answer, which
// comes from an address that is this host's own when it is the master. So
// packets are made and heard below the kernel's IP.
package pathcheck

import (
	"net/netip"
	"time"
)

// Target is one question: does this server do its part for that address?
type Target struct {
	ID       string     // the caller's; unique
	Server   netip.Addr // the real server's own
	VIP      netip.Addr
	Port     uint16        // TCP port of the service; 0: ask only who answers for the address
	Tunnel   *Tunnel       // nil: direct routing
	Interval time.Duration // between two rounds, 1 s or more
}

// Encapsulation is how a tunnel packs.
type Encapsulation uint8

// The encapsulations of IPVS.
const (
	IPIP Encapsulation = iota // RFC 2003, RFC 2473, RFC 4213
	GRE                       // RFC 2784
	GUE                       // draft-ietf-intarea-gue, variant 0
)

// Tunnel is how packets reach a server of lb_kind TUN.
type Tunnel struct {
	Encapsulation Encapsulation
	Port          uint16 // UDP, of GUE
	Checksum      bool   // of GRE and GUE
}

// Reason is why a path is not right.
type Reason string

// The reasons.
const (
	NoAnswer   Reason = "no-answer"   // the server is silent to what is for the address
	Refused    Reason = "refused"     // it holds the address, and nothing listens there
	AnswersARP Reason = "answers-arp" // it tells the network that it has the address
	NotOnLink  Reason = "not-on-link" // direct routing has to go through a router
)

// Outcome is what was found of a target.
type Outcome struct {
	OK     bool
	Reason Reason // of what is not OK
}

const (
	tries    = 3                      // of a question, before it counts as not answered
	tryEvery = time.Second            // between them; Linux's own first retransmission is as late
	grace    = 300 * time.Millisecond // after an answer, for one that should not come
	again    = 5 * time.Second        // until a silent server is asked for a second time
	settle   = 500 * time.Millisecond // after a server has come up
	spread   = time.Second            // in which those that came up together are asked
	pace     = 5 * time.Millisecond   // between two questions: 200 a second
	linger   = 2 * time.Second        // that sockets stay open without a question

	// badRounds is how many rounds in a row have to end without the right
	// answer: a queue that is full and a service that is restarted are no
	// fault of the path.
	badRounds = 2
)

// The source ports: what comes back for them is looked at. They lie above what
// Linux gives to connections unless it is told otherwise (ip_local_port_range,
// 32768 to 60999), so that no connection of the host is ever mistaken for one.
const (
	firstPort = 61440
	portCount = 1024
)
