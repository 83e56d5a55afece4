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
	ClientNode = "client"
	RouterNode = "router"
	SwitchNode = "lan" // a bridge; its ports bear the names of the nodes behind them
	LVSA       = "lvs-a"
	LVSB       = "lvs-b"
	RS1        = "rs1"
	RS2        = "rs2"
)

// Interfaces inside the nodes.
const (
	LANInterface    = "eth0" // towards the switch; the client's towards the router
	ClientInterface = "eth1" // the router's towards the client
	bridgeName      = "br0"
)

// VIP is the virtual address, ServicePort the balanced port.
var VIP = netip.MustParseAddr("192.168.16.200")

// ServicePort is the port of the virtual service and of the real servers.
const ServicePort = 80

type node struct {
	name     string
	lan      netip.Prefix // on LANInterface
	wan      netip.Prefix // on ClientInterface, the router's alone
	gateway  netip.Addr
	forwards bool
	vip      bool // real server of LVS-DR: holds the VIP on lo and hides it from ARP
}

var nodes = []node{
	{name: SwitchNode},
	{name: RouterNode, lan: netip.MustParsePrefix("192.168.16.101/24"), wan: netip.MustParsePrefix("192.168.17.101/24"), forwards: true},
	{name: ClientNode, lan: netip.MustParsePrefix("192.168.17.105/24"), gateway: netip.MustParseAddr("192.168.17.101")},
	{name: LVSA, lan: netip.MustParsePrefix("192.168.16.102/24"), gateway: netip.MustParseAddr("192.168.16.101")},
	{name: LVSB, lan: netip.MustParsePrefix("192.168.16.112/24"), gateway: netip.MustParseAddr("192.168.16.101")},
	{name: RS1, lan: netip.MustParsePrefix("192.168.16.103/24"), gateway: netip.MustParseAddr("192.168.16.101"), vip: true},
	{name: RS2, lan: netip.MustParsePrefix("192.168.16.104/24"), gateway: netip.MustParseAddr("192.168.16.101"), vip: true},
}

// Nodes returns the names of all nodes, the switch first.
func Nodes() []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.name
	}
	return names
}

// Address is a node's own address, on the LAN except for the client's. It is
// the zero Addr for the switch and for names that are no node.
func Address(name string) netip.Addr {
	n, err := nodeByName(name)
	if err != nil {
		return netip.Addr{}
	}
	return n.lan.Addr()
}

// HardwareAddress is the MAC of a node's LANInterface: 02:00 and the address.
func HardwareAddress(name string) net.HardwareAddr { return macOf(Address(name)) }

func macOf(a netip.Addr) net.HardwareAddr {
	if !a.Is4() {
		return nil
	}
	b := a.As4()
	return net.HardwareAddr{0x02, 0x00, b[0], b[1], b[2], b[3]}
}

func nodeByName(name string) (node, error) {
	i := slices.IndexFunc(nodes, func(n node) bool { return n.name == name })
	if i < 0 {
		return node{}, fmt.Errorf("find node %q: the lab has %s", name, strings.Join(Nodes(), ", "))
	}
	return nodes[i], nil
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

// port is the far end of a node's cable, where it is cut: the node sees its
// carrier go as with a pulled plug, nothing in the node is touched.
func port(name string) (namespaceNode, iface string, err error) {
	n, err := nodeByName(name)
	switch {
	case err != nil:
		return "", "", err
	case n.name == SwitchNode:
		return "", "", fmt.Errorf("cut %s: the switch has no cable of its own, cut one of its nodes", name)
	case n.name == ClientNode:
		return RouterNode, ClientInterface, nil
	}
	return SwitchNode, n.name, nil
}

// Drawing is the topology for a terminal, no wider than 76 columns.
func Drawing() string {
	return `
  client .105 ──── 192.168.17.0/24 ──── .101 router .101
                                                │
  ┌────────────┬──── LAN 192.168.16.0/24 ───────┴───┬────────────┐
  │            │                                    │            │
  lvs-a .102   lvs-b .112                           rs1 .103     rs2 .104
  director     director                             VIP on lo, hidden from ARP
  └─── VIP 192.168.16.200:80, held by one ───┘      answer with their own name
`
}
