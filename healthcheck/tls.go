package healthcheck

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// secure makes connections as a TLSSpec says.
type secure struct {
	ca, cert, key string
	config        *tls.Config // as of the files when they were last read
}

// secure returns the client of t, whose field the spec's problems name. The
// server's name is by default that of host, else the target's address.
func (b *builder) secure(field string, t TLSSpec, host string, protocols ...string) *secure {
	s := &secure{ca: t.CAFile, cert: t.CertFile, key: t.KeyFile, config: &tls.Config{
		ServerName:         b.serverName(field, t, host),
		InsecureSkipVerify: t.SkipVerify,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         protocols,
	}}
	if t.CAFile != "" && t.SkipVerify {
		b.problem(field+".CAFile", "leave one of the two out", "has no effect with SkipVerify")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		b.problem(field+".CertFile", "name both or neither", "a certificate needs its key in KeyFile, and a key its certificate")
		return s
	}
	var fe *fileError
	switch err := s.refresh(); {
	case err == nil:
	case !errors.As(err, &fe):
		b.problem(field, "mend it", "%v", err)
	case fe.unreadable:
		b.unreadable(field+fe.field, fe.remedy, fe.err)
	default:
		b.problem(field+fe.field, fe.remedy, "%v", fe.err)
	}
	return s
}

// serverName is whom the certificate must name.
func (b *builder) serverName(field string, t TLSSpec, host string) string {
	name := t.ServerName
	if name == "" {
		name = host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		name = strings.Trim(name, "[]")
	}
	if name == "" {
		return b.spec.Target.Addr().WithZone("").String()
	}
	if strings.ContainsAny(name, " \t\r\n/:@") && net.ParseIP(name) == nil {
		b.problem(field+".ServerName", "use the name that the certificate carries", "%q is not a host name", name)
	}
	return name
}

// refresh reads the files that have changed.
func (s *secure) refresh() error {
	if s.ca == "" && s.cert == "" {
		return nil
	}
	next := *s
	if s.ca != "" {
		pool, err := authorities(s.ca)
		if err != nil {
			return err
		}
		if pool != s.config.RootCAs {
			next.config = next.config.Clone()
			next.config.RootCAs = pool
		}
	}
	if s.cert != "" {
		cert, err := identity(s.cert, s.key)
		if err != nil {
			return err
		}
		if old := s.config.Certificates; len(old) == 0 || &old[0] != &cert[0] {
			next.config = next.config.Clone()
			next.config.Certificates = cert
		}
	}
	*s = next
	return nil
}

// client shakes hands over nc.
func (s *secure) client(nc net.Conn) (*tls.Conn, error) {
	if err := s.refresh(); err != nil {
		return nil, failure(Config, "%v", err)
	}
	c := tls.Client(nc, s.config)
	if err := c.Handshake(); err != nil {
		return nil, tlsError("TLS handshake", err)
	}
	if want := s.config.NextProtos; len(want) == 1 && want[0] == "h2" && c.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, failure(TLS, "the server does not offer HTTP/2 (ALPN h2)")
	}
	return c, nil
}

// tlsError gives what went wrong below the application its reason. An alert
// arrives as a net.OpError, in TLS 1.3 perhaps only with the first read.
func tlsError(doing string, err error) error {
	if err == nil {
		return nil
	}
	var op *net.OpError
	alert := errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
	if alert || doing != "" && ReasonOf(err) == Protocol {
		if errors.Is(err, io.EOF) {
			return failure(TLS, "%s: the server closed the connection", doing)
		}
		return failure(TLS, "%s", strings.TrimPrefix(doing+": "+err.Error(), ": "))
	}
	if doing == "" {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
