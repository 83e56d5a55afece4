package vrrp

import (
	"cmp"
	"errors"
	"net/netip"
)

// Group is where adverts over IPv4 are sent (RFC 9568 section 5.1.1.2).
var Group = netip.AddrFrom4([4]byte{224, 0, 0, 18})

// Group6 is where adverts over IPv6 are sent (RFC 9568 section 5.1.2.2).
var Group6 = netip.MustParseAddr("ff02::12")

const (
	// Protocol is VRRP's IP protocol number.
	Protocol = 112
	// TTL is that of every advert: a router between would have lowered it.
	TTL = 255
	// MaxPacket is a buffer that holds every advert: an IPv6 header and 255
	// addresses. IPv4, with its longest header, needs less.
	MaxPacket = ipv6HeaderLen + headerLen + 16*MaxAddresses

	ipv4HeaderLen = 20 // without options
	ipv6HeaderLen = 40
)

// groupOf is the group of a family.
func groupOf(six bool) netip.Addr {
	if six {
		return Group6
	}
	return Group
}

// Meta is what the network layer says about a received packet.
type Meta struct {
	Source, Destination netip.Addr
	TTL                 uint8
}

// Endpoint is where adverts are received.
type Endpoint struct {
	Interface string
	Family    Family
	Group     netip.Addr // of multicast that is joined
}

func (e Endpoint) compare(o Endpoint) int {
	return cmp.Or(cmp.Compare(e.Interface, o.Interface), cmp.Compare(e.Family, o.Family), e.Group.Compare(o.Group))
}

// Delivery says how a message is sent.
type Delivery struct {
	Source      netip.Addr // an address of this node
	Destination netip.Addr // the group, or one unicast peer
	TTL         uint8      // or hop limit
	Device      string     // VMAC that it leaves from, under its MAC address; "": the endpoint's interface
}

// Conn is a socket for adverts of one Endpoint. The engine calls Send and
// Receive from one goroutine and Wait from one other.
type Conn interface {
	// Send transmits message. It never waits: a full queue is an error.
	Send(message []byte, d Delivery) error

	// Receive reads one packet into buf, which should have MaxPacket bytes,
	// and returns the part of it that is the VRRP message. It never waits:
	// when nothing has arrived the error is ErrEmpty.
	Receive(buf []byte) (message []byte, meta Meta, err error)

	// Wait returns nil once Receive has something, an error once Close was
	// called or the socket is of no more use.
	Wait() error

	Close() error
}

// overhearer is a Conn that hears what a VMAC takes away from its interface.
// Overhear is called each time that the VMAC may have been made or replaced.
type overhearer interface {
	Overhear(device string) error
}

// sourcer is a Conn that knows whether an address is one of this node, so that
// adverts can come from it.
type sourcer interface {
	HasSource(netip.Addr) bool
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
