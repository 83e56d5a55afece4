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
func (l *Lab) buildTopology() error {
	nodes := l.opts.Topology.layout().nodes
	for _, n := range nodes {
		if err := l.createNode(n); err != nil {
			return err
		}
	}
	if err := withHandle(l.Namespace(SwitchNode), func(h *netlink.Handle) error { return makeBridges(h, nodes) }); err != nil {
		return fmt.Errorf("make switch: %w", err)
	}
	for _, n := range nodes {
		if err := l.connect(n); err != nil {
			return fmt.Errorf("connect %s: %w", n.name, err)
		}
	}
	for _, n := range nodes {
		if err := l.configure(n); err != nil {
			return err
		}
	}
	return nil
}

// createNode makes a node's namespace without any link.
func (l *Lab) createNode(n node) error {
	if err := createNamespace(l.Namespace(n.name)); err != nil {
		return err
	}
	err := inNamespace(l.Namespace(n.name), func() error { return n.configureKernel(l.opts.IPv6) })
	if err != nil {
		return fmt.Errorf("configure %s: %w", n.name, err)
	}
	return nil
}

// configure gives a node that has its links its addresses and routes.
func (l *Lab) configure(n node) error {
	err := withHandle(l.Namespace(n.name), func(h *netlink.Handle) error { return n.configureAddresses(h, l.opts.IPv6) })
	if err == nil && n.vip == tunnelDevice {
		err = inNamespace(l.Namespace(n.name), n.acceptTunnels)
	}
	if err != nil {
		return fmt.Errorf("configure %s: %w", n.name, err)
	}
	return nil
}

// configureKernel sets what must be in force before the first address: a real
// server that answers one ARP request for the VIP takes it from the director.
func (n node) configureKernel(ipv6 bool) error {
	settings := [][2]string{
		// A new namespace inherits the machine's own values.
		{"ipv4/conf/all/rp_filter", "0"}, {"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/arp_ignore", "0"}, {"ipv4/conf/all/arp_announce", "0"},
		{"ipv4/ip_forward", "0"},
	}
	if n.vip != "" {
		settings = append(settings, [2]string{"ipv4/conf/all/arp_ignore", "1"}, [2]string{"ipv4/conf/all/arp_announce", "2"})
	}
	if n.forwards {
		settings = append(settings, [2]string{"ipv4/ip_forward", "1"})
		if ipv6 {
			settings = append(settings, [2]string{"ipv6/conf/all/forwarding", "1"})
		}
	}
	if n.forwards && isDirector(n.name) {
		// The real servers must not be told of a shorter way to the client.
		settings = append(settings, [2]string{"ipv4/conf/all/send_redirects", "0"}, [2]string{"ipv4/conf/default/send_redirects", "0"})
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

// makeBridges makes a bridge for each network that a node is plugged into.
func makeBridges(h *netlink.Handle, nodes []node) error {
	made := map[string]bool{"": true}
	for _, n := range nodes {
		for _, leg := range n.legs {
			if made[leg.bridge] {
				continue
			}
			made[leg.bridge] = true
			// Snooping would prune VRRP's group on a LAN without a querier.
			snooping := false
			br := &netlink.Bridge{LinkAttrs: named(leg.bridge), MulticastSnooping: &snooping}
			if err := h.LinkAdd(br); err != nil {
				return fmt.Errorf("add bridge: %w", err)
			}
			if err := setUp(h, leg.bridge); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect lays a node's cables: its interface at one end, a port of the switch
// or another node's interface at the other.
func (l *Lab) connect(n node) error {
	ns, err := openNamespace(l.Namespace(n.name))
	if err != nil {
		return err
	}
	defer ns.Close()
	for _, leg := range n.legs {
		far := n.far(leg)
		if far.node == "" {
			continue
		}
		veth := &netlink.Veth{
			LinkAttrs: named(far.iface), PeerName: leg.iface, PeerHardwareAddr: macOf(leg.address.Addr()),
			PeerNamespace: netlink.NsFd(ns),
		}
		if leg.bridge == "" {
			if veth.HardwareAddr, err = l.opts.Topology.hardwareAddress(far); err != nil {
				return err
			}
		}
		if err := withHandle(l.Namespace(far.node), func(h *netlink.Handle) error { return plug(h, veth, leg.bridge) }); err != nil {
			return err
		}
	}
	return nil
}

// plug makes a cable and puts its near end into a bridge, if one is named.
func plug(h *netlink.Handle, veth *netlink.Veth, bridge string) error {
	if bridge != "" {
		br, err := h.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("find bridge: %w", err)
		}
		veth.MasterIndex = br.Attrs().Index
	}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth pair: %w", err)
	}
	return setUp(h, veth.Name)
}

func (n node) configureAddresses(h *netlink.Handle, ipv6 bool) error {
	if err := setUp(h, "lo"); err != nil {
		return err
	}
	for _, leg := range n.legs {
		if err := addAddress(h, leg.iface, leg.address); err != nil {
			return err
		}
		if ipv6 {
			if err := addAddress(h, leg.iface, netip.PrefixFrom(ipv6Of(leg.address.Addr()), 64)); err != nil {
				return err
			}
		}
	}
	if n.vip != "" {
		if err := n.holdVIP(h, ipv6); err != nil {
			return err
		}
	}
	if !n.gateway.IsValid() {
		return nil
	}
	gateways := []netip.Addr{n.gateway}
	if ipv6 {
		gateways = append(gateways, ipv6Of(n.gateway))
	}
	for _, gw := range gateways {
		if err := h.RouteAdd(&netlink.Route{Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("add default route by %s: %w", gw, err)
		}
	}
	return nil
}

// holdVIP gives a real server the VIP. Over IPv6 nothing has to be hidden: the
// kernel answers a neighbour solicitation only for addresses of the interface
// that it came in by.
func (n node) holdVIP(h *netlink.Handle, ipv6 bool) error {
	if n.vip == tunnelDevice {
		// Every namespace has one as soon as the module is loaded, which asking
		// for the device does.
		err := h.LinkAdd(&netlink.Iptun{LinkAttrs: named(tunnelDevice)})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add %s: %w (does the kernel have module ipip?)", tunnelDevice, err)
		}
	}
	vips := []netip.Addr{VIP}
	if ipv6 {
		vips = append(vips, VIP6)
	}
	for _, vip := range vips {
		if err := addAddress(h, n.vip, netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			return err
		}
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
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD // usable at once
	}
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
	port, err := l.opts.Topology.port(node)
	if err != nil {
		return err
	}
	return l.atPort(port, verb, do)
}

func (l *Lab) atPort(port place, verb string, do func(*netlink.Handle, netlink.Link) error) error {
	return withHandle(l.Namespace(port.node), func(h *netlink.Handle) error {
		link, err := h.LinkByName(port.iface)
		if err != nil {
			return fmt.Errorf("find port %s: %w", port.iface, err)
		}
		if err := do(h, link); err != nil {
			return fmt.Errorf("%s port %s: %w", verb, port.iface, err)
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
