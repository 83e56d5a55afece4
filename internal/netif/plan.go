package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// address is one that stands on an interface.
type address struct {
	prefix    netip.Prefix
	secondary bool // IPv4: it goes when the primary one of its network goes
	tentative bool // IPv6: nothing can be sent from it, as it may be a duplicate (RFC 4862 §5.4)
	scope     int
	tag       int
	ours      bool
	msg       *netlink.Addr // as the kernel told it, to put it back
}

// addressPlan is what SetAddresses has to do.
type addressPlan struct {
	add     []Addr
	remove  []address // secondary ones first
	foreign []netip.Prefix
}

func planAddresses(observed []address, desired []Addr, owned []netip.Prefix) addressPlan {
	var p addressPlan
	wanted := make(map[netip.Prefix]bool, len(desired))
	there := make(map[netip.Prefix]address, len(observed))
	for _, a := range observed {
		there[a.prefix] = a
	}
	for _, d := range desired {
		if wanted[d.Prefix] {
			continue
		}
		wanted[d.Prefix] = true
		a, ok := there[d.Prefix]
		switch {
		case !ok:
			p.add = append(p.add, d)
		case !a.ours:
			p.foreign = append(p.foreign, d.Prefix)
		}
	}
	for _, a := range observed {
		if a.ours && !wanted[a.prefix] && (owned == nil || slices.Contains(owned, a.prefix)) {
			p.remove = append(p.remove, a)
		}
	}
	// A secondary address whose primary goes first is promoted, and promoted
	// again by the next: the other order touches each once.
	slices.SortStableFunc(p.remove, func(a, b address) int {
		return boolRank(b.secondary) - boolRank(a.secondary)
	})
	return p
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// endangered are the addresses that stay but that the kernel may delete with a
// doomed primary address of their network (inet_del_ifa in net/ipv4/devinet.c).
func endangered(observed, doomed []address) []address {
	goes := make(map[netip.Prefix]bool, len(doomed))
	for _, d := range doomed {
		goes[d.prefix] = true
	}
	var risk []address
	for _, a := range observed {
		if !a.secondary || !a.prefix.Addr().Is4() || goes[a.prefix] {
			continue
		}
		if slices.ContainsFunc(doomed, func(d address) bool {
			return !d.secondary && d.prefix.Masked() == a.prefix.Masked()
		}) {
			risk = append(risk, a)
		}
	}
	return risk
}

// fromMessage leaves out what is no local address of a family we know.
func fromMessage(msg *netlink.Addr) (address, bool) {
	if msg.IPNet == nil {
		return address{}, false
	}
	ip, ok := netip.AddrFromSlice(msg.IP)
	bits, size := msg.Mask.Size()
	if !ok || size == 0 {
		return address{}, false
	}
	return address{
		prefix:    netip.PrefixFrom(ip, bits),
		secondary: ip.Is4() && msg.Flags&unix.IFA_F_SECONDARY != 0,
		tentative: tentative(ip, msg.Flags),
		scope:     msg.Scope,
		tag:       msg.Protocol,
		msg:       msg,
	}, true
}

// tentative also holds of an address that was found to be a duplicate.
func tentative(ip netip.Addr, flags int) bool {
	return ip.Is6() && flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
}

// message is the kernel's form of the address, tagged as ours.
func (a Addr) message(iface string) (*netlink.Addr, error) {
	ip := a.Prefix.Addr()
	if !a.Prefix.IsValid() || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
		return nil, fmt.Errorf("address %s: not a unicast address with its prefix length, such as 192.0.2.1/24", a.Prefix)
	}
	scope, err := parseScope(a.Scope)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", a.Prefix, err)
	}
	msg := &netlink.Addr{IPNet: ipNet(a.Prefix), Scope: scope, Protocol: Tag}
	if a.Label != "" {
		if !ip.Is4() || len(a.Label) >= unix.IFNAMSIZ || !strings.HasPrefix(a.Label, iface) {
			return nil, fmt.Errorf("address %s: label %q: must begin with %q, have at most %d bytes and belong to an ipv4 address",
				a.Prefix, a.Label, iface, unix.IFNAMSIZ-1)
		}
		msg.Label = a.Label
	}
	if ip.Is6() {
		// The old master still answers for it during a planned takeover;
		// detection would find a duplicate and disable the address.
		msg.Flags = unix.IFA_F_NODAD
		if a.Prefix.IsSingleIP() {
			msg.ValidLft, msg.PreferedLft = forever, 0
		}
	}
	return msg, nil
}

// forever is a lifetime without end (INFINITY_LIFE_TIME in net/addrconf.h).
const forever = 0xffffffff

func parseScope(s string) (int, error) {
	switch s {
	case "", "global":
		return unix.RT_SCOPE_UNIVERSE, nil
	case "site":
		return unix.RT_SCOPE_SITE, nil
	case "link":
		return unix.RT_SCOPE_LINK, nil
	case "host":
		return unix.RT_SCOPE_HOST, nil
	case "nowhere":
		return unix.RT_SCOPE_NOWHERE, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, errors.New("scope " + strconv.Quote(s) + ": must be global, site, link, host, nowhere or a number from 0 to 255")
	}
	return int(n), nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
