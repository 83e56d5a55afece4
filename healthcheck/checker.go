package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Checker makes one attempt. It returns nil when the server is healthy and
// otherwise an error that wraps the Reason. It ends when ctx does, and is
// called by one goroutine at a time.
type Checker interface {
	Check(ctx context.Context) error
}

// weigher is a Checker that may also say how much the server can bear.
type weigher interface {
	// weight is what the last attempt that passed has said, nil: nothing.
	weight() *int
}

// kinds makes the checker of each kind. A kind is one file and one line here,
// and a field of Spec when it has settings of its own.
var kinds = map[Kind]func(*builder) Checker{
	TCP:   newTCP,
	HTTP:  newHTTP,
	HTTPS: newHTTP,
	DNS:   newDNS,
	SMTP:  newSMTP,
	UDP:   newUDP,
	Ping:  newPing,
	GRPC:  newGRPC,
	Exec:  newExec,
	File:  newFile,
}

// portless are the kinds whose target needs no port.
var portless = map[Kind]bool{Ping: true, Exec: true, File: true}

// Validate returns what is wrong with a spec, a *SpecError for each fault
// joined with errors.Join, or nil. It reads the files that the spec names.
func Validate(spec Spec) error {
	_, problems := build(spec, means{})
	return errors.Join(problems...)
}

// NewChecker returns the checker of a spec, for one attempt outside a
// Scheduler, or what is wrong as Validate does. Run is for kind exec.
func NewChecker(spec Spec, run Runner) (Checker, error) {
	c, problems := build(spec, means{run: run})
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return c, nil
}

// SpecError is one fault of a Spec.
type SpecError struct {
	ID      string // of the check
	Field   string // Go name, "Interval" or "HTTP.BodyRegex"
	Problem string
	Remedy  string
}

// Error returns `check "ID": field: problem (remedy)`.
func (e *SpecError) Error() string {
	return fmt.Sprintf("check %q: %s: %s (%s)", e.ID, e.Field, e.Problem, e.Remedy)
}

// means are what checkers need and cannot do by themselves.
type means struct {
	run  Runner // nil: exec checks stay unknown
	mark Marker // nil: this process marks its sockets itself
}

// Marker gives the socket fd a firewall mark (SO_MARK) for a process that may
// not do so, within ctx. An error that wraps a syscall.Errno says that it is
// refused, any other one that it is not known whether the socket is marked.
type Marker func(ctx context.Context, fd int, mark uint32) error

// builder makes a checker and gathers what is wrong with its spec.
type builder struct {
	means
	spec     Spec
	problems []error
	missing  []error // files that cannot be read: they may be there later
}

func (b *builder) problem(field, remedy, format string, args ...any) {
	b.problems = note(b.problems, &SpecError{b.spec.ID, field, fmt.Sprintf(format, args...), remedy})
}

func (b *builder) unreadable(field, remedy string, err error) {
	b.missing = note(b.missing, &SpecError{b.spec.ID, field, err.Error(), remedy})
}

// note adds a fault that is not there yet: several requests share their TLS.
func note(to []error, e *SpecError) []error {
	for _, known := range to {
		if *known.(*SpecError) == *e {
			return to
		}
	}
	return append(to, e)
}

// build returns a checker, nil when the spec can never work, and every problem.
func build(spec Spec, m means) (Checker, []error) {
	b := &builder{means: m, spec: spec}
	b.spec.Target = netip.AddrPortFrom(spec.Target.Addr().Unmap(), spec.Target.Port())
	b.common()
	construct, ok := kinds[spec.Kind]
	if !ok {
		b.problem("Kind", "use one of "+kindNames(), "unknown kind %q", spec.Kind)
		return nil, b.problems
	}
	b.foreign()
	c := construct(b)
	switch {
	case len(b.problems) > 0:
		return nil, append(b.problems, b.missing...)
	case len(b.missing) > 0:
		return broken{spec, m}, b.missing
	default:
		return c, nil
	}
}

func (b *builder) common() {
	s := &b.spec
	if s.ID == "" {
		b.problem("ID", "give the check a name", "is empty")
	}
	if !s.Target.IsValid() || s.Target.Port() == 0 && !portless[s.Kind] || s.Target.Addr().IsUnspecified() {
		b.problem("Target", "name the server as ADDRESS:PORT", "%q is not a server's address and port", s.Target)
	} else if s.Target.Addr().IsMulticast() {
		b.problem("Target", "name one server", "%v is a multicast address", s.Target.Addr())
	}
	b.socket()
	b.duration("Interval", s.Interval, MinInterval, MaxInterval)
	b.duration("Timeout", s.Timeout, 1, MaxTimeout)
	b.duration("RetryDelay", s.RetryDelay, 0, MaxInterval)
	b.duration("Warmup", s.Warmup, 0, MaxInterval)
	b.count("Retry", s.Retry)
	b.count("Rise", s.Rise)
}

// dialog returns a dialog with the server that has not been given its words yet.
func (b *builder) dialog(t transport) *dialog {
	d := &dialog{target: b.spec.Target, transport: t}
	if from := b.spec.Socket; from != (SocketSpec{}) {
		d.from = &from
	}
	if b.spec.Socket.FWMark != 0 {
		d.marker = b.mark
	}
	return d
}

// socket judges the SocketSpec.
func (b *builder) socket() {
	s, t := &b.spec.Socket, b.spec.Target.Addr()
	if *s == (SocketSpec{}) {
		return
	}
	if b.spec.Kind == Exec || b.spec.Kind == File {
		b.problem("Socket", "leave it out", "kind %s opens no connection", b.spec.Kind)
		return
	}
	s.BindTo = s.BindTo.Unmap()
	if a := s.BindTo; a.IsValid() && t.IsValid() {
		switch {
		case a.Is4() != t.Is4():
			b.problem("Socket.BindTo", "use an address of the same family", "%v cannot reach %v", a, t)
		case a.IsUnspecified() || a.IsMulticast():
			b.problem("Socket.BindTo", "use an address of this machine", "%v is no address to come from", a)
		case a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" && s.BindIf == "" && t.Zone() == "":
			b.problem("Socket.BindTo", "name the interface with BindIf", "%v is a link-local address", a)
		}
	}
	if s.BindPort != 0 && b.spec.Kind == Ping {
		b.problem("Socket.BindPort", "leave it out", "an echo request has no port")
	}
	if n := s.BindIf; n != "" && (len(n) > 15 || strings.ContainsAny(n, "/ \t\n\v\f\r:") || n == "." || n == "..") {
		b.problem("Socket.BindIf", "name it as `ip link` does", "%q is not an interface's name", n)
	}
}

// foreign finds settings of other kinds.
func (b *builder) foreign() {
	s := &b.spec
	for _, f := range []struct {
		field string
		set   bool
		kinds []Kind
	}{
		{"HTTP", s.HTTP != nil, []Kind{HTTP, HTTPS}},
		{"DNS", s.DNS != nil, []Kind{DNS}},
		{"SMTP", s.SMTP != nil, []Kind{SMTP}},
		{"UDP", s.UDP != nil, []Kind{UDP}},
		{"GRPC", s.GRPC != nil, []Kind{GRPC}},
		{"Exec", s.Exec != nil, []Kind{Exec}},
		{"File", s.File != nil, []Kind{File}},
	} {
		if f.set && !slices.Contains(f.kinds, s.Kind) {
			b.problem(f.field, "leave them out, or use another kind", "kind %s has no settings of this kind", s.Kind)
		}
	}
}

func (b *builder) duration(field string, d, low, high time.Duration) {
	if d < low || d > high {
		b.problem(field, fmt.Sprintf("use %v to %v", low, high), "%v is out of range", d)
	}
}

func (b *builder) count(field string, n int) {
	if n < 0 || n > MaxCount {
		b.problem(field, fmt.Sprintf("use 0 to %d", MaxCount), "%d is out of range", n)
	}
}

func kindNames() string {
	var names []string
	for k := range kinds {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// broken stands for a checker whose files cannot be read. Each attempt tries
// again, so that it mends itself when they can.
type broken struct {
	spec  Spec
	means means
}

// Check attempts to build the checker and then runs it.
func (k broken) Check(ctx context.Context) error {
	c, problems := build(k.spec, k.means)
	if len(problems) > 0 {
		return failure(Config, "%v", problems[0])
	}
	return c.Check(ctx)
}
