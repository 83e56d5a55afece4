package conf

import (
	"cmp"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"baton/healthcheck"
	"baton/ipvs"
)

// Pause before a retry where the file names none: keepalived's.
const (
	tcpRetryDelay  = time.Second
	httpRetryDelay = 3 * time.Second
)

// checksOnce is checks, built for the first node only.
func (b *builder) checksOnce(r *rawVirtualServer, rs *rawRealServer, on *served, server ipvs.ServerKey) []healthcheck.Spec {
	if !rs.checked {
		rs.checked, rs.checks = true, b.checks(r, rs, on, server)
	}
	return rs.checks
}

// checks returns the health checks of one server: its own if it has any, else
// the service's templates. A check of its own takes what it does not say from
// the template of the same kind.
func (b *builder) checks(r *rawVirtualServer, rs *rawRealServer, on *served, server ipvs.ServerKey) []healthcheck.Spec {
	at := netip.AddrPortFrom(server.Address, server.Port)
	own, tmpl := &rs.rawChecks, &r.rawChecks
	inherited := own.none()
	if inherited {
		if tmpl.none() {
			b.warnf(rs.path, "has no health check: it stays in the pool whatever happens to it").
				remedy("add a tcp_check or http_get here or in the virtual_server")
			return nil
		}
		own = tmpl
	}
	alike := inherited && !rs.rawTimings.given() && at.Port() != 0
	if alike && r.alike != nil {
		return r.sameFor(on, at)
	}
	before := b.kept[SeverityError] + b.more
	var out []healthcheck.Spec
	var likes []likeness
	add := func(word string, kind healthcheck.Kind, own, tmpl common) {
		c := checkBuilder{b: b, on: on, vs: r, rs: rs, own: own, tmpl: tmpl, inherited: inherited}
		s := healthcheck.Spec{ID: on.name + " " + at.String() + " " + word, Kind: kind}
		c.common(&s, at)
		if kind != healthcheck.TCP {
			s.HTTP = c.http(kind)
		}
		c.validate(s)
		out = append(out, s)
		likes = append(likes, likeness{s, own.target.ConnectIP.set, own.target.ConnectPort.set})
	}
	if c := own.TCPCheck; c != nil {
		add("tcp_check", healthcheck.TCP, c.common(), cmp.Or(tmpl.TCPCheck, c).common())
	}
	if c := own.HTTPGet; c != nil {
		add("http_get", healthcheck.HTTP, c.common(), cmp.Or(tmpl.HTTPGet, c).common())
	}
	if c := own.HTTPSGet; c != nil {
		add("https_get", healthcheck.HTTPS, c.common(), cmp.Or(tmpl.HTTPSGet, c).common())
	}
	if alike && before == b.kept[SeverityError]+b.more {
		r.alike = likes
	}
	return out
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

func (t *rawTimings) given() bool {
	return t.DelayLoop.set || t.ConnectTimeout.set || t.Retry.set || t.DelayBeforeRetry.set || t.Rise.set
}

func (c *rawChecks) none() bool { return c.TCPCheck == nil && c.HTTPGet == nil && c.HTTPSGet == nil }

// common is what the checks of the several kinds share; what a kind does not
// have is nil.
type common struct {
	path    string
	target  *rawTarget
	timings *rawTimings
	request *rawRequest
	tls     *rawTLS
}

func (c *rawTCPCheck) common() common { return common{c.path, &c.rawTarget, &c.rawTimings, nil, nil} }

func (c *rawHTTPGet) common() common {
	return common{c.path, &c.rawTarget, &c.rawTimings, &c.rawRequest, nil}
}

func (c *rawHTTPSGet) common() common {
	return common{c.path, &c.rawTarget, &c.rawTimings, &c.rawRequest, &c.rawTLS}
}

// checkBuilder resolves one check and remembers which key each value came
// from, so that a problem is told where the value stands.
type checkBuilder struct {
	b         *builder
	on        *served
	vs        *rawVirtualServer
	rs        *rawRealServer
	own, tmpl common
	inherited bool              // own is the template
	origin    map[string]origin // field of healthcheck.Spec → key
}

// origin is the key that a value came from.
type origin struct {
	key   interface{ path() string }
	given bool // the file has it
}

// from resolves one key and notes the field that it fills.
func from[T any](c *checkBuilder, field string, keys ...*value[T]) *value[T] {
	if c.origin == nil {
		c.origin = map[string]origin{}
	}
	v := pick(keys...)
	c.origin[field] = origin{v, v.set}
	return v
}

// common fills what every kind has. Nearer to the check wins, and what a
// server says about itself is nearer than what a template says about all.
func (c *checkBuilder) common(s *healthcheck.Spec, at netip.AddrPort) {
	own, rs, tmpl, vs := c.own.timings, &c.rs.rawTimings, c.tmpl.timings, c.vs
	if c.inherited {
		own = rs
	}
	s.Interval = from(c, "Interval", &own.DelayLoop, &rs.DelayLoop, &tmpl.DelayLoop, &vs.DelayLoop).v.std()
	s.Timeout = from(c, "Timeout", &own.ConnectTimeout, &rs.ConnectTimeout, &tmpl.ConnectTimeout, &vs.ConnectTimeout).v.std()
	s.Retry = from(c, "Retry", &own.Retry, &rs.Retry, &tmpl.Retry, &vs.Retry).v
	s.Rise = from(c, "Rise", &own.Rise, &rs.Rise, &tmpl.Rise, &vs.Rise).v
	delay := from(c, "RetryDelay", &own.DelayBeforeRetry, &rs.DelayBeforeRetry, &tmpl.DelayBeforeRetry, &vs.DelayBeforeRetry)
	switch {
	case delay.set:
		s.RetryDelay = delay.v.std()
	case s.Kind == healthcheck.TCP:
		s.RetryDelay = tcpRetryDelay
	default:
		s.RetryDelay = httpRetryDelay
	}
	addr, port := at.Addr(), at.Port()
	if ip := from(c, "Target", &c.own.target.ConnectIP, &c.tmpl.target.ConnectIP); ip.set && !ip.bad {
		addr = ip.v
		if !unicast(addr) && !addr.IsLoopback() {
			c.b.errorf(ip.path(), "%s is not an address that a host can have", addr).remedy("use a unicast address")
		}
	}
	if p := pick(&c.own.target.ConnectPort, &c.tmpl.target.ConnectPort); p.set && !p.bad {
		port = uint16(p.v)
	} else if port == 0 && !p.bad && len(c.on.keys) > 0 {
		c.b.errorf(c.own.path, "%s, so the check does not know which to try", c.on.several()).remedy("add connect_port = 80 or the like")
	}
	s.Target = netip.AddrPortFrom(addr, port)
}

func (c *checkBuilder) http(kind healthcheck.Kind) *healthcheck.HTTPSpec {
	o, t := c.own.request, c.tmpl.request
	h := &healthcheck.HTTPSpec{HTTPRequest: healthcheck.HTTPRequest{
		Method:       from(c, "HTTP.Method", &o.Method, &t.Method).v,
		Path:         from(c, "HTTP.Path", &o.Path, &t.Path).v,
		Host:         from(c, "HTTP.Host", &o.VirtualHost, &t.VirtualHost).v,
		BodyContains: from(c, "HTTP.BodyContains", &o.BodyContains, &t.BodyContains).v,
		BodyRegex:    from(c, "HTTP.BodyRegex", &o.Regex, &t.Regex).v,
		BodySHA256:   from(c, "HTTP.BodySHA256", &o.SHA256, &t.SHA256).v,
	}}
	for _, x := range from(c, "HTTP.Headers", &o.Headers, &t.Headers).v {
		h.Headers = append(h.Headers, healthcheck.Header{Name: x.name, Value: x.value})
	}
	for _, x := range from(c, "HTTP.Status", &o.StatusCode, &t.StatusCode).v {
		h.Status = append(h.Status, healthcheck.StatusRange{Low: x.low, High: x.high})
	}
	if kind == healthcheck.HTTPS {
		o, t := c.own.tls, c.tmpl.tls
		h.TLS.ServerName = from(c, "HTTP.TLS.ServerName", &o.ServerName, &t.ServerName).v
		h.TLS.SkipVerify = !from(c, "HTTP.TLS.SkipVerify", &o.Verify, &t.Verify).v
		ca := from(c, "HTTP.TLS.CAFile", &o.CAFile, &t.CAFile)
		h.TLS.CAFile = ca.v
		if ca.v != "" {
			c.authorities(ca, !h.TLS.SkipVerify)
		}
	}
	return h
}

// validate asks the package that will make the check. What this package
// refuses already is not told a second time.
func (c *checkBuilder) validate(s healthcheck.Spec) {
	if s.HTTP != nil {
		h := *s.HTTP
		h.TLS.CAFile = "" // read once for each file, by authorities
		s.HTTP = &h
	}
	for _, se := range faults(healthcheck.Validate(s)) {
		key, ok := c.origin[se.Field]
		at := c.own.path
		if ok {
			at = key.key.path()
		}
		switch {
		case se.Field == "Target" && s.Target.Port() == 0:
			continue
		case se.Field == "HTTP.TLS.ServerName" && !key.given:
			continue // it comes from virtualhost, which is told itself
		}
		c.b.errorf(at, "%s", se.Problem).remedy("%s", se.Remedy)
	}
}

// faults takes apart what healthcheck.Validate returns.
func faults(err error) []*healthcheck.SpecError {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	var out []*healthcheck.SpecError
	for _, e := range list {
		var se *healthcheck.SpecError
		if errors.As(e, &se) {
			out = append(out, se)
		}
	}
	return out
}

// authorities checks a CA file, and warns if it cannot be used here: the
// configuration may be checked on another machine than the one it is for.
func (c *checkBuilder) authorities(key *value[string], verify bool) {
	b := c.b
	switch {
	case !filepath.IsAbs(key.v):
		b.errorf(key.path(), "%q is not an absolute path", clip(key.v)).remedy("begin it with /")
		return
	case !verify:
		b.errorf(key.path(), "has no effect with verify = false").remedy("remove one of the two")
		return
	case !b.disk:
		return
	}
	found, known := b.authority[key.v]
	if !known {
		fi, err := os.Stat(key.v)
		switch {
		case err != nil:
			found = reason(err)
		case !fi.Mode().IsRegular():
			found = errNotRegular.Error()
		default:
			for _, se := range faults(healthcheck.Validate(healthcheck.Spec{
				ID: "ca", Kind: healthcheck.HTTPS, Target: netip.MustParseAddrPort("192.0.2.1:443"),
				Interval: time.Second, Timeout: time.Second,
				HTTP: &healthcheck.HTTPSpec{TLS: healthcheck.TLSSpec{CAFile: key.v}},
			})) {
				found = se.Problem
			}
		}
		b.authority[key.v] = found
	}
	if found != "" {
		b.warnf(key.path(), "%s cannot be used on this machine: %s", clip(key.v), found).
			remedy("put a PEM file there that prober_user can read")
	}
}
