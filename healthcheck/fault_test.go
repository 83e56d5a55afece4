package healthcheck

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// server is a listener on loopback whose connections serve gets. It ends with the test.
func server(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	group.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				<-time.After(ms) // a test that takes every descriptor away takes ours as well
				continue
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			group.Go(func() {
				serve(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		group.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// closedPort is a port of loopback on which nobody listens, nor will before the test ends: it stays bound to a socket that
// never listens, so that no server of a test beside this one is given it.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := name.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))
}

// hold keeps a connection without a word until the client gives up.
func hold(c net.Conn) { io.Copy(io.Discard, c) }

// readRequest reads a request's header.
func readRequest(c net.Conn) string {
	var all strings.Builder
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil || line == "\r\n" {
			return all.String()
		}
	}
}

// answer reads the request, sends the pieces and closes.
func answer(pieces ...string) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		for _, p := range pieces {
			io.WriteString(c, p)
		}
	}
}

// endless reads the request, sends head and then piece until nobody listens,
// pausing between them.
func endless(head, piece string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		_, err := io.WriteString(c, head)
		for tick := time.NewTicker(max(pause, 1)); err == nil; {
			if pause > 0 {
				<-tick.C
			}
			_, err = io.WriteString(c, piece)
		}
	}
}

func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// authority makes a certificate for names, signed by itself, and its PEM file.
func authority(t *testing.T, until time.Time, names ...string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pemFile(t, "CERTIFICATE", der)
}

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var discardLog = log.New(io.Discard, "", 0)

// overTLS serves after a handshake.
func overTLS(cfg *tls.Config, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		tc := tls.Server(c, cfg)
		if tc.Handshake() == nil {
			serve(tc)
			tc.Close()
		}
	}
}

const okHead = "HTTP/1.1 200 OK\r\n"

// fault is a server that misbehaves in one way.
type fault struct {
	name   string
	kind   Kind
	target func(testing.TB) netip.AddrPort
	serve  func(net.Conn)                         // when target is nil
	packet func(net.PacketConn, net.Addr, []byte) // the same over UDP
	http   *HTTPSpec
	set    func(*Spec) // what else the check has
	want   Reason
	detail string // part of the detail
}

func faults(t *testing.T) []fault {
	day := time.Now().Add(24 * time.Hour)
	cert, ca := authority(t, day, "www.example.org", "127.0.0.1")
	other, otherCA := authority(t, day, "other.example.org")
	old, oldCA := authority(t, time.Now().Add(-time.Hour), "127.0.0.1")
	fine := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	sum := sha256.Sum256([]byte("hello"))
	tlsOf := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	wantCA := &HTTPSpec{TLS: TLSSpec{CAFile: ca}}
	needle := &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle"}}
	long := strings.Repeat("x", 8192)
	return append(slices.Concat(kindFaults(t), secureFaults(t), frameFaults()), []fault{
		{name: "tcp fine", kind: TCP, serve: hold},
		{name: "tcp refused", kind: TCP, target: closedPort, want: Refused, detail: "connect to 127.0.0.1:"},
		{name: "tcp black hole", kind: TCP, target: blackHole, want: Timeout, detail: "no connection to 127.0.0.1:"},
		{name: "tcp no route", kind: TCP, target: noRoute, want: Unreachable, detail: "connect to"},

		{name: "http fine", kind: HTTP, serve: answer(fine)},
		{name: "http fine in all criteria", kind: HTTP, serve: answer(fine), http: &HTTPSpec{HTTPRequest: HTTPRequest{
			Status: []StatusRange{{100, 150}, {200, 200}}, BodyContains: "ell", BodyRegex: "^h.*o$", BodySHA256: hex.EncodeToString(sum[:])}}},
		{name: "http fine after interim answers", kind: HTTP, serve: answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + fine)},
		{name: "http fine without a length, chunked", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle"}}, serve: answer(okHead + "Transfer-Encoding: chunked\r\n\r\n3\r\nnee\r\n3\r\ndle\r\n0\r\n\r\n")},
		{name: "http fine in old HTTP until the end of the connection", kind: HTTP, http: needle, serve: answer("HTTP/1.0 200 OK\r\n\r\n", "hay needle hay")},
		{name: "http redirect is not followed", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{Status: []StatusRange{{302, 302}}}}, serve: answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n")},
		{name: "http body not wanted is not awaited", kind: HTTP, serve: func(c net.Conn) { answer(okHead + "\r\n")(c); hold(c) }},
		{name: "http refused", kind: HTTP, target: closedPort, want: Refused},
		{name: "http black hole", kind: HTTP, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "http reset", kind: HTTP, serve: func(c net.Conn) { readRequest(c); reset(c) }, want: Reset},
		{name: "http hang after accept", kind: HTTP, serve: hold, want: Timeout, detail: "not a byte"},
		{name: "http closed without a word", kind: HTTP, serve: answer(), want: Protocol, detail: "closed before the header's end"},
		{name: "http truncated header", kind: HTTP, serve: answer(okHead + "Content-Le"), want: Protocol, detail: "header's end"},
		{name: "http reset in the header", kind: HTTP, serve: func(c net.Conn) { readRequest(c); io.WriteString(c, okHead); reset(c) }, want: Reset},
		{name: "http hang in the header", kind: HTTP, serve: func(c net.Conn) { answer(okHead)(c); hold(c) }, want: Timeout},
		{name: "http endless header", kind: HTTP, serve: endless(okHead, "X-Y: "+long+"\r\n", 0), want: Protocol, detail: "header has more than 65536 bytes"},
		{name: "http endless header line", kind: HTTP, serve: endless(okHead+"X-Y: ", long, 0), want: Protocol, detail: "header has more than"},
		{name: "http endless status line", kind: HTTP, serve: endless("", long, 0), want: Protocol, detail: "header has more than"},
		{name: "http endless interim answers", kind: HTTP, serve: endless("", "HTTP/1.1 100 Continue\r\n\r\n", 0), want: Protocol, detail: "interim"},
		{name: "http slow drip in the header", kind: HTTP, serve: endless(okHead, "X: y\r\n", 5*ms), want: Timeout},
		{name: "http not HTTP at all", kind: HTTP, serve: func(c net.Conn) { io.WriteString(c, "220 mail ESMTP\r\n"); hold(c) }, want: Protocol, detail: "malformed"},
		{name: "http wrong status", kind: HTTP, serve: answer("HTTP/1.1 503 Busy\r\n\r\n"), want: Status, detail: "status 503, wanted 200-299"},
		{name: "http status below the wanted", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{Status: []StatusRange{{201, 204}, {300, 399}}}}, serve: answer(fine), want: Status, detail: "status 200, wanted 201-204, 300-399"},
		{name: "http endless body", kind: HTTP, http: needle, serve: endless(okHead+"\r\n", long, 0), want: Body, detail: "only the first 1048576 bytes"},
		{name: "http endless chunks", kind: HTTP, http: needle, serve: endless(okHead+"Transfer-Encoding: chunked\r\n\r\n", "1;"+long[:64]+"\r\nx\r\n", 0), want: Protocol},
		{name: "http endless small chunks", kind: HTTP, http: needle, serve: endless(okHead+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1;"+long[:8]+"\r\nx\r\n", 400), 0), want: Protocol, detail: "framing has more than"},
		{name: "http endless body, needle first", kind: HTTP, http: needle, serve: endless(okHead+"\r\nneedle", long, 0)},
		{name: "http slow drip in the body", kind: HTTP, http: needle, serve: endless(okHead+"\r\n", "x", 5*ms), want: Timeout},
		{name: "http truncated body", kind: HTTP, http: needle, serve: answer(okHead + "Content-Length: 100\r\n\r\nneedle"), want: Protocol, detail: "before the body's end"},
		{name: "http truncated chunk", kind: HTTP, http: needle, serve: answer(okHead + "Transfer-Encoding: chunked\r\n\r\n10\r\nneedle"), want: Protocol},
		{name: "http wrong body", kind: HTTP, http: needle, serve: answer(fine), want: Body, detail: `does not contain "needle"`},
		{name: "http wrong body for the expression", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodyRegex: "^n"}}, serve: answer(fine), want: Body, detail: "does not match"},
		{name: "http match that must not be", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodyRegex: "^h", RegexNoMatch: true}}, serve: answer(fine), want: Body, detail: "matches"},
		{name: "http fine without the match", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodyRegex: "^n", RegexNoMatch: true}}, serve: answer(fine)},
		{name: "http wrong digest", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodySHA256: strings.Repeat("0", 64)}}, serve: answer(fine), want: Body, detail: hex.EncodeToString(sum[:])},
		{name: "http too long for a digest", kind: HTTP, http: &HTTPSpec{HTTPRequest: HTTPRequest{BodySHA256: strings.Repeat("0", 64)}}, serve: endless(okHead+"\r\n", long, 0), want: Body, detail: "more than 1048576"},

		{name: "https fine", kind: HTTPS, http: wantCA, serve: overTLS(tlsOf(cert), answer(fine))},
		{name: "https fine by name", kind: HTTPS, http: &HTTPSpec{HTTPRequest: HTTPRequest{Host: "www.example.org:8443"}, TLS: TLSSpec{CAFile: ca}}, serve: overTLS(wantSNI(cert, "www.example.org"), answer(fine))},
		{name: "https fine by server_name", kind: HTTPS, http: &HTTPSpec{HTTPRequest: HTTPRequest{Host: "www.example.org"}, TLS: TLSSpec{ServerName: "other.example.org", CAFile: otherCA}}, serve: overTLS(wantSNI(other, "other.example.org"), answer(fine))},
		{name: "https fine without verification", kind: HTTPS, http: &HTTPSpec{TLS: TLSSpec{SkipVerify: true}}, serve: overTLS(tlsOf(old), answer(fine))},
		{name: "https of an unknown authority", kind: HTTPS, serve: overTLS(tlsOf(cert), answer(fine)), want: TLS, detail: "unknown authority"},
		{name: "https wrong name", kind: HTTPS, http: &HTTPSpec{HTTPRequest: HTTPRequest{Host: "www.example.org"}, TLS: TLSSpec{CAFile: otherCA}}, serve: overTLS(tlsOf(other), answer(fine)), want: TLS, detail: "other.example.org, not www.example.org"},
		{name: "https expired", kind: HTTPS, http: &HTTPSpec{TLS: TLSSpec{CAFile: oldCA}}, serve: overTLS(tlsOf(old), answer(fine)), want: TLS, detail: "expired"},
		{name: "https but the server speaks HTTP", kind: HTTPS, http: wantCA, serve: answerAtOnce("HTTP/1.1 400 Bad Request\r\n\r\n"), want: TLS, detail: "does not look like a TLS handshake"},
		{name: "https bad TLS", kind: HTTPS, http: wantCA, serve: answerAtOnce("\x16\x03\x03\x00\x04\x02\x00\x00\x00"), want: TLS},
		{name: "https too old TLS", kind: HTTPS, http: wantCA, serve: overTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, answer(fine)), want: TLS},
		{name: "https wants a client certificate", kind: HTTPS, http: wantCA, serve: overTLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}, answer(fine)), want: TLS},
		{name: "https hang in the handshake", kind: HTTPS, http: wantCA, serve: hold, want: Timeout, detail: "TLS handshake"},
		{name: "https closed in the handshake", kind: HTTPS, http: wantCA, serve: answerAtOnce(""), want: TLS, detail: "the server closed the connection"},
		{name: "https hang after the handshake", kind: HTTPS, http: wantCA, serve: overTLS(tlsOf(cert), hold), want: Timeout},
		{name: "https wrong status", kind: HTTPS, http: wantCA, serve: overTLS(tlsOf(cert), answer("HTTP/1.1 404 No\r\n\r\n")), want: Status},
	}...)
}

// wantSNI refuses a client that does not ask for name.
func wantSNI(c tls.Certificate, name string) *tls.Config {
	return &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName != name {
			return nil, fmt.Errorf("asked for %q", h.ServerName)
		}
		return &c, nil
	}}
}

// answerAtOnce waits for the first bytes only.
func answerAtOnce(s string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, s)
		if s != "" {
			hold(c)
		}
	}
}

func (f *fault) spec(t *testing.T) Spec {
	s := Spec{ID: f.name, Kind: f.kind, Interval: time.Minute, Timeout: 10 * time.Second, HTTP: f.http}
	if f.want == Timeout {
		s.Timeout = 300 * ms
	}
	if f.set != nil {
		f.set(&s)
	}
	switch {
	case f.target != nil:
		s.Target = f.target(t)
	case f.packet != nil:
		s.Target = packetServer(t, f.packet)
	default:
		s.Target = server(t, f.serve)
	}
	return s
}

func (f *fault) judge(t *testing.T, how string, got Reason, detail string) {
	t.Helper()
	if got != f.want {
		t.Errorf("%s, %s: %q (%s), want %q", f.name, how, got, detail, f.want)
	}
	if !strings.Contains(detail, f.detail) || len(detail) > maxDetail+3 {
		t.Errorf("%s, %s: detail %q, want %q in it", f.name, how, detail, f.detail)
	}
}

// TestFaults lets one scheduler check every misbehaving server at once.
func TestFaults(t *testing.T) {
	table := faults(t)
	var specs []Spec
	byID := map[string]*fault{}
	for i := range table {
		specs = append(specs, table[i].spec(t))
		byID[table[i].name] = &table[i]
	}
	verdicts := make(chan Verdict, len(specs))
	s := NewScheduler(Options{Notify: func(v Verdict) { verdicts <- v }})
	if err := s.Apply(specs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for len(byID) > 0 {
		select {
		case v := <-verdicts:
			f := byID[v.ID]
			if f == nil {
				t.Fatalf("second verdict %+v", v)
			}
			delete(byID, v.ID)
			f.judge(t, "by the scheduler", v.Reason, v.Detail)
			if v.Up != (f.want == "") || !v.First || v.Attempts != 1 || v.Latency <= 0 {
				t.Errorf("verdict %+v", v)
			}
			least := 300 * ms
			if s.Reports(v.ID)[0].Attempts > 1 { // this machine stood still: the last had what was missing
				least = stallTick
			}
			if f.want == Timeout && (v.Latency < least || v.Latency > 5*sec) {
				t.Errorf("%s: timeout after %v", f.name, v.Latency)
			}
		case <-ctx.Done():
			t.Fatalf("no verdict for %d: %+v", len(byID), byID)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if st := s.Stats(); st.InFlight != 0 || st.Talking != 0 {
		t.Errorf("places lost: %+v", st)
	}
}

// TestFaultsWithoutEventLoop makes the same attempts with blocking calls.
func TestFaultsWithoutEventLoop(t *testing.T) {
	table := faults(t)
	var group sync.WaitGroup
	defer group.Wait()
	for i := range table {
		f := &table[i]
		spec := f.spec(t)
		c, err := NewChecker(spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), spec.Timeout)
			defer cancel()
			err := c.Check(ctx)
			detail := ""
			if err != nil {
				detail = detailOf(err)
			}
			if f.want == Timeout {
				detail = f.detail // who waits here does not know how far it came
			}
			f.judge(t, "by Check", ReasonOf(err), detail)
			if reason := ReasonOf(err); err != nil && reason == "" || errors.Is(err, Refused) != (f.want == Refused) && f.want == Status {
				t.Errorf("%s: %v wraps %q", f.name, err, reason)
			}
		})
	}
}

func contextFor(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 30*time.Second)
}
