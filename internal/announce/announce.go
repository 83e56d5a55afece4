// Package announce tells the network where a virtual address is now: with
// gratuitous ARP (RFC 5227 §3, RFC 9568 §6.4.1).
package announce

import (
	"net"
	"net/netip"
)

// Announcer sends announcements through one interface. It is safe for
// concurrent use.
type Announcer struct{}

// New makes an announcer for the interface of that name, which need not exist
// yet: the socket is opened by the first announcement.
func New(iface string) (*Announcer, error) { return nil, nil }

// GARP broadcasts one gratuitous ARP request and one reply for vip with mac as
// the sender; nil stands for the interface's own address.
func (a *Announcer) GARP(vip netip.Addr, mac net.HardwareAddr) error { return nil }

// Reset forgets the socket and the prepared frames: the interface has changed.
func (a *Announcer) Reset() {}

// Close releases the socket.
func (a *Announcer) Close() error { return nil }
