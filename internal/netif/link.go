package netif

import (
	"net"
	"net/netip"
)

// LinkState is what an election needs to know of an interface.
type LinkState struct {
	Name  string
	Index int // changes when an interface of that name is made anew
	// Up is true when packets can pass: IFF_UP (wanted), IFF_LOWER_UP (carrier)
	// and IFF_RUNNING (operational state, RFC 2863), linux/if.h.
	Up bool
	// Primary is the interface's own IPv4 address, VRRP's source: the first one
	// that is neither secondary nor ours. Invalid when there is none.
	Primary netip.Addr
	// LinkLocal is the IPv6 counterpart, without zone.
	LinkLocal netip.Addr
	MAC       net.HardwareAddr
	MTU       int
}

// Link reads the state of one interface. The error wraps [ErrNoInterface] when
// there is none of that name.
func (m *Manager) Link(name string) (LinkState, error) {
	return LinkState{}, nil
}
