package netif

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// The neighbour table is looked at again after this time, growing twofold.
const (
	neighbourPoll    = time.Millisecond
	neighbourPollMax = 32 * time.Millisecond
)

// Neighbour returns the link-layer address of addr on iface from the kernel's
// neighbour table, asking the network for it when it is not there, for no
// longer than ctx and the manager's time-out allow.
//
// VRRP's multicasts do not fill that table, so a backup should ask when it
// first hears a master, not in the moment of taking over.
func (m *Manager) Neighbour(ctx context.Context, iface string, addr netip.Addr) (net.HardwareAddr, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	link, err := m.link(iface)
	if err != nil {
		return nil, err
	}
	index := link.Attrs().Index
	for wait := neighbourPoll; ; wait = min(2*wait, neighbourPollMax) {
		mac, state, err := m.neighbour(index, addr)
		if err != nil {
			return nil, fmt.Errorf("list neighbours on %s: %w", iface, err)
		}
		if mac != nil {
			return mac, nil
		}
		if state&netlink.NUD_INCOMPLETE == 0 {
			if err := m.solicit(index, addr); err != nil {
				return nil, fmt.Errorf("ask for neighbour %s on %s: %w%s", addr, iface, err, hint(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ask for neighbour %s on %s: no answer: %w", addr, iface, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// neighbour looks into the table. The address is nil unless the kernel holds
// it for usable (NUD_VALID in include/net/neighbour.h).
func (m *Manager) neighbour(index int, addr netip.Addr) (net.HardwareAddr, int, error) {
	const valid = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE |
		netlink.NUD_NOARP | netlink.NUD_PERMANENT
	list, err := m.h.NeighList(index, family(addr))
	if err != nil {
		return nil, 0, err
	}
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); !ok || ip.Unmap() != addr {
			continue
		}
		if n.State&valid != 0 && len(n.HardwareAddr) > 0 {
			return n.HardwareAddr, n.State, nil
		}
		return nil, n.State, nil
	}
	return nil, 0, nil
}

// solicit makes the kernel resolve addr as if it had a packet for it.
func (m *Manager) solicit(index int, addr netip.Addr) error {
	return m.h.NeighSet(&netlink.Neigh{
		LinkIndex: index,
		Family:    family(addr),
		IP:        addr.AsSlice(),
		Flags:     netlink.NTF_USE,
	})
}
