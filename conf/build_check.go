package conf

import (
	"cmp"
	"errors"
	"net/netip"
	"path/filepath"
	"time"

	"baton/healthcheck"
	"baton/ipvs"
)

// Pause before a retry where the file names none: keepalived's.
const (
	tcpRetryDelay  = time.Second
	httpRetryDelay = 3 * time.Second
)

// checks returns the health checks of one server: its own if it has any, else
// the service's templates. A check of its own takes what it does not say from
// the template of the same kind.
func (b *builder) checks(r *rawVirtualServer, rs *rawRealServer, key ipvs.ServiceKey, at netip.AddrPort) []healthcheck.Spec {
	own, tmpl := &rs.rawChecks, &r.rawChecks
	if own.none() {
		if tmpl.none() {
			b.warnf(rs.path, "has no health check: it stays in the pool whatever happens to it").
				remedy("add a tcp_check or http_get here or in the virtual_server")
			return nil
		}
		own = tmpl
	}
	var out []healthcheck.Spec
	add := func(word string, kind healthcheck.Kind, own, tmpl common) {
		c := checkBuilder{b: b, vs: r, rs: rs, own: own, tmpl: tmpl}
		s := healthcheck.Spec{ID: key.String() + " " + at.String() + " " + word, Kind: kind}
		c.common(&s, at)
		if kind != healthcheck.TCP {
			s.HTTP = c.http(kind)
		}
		c.validate(s)
		out = append(out, s)
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
	return out
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
	vs        *rawVirtualServer
	rs        *rawRealServer
	own, tmpl common
	origin    map[string]string // field of healthcheck.Spec → path
}

// from resolves one key and notes the field that it fills.
func from[T any](c *checkBuilder, field string, keys ...*value[T]) *value[T] {
	if c.origin == nil {
		c.origin = map[string]string{}
	}
	v := pick(keys...)
	c.origin[field] = v.path
	return v
}

// common fills what every kind has. Nearer to the check wins, and what a
// server says about itself is nearer than what a template says about all.
func (c *checkBuilder) common(s *healthcheck.Spec, at netip.AddrPort) {
	own, rs, tmpl, vs := c.own.timings, &c.rs.rawTimings, c.tmpl.timings, c.vs
	if c.own.path == c.tmpl.path {
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
			c.b.errorf(ip.path, "%s is not an address that a host can have", addr).remedy("use a unicast address")
		}
	}
	if p := pick(&c.own.target.ConnectPort, &c.tmpl.target.ConnectPort); p.set && !p.bad {
		port = uint16(p.v)
	} else if port == 0 && !p.bad && c.b.attached(c.vs) {
		c.b.errorf(c.own.path, "the service has every port, so the check does not know which to try").remedy("add connect_port = 80 or the like")
	}
	s.Target = netip.AddrPortFrom(addr, port)
}

// attached says whether the service's own address is right.
func (b *builder) attached(r *rawVirtualServer) bool {
	_, err := netip.ParseAddrPort(r.Address.v)
	return err == nil
}

func (c *checkBuilder) http(kind healthcheck.Kind) *healthcheck.HTTPSpec {
	o, t := c.own.request, c.tmpl.request
	h := &healthcheck.HTTPSpec{
		Method:       from(c, "HTTP.Method", &o.Method, &t.Method).v,
		Path:         from(c, "HTTP.Path", &o.Path, &t.Path).v,
		Host:         from(c, "HTTP.Host", &o.VirtualHost, &t.VirtualHost).v,
		BodyContains: from(c, "HTTP.BodyContains", &o.BodyContains, &t.BodyContains).v,
		BodyRegex:    from(c, "HTTP.BodyRegex", &o.Regex, &t.Regex).v,
		BodySHA256:   from(c, "HTTP.BodySHA256", &o.SHA256, &t.SHA256).v,
	}
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
		switch {
		case ca.v != "" && !filepath.IsAbs(ca.v):
			c.b.errorf(ca.path, "%q is not an absolute path", clip(ca.v)).remedy("begin it with /")
		case ca.v != "" && h.TLS.SkipVerify:
			c.b.errorf(ca.path, "has no effect with verify = false").remedy("remove one of the two")
		}
	}
	return h
}

// validate asks the package that will make the check. What this package
// refuses already is not told a second time.
func (c *checkBuilder) validate(s healthcheck.Spec) {
	err := healthcheck.Validate(s)
	joined, ok := err.(interface{ Unwrap() []error })
	var faults []error
	if ok {
		faults = joined.Unwrap()
	} else if err != nil {
		faults = []error{err}
	}
	for _, f := range faults {
		var se *healthcheck.SpecError
		if !errors.As(f, &se) {
			c.b.errorf(c.own.path, "%s", f).remedy("correct the check")
			continue
		}
		if se.Field == "Target" && s.Target.Port() == 0 {
			continue
		}
		at, ok := c.origin[se.Field]
		if !ok {
			at = c.own.path
		}
		c.b.errorf(at, "%s", se.Problem).remedy("%s", se.Remedy)
	}
}
