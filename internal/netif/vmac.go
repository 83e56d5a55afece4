package netif

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vmacAlias marks the interfaces that are ours: `ip link` prints it.
const vmacAlias = "baton virtual router"

// VMAC is an interface with a virtual router's own hardware address: a macvlan
// in private mode, whose frames reach the network and no other macvlan here.
type VMAC struct {
	Name   string
	Parent string
	MAC    net.HardwareAddr
}

// VirtualMAC is the hardware address of a virtual router (RFC 9568 §7.3).
func VirtualMAC(ipv6 bool, vrid uint8) net.HardwareAddr {
	family := byte(1)
	if ipv6 {
		family = 2
	}
	return net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, family, vrid}
}

// vmacSysctls make the macvlan silent until it has addresses, and answer for
// no other than its own. They go with the interface.
var vmacSysctls = []struct{ name, value string }{
	// The parent's addresses are asked for here as well, by broadcast; and
	// requests of its own must not carry the parent's address: neighbours
	// would take this hardware address for its.
	{"net/ipv4/conf/%s/arp_ignore", "1"},
	{"net/ipv4/conf/%s/arp_announce", "2"},
	// No address, no router solicitation and no multicast report of its own:
	// the network would learn from them that the virtual router is here.
	{"net/ipv6/conf/%s/disable_ipv6", "1"},
	{"net/ipv6/conf/%s/addr_gen_mode", "1"},
	{"net/ipv6/conf/%s/accept_ra", "0"},
	{"net/ipv6/conf/%s/autoconf", "0"},
	{"net/ipv6/conf/%s/accept_dad", "0"},
}

// EnsureVMAC makes the interface, or takes over one that is there and is ours:
// a macvlan of that name with that MAC on that parent, whoever made it. Another
// of ours under the name is replaced. It is up then, has no IPv6 (see
// VMACEnableIPv6) and sends nothing. changed tells whether it had to be made.
func (m *Manager) EnsureVMAC(v VMAC) (changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changed, err = m.ensureVMAC(v); err != nil {
		return changed, fmt.Errorf("make vmac %s on %s: %w%s", v.Name, v.Parent, err, vmacHint(err))
	}
	return changed, nil
}

func (m *Manager) ensureVMAC(v VMAC) (bool, error) {
	parent, err := m.link(v.Parent)
	if err != nil {
		return false, err
	}
	there, err := m.link(v.Name)
	if err != nil && !errors.Is(err, ErrNoInterface) {
		return false, err
	}
	if err == nil {
		if v.is(there, below(parent)) {
			return false, m.bringUp(v, there)
		}
		if there.Attrs().Alias != vmacAlias {
			return false, fmt.Errorf("interface %s is there and is not ours: it is %s (delete it, or name another in use_vmac)", v.Name, describe(there))
		}
		if err := m.h.LinkDel(there); err != nil {
			return false, fmt.Errorf("delete %s, which is %s: %w", v.Name, describe(there), err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = v.Name, parent.Attrs().Index, v.MAC
	if err := m.h.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}); err != nil {
		return false, err
	}
	made, err := m.link(v.Name)
	if err != nil {
		return true, err
	}
	return true, m.bringUp(v, made)
}

// bringUp does what an interface of ours that was just made, or that an
// earlier run left, may lack.
func (m *Manager) bringUp(v VMAC, link netlink.Link) error {
	if err := m.parents.prepare(v.Parent); err != nil {
		return err
	}
	// Answers leave through whatever interface the routes say. The kernel
	// takes the larger of this and of conf.all.
	filter := "0"
	if all, err := ReadSysctl("net/ipv4/conf/all/rp_filter"); err == nil && all != "0" {
		filter = "2"
	}
	if err := setVMACSysctl("net/ipv4/conf/%s/rp_filter", v.Name, filter); err != nil {
		return err
	}
	if link.Attrs().Alias != vmacAlias {
		// Marked last: what carries the mark is complete.
		for _, s := range vmacSysctls {
			if err := setVMACSysctl(s.name, v.Name, s.value); err != nil {
				return err
			}
		}
		if err := m.h.LinkSetAlias(link, vmacAlias); err != nil {
			return err
		}
	}
	if link.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := m.h.LinkSetUp(link); err != nil && !errors.Is(err, unix.ENETDOWN) {
			return err
		}
	}
	return nil
}

// is: the interface is this VMAC.
func (v VMAC) is(link netlink.Link, parent int) bool {
	mv, ok := link.(*netlink.Macvlan)
	return ok && mv.Mode == netlink.MACVLAN_MODE_PRIVATE && link.Attrs().ParentIndex == parent &&
		link.Attrs().HardwareAddr.String() == v.MAC.String()
}

// below is the interface that a macvlan on parent hangs on: the kernel puts one on
// a macvlan beside that, on what is below both (macvlan_common_newlink).
func below(parent netlink.Link) int {
	if _, stacked := parent.(*netlink.Macvlan); stacked {
		return parent.Attrs().ParentIndex
	}
	return parent.Attrs().Index
}

func describe(link netlink.Link) string {
	return fmt.Sprintf("a %s with address %s", link.Type(), link.Attrs().HardwareAddr)
}

// setVMACSysctl sets a parameter of an interface. A kernel without IPv6 has
// none of its parameters, and needs none.
func setVMACSysctl(format, iface, value string) error {
	name := fmt.Sprintf(format, iface)
	was, err := ReadSysctl(name)
	switch {
	case errors.Is(err, unix.ENOENT) && strings.HasPrefix(name, "net/ipv6/"):
		return nil
	case err != nil:
		return err
	case was == value:
		return nil
	}
	return WriteSysctl(name, value)
}

// VMACEnableIPv6 lets an interface of ours have IPv6 addresses, before they
// are added; on false it is without IPv6 again, and the addresses that are
// left on it go.
//
// They go silently: when one address is removed the kernel tells the network
// which multicast group it leaves, and switches would send the virtual
// router's frames here again until the next advert of the master.
func (m *Manager) VMACEnableIPv6(name string, enable bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	value := "1"
	if enable {
		value = "0"
	}
	if err := setVMACSysctl("net/ipv6/conf/%s/disable_ipv6", name, value); err != nil {
		return fmt.Errorf("set up vmac %s: %w", name, err)
	}
	return nil
}

// RemoveVMAC removes the interface of that name if it is ours; there being
// none is fine. Removed tells whether there was one.
func (m *Manager) RemoveVMAC(name string) (removed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	link, err := m.link(name)
	if errors.Is(err, ErrNoInterface) {
		return false, nil
	}
	if err == nil && (link.Type() != "macvlan" || link.Attrs().Alias != vmacAlias) {
		return false, nil
	}
	if err == nil {
		err = m.h.LinkDel(link)
	}
	if err != nil {
		return false, fmt.Errorf("remove vmac %s: %w%s", name, err, hint(err))
	}
	return true, nil
}

// VMACs lists the interfaces that carry our mark, whichever run made them.
func (m *Manager) VMACs() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	links, err := m.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		if l.Type() == "macvlan" && l.Attrs().Alias == vmacAlias {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// RestoreParents gives the interfaces that carry no VMAC any more the kernel
// parameters back that they had before their first.
func (m *Manager) RestoreParents(carrying map[string]bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.parents.restore(carrying)
}

func vmacHint(err error) string {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return " (the kernel has no macvlan: modprobe macvlan)"
	}
	return hint(err)
}
