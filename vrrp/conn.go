package vrrp

import (
	"errors"
	"net/netip"
)

// Group is where adverts over IPv4 are sent (RFC 9568 section 5.1.1.2).
var Group = netip.AddrFrom4([4]byte{224, 0, 0, 18})

const (
	// Protocol is VRRP's IP protocol number.
	Protocol = 112
	// TTL is that of every advert: a router between would have lowered it.
	TTL = 255
	// MaxPacket is a buffer that holds every advert: the longest IPv4 header,
	// 255 addresses and the authentication data of version 2.
	MaxPacket = 60 + headerLen + 4*MaxAddresses + authLen
)

// Meta is what the network layer says about a received packet.
type Meta struct {
	Source, Destination netip.Addr
	TTL                 uint8
}

// Conn is a socket for adverts on one interface and address family. The engine
// calls Send and Receive from one goroutine and Wait from one other.
type Conn interface {
	// Send transmits message to Group from the address source, which the
	// interface must have. It never waits: a full queue is an error.
	Send(message []byte, source netip.Addr) error

	// Receive reads one packet into buf, which should have MaxPacket bytes,
	// and returns the part of it that is the VRRP message. It never waits:
	// when nothing has arrived the error is ErrEmpty.
	Receive(buf []byte) (message []byte, meta Meta, err error)

	// Wait returns nil once Receive has something, an error once Close was
	// called or the socket is of no more use.
	Wait() error

	Close() error
}

// ErrEmpty is Receive's answer when nothing has arrived.
var ErrEmpty = errors.New("no packet has arrived")

// Handover names the other side when the addresses pass between two directors
// of which both are alive. Both fields are zero when they do not.
type Handover struct {
	Predecessor netip.Addr `json:"predecessor,omitzero"` // who held the addresses and still forwards
	Successor   netip.Addr `json:"successor,omitzero"`   // who holds them now
}

// Addresses brings an instance's virtual addresses on and off the interface.
type Addresses interface {
	// Set makes it so that this node has (or does not have) the addresses of
	// instance. It is idempotent, and called again after an error until it
	// succeeds. The election stands still while it runs: it must return
	// within milliseconds.
	Set(instance Config, present bool, from Handover) error
}

// Announcer tells the neighbours where the addresses of an instance are now.
type Announcer interface {
	// Announce sends one announcement for each address of instance. It must
	// not wait.
	Announce(instance Config) error
}
