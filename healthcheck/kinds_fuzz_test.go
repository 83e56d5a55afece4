package healthcheck

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// stranger is a connection on which the other side says what it likes.
type stranger struct {
	net.Conn // what is not below is not called
	in       io.Reader
	taken    int
}

func (s *stranger) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.taken += n
	return n, err
}
func (s *stranger) Write(p []byte) (int, error) { return len(p), nil }

// said lets judge hear in as a whole and byte by byte: the outcome is the same,
// one of the allowed reasons, and has a bounded detail.
func said(t *testing.T, in []byte, bound int, judge func(net.Conn) error, allowed ...Reason) error {
	t.Helper()
	whole := &stranger{in: bytes.NewReader(in)}
	err := judge(whole)
	pieces := judge(&stranger{in: iotest.OneByteReader(bytes.NewReader(in))})
	if ReasonOf(err) != ReasonOf(pieces) {
		t.Fatalf("%v as a whole, %v byte by byte", err, pieces)
	}
	if whole.taken > bound {
		t.Fatalf("read %d bytes, bound %d", whole.taken, bound)
	}
	decided(t, err, allowed...)
	return err
}

func decided(t *testing.T, err error, allowed ...Reason) {
	t.Helper()
	if err == nil {
		return
	}
	if !slices.Contains(allowed, ReasonOf(err)) {
		t.Fatalf("reason %q: %v", ReasonOf(err), err)
	}
	if d := detailOf(err); d == "" || len(d) > maxDetail+len("…") {
		t.Fatalf("detail %q", d)
	}
}

// FuzzDNSAnswer: whatever a name server sends, only a message with our id and
// question, the wanted code and record passes.
func FuzzDNSAnswer(f *testing.F) {
	b := &builder{spec: spec("dns")}
	q := (&DNSSpec{Name: "www.example.org", Type: "A", Answer: []string{"192.0.2.1"}}).question(b)
	q.msg.Id = 0x1234
	f.Fuzz(func(t *testing.T, raw []byte) {
		ours, err := q.judge(raw)
		decided(t, err, DNSAnswer, Protocol)
		if !ours || err != nil {
			return
		}
		var m dns.Msg
		if m.Unpack(raw) != nil || !m.Response || m.Id != 0x1234 || m.Rcode != dns.RcodeSuccess || !bytes.Contains(raw, []byte{192, 0, 2, 1}) {
			t.Fatalf("accepted %x", raw)
		}
	})
}

// FuzzSMTP: a conversation ends, and passes only when the server has greeted.
func FuzzSMTP(f *testing.F) {
	plain := &smtpTalk{helo: "lvs"}
	wanting := &smtpTalk{helo: "lvs", start: &secure{}}
	f.Fuzz(func(t *testing.T, in []byte) {
		if said(t, in, MaxHeader, plain.session, Status, Protocol) == nil && !bytes.HasPrefix(in, []byte("220")) {
			t.Fatalf("accepted %q", in)
		}
		// The handshake is crypto/tls's own affair: up to there.
		if !bytes.Contains(in, []byte("\n220")) {
			said(t, in, MaxHeader, wanting.session, Status, Protocol, TLS)
		}
	})
}

// FuzzHTTP2: whatever frames a server sends, the verdict comes after a bounded
// number of bytes.
func FuzzHTTP2(f *testing.F) {
	plain, strict := judgeOf(f, &HTTPSpec{}), judgeOf(f, &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle"}})
	f.Fuzz(func(t *testing.T, in []byte) {
		said(t, in, MaxHeader+maxRaw, plain.exchange, Status, Reset, Protocol)
		if said(t, in, MaxHeader+maxRaw, strict.exchange, Status, Body, Reset, Protocol) == nil && len(in) < len("needle") {
			t.Fatalf("accepted %q", in)
		}
	})
}

// FuzzGRPC: only an answer that says SERVING passes.
func FuzzGRPC(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		g := &GRPCSpec{Service: "s"}
		if said(t, in, MaxHeader+maxRaw, func(c net.Conn) error { return g.answer(c) }, Status, Reset, Protocol) == nil &&
			!bytes.Contains(in, []byte{8, 1}) && !bytes.Contains(in, []byte{8, 0x81}) {
			t.Fatalf("accepted %q", in)
		}
		if status, err := healthStatus(in); err == nil && status == 1 && (len(in) < 7 || in[0] != 0) {
			t.Fatalf("SERVING in %x", in)
		}
	})
}

// FuzzUDPReply: an accepted reply has the wanted bytes and length.
func FuzzUDPReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, reply, want []byte, low, high uint16) {
		u := &UDPSpec{Reply: want, MinReply: int(low), MaxReply: int(high)}
		err := u.judge(reply)
		decided(t, err, Body)
		if err == nil != (bytes.HasPrefix(reply, want) && len(reply) >= int(low) && (high == 0 || len(reply) <= int(high))) {
			t.Fatalf("%x of %d to %d: %v for %x", want, low, high, err, reply)
		}
	})
}

// FuzzPingReply: only the reply to our own request passes, of both versions.
func FuzzPingReply(f *testing.F) {
	secret := []byte("sixteen bytes...")
	v4 := &ping{protocolICMP, ipv4.ICMPTypeEchoReply, secret}
	v6 := &ping{protocolICMPv6, ipv6.ICMPTypeEchoReply, secret}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for first, p := range map[byte]*ping{0: v4, 129: v6} {
			ok := p.answers(raw)
			if ok && (raw[0] != first || !bytes.HasSuffix(raw, secret)) {
				t.Fatalf("accepted %x", raw)
			}
			err := p.read(&stranger{in: bytes.NewReader(raw)})
			if (err == nil) != (ok && len(raw) <= 1500) && len(raw) <= 1500 {
				t.Fatalf("%x: %v", raw, err)
			}
		}
	})
}

// FuzzOwnAnswers: exit statuses and files are the operator's, and may be
// anything as well.
func FuzzOwnAnswers(f *testing.F) {
	f.Fuzz(func(t *testing.T, exit int, content, output []byte, weight uint16, multiplier int32) {
		w, err := verdictOf(Ended{Exit: exit, Text: "exit", Output: string(output)}, true)
		decided(t, err, ExitStatus)
		if (err == nil) != (exit == 0 || exit >= 2 && exit <= 255) || w != nil && *w != exit-2 {
			t.Fatalf("exit %d: %v, %v", exit, w, err)
		}
		file := FileSpec{Path: "/f", Dynamic: true, Weight: int(weight), Multiplier: int(multiplier)}
		w, err = file.judge(content)
		decided(t, err, Config, FileValue)
		if err == nil && (*w < 0 || *w > MaxWeight) {
			t.Fatalf("%q: %d", content, *w)
		}
		file.Dynamic = false
		if _, err = file.judge(content); err == nil && strings.Trim(string(content), " \t\r\n\v\f+-0\u0085\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u1680") != "" {
			t.Fatalf("accepted %q", content)
		}
	})
}
