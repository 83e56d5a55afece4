package vrrp

import (
	"net/netip"
	"time"
)

// NoticeKind is what a Notice tells.
type NoticeKind string

const (
	NoticeTransition        NoticeKind = "transition"         // From, To, Reason, Peer and Priority of the advert that caused it, Detail of a fault
	NoticeGroup             NoticeKind = "group"              // Instance: the group's name; From, To, Reason, Detail
	NoticeMasterConflict    NoticeKind = "master_conflict"    // Peer, Priority, Detail; Count since the notice before: it is master as we are, or were
	NoticePriorityChanged   NoticeKind = "priority_changed"   // Was, Priority, Reason, Detail: which track and why
	NoticeAdvertDropped     NoticeKind = "advert_dropped"     // Drop, Peer, Detail: theirs and ours; Count since the notice before
	NoticePeerFound         NoticeKind = "peer_found"         // Peer, Priority
	NoticePeerLost          NoticeKind = "peer_lost"          // Peer: the master went silent
	NoticePeerChanged       NoticeKind = "peer_changed"       // Peer, Priority, Detail
	NoticeAddressesMismatch NoticeKind = "addresses_mismatch" // Peer, Detail: its address list is not ours
	NoticeOwnAddress        NoticeKind = "own_address"        // Peer, Count: adverts from our own address, DropOwnPacket
	NoticePreemptDelayed    NoticeKind = "preempt_delayed"    // Peer, Priority, Duration until it is preempted
	NoticeStalled           NoticeKind = "stalled"            // Duration that was lost
	NoticeSendFailed        NoticeKind = "send_failed"        // Err, Count since the notice before
	NoticeReceiveFailed     NoticeKind = "receive_failed"     // Interface, Err: the socket is opened again
	NoticeHandoverBegun     NoticeKind = "handover_begun"     // Reason
	NoticeHandoverDone      NoticeKind = "handover_done"      // Peer, Duration
	NoticeHandoverFailed    NoticeKind = "handover_failed"    // Reason, Duration
	NoticeAnnounceSent      NoticeKind = "announce_sent"      // Count of addresses
	NoticeAnnounceFailed    NoticeKind = "announce_failed"    // Err
	NoticeAdvertSent        NoticeKind = "advert_sent"        // Peer: the group or peer it went to, Priority; while tracing
	NoticeAdvertReceived    NoticeKind = "advert_received"    // Peer, Priority, Duration: the interval in it; while tracing
	NoticeAddressFailed     NoticeKind = "address_failed"     // Err, Count of failures since the notice before
)

// Notice is one fact that the engine reports. Fields that a kind does not
// name are zero, Instance and VRID also where a packet belongs to none.
type Notice struct {
	Time      time.Time     `json:"time"`
	Kind      NoticeKind    `json:"kind"`
	Instance  string        `json:"instance,omitempty"`
	VRID      uint8         `json:"vrid,omitempty"`
	Interface string        `json:"interface,omitempty"`
	From      Role          `json:"from,omitempty"`
	To        Role          `json:"to,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Peer      netip.Addr    `json:"peer,omitzero"`
	Priority  uint8         `json:"priority,omitempty"`
	Was       uint8         `json:"was,omitempty"` // Priority before
	Drop      DropReason    `json:"drop,omitzero"`
	Count     int           `json:"count,omitempty"`
	Err       string        `json:"error,omitempty"`
	Detail    string        `json:"detail,omitempty"`
	Duration  time.Duration `json:"duration,omitempty"`

	mismatch mismatch // of what is dropped: Detail, until it is told
}
