package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// The nodes.
const (
	ClientNode  = "client"
	RouterNode  = "router"
	Router2Node = "router2" // of DRRouted: the real servers' way to the client
	SwitchNode  = "lan"     // bridges; their ports bear the names of the nodes behind them
	LVSA        = "lvs-a"
	LVSB        = "lvs-b"
	RS1         = "rs1"
	RS2         = "rs2"
)

// Interfaces inside the nodes.
const (
	LANInterface    = "eth0" // towards the directors' network; of client and real servers the only one
	ClientInterface = "eth1" // a router's towards the client
	InnerInterface  = "eth1" // a director's towards the real servers, where these are in another network
)

// VIP is the virtual address of every topology, VIP6 the one of Options.IPv6.
var (
	VIP  = netip.MustParseAddr("192.168.16.200")
	VIP6 = netip.MustParseAddr("2001:db8:16::200")
)

// InnerVIP is the real servers' gateway in NAT: it moves with the VIP.
var InnerVIP = netip.MustParseAddr("192.168.18.200")

// ServicePort is the port of the virtual service and, but for NAT, of the real
// servers.
const ServicePort = 80

// GUEPort is where the real servers of TUN accept GUE packets (UDP).
const GUEPort = 6080

// Topology is an arrangement of the nodes: a way in which IPVS forwards.
type Topology string

// The topologies.
const (
	DR       Topology = "dr"        // the reference: directors and real servers on one LAN
	DRRouted Topology = "dr-routed" // the VIP in another network than the real servers, whose answers take another router
	NAT      Topology = "nat"       // the real servers behind the directors
	TUN      Topology = "tun"       // the real servers behind a router
)

// Topologies returns all of them, the reference first.
func Topologies() []Topology { return []Topology{DR, DRRouted, NAT, TUN} }

// layout is what a topology is made of.
type layout struct {
	nodes []node
	kind  string // lb_kind
	port  uint16 // of the real servers
	// answers is where the real servers' answers pass on their way to the client.
	answers           place
	sentence, drawing string
}

type place struct{ node, iface string }

type node struct {
	name     string
	legs     []leg // the first is the one that is cut
	gateway  netip.Addr
	forwards bool
	// vip is the interface on which a real server holds the VIP, hidden from
	// ARP: lo, tunl0 or none.
	vip string
}

// leg is one interface of a node.
type leg struct {
	iface   string
	address netip.Prefix
	bridge  string // that its cable is plugged into
	to      place  // what its cable ends at where there is no bridge
	// Without either it is the far end of another node's cable.
}

// tunnelDevice is the interface that takes IP-in-IP packets of any sender.
const tunnelDevice = "tunl0"

func (t Topology) layout() layout { return layouts[t] }

// check says which topologies there are.
func (t Topology) check() error {
	if _, ok := layouts[t]; ok {
		return nil
	}
	var known []string
	for _, k := range Topologies() {
		known = append(known, string(k))
	}
	return fmt.Errorf("arrange lab as %q: there are %s", string(t), strings.Join(known, ", "))
}

// Nodes returns the names of all nodes, the switch first.
func (t Topology) Nodes() []string {
	var names []string
	for _, n := range t.layout().nodes {
		names = append(names, n.name)
	}
	return names
}

// Nodes returns the names of the reference topology's nodes, the switch first.
func Nodes() []string { return DR.Nodes() }

// EveryNode returns the names that a node of any topology can have.
func EveryNode() []string {
	var names []string
	for _, t := range Topologies() {
		for _, n := range t.Nodes() {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// Address is a node's own address, on its first interface. It is the zero Addr
// for the switch and for names that are no node.
func (t Topology) Address(name string) netip.Addr {
	n, err := t.node(name)
	if err != nil || len(n.legs) == 0 {
		return netip.Addr{}
	}
	return n.legs[0].address.Addr()
}

// ServerAddress is where a real server answers.
func (t Topology) ServerAddress(name string) netip.AddrPort {
	return netip.AddrPortFrom(t.Address(name), t.layout().port)
}

// Sentence says what the topology is.
func (t Topology) Sentence() string { return t.layout().sentence }

// Drawing is the topology for a terminal, no wider than 79 columns.
func (t Topology) Drawing() string { return t.layout().drawing }

// Address is a node's own address in the reference topology; a director's and
// the router's are the same in all.
func Address(name string) netip.Addr { return DR.Address(name) }

// HardwareAddress is the MAC of a node's LANInterface in the reference
// topology: 02:00 and the address.
func HardwareAddress(name string) net.HardwareAddr { return macOf(Address(name)) }

func macOf(a netip.Addr) net.HardwareAddr {
	if !a.Is4() {
		return nil
	}
	b := a.As4()
	return net.HardwareAddr{0x02, 0x00, b[0], b[1], b[2], b[3]}
}

// ipv6Of is the IPv6 address that goes with an IPv4 one: 192.168.16.102 and
// 2001:db8:16::102.
func ipv6Of(a netip.Addr) netip.Addr {
	b := a.As4()
	// Read as decimal digits, which are hexadecimal ones as well.
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", b[2], b[3]))
}

func (t Topology) node(name string) (node, error) {
	for _, n := range t.layout().nodes {
		if n.name == name {
			return n, nil
		}
	}
	return node{}, fmt.Errorf("find node %q: the lab has %s", name, strings.Join(t.Nodes(), ", "))
}

func isDirector(name string) bool { return name == LVSA || name == LVSB }

func isServer(name string) bool { return name == RS1 || name == RS2 }

// other is the director that is not this one.
func other(director string) string {
	if director == LVSA {
		return LVSB
	}
	return LVSA
}

func namespaceName(lab, node string) string { return lab + "-" + node }

// far is the other end of a leg's cable, where it is cut: the node sees its
// carrier go as with a pulled plug, nothing in the node is touched.
func (n node) far(l leg) place {
	switch {
	case l.bridge == "":
		return l.to
	case l.iface == n.legs[0].iface:
		return place{SwitchNode, n.name}
	}
	return place{SwitchNode, n.name + "-" + l.iface}
}

// hardwareAddress is the MAC of an interface: that of its address.
func (t Topology) hardwareAddress(p place) (net.HardwareAddr, error) {
	n, err := t.node(p.node)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(n.legs, func(l leg) bool { return l.iface == p.iface })
	if i < 0 {
		return nil, fmt.Errorf("find interface %s of %s: it has none", p.iface, p.node)
	}
	return macOf(n.legs[i].address.Addr()), nil
}

// port is the far end of a node's first cable.
func (t Topology) port(name string) (place, error) {
	n, err := t.node(name)
	if err != nil {
		return place{}, err
	}
	if len(n.legs) == 0 {
		return place{}, fmt.Errorf("cut %s: the switch has no cable of its own, cut one of its nodes", name)
	}
	return n.far(n.legs[0]), nil
}
