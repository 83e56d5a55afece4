package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// buildTopology makes every namespace, cable and address of a lab. What it made
// before an error stays for the caller to remove.
func buildTopology(lab string) error {
	for _, n := range nodes {
		if err := createNamespace(namespaceName(lab, n.name)); err != nil {
			return err
		}
		if err := inNamespace(namespaceName(lab, n.name), n.configureKernel); err != nil {
			return fmt.Errorf("configure %s: %w", n.name, err)
		}
	}
	if err := withHandle(namespaceName(lab, SwitchNode), makeBridge); err != nil {
		return fmt.Errorf("make switch: %w", err)
	}
	for _, n := range nodes {
		if n.name == SwitchNode {
			continue
		}
		if err := n.connect(lab); err != nil {
			return fmt.Errorf("connect %s: %w", n.name, err)
		}
	}
	for _, n := range nodes {
		if err := withHandle(namespaceName(lab, n.name), n.configureAddresses); err != nil {
			return fmt.Errorf("configure %s: %w", n.name, err)
		}
	}
	return nil
}

// configureKernel sets what must be in force before the first address: a real
// server that answers one ARP request for the VIP takes it from the director.
func (n node) configureKernel() error {
	settings := [][2]string{
		// A new namespace inherits the machine's own values.
		{"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/arp_ignore", "0"}, {"ipv4/conf/all/arp_announce", "0"},
		{"ipv4/ip_forward", "0"},
	}
	if n.vip {
		settings = append(settings, [2]string{"ipv4/conf/all/arp_ignore", "1"}, [2]string{"ipv4/conf/all/arp_announce", "2"})
	}
	if n.forwards {
		settings = append(settings, [2]string{"ipv4/ip_forward", "1"})
	}
	for _, s := range settings {
		if err := writeSysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	if n.name == SwitchNode {
		// A switch speaks no IPv6. A kernel without it needs no telling.
		if err := writeSysctl("ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func withHandle(namespace string, f func(*netlink.Handle) error) error {
	ns, err := openNamespace(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in %s: %w", namespace, err)
	}
	defer h.Close()
	return f(h)
}

func makeBridge(h *netlink.Handle) error {
	// Snooping would prune VRRP's group on a LAN without a querier.
	snooping := false
	br := &netlink.Bridge{LinkAttrs: named(bridgeName), MulticastSnooping: &snooping}
	if err := h.LinkAdd(br); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	return setUp(h, bridgeName)
}

// connect lays the cable of a node: its LANInterface at one end, the port at
// the other.
func (n node) connect(lab string) error {
	farNode, farName, err := port(n.name)
	if err != nil {
		return err
	}
	ns, err := openNamespace(namespaceName(lab, n.name))
	if err != nil {
		return err
	}
	defer ns.Close()
	return withHandle(namespaceName(lab, farNode), func(h *netlink.Handle) error {
		veth := &netlink.Veth{
			LinkAttrs: named(farName), PeerName: LANInterface, PeerHardwareAddr: macOf(n.lan.Addr()),
			PeerNamespace: netlink.NsFd(ns),
		}
		if farNode == RouterNode {
			router, err := nodeByName(RouterNode)
			if err != nil {
				return err
			}
			veth.HardwareAddr = macOf(router.wan.Addr())
		}
		if farNode == SwitchNode {
			br, err := h.LinkByName(bridgeName)
			if err != nil {
				return fmt.Errorf("find bridge: %w", err)
			}
			veth.MasterIndex = br.Attrs().Index
		}
		if err := h.LinkAdd(veth); err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}
		return setUp(h, farName)
	})
}

func (n node) configureAddresses(h *netlink.Handle) error {
	if err := setUp(h, "lo"); err != nil {
		return err
	}
	if n.lan.IsValid() {
		if err := addAddress(h, LANInterface, n.lan); err != nil {
			return err
		}
	}
	if n.wan.IsValid() {
		if err := addAddress(h, ClientInterface, n.wan); err != nil {
			return err
		}
	}
	if n.vip {
		if err := addAddress(h, "lo", netip.PrefixFrom(VIP, 32)); err != nil {
			return err
		}
	}
	if !n.gateway.IsValid() {
		return nil
	}
	if err := h.RouteAdd(&netlink.Route{Gw: n.gateway.AsSlice()}); err != nil {
		return fmt.Errorf("add default route by %s: %w", n.gateway, err)
	}
	return nil
}

func named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

func setUp(h *netlink.Handle, iface string) error {
	link, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("find link %s: %w", iface, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", iface, err)
	}
	return nil
}

func addAddress(h *netlink.Handle, iface string, p netip.Prefix) error {
	if err := setUp(h, iface); err != nil {
		return err
	}
	link, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("find link %s: %w", iface, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if err := h.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, iface, err)
	}
	return nil
}

// Cut pulls a node's cable: the node loses its carrier.
func (l *Lab) Cut(node string) error { return l.setPort(node, false) }

// Plug puts the cable back.
func (l *Lab) Plug(node string) error { return l.setPort(node, true) }

func (l *Lab) setPort(node string, up bool) error {
	if up {
		return l.onPort(node, "plug", (*netlink.Handle).LinkSetUp)
	}
	return l.onPort(node, "cut", (*netlink.Handle).LinkSetDown)
}

// onPort does something, which verb names, to the far end of a node's cable.
func (l *Lab) onPort(node, verb string, do func(*netlink.Handle, netlink.Link) error) error {
	farNode, iface, err := port(node)
	if err != nil {
		return err
	}
	return withHandle(l.Namespace(farNode), func(h *netlink.Handle) error {
		link, err := h.LinkByName(iface)
		if err != nil {
			return fmt.Errorf("find port %s: %w", iface, err)
		}
		if err := do(h, link); err != nil {
			return fmt.Errorf("%s port %s: %w", verb, iface, err)
		}
		return nil
	})
}

// Carrier says whether a node's LANInterface has one.
func (l *Lab) Carrier(node string) (bool, error) {
	up := false
	err := withHandle(l.Namespace(node), func(h *netlink.Handle) error {
		link, err := h.LinkByName(LANInterface)
		if err != nil {
			return fmt.Errorf("find link %s: %w", LANInterface, err)
		}
		up = link.Attrs().OperState == netlink.OperUp
		return nil
	})
	return up, err
}

// HoldsVIP says whether the VIP stands on a node's LANInterface.
func (l *Lab) HoldsVIP(node string) (bool, error) {
	holds := false
	err := withHandle(l.Namespace(node), func(h *netlink.Handle) error {
		link, err := h.LinkByName(LANInterface)
		if err != nil {
			return fmt.Errorf("find link %s: %w", LANInterface, err)
		}
		addrs, err := h.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", node, err)
		}
		for _, a := range addrs {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap() == VIP {
				holds = true
			}
		}
		return nil
	})
	return holds, err
}
