package conf

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"baton/healthcheck"
)

// Pause before a retry where the file names none: keepalived's.
const (
	retryDelay     = time.Second
	httpRetryDelay = 3 * time.Second
)

// checkBuilder resolves one check and remembers which key each value came
// from, so that a problem is told where the value stands.
type checkBuilder struct {
	applied
	b      *builder
	on     *served
	vs     *rawVirtualServer
	rs     *rawRealServer
	origin map[string]origin // field of healthcheck.Spec → key
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

// fromNode is from, of a key that nodes may each have a value for.
func fromNode[T any](c *checkBuilder, field string, own, tmpl *nodeValue[T]) (v T, given bool) {
	from(c, field, &own.value, &tmpl.value)
	if own.of != nil || tmpl.of != nil {
		c.b.individual = true
	}
	for _, k := range []*nodeValue[T]{own, tmpl} {
		if k.given(c.b.node) {
			return k.get(c.b.node), true
		}
	}
	return v, false
}

// common fills what every kind has, and says whether address and port are the
// check's own. Nearer to the check wins, and what a server says about itself is
// nearer than what a template says about all.
func (c *checkBuilder) common(s *healthcheck.Spec, at netip.AddrPort) (ip, port bool) {
	own, rs, tmpl, vs := &c.own.base().rawTimings, &c.rs.rawTimings, &c.tmpl.base().rawTimings, c.vs
	if c.inherited {
		own = rs
	}
	s.Interval = from(c, "Interval", &own.DelayLoop, &rs.DelayLoop, &tmpl.DelayLoop, &vs.DelayLoop).v.std()
	s.Timeout = from(c, "Timeout", &own.ConnectTimeout, &rs.ConnectTimeout, &tmpl.ConnectTimeout, &vs.ConnectTimeout).v.std()
	s.Retry = from(c, "Retry", &own.Retry, &rs.Retry, &tmpl.Retry, &vs.Retry).v
	s.Rise = from(c, "Rise", &own.Rise, &rs.Rise, &tmpl.Rise, &vs.Rise).v
	s.Warmup = from(c, "Warmup", &own.Warmup, &rs.Warmup, &tmpl.Warmup, &vs.Warmup).v.std()
	s.LogAllFailures = from(c, "LogAllFailures", &own.LogAllFailures, &rs.LogAllFailures, &tmpl.LogAllFailures, &vs.LogAllFailures).v
	delay := from(c, "RetryDelay", &own.DelayBeforeRetry, &rs.DelayBeforeRetry, &tmpl.DelayBeforeRetry, &vs.DelayBeforeRetry)
	switch {
	case delay.set:
		s.RetryDelay = delay.v.std()
	case s.Kind == healthcheck.HTTP || s.Kind == healthcheck.HTTPS:
		s.RetryDelay = httpRetryDelay
	default:
		s.RetryDelay = retryDelay
	}
	addr, number := at.Addr(), at.Port()
	if own, reaches := c.own.(reaching); reaches {
		o, t := own.reach(), c.tmpl.(reaching).reach()
		if v := from(c, "Target", &o.ConnectIP, &t.ConnectIP); v.set && !v.bad {
			addr, ip = v.v, true
			if !unicast(addr) && !addr.IsLoopback() {
				c.b.errorf(v.path(), "%s is not an address that a host can have", addr).remedy("use a unicast address")
			}
		}
		s.Socket.BindTo, _ = fromNode(c, "Socket.BindTo", &o.BindTo, &t.BindTo)
		s.Socket.BindIf, _ = fromNode(c, "Socket.BindIf", &o.BindIf, &t.BindIf)
		s.Socket.FWMark = uint32(from(c, "Socket.FWMark", &o.FWMark, &t.FWMark).v)
	}
	if own, has := c.own.(ported); has {
		o, t := own.ports(), c.tmpl.(ported).ports()
		s.Socket.BindPort = uint16(from(c, "Socket.BindPort", &o.BindPort, &t.BindPort).v)
		if p := pick(&o.ConnectPort, &t.ConnectPort); p.set && !p.bad {
			number, port = uint16(p.v), true
		} else if number == 0 && !p.bad && len(c.on.keys) > 0 {
			c.b.errorf(c.own.base().path, "%s, so the check does not know which to try", c.on.several()).remedy("add connect_port = 80 or the like")
		}
	}
	s.Target = netip.AddrPortFrom(addr, number)
	return ip, port
}

// reaching is a check that opens a connection or sends packets, ported one to a
// port.
type (
	reaching interface{ reach() *rawReach }
	ported   interface{ ports() *rawPorts }
)

func (r *rawReach) reach() *rawReach { return r }
func (p *rawPorts) ports() *rawPorts { return p }

func (t *rawTimings) given() bool {
	return t.DelayLoop.set || t.ConnectTimeout.set || t.Retry.set || t.DelayBeforeRetry.set || t.Rise.set || t.Warmup.set || t.LogAllFailures.set
}

// validate asks the package that will make the check. What this package
// refuses already is not told a second time.
func (c *checkBuilder) validate(s healthcheck.Spec) {
	all := faults(healthcheck.Validate(withoutFiles(s)))
	for _, se := range all {
		key, ok := c.origin[se.Field]
		at := c.own.base().path
		if ok {
			at = key.key.path()
		}
		switch {
		case se.Field == "Target" && s.Target.Port() == 0:
			continue
		case strings.HasSuffix(se.Field, "TLS.ServerName") && !key.given:
			if len(all) > 1 {
				continue // it comes from virtualhost or authority, which is told itself
			}
			for _, field := range []string{"HTTP.Host", "GRPC.Authority"} {
				if o, ok := c.origin[field]; ok {
					at = o.key.path()
				}
			}
		}
		c.b.errorf(at, "%s", se.Problem).remedy("%s", inKeys.Replace(se.Remedy))
	}
}

// inKeys turns names of a Spec's fields into those of keys.
var inKeys = strings.NewReplacer("BindIf", "bind_if", "MinReply", "min_reply_len", "Reply", "reply")

// withoutFiles is the spec without the files of TLS, which are looked at once
// each and only where the file was loaded on the machine that it is for.
func withoutFiles(s healthcheck.Spec) healthcheck.Spec {
	blank := func(t healthcheck.TLSSpec) healthcheck.TLSSpec {
		t.CAFile, t.CertFile, t.KeyFile = "", "", ""
		return t
	}
	if s.HTTP != nil {
		h := *s.HTTP
		h.TLS = blank(h.TLS)
		s.HTTP = &h
	}
	if s.SMTP != nil {
		m := *s.SMTP
		m.TLS = blank(m.TLS)
		s.SMTP = &m
	}
	if s.GRPC != nil {
		g := *s.GRPC
		g.TLS = blank(g.TLS)
		s.GRPC = &g
	}
	return s
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
