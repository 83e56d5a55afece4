package lab

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLayouts looks for what would make a network that does not work: an
// address twice, a gateway that is not there, a cable with no other end.
func TestLayouts(t *testing.T) {
	for _, top := range Topologies() {
		seen := map[netip.Addr]string{VIP: "VIP"}
		networks := map[netip.Prefix]string{}
		ports := map[place]string{}
		nodes := top.layout().nodes
		for _, n := range nodes {
			for _, l := range n.legs {
				if was, ok := seen[l.address.Addr()]; ok {
					t.Errorf("%s: %s of %s is also %s's", top, l.address, n.name, was)
				}
				seen[l.address.Addr()] = n.name
				if was, ok := networks[l.address.Masked()]; ok && was != l.bridge {
					t.Errorf("%s: %s is plugged into %q and %q", top, l.address.Masked(), was, l.bridge)
				}
				networks[l.address.Masked()] = l.bridge
				far := n.far(l)
				if was, ok := ports[far]; ok && far.node != "" {
					t.Errorf("%s: the cables of %s and %s end at the same %v", top, was, n.name, far)
				}
				ports[far] = n.name
				if len(far.iface) > 15 {
					t.Errorf("%s: %s is longer than a name of an interface may be", top, far.iface)
				}
			}
		}
		if top == NAT {
			seen[InnerVIP] = "the master's"
		}
		for _, n := range nodes {
			if !n.gateway.IsValid() {
				continue
			}
			if seen[n.gateway] == "" {
				t.Errorf("%s: the gateway of %s, %s, is nobody", top, n.name, n.gateway)
			}
			if !slices.ContainsFunc(n.legs, func(l leg) bool { return l.address.Contains(n.gateway) }) {
				t.Errorf("%s: %s has no interface in the network of its gateway %s", top, n.name, n.gateway)
			}
		}
		if _, err := top.hardwareAddress(top.layout().answers); err != nil {
			t.Errorf("%s: answers: %v", top, err)
		}
		for line := range strings.Lines(top.Drawing()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 79 {
				t.Errorf("%s: %d columns: %s", top, n, line)
			}
		}
	}
}

// TestFirstAddressesStayTheSame: what is written for the reference topology, as
// a capture's filter, holds for the directors of every other one.
func TestFirstAddressesStayTheSame(t *testing.T) {
	for _, top := range Topologies() {
		for _, node := range []string{RouterNode, ClientNode, LVSA, LVSB} {
			if got := top.Address(node); got != Address(node) {
				t.Errorf("%s: %s has %s, not %s", top, node, got, Address(node))
			}
		}
	}
}

func TestUnknownTopologyIsRefused(t *testing.T) {
	_, err := ConfigText(Options{Topology: "bridge"})
	if err == nil || err.Error() != `arrange lab as "bridge": there are dr, dr-routed, nat, tun` {
		t.Errorf("%v", err)
	}
}
