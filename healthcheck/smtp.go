package healthcheck

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
)

// smtpTalk is the conversation of an smtp check.
type smtpTalk struct {
	helo  string
	start *secure // nil: no STARTTLS
	tls   *secure // of implicit TLS
}

// newSMTP returns the checker of kind smtp.
func newSMTP(b *builder) Checker {
	s := SMTPSpec{}
	if b.spec.SMTP != nil {
		s = *b.spec.SMTP
	}
	t := &smtpTalk{helo: s.Helo}
	if t.helo == "" {
		t.helo = hostName()
	} else if len(t.helo) > 255 || strings.ContainsFunc(t.helo, func(r rune) bool { return r <= ' ' || r > '~' }) {
		b.problem("SMTP.Helo", "use a host name, or an address in brackets", "%.60q is not a name to greet with", t.helo)
	}
	d := b.dialog(stream)
	switch s.Security {
	case SMTPPlain:
		if s.TLS != (TLSSpec{}) {
			b.problem("SMTP.TLS", "set Security, or leave it out", "the conversation has no TLS")
		}
	case SMTPStartTLS:
		t.start = b.secure("SMTP.TLS", s.TLS, "")
	case SMTPImplicit:
		t.tls = b.secure("SMTP.TLS", s.TLS, "")
	default:
		b.problem("SMTP.Security", fmt.Sprintf("use %q, %q or leave it out", SMTPStartTLS, SMTPImplicit), "%.20q is no way to use TLS", s.Security)
	}
	d.await = t.tls == nil // the server speaks first
	d.talk = t.talk
	return d
}

// hostName is this machine's, as far as it can be said.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "localhost"
	}
	return name
}

func (t *smtpTalk) talk(nc net.Conn) error {
	if t.tls != nil {
		c, err := t.tls.client(nc)
		if err != nil {
			return err
		}
		return tlsError("", t.session(c))
	}
	return t.session(nc)
}

// session is everything from the banner on.
func (t *smtpTalk) session(c net.Conn) error {
	s := newSMTPReader(c)
	if err := s.expect("the banner", 220); err != nil {
		return err
	}
	offers, err := t.hello(s)
	if err != nil {
		return err
	}
	if t.start == nil {
		return s.command("QUIT", 221)
	}
	if !offers {
		return failure(TLS, "the server does not offer STARTTLS")
	}
	if err := s.command("STARTTLS", 220); err != nil {
		return err
	}
	// What the server sent before the handshake anybody may have added.
	if s.buf.Buffered() > 0 {
		return failure(Protocol, "the server went on talking after STARTTLS")
	}
	tc, err := t.start.client(c)
	if err != nil {
		return err
	}
	s = newSMTPReader(tc)
	if _, err := t.hello(s); err != nil {
		return tlsError("", err)
	}
	return tlsError("", s.command("QUIT", 221))
}

// hello greets and reports whether the server offers STARTTLS.
func (t *smtpTalk) hello(s *smtpReader) (bool, error) {
	err := s.command("EHLO "+t.helo, 250)
	var code *textproto.Error
	if errors.As(err, &code) && (code.Code == 500 || code.Code == 502) {
		return false, s.command("HELO "+t.helo, 250)
	}
	if err != nil {
		return false, err
	}
	lines := strings.Split(s.last, "\n")
	for _, line := range lines[1:] {
		if word, _, _ := strings.Cut(line, " "); strings.EqualFold(word, "STARTTLS") {
			return true, nil
		}
	}
	return false, nil
}

// smtpReader sends commands and reads replies, all of them within MaxHeader bytes.
type smtpReader struct {
	w    io.Writer
	src  *io.LimitedReader
	end  error // what the connection ended with
	buf  *bufio.Reader
	text *textproto.Reader
	last string // the last reply's text
}

func newSMTPReader(c io.ReadWriter) *smtpReader {
	s := &smtpReader{w: c}
	s.src = &io.LimitedReader{R: readFunc(func(p []byte) (int, error) {
		n, err := c.Read(p)
		if err != nil {
			s.end = err
		}
		return n, err
	}), N: MaxHeader}
	s.buf = bufio.NewReaderSize(s.src, 1024)
	s.text = textproto.NewReader(s.buf)
	return s
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// command sends one and wants a reply with the code.
func (s *smtpReader) command(line string, code int) error {
	if _, err := io.WriteString(s.w, line+"\r\n"); err != nil {
		return fmt.Errorf("send %s: %w", line, err)
	}
	verb, _, _ := strings.Cut(line, " ")
	return s.expect("the answer to "+verb, code)
}

// expect reads a reply.
func (s *smtpReader) expect(what string, code int) error {
	got, text, err := s.text.ReadResponse(code)
	s.last = text
	var wrong *textproto.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return &smtpStatus{what, code, got, wrong}
	case s.src.N <= 0:
		return failure(Protocol, "the server's lines have more than %d bytes", MaxHeader)
	case s.end != nil && !cut(s.end):
		return fmt.Errorf("read %s: %w", what, s.end)
	case cut(err):
		return failure(Protocol, "the connection was closed before %s", what)
	default:
		return failure(Protocol, "%s is none: %.100v", what, err)
	}
}

// smtpStatus is a reply with another code than the wanted one.
type smtpStatus struct {
	what      string
	want, got int
	reply     *textproto.Error
}

func (e *smtpStatus) Error() string {
	return fmt.Sprintf("%s is %d %.100q, wanted %d", e.what, e.got, e.reply.Msg, e.want)
}

// Unwrap returns the reason and the reply.
func (e *smtpStatus) Unwrap() []error { return []error{Status, e.reply} }
