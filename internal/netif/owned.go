package netif

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// OwnedRoutes lists the routes that are ours, whoever has added them.
func (m *Manager) OwnedRoutes() ([]Route, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := m.ownRoutes(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	out := make([]Route, 0, len(all))
	for _, t := range all {
		r := Route{Destination: prefixOf(t.Dst, t.Family), Table: uint32(t.Table), Metric: uint32(t.Priority), MTU: uint32(t.MTU)}
		r.Via, _ = netip.AddrFromSlice(t.Gw)
		r.Source, _ = netip.AddrFromSlice(t.Src)
		r.Via, r.Source = r.Via.Unmap(), r.Source.Unmap()
		if t.LinkIndex != 0 {
			link, err := m.h.LinkByIndex(t.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("look up the interface of route %s: %w", r, err)
			}
			r.Device = link.Attrs().Name
		}
		out = append(out, r)
	}
	return out, nil
}

// OwnedRules lists the rules that are ours.
func (m *Manager) OwnedRules() ([]Rule, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := m.virtualRules()
	if err != nil {
		return nil, err
	}
	var out []Rule
	for _, t := range all {
		r := Rule{IPv6: t.Family == netlink.FAMILY_V6, IIF: t.IifName, OIF: t.OifName, Mark: t.Mark, Priority: uint32(t.Priority), Table: uint32(t.Table)}
		if t.Src != nil {
			r.From = prefixOf(t.Src, t.Family)
		}
		if t.Dst != nil {
			r.To = prefixOf(t.Dst, t.Family)
		}
		out = append(out, r)
	}
	return out, nil
}

// MetBy says whether the kernel's route is the one that is wanted. What is not
// said is what the kernel makes of it.
func (r Route) MetBy(there Route) bool {
	return r.settled(there) == there.settled(there)
}

// settled fills in what the kernel does.
func (r Route) settled(there Route) Route {
	r.Destination, r.Scope = r.Destination.Masked(), ""
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	if r.Metric == 0 && r.Destination.Addr().Is6() {
		r.Metric = 1024
	}
	if r.Device == "" {
		r.Device = there.Device
	}
	return r
}

// MetBy says whether the kernel's rule is the one that is wanted.
func (r Rule) MetBy(there Rule) bool { return r.settled() == there.settled() }

func (r Rule) settled() Rule {
	for _, p := range []*netip.Prefix{&r.From, &r.To} {
		if p.Bits() == 0 {
			*p = netip.Prefix{}
		}
		*p = p.Masked()
	}
	return r
}

// prefixOf is a destination of the kernel's, which tells a default without one.
func prefixOf(n *net.IPNet, family int) netip.Prefix {
	if n == nil {
		if family == netlink.FAMILY_V6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if family == netlink.FAMILY_V4 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}
