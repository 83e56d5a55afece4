package healthcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Reason says in one word why an attempt did not pass. The set is closed: it is
// the metric's label and the word in the log. A Reason is an error, so that
// errors.Is(err, Refused) holds for whatever a Checker returned because of it.
type Reason string

const (
	Refused     Reason = "refused"     // the port is closed
	Timeout     Reason = "timeout"     // no answer, or not all of it, in time
	Reset       Reason = "reset"       // the connection was broken off
	Unreachable Reason = "unreachable" // no way to the address
	DNSAnswer   Reason = "dns"         // the name server's answer is not the wanted one
	TLS         Reason = "tls"         // the handshake failed or the certificate is not the wanted one
	Status      Reason = "status"      // the status code, of HTTP, SMTP or gRPC, is not a wanted one
	Body        Reason = "body"        // the body, or the UDP reply, is not the wanted one
	Protocol    Reason = "protocol"    // the answer is malformed, cut short or too long
	ExitStatus  Reason = "exit"        // the program failed
	FileValue   Reason = "file"        // the file's number says that the server is down
	Resources   Reason = "resources"   // this machine could not make the attempt
	Config      Reason = "config"      // the check cannot be made as specified
)

// Error returns the reason's word.
func (r Reason) Error() string { return string(r) }

// Unknown reports whether an attempt that ended so says nothing about the
// server: the fault is on this side.
func (r Reason) Unknown() bool { return r == Resources || r == Config }

// failed is an error with its reason apart from its text.
type failed struct {
	reason Reason
	text   string
}

func (f *failed) Error() string { return f.text }
func (f *failed) Unwrap() error { return f.reason }

func failure(r Reason, format string, args ...any) error {
	return &failed{r, fmt.Sprintf(format, args...)}
}

// errnoReasons sorts what socket calls return. Lack of local ports
// (EADDRNOTAVAIL, EAGAIN) is a lack of resources, not of a server.
var errnoReasons = map[syscall.Errno]Reason{
	syscall.ECONNREFUSED:  Refused,
	syscall.ECONNRESET:    Reset,
	syscall.ECONNABORTED:  Reset,
	syscall.EPIPE:         Reset,
	syscall.ETIMEDOUT:     Timeout,
	syscall.EHOSTUNREACH:  Unreachable,
	syscall.ENETUNREACH:   Unreachable,
	syscall.ENETDOWN:      Unreachable,
	syscall.EHOSTDOWN:     Unreachable,
	syscall.EAFNOSUPPORT:  Unreachable, // this machine has no IPv6
	syscall.EACCES:        Unreachable, // its firewall forbids it
	syscall.EPERM:         Unreachable,
	syscall.EMFILE:        Resources,
	syscall.ENFILE:        Resources,
	syscall.ENOBUFS:       Resources,
	syscall.ENOMEM:        Resources,
	syscall.EADDRNOTAVAIL: Resources,
	syscall.EAGAIN:        Resources,
}

// ReasonOf returns the reason that err wraps, or the one that its cause
// amounts to; "" for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	return cause(err)
}

// cause is ReasonOf for an error; its variables escape.
func cause(err error) Reason {
	var (
		reason Reason
		errno  syscall.Errno
		dns    *net.DNSError
		ne     net.Error
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &reason):
		return reason
	case errors.Is(err, context.Canceled):
		return Resources
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.As(err, &errno):
		if r, ok := errnoReasons[errno]; ok {
			return r
		}
		return Protocol
	case errors.As(err, &dns):
		return DNSAnswer
	case errors.As(err, &cert), errors.As(err, &record), isX509(err):
		return TLS
	case errors.As(err, &ne) && ne.Timeout():
		return Timeout
	default:
		return Protocol
	}
}

func isX509(err error) bool {
	var (
		host  x509.HostnameError
		ca    x509.UnknownAuthorityError
		valid x509.CertificateInvalidError
	)
	return errors.As(err, &host) || errors.As(err, &ca) || errors.As(err, &valid)
}

// maxDetail bounds a Detail: strangers' bytes may be in it.
const maxDetail = 240

func detailOf(err error) string {
	s := strings.ToValidUTF8(err.Error(), "�")
	if len(s) <= maxDetail {
		return s
	}
	s = s[:maxDetail]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
