package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/netif"
	"baton/vrrp"
)

// Addresses groups an instance's addresses by the interface they belong on; the
// instance's own interface is among them, with or without.
func Addresses(c vrrp.Config) map[string][]netif.Addr {
	m := map[string][]netif.Addr{c.Interface: nil}
	for _, a := range c.All() {
		dev := c.AddressDevice(a)
		m[dev] = append(m[dev], netif.Addr{Prefix: a.Prefix, Label: a.Label, Scope: a.Scope})
	}
	return m
}

// Routes are the instance's virtual routes. One on the link, or via an address
// that every link has, is on the instance's own interface.
func Routes(c vrrp.Config) []netif.Route {
	out := make([]netif.Route, 0, len(c.Routes))
	for _, r := range c.Routes {
		if r.Device == "" && (!r.Via.IsValid() || r.Via.IsLinkLocalUnicast()) {
			r.Device = c.AddressDevice(vrrp.Address{})
		}
		out = append(out, netif.Route{Destination: r.Destination, Via: r.Via, Source: r.Source, Device: r.Device,
			Table: r.Table, Metric: r.Metric, Scope: r.Scope, MTU: r.MTU})
	}
	return out
}

// Rules are the instance's virtual rules.
func Rules(c vrrp.Config) []netif.Rule {
	out := make([]netif.Rule, 0, len(c.Rules))
	for _, r := range c.Rules {
		out = append(out, netif.Rule{IPv6: r.Family == vrrp.IPv6, From: r.From, To: r.To, IIF: r.IIF, OIF: r.OIF,
			Mark: r.Mark, Priority: r.Priority, Table: r.Table})
	}
	return out
}

// Network is what of addresses, routes and rules the kernel has.
type Network struct {
	Interfaces map[string]Interface // by name; one that does not exist is not in it
	Routes     []netif.Route        // ours
	Rules      []netif.Rule         // ours
}

// Interface is the addresses of one.
type Interface struct {
	Present []netip.Prefix
	Ours    []netip.Prefix // those of them that Baton has added
}

// network plans addresses, and with them routes and rules, where a running
// director says which instances are master here. They appear in this order and
// disappear in the reverse one, as the director does it.
func (p *planner) network(cfg *conf.Config) (add, remove []string) {
	if p.now.Status == nil {
		return nil, nil
	}
	wanted := map[string][]netip.Prefix{}
	var routes []netif.Route
	var rules []netif.Rule
	var paths []string
	for _, i := range cfg.Instances {
		if !isMaster(p.now.Status, i.Name) {
			continue
		}
		by := Addresses(i)
		for _, dev := range sorted(by) {
			there, exists := p.now.Network.Interfaces[dev]
			if !exists && len(by[dev]) > 0 {
				p.note("vrrp_instance %s: there is no interface %s for its addresses", i.Name, dev)
				continue
			}
			for _, a := range by[dev] {
				wanted[dev] = append(wanted[dev], a.Prefix)
				if !slices.Contains(there.Present, a.Prefix) {
					add = append(add, addAddress(a, dev))
				}
			}
		}
		for _, r := range Routes(i) {
			routes = append(routes, r)
			if !slices.ContainsFunc(p.now.Network.Routes, r.MetBy) {
				paths = append(paths, fmt.Sprintf("ip route add %s proto %d", r, netif.RouteTag))
			}
		}
		for _, r := range Rules(i) {
			rules = append(rules, r)
			if !slices.ContainsFunc(p.now.Network.Rules, r.MetBy) {
				paths = append(paths, fmt.Sprintf("%s add %s protocol %d", ruleCommand(r), r, netif.RouteTag))
			}
		}
	}
	for _, r := range p.now.Network.Rules {
		if !slices.ContainsFunc(rules, func(w netif.Rule) bool { return w.MetBy(r) }) {
			remove = append(remove, fmt.Sprintf("%s del %s", ruleCommand(r), r))
		}
	}
	for _, r := range p.now.Network.Routes {
		if !slices.ContainsFunc(routes, func(w netif.Route) bool { return w.MetBy(r) }) {
			remove = append(remove, fmt.Sprintf("ip route del %s", r))
		}
	}
	for _, dev := range sorted(p.now.Network.Interfaces) {
		for _, a := range p.now.Network.Interfaces[dev].Ours {
			if !slices.Contains(wanted[dev], a) {
				remove = append(remove, fmt.Sprintf("ip address del %s dev %s", a, dev))
			}
		}
	}
	return append(add, paths...), remove
}

func isMaster(st *control.Status, instance string) bool {
	return slices.ContainsFunc(st.Instances, func(i control.Instance) bool { return i.Name == instance && i.State == "MASTER" })
}

// addAddress is the command for what netif would do, but for the tag: ip(8)
// cannot set it everywhere.
func addAddress(a netif.Addr, dev string) string {
	c := []string{"ip address add", a.Prefix.String(), "dev", dev}
	if a.Label != "" {
		c = append(c, "label", a.Label)
	}
	if a.Scope != "" {
		c = append(c, "scope", a.Scope)
	}
	if a.Prefix.Addr().Is6() {
		if a.Prefix.IsSingleIP() {
			c = append(c, "preferred_lft 0")
		}
		c = append(c, "nodad")
	}
	return strings.Join(c, " ")
}

func ruleCommand(r netif.Rule) string {
	if r.IPv6 {
		return "ip -6 rule"
	}
	return "ip rule"
}
