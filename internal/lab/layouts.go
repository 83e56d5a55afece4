package lab

import "net/netip"

// The networks: a bridge each, but for the client's where nobody but the
// router is on it.
const (
	lanBridge    = "br0" // 192.168.16.0/24, the directors'
	clientBridge = "br1" // 192.168.17.0/24
	innerBridge  = "br2" // 192.168.18.0/24, the real servers' where they have one
)

func onLAN(host byte) leg { return legOn(LANInterface, 16, host, lanBridge) }

func onInner(iface string, host byte) leg { return legOn(iface, 18, host, innerBridge) }

func onClients(iface string, host byte, bridge string) leg { return legOn(iface, 17, host, bridge) }

func legOn(iface string, network, host byte, bridge string) leg {
	return leg{iface: iface, address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, network, host}), 24), bridge: bridge}
}

// Addresses of routers, by network.
var (
	lanRouter    = netip.MustParseAddr("192.168.16.101")
	clientRouter = netip.MustParseAddr("192.168.17.101")
	innerRouter  = netip.MustParseAddr("192.168.18.101")
)

var toRouter = leg{iface: LANInterface, address: netip.MustParsePrefix("192.168.17.105/24"), to: place{RouterNode, ClientInterface}}

// layouts has every topology. A node has the same host number in whichever
// network it is, and the directors' first legs are the same everywhere.
var layouts = map[Topology]layout{
	DR: {
		kind: "DR", port: ServicePort, answers: place{RouterNode, LANInterface},
		nodes: []node{
			{name: SwitchNode},
			{name: RouterNode, legs: []leg{onLAN(101), onClients(ClientInterface, 101, "")}, forwards: true},
			{name: ClientNode, legs: []leg{toRouter}, gateway: clientRouter},
			{name: LVSA, legs: []leg{onLAN(102)}, gateway: lanRouter},
			{name: LVSB, legs: []leg{onLAN(112)}, gateway: lanRouter},
			{name: RS1, legs: []leg{onLAN(103)}, gateway: lanRouter, vip: "lo"},
			{name: RS2, legs: []leg{onLAN(104)}, gateway: lanRouter, vip: "lo"},
		},
		sentence: "directors, real servers and VIP on one LAN: the reference",
		drawing: `
  client .105 ──── 192.168.17.0/24 ──── .101 router .101
                                                │
  ┌────────────┬──── LAN 192.168.16.0/24 ───────┴───┬────────────┐
  │            │                                    │            │
  lvs-a .102   lvs-b .112                           rs1 .103     rs2 .104
  director     director                             VIP on lo, hidden from ARP
  └─── VIP 192.168.16.200:80, held by one ───┘      answer with their own name
`},
	DRRouted: {
		kind: "DR", port: ServicePort, answers: place{Router2Node, ClientInterface},
		nodes: []node{
			{name: SwitchNode},
			{name: RouterNode, legs: []leg{onLAN(101), onClients(ClientInterface, 101, clientBridge)}, forwards: true},
			{name: Router2Node, legs: []leg{onInner(LANInterface, 101), onClients(ClientInterface, 102, clientBridge)}, forwards: true},
			{name: ClientNode, legs: []leg{onClients(LANInterface, 105, clientBridge)}, gateway: clientRouter},
			{name: LVSA, legs: []leg{onLAN(102), onInner(InnerInterface, 102)}, gateway: lanRouter},
			{name: LVSB, legs: []leg{onLAN(112), onInner(InnerInterface, 112)}, gateway: lanRouter},
			{name: RS1, legs: []leg{onInner(LANInterface, 103)}, gateway: innerRouter, vip: "lo"},
			{name: RS2, legs: []leg{onInner(LANInterface, 104)}, gateway: innerRouter, vip: "lo"},
		},
		sentence: "the VIP in another network than the real servers, whose answers take a router of their own",
		drawing: `
  client .105 ─┬── 192.168.17.0/24 ──────── .101 router .101
               │                                    │ requests
               │       ┌────────┬── 192.168.16.0/24 ┘
               │       │        │   VIP 192.168.16.200:80, held by one
               │       lvs-a    lvs-b
               │       .102     .112
               │       └────────┴── 192.168.18.0/24 ┬───────────┬───────┐
               │                                    │           │       │
               └────── .102 router2 .101 ───────────┘       rs1 .103  rs2 .104
                       answers                              VIP on lo
`},
	NAT: {
		kind: "NAT", port: 8080, answers: place{RouterNode, LANInterface},
		nodes: []node{
			{name: SwitchNode},
			{name: RouterNode, legs: []leg{onLAN(101), onClients(ClientInterface, 101, "")}, forwards: true},
			{name: ClientNode, legs: []leg{toRouter}, gateway: clientRouter},
			{name: LVSA, legs: []leg{onLAN(102), onInner(InnerInterface, 102)}, gateway: lanRouter, forwards: true},
			{name: LVSB, legs: []leg{onLAN(112), onInner(InnerInterface, 112)}, gateway: lanRouter, forwards: true},
			{name: RS1, legs: []leg{onInner(LANInterface, 103)}, gateway: InnerVIP},
			{name: RS2, legs: []leg{onInner(LANInterface, 104)}, gateway: InnerVIP},
		},
		sentence: "the real servers behind the directors, on port 8080",
		drawing: `
  client .105 ──── 192.168.17.0/24 ──── .101 router .101
                                                │
               ┌──────────┬── 192.168.16.0/24 ──┘
               │          │   VIP 192.168.16.200:80, held by one
               lvs-a      lvs-b
               .102       .112
               │          │   .200, their gateway, moves with the VIP
               └──────────┴── 192.168.18.0/24 ──┬───────────────┐
                                                │               │
                                           rs1 .103:8080   rs2 .104:8080
`},
	TUN: {
		kind: "TUN", port: ServicePort, answers: place{RouterNode, ClientInterface},
		nodes: []node{
			{name: SwitchNode},
			{name: RouterNode, legs: []leg{onLAN(101), onClients(ClientInterface, 101, ""), onInner("eth2", 101)}, forwards: true},
			{name: ClientNode, legs: []leg{toRouter}, gateway: clientRouter},
			{name: LVSA, legs: []leg{onLAN(102)}, gateway: lanRouter},
			{name: LVSB, legs: []leg{onLAN(112)}, gateway: lanRouter},
			{name: RS1, legs: []leg{onInner(LANInterface, 103)}, gateway: innerRouter, vip: tunnelDevice},
			{name: RS2, legs: []leg{onInner(LANInterface, 104)}, gateway: innerRouter, vip: tunnelDevice},
		},
		sentence: "the real servers behind a router, reached through tunnels",
		drawing: `
  client .105 ──── 192.168.17.0/24 ──── .101 router .101 ──── 192.168.18.0/24
                                         .101 │                    │
  ┌────────────┬──── 192.168.16.0/24 ─────────┘        ┌───────────┤
  │            │                                       │           │
  lvs-a .102   lvs-b .112                              rs1 .103    rs2 .104
  director     director       tunnels (IP in IP)       VIP on tunl0, hidden
  └─── VIP 192.168.16.200:80, held by one ───┘         from ARP
`},
}
