package conf

import (
	"net/netip"
	"strconv"
	"strings"

	"baton/vrrp"
)

// expand reads a route as keepalived and ip route write it:
// "[src A] [to] NETWORK via A dev NAME table N".
func (r *rawRoute) expand(d *decoder, path, text string) map[string]any {
	m := d.words(path, text, "to", map[string]string{
		"to": "to", "via": "via", "gw": "via", "dev": "dev", "src": "src", "table": "table",
		"metric": "metric", "priority": "metric", "preference": "metric", "scope": "scope", "mtu": "mtu",
	}, `{ to = "192.0.2.0/24", via = "10.0.0.1" }`)
	r.broken = m == nil
	return m
}

// expand reads a rule as keepalived and ip rule write it:
// "from NETWORK to NETWORK iif NAME fwmark N priority N table N".
func (r *rawRule) expand(d *decoder, path, text string) map[string]any {
	m := d.words(path, text, "", map[string]string{
		"from": "from", "to": "to", "iif": "iif", "oif": "oif", "fwmark": "fwmark",
		"priority": "priority", "preference": "priority", "pref": "priority", "order": "priority",
		"table": "table", "lookup": "table",
	}, `{ from = "192.0.2.0/24", priority = 100, table = 100 }`)
	r.broken = m == nil
	return m
}

// words turns "word value word value …" into keys. first is the key of a value
// that no word stands before, if there may be one.
func (d *decoder) words(path, text, first string, known map[string]string, table string) map[string]any {
	m := map[string]any{}
	fail := func(format string, args ...any) map[string]any {
		d.errorf(path, format, args...).remedy("write a table: %s", table)
		return nil
	}
	fields := strings.Fields(text)
	for i := 0; i < len(fields); {
		word, key := fields[i], known[fields[i]]
		switch {
		case key == "" && first != "" && m[first] == nil:
			key = first
		case key == "":
			return fail("%q is not a word that is known here", clip(word))
		case i+1 == len(fields):
			return fail("%q has no value behind it", word)
		default:
			i++
		}
		if m[key] != nil {
			return fail("%q is given twice", key)
		}
		m[key] = fields[i]
		switch key {
		case "table", "metric", "mtu", "priority", "fwmark":
			n, err := strconv.ParseInt(fields[i], 0, 64)
			if err != nil {
				return fail("%q is not a number", clip(fields[i]))
			}
			m[key] = n
		}
		d.alias[join(path, key)] = path
		i++
	}
	return m
}

func (b *builder) routes(r *rawInstance) []vrrp.Route {
	type place struct {
		to            netip.Prefix
		table, metric uint32
	}
	seen := map[place]string{}
	var out []vrrp.Route
	for i := range r.VirtualRoutes {
		rr := &r.VirtualRoutes[i]
		if rr.broken {
			continue
		}
		x := vrrp.Route{
			Device: rr.Dev.get(b.node), Via: rr.Via.get(b.node), Source: rr.Src.get(b.node),
			Table: uint32(rr.Table.v), Metric: uint32(rr.Metric.v), Scope: rr.Scope.v, MTU: uint32(rr.MTU.v),
		}
		if rr.Dev.given(b.node) {
			b.interfaceName(rr.Dev.at(b.node), x.Device)
		}
		if !rr.To.set || rr.To.bad {
			continue
		}
		var ok bool
		if x.Destination, ok = b.network(&rr.To, rr.Via.given(b.node) && x.Via.Is6()); !ok {
			continue
		}
		b.gateway(rr, x)
		at := place{x.Destination, x.Table, x.Metric}
		if at.table == 0 {
			at.table = 254
		}
		if first, dup := seen[at]; dup {
			b.errorf(rr.To.path(), "the route to %s stands in %s already", x.Destination, b.where(first)).remedy("remove one of the two, or give them different metrics")
		}
		seen[at] = b.real(rr.To.path())
		out = append(out, x)
	}
	return out
}

// gateway checks how a route leaves.
func (b *builder) gateway(rr *rawRoute, x vrrp.Route) {
	to := x.Destination
	for _, a := range []*nodeValue[netip.Addr]{&rr.Via, &rr.Src} {
		if !a.given(b.node) {
			continue
		}
		if ip := a.get(b.node); ip.Is4() != to.Addr().Is4() {
			b.errorf(a.at(b.node), "%s and %s are of two families", ip, to).remedy("use one family for a route")
		} else if !unicast(ip) {
			b.errorf(a.at(b.node), "%s is not the address of a host", ip).remedy("use a unicast address")
		}
	}
	switch {
	case !rr.Via.set && !rr.Dev.set:
		b.errorf(rr.path, "has neither via nor dev").remedy(`add via = "10.0.0.1" or dev = "eth1"`)
	case rr.Via.given(b.node) && x.Via.Is6() && x.Via.IsLinkLocalUnicast() && !rr.Dev.set:
		b.errorf(rr.Via.at(b.node), "%s is link-local: every link has it", x.Via).remedy(`add dev = "eth1"`)
	}
}

// network reads the network that a route or a rule is about. "default" is
// everything, IPv4's unless six.
func (b *builder) network(v *value[string], six bool) (netip.Prefix, bool) {
	switch {
	case v.v == "default" && six:
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), true
	case v.v == "default":
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	}
	p, err := netip.ParsePrefix(v.v)
	if err != nil {
		a, err := netip.ParseAddr(v.v)
		if err != nil || a.Zone() != "" {
			b.errorf(v.path(), "%q is not a network", clip(v.v)).remedy(`write "192.0.2.0/24" or "default"`)
			return p, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.Addr().Is4In6():
		b.errorf(v.path(), "%s is an IPv4 network written as an IPv6 one", p).remedy("write %q", netip.PrefixFrom(p.Addr().Unmap(), max(p.Bits()-96, 0)))
	case p != p.Masked():
		b.errorf(v.path(), "%s is an address in a network, not the network", p).remedy("write %q", p.Masked())
	default:
		return p, true
	}
	return p, false
}

func (b *builder) rules(r *rawInstance, family vrrp.Family) []vrrp.Rule {
	seen := map[vrrp.Rule]string{}
	var out []vrrp.Rule
	for i := range r.VirtualRules {
		rr := &r.VirtualRules[i]
		if rr.broken {
			continue
		}
		x := vrrp.Rule{
			IIF: rr.IIF.get(b.node), OIF: rr.OIF.get(b.node), Mark: uint32(rr.FWMark.v),
			Priority: uint32(rr.Priority.v), Table: uint32(rr.Table.v),
		}
		for _, dev := range []*nodeValue[string]{&rr.IIF, &rr.OIF} {
			if dev.given(b.node) {
				b.interfaceName(dev.at(b.node), dev.get(b.node))
			}
		}
		if !b.selectors(rr, &x, family) || rr.Priority.v == 0 || rr.Table.v == 0 {
			continue
		}
		if first, dup := seen[x]; dup {
			b.errorf(rr.path, "the same rule stands in %s already", b.where(first)).remedy("remove one of the two")
			continue
		}
		seen[x] = rr.path
		out = append(out, x)
	}
	return out
}

// selectors reads which packets a rule is for, and of which family.
func (b *builder) selectors(rr *rawRule, x *vrrp.Rule, family vrrp.Family) bool {
	six := rr.Family.v == "inet6" || rr.Family.v == "" && family == vrrp.IPv6
	ok := true
	read := func(v *value[string]) (p netip.Prefix) {
		if !v.set {
			return p
		}
		if v.bad {
			ok = false
			return p
		}
		p, good := b.network(v, six)
		ok = ok && good
		return p
	}
	x.From, x.To = read(&rr.From), read(&rr.To)
	if !ok {
		return false
	}
	x.Family = family
	if rr.Family.v != "" {
		x.Family = vrrp.IPv4
		if six {
			x.Family = vrrp.IPv6
		}
	} else if p := x.From; p.IsValid() || x.To.IsValid() {
		if !p.IsValid() {
			p = x.To
		}
		x.Family = vrrp.IPv6
		if p.Addr().Is4() {
			x.Family = vrrp.IPv4
		}
	}
	for _, v := range []struct {
		p  netip.Prefix
		at string
	}{{x.From, rr.From.path()}, {x.To, rr.To.path()}} {
		if v.p.IsValid() && v.p.Addr().Is4() != (x.Family == vrrp.IPv4) {
			b.errorf(v.at, "%s is not of the rule's family, %s", v.p, familyName(x.Family)).remedy("use one family for a rule")
			ok = false
		}
	}
	if !rr.From.set && !rr.To.set && !rr.IIF.set && !rr.OIF.set && !rr.FWMark.set {
		b.errorf(rr.path, "is for every packet of this machine").remedy("add from, to, iif, oif or fwmark")
		ok = false
	}
	return ok
}
