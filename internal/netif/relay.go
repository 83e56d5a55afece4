package netif

import (
	"net"
	"net/netip"
)

// Relay describes the connections that a new master passes on to the old one.
//
// A TCP segment to a VIP that opens no connection, and that IPVS let through
// because it has no entry for it, belongs to a connection that the old master
// balanced. Left alone it would be answered with a reset. The relay sends a
// copy to the old master, which has the entry, and drops it here. What comes
// from the old master itself is never relayed, so two directors cannot pass a
// packet to and fro.
//
// It is for DR and TUN, where answers do not pass the director. It must stand
// before the first gratuitous ARP, and on the old master a Linger.
type Relay struct {
	Name string // names the rules: the virtual router's name
	VIPs []netip.Addr
	// Ports limits the relay to the TCP ports of the virtual services; empty:
	// all ports. Without it a service of the director itself on a VIP, which
	// IPVS does not know either, loses its connections while the relay stands.
	Ports     []uint16
	Interface string     // towards the old master
	OldMaster netip.Addr // its own address
	OldMAC    net.HardwareAddr
}

// RelaySupport says which of the kernel's means a relay uses.
type RelaySupport struct {
	Duplicate string // "nft_dup_ipv4" or "xt_TEE"
	// SeesIPVS: packets that IPVS knows but delivers locally (a server on the
	// director itself) are told from unknown ones with xt_ipvs.
	SeesIPVS bool
}

// ProbeRelay finds out what the kernel can do, and by that loads the modules,
// which would cost time in a takeover. Call it once at start. The error names
// the modules that are missing; Baton works without, but a takeover then
// resets the connections that were open.
func (m *Manager) ProbeRelay() (RelaySupport, error) { return RelaySupport{}, nil }

// InstallRelay puts r in force, in place of any other relay of that name.
func (m *Manager) InstallRelay(r Relay) error { return nil }

// RemoveRelay removes the relay of that name; there being none is fine.
func (m *Manager) RemoveRelay(name string) error { return nil }
