package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"baton/healthcheck"
	"baton/ipvs"
)

// check is one check as the file has it.
type check interface {
	word() string // of its table
	kind() healthcheck.Kind
	base() *rawCheck
	// fill sets what its kind has; what it does not say comes from tmpl, which
	// is of the same type.
	fill(c *checkBuilder, s *healthcheck.Spec, tmpl check)
}

func (c *rawCheck) base() *rawCheck { return c }

// applied is a check that a server is to have.
type applied struct {
	own, tmpl check
	label     string // what its ID ends with
	inherited bool   // own stands in the virtual_server
}

// list returns the checks of a table.
func (c *rawChecks) list() []check {
	var out []check
	out = appendChecks(out, c.TCPCheck)
	out = appendChecks(out, c.HTTPGet)
	out = appendChecks(out, c.HTTPSGet)
	out = appendChecks(out, c.DNSCheck)
	out = appendChecks(out, c.SMTPCheck)
	out = appendChecks(out, c.UDPCheck)
	out = appendChecks(out, c.PingCheck)
	out = appendChecks(out, c.GRPCCheck)
	out = appendChecks(out, c.MiscCheck)
	return appendChecks(out, c.FileCheck)
}

func appendChecks[T any, P interface {
	*T
	check
}](out []check, list []T) []check {
	for i := range list {
		out = append(out, P(&list[i]))
	}
	return out
}

// checksOnce is checks, built for the first node only where no node has values
// of its own.
func (b *builder) checksOnce(r *rawVirtualServer, rs *rawRealServer, on *served, server ipvs.ServerKey) []healthcheck.Spec {
	if rs.built {
		return rs.checks
	}
	b.individual = false
	specs := b.checks(r, rs, on, server)
	if !b.individual {
		rs.built, rs.checks = true, specs
	}
	return specs
}

// checks returns the health checks of one server.
func (b *builder) checks(r *rawVirtualServer, rs *rawRealServer, on *served, server ipvs.ServerKey) []healthcheck.Spec {
	at := netip.AddrPortFrom(server.Address, server.Port)
	own := b.ownChecks(rs, r)
	alike := own == nil && !rs.rawTimings.given() && at.Port() != 0
	if alike && r.alike != nil && r.alikeOn == b.node {
		return r.sameFor(on, at)
	}
	if own == nil {
		own = b.templates(r)
	}
	if len(own) == 0 {
		if !rs.Checks.set && !r.Checks.set {
			b.unchecked = append(b.unchecked, rs.path)
		}
		return nil
	}
	before := b.kept[SeverityError] + b.more
	out := make([]healthcheck.Spec, len(own))
	likes := make([]likeness, len(own))
	for i, a := range own {
		c := checkBuilder{b: b, on: on, vs: r, rs: rs, applied: a}
		s := healthcheck.Spec{ID: on.name + " " + at.String() + " " + a.label, Kind: a.own.kind()}
		likes[i].ip, likes[i].port = c.common(&s, at)
		a.own.fill(&c, &s, a.tmpl)
		c.validate(s)
		out[i], likes[i].spec = s, s
	}
	if alike && !b.individual && before == b.kept[SeverityError]+b.more {
		r.alike, r.alikeOn = likes, b.node
	}
	return out
}

// ownChecks are those in the server itself and those that it names, nil where it
// says nothing of checks: with checks = [] it has none. What one in the server does
// not say comes from the virtual_server's first of its kind.
func (b *builder) ownChecks(rs *rawRealServer, r *rawVirtualServer) []applied {
	own := rs.rawChecks.list()
	if len(own) == 0 && !rs.Checks.set {
		return nil
	}
	templates := r.rawChecks.list()
	out := make([]applied, len(own))
	for i, c := range own {
		tmpl := c
		if j := slices.IndexFunc(templates, func(t check) bool { return t.word() == c.word() }); j >= 0 {
			tmpl = templates[j]
		}
		out[i] = applied{own: c, tmpl: tmpl, label: labelOf(own, i, "")}
	}
	return append(out, b.namedChecks(&rs.Checks, false)...)
}

// templates are the checks of servers that have none of their own.
func (b *builder) templates(r *rawVirtualServer) []applied {
	own := r.rawChecks.list()
	out := make([]applied, len(own))
	for i, c := range own {
		out[i] = applied{c, c, labelOf(own, i, ""), true}
	}
	return append(out, b.namedChecks(&r.Checks, true)...)
}

// namedChecks are those of the [check.NAME] that a table names.
func (b *builder) namedChecks(v *value[texts], inherited bool) []applied {
	var out []applied
	for i, name := range v.v {
		at := element(v.path(), i)
		n, known := b.raw.Checks[name]
		switch {
		case !known:
			names := make([]string, 0, len(b.raw.Checks))
			for name := range b.raw.Checks {
				names = append(names, name)
			}
			b.missing(at, "check", name, names)
			continue
		case slices.Contains(v.v[:i], name):
			b.errorf(at, "%s stands there twice", name).remedy("remove it")
			continue
		}
		b.namedUsed[name] = true
		b.use(name)
		list := n.rawChecks.list()
		for j, c := range list {
			out = append(out, applied{c, c, labelOf(list, j, "/"+name), inherited})
		}
	}
	return out
}

// use notes that the virtual_server that is being built uses a check table.
func (b *builder) use(name string) {
	if b.uses == nil {
		b.uses = map[int]map[string]bool{}
	}
	if b.uses[b.serving] == nil {
		b.uses[b.serving] = map[string]bool{}
	}
	b.uses[b.serving][name] = true
}

// labelOf is how the ID of one of several checks ends: the word of its table,
// behind it the name of the [check.NAME] that it is in, and from the second of a
// kind on its number.
func labelOf(list []check, i int, name string) string {
	n := 1
	for _, c := range list[:i] {
		if c.word() == list[i].word() {
			n++
		}
	}
	label := list[i].word() + name
	if n > 1 {
		label = fmt.Sprintf("%s#%d", label, n)
	}
	return label
}

// checkNames checks the names of the [check.NAME] tables, and that there is
// something in each.
func (b *builder) checkNames() {
	b.namedUsed = map[string]bool{}
	for _, s := range b.rest {
		for _, name := range s.checks {
			b.namedUsed[name] = true
		}
	}
	for name, n := range b.raw.Checks {
		switch {
		case name == "" || len(name) > 64 || strings.ContainsAny(name, " \t/#") || !b.text(n.path, name):
			b.errorf(n.path, "%q is not a name", clip(name)).remedy("use 1 to 64 characters without spaces, slashes and #")
		case len(n.rawChecks.list()) == 0 && !b.recovered:
			b.errorf(n.path, "has no check in it").remedy("add a table, as in [%s.tcp_check]", heading(n.path))
		}
	}
}

// unusedChecks tells of those that nobody looked at.
func (b *builder) unusedChecks() {
	for name, n := range b.raw.Checks {
		if !b.namedUsed[name] {
			b.warnf(n.path, "nothing uses this check").remedy("add it to checks of a virtual_server or real_server, or remove it")
		}
	}
}

// sameFor copies the checks of a server that is like this one but for its
// address: validating the same template for ten thousand servers takes longer
// than all the rest.
func (r *rawVirtualServer) sameFor(on *served, at netip.AddrPort) []healthcheck.Spec {
	out := make([]healthcheck.Spec, len(r.alike))
	for i, l := range r.alike {
		s := l.spec
		s.ID = on.name + " " + at.String() + s.ID[strings.LastIndexByte(s.ID, ' '):]
		target := at
		if l.ip {
			target = netip.AddrPortFrom(s.Target.Addr(), target.Port())
		}
		if l.port {
			target = netip.AddrPortFrom(target.Addr(), s.Target.Port())
		}
		s.Target = target
		out[i] = s
	}
	return out
}

// likeness is a check that is the same for every server but for what it is
// reached at, or a part of that.
type likeness struct {
	spec     healthcheck.Spec
	ip, port bool // of the template, and not the server's own
}
