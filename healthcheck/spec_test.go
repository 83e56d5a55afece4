package healthcheck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
)

func web(kind Kind, change func(*HTTPSpec)) Spec {
	h := &HTTPSpec{}
	change(h)
	return spec("web", func(s *Spec) { s.Kind, s.HTTP = kind, h })
}

func TestValidate(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		spec Spec
		want []string
	}{
		{spec("fine"), nil},
		{web(HTTP, func(*HTTPSpec) {}), nil},
		{spec("fine", func(s *Spec) { s.Kind = HTTPS; s.Target = netip.MustParseAddrPort("[2001:db8::1]:443") }), nil},
		{Spec{}, []string{
			`check "": ID: is empty (give the check a name)`,
			`check "": Target: "invalid AddrPort" is not a server's address and port (name the server as ADDRESS:PORT)`,
			`check "": Interval: 0s is out of range (use 10ms to 24h0m0s)`,
			`check "": Timeout: 0s is out of range (use 1ns to 1h0m0s)`,
			`check "": Kind: unknown kind "" (use one of dns, exec, file, grpc, http, https, ping, smtp, tcp, udp)`,
		}},
		{spec("n", func(s *Spec) {
			s.Retry, s.Rise, s.RetryDelay, s.Interval = -1, MaxCount+1, -1, MaxInterval+1
			s.Target = netip.MustParseAddrPort("224.0.0.18:1")
			s.HTTP = &HTTPSpec{}
		}), []string{
			`check "n": Target: 224.0.0.18 is a multicast address (name one server)`,
			`check "n": Interval: 24h0m0.000000001s is out of range (use 10ms to 24h0m0s)`,
			`check "n": RetryDelay: -1ns is out of range (use 0s to 24h0m0s)`,
			`check "n": Retry: -1 is out of range (use 0 to 1000)`,
			`check "n": Rise: 1001 is out of range (use 0 to 1000)`,
			`check "n": HTTP: kind tcp has no settings of this kind (leave them out, or use another kind)`,
		}},
		{web(HTTP, func(h *HTTPSpec) {
			h.Method, h.Path, h.Host = "GET\r\nX: y", "healthz", "a b"
			h.Headers = []Header{{"X Y", "z"}, {"X", "a\r\nb"}, {"connection", "keep-alive"}}
			h.Status = []StatusRange{{299, 200}, {20, 20}}
			h.BodyRegex, h.BodySHA256 = "(", "abc"
			h.TLS.SkipVerify = true
		}), []string{
			`check "web": HTTP.Method: "GET\r\nX: y" is not a method for a check (use GET, HEAD, OPTIONS or another method in capitals)`,
			`check "web": HTTP.Path: "healthz" is not a path (begin it with "/" and escape what is not allowed in a URL)`,
			`check "web": HTTP.Host: "a b" is not a host (use NAME or NAME:PORT)`,
			`check "web": HTTP.Headers: "X Y" is not a header name (use letters, digits and hyphens)`,
			`check "web": HTTP.Headers: the value of "X" has control characters (leave control characters out)`,
			`check "web": HTTP.Headers: "Connection" is set by the check itself (leave it out; Host has its own setting)`,
			`check "web": HTTP.Status: 299-200 is not a range of status codes (use codes from 100 to 999, the lower one first)`,
			`check "web": HTTP.Status: 20 is not a range of status codes (use codes from 100 to 999, the lower one first)`,
			"check \"web\": HTTP.BodyRegex: error parsing regexp: missing closing ): `(` (use RE2 syntax)",
			`check "web": HTTP.BodySHA256: "abc" is not a SHA-256 sum (use 64 hexadecimal digits, as sha256sum prints)`,
			`check "web": HTTP.TLS: kind http has no TLS (use kind https)`,
		}},
		{web(HTTP, func(h *HTTPSpec) { h.Path = "/?a b"; h.Method = "CONNECT" }), []string{
			`check "web": HTTP.Method: "CONNECT" is not a method for a check (use GET, HEAD, OPTIONS or another method in capitals)`,
			`check "web": HTTP.Path: "/?a b" is not a path (begin it with "/" and escape what is not allowed in a URL)`,
		}},
		{web(HTTP, func(h *HTTPSpec) { h.Path = "/\r\nX: y" }), []string{
			`check "web": HTTP.Path: "/\r\nX: y" is not a path (begin it with "/" and escape what is not allowed in a URL)`,
		}},
		{web(HTTP, func(h *HTTPSpec) { h.Path = "http://elsewhere/" }), []string{
			`check "web": HTTP.Path: "http://elsewhere/" is not a path (begin it with "/" and escape what is not allowed in a URL)`,
		}},
		{web(HTTP, func(h *HTTPSpec) { h.Path = "/" + strings.Repeat("x", MaxRequest) }), []string{
			`check "web": HTTP: the request has 8277 bytes, more than 8192 (shorten path and headers)`,
		}},
		{web(HTTP, func(h *HTTPSpec) { h.Method, h.BodyContains = "HEAD", "x" }), []string{
			`check "web": HTTP.Method: the answer to HEAD has no body to look at (use GET)`,
		}},
		{web(HTTPS, func(h *HTTPSpec) { h.TLS = TLSSpec{ServerName: "a:b", CAFile: "/nonexistent/ca.pem"} }), []string{
			`check "web": HTTP.TLS.ServerName: "a:b" is not a host name (use the name that the certificate carries)`,
			`check "web": HTTP.TLS.CAFile: open /nonexistent/ca.pem: no such file or directory (make it readable for the user that checks run as)`,
		}},
		{web(HTTPS, func(h *HTTPSpec) { h.TLS = TLSSpec{SkipVerify: true, CAFile: notPEM} }), []string{
			`check "web": HTTP.TLS.CAFile: has no effect with SkipVerify (leave one of the two out)`,
			`check "web": HTTP.TLS.CAFile: ` + notPEM + ` has no certificate (name a PEM file with certificates)`,
		}},
	} {
		var got []string
		if err := Validate(tc.spec); err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v\n got %s\nwant %s", tc.spec, strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
		}
		if _, err := NewChecker(tc.spec, nil); (err != nil) != (tc.want != nil) {
			t.Errorf("%+v: NewChecker: %v", tc.spec, err)
		}
	}
}

// TestMissingFileIsUnknownUntilItIsThere: no server is down because a file of
// ours is missing, and nothing has to be applied again when it comes.
func TestMissingFileIsUnknownUntilItIsThere(t *testing.T) {
	cert, ca := authority(t, time.Now().Add(time.Hour), "127.0.0.1")
	target := server(t, overTLS(wantSNI(cert, ""), answer("HTTP/1.1 200 OK\r\n\r\n")))
	late := filepath.Join(t.TempDir(), "late.pem")
	sp := Spec{
		ID: "a", Kind: HTTPS, Target: target, Interval: 10 * ms, Timeout: 5 * sec,
		HTTP: &HTTPSpec{TLS: TLSSpec{CAFile: late}},
	}
	verdicts := make(chan Verdict, 10)
	s := NewScheduler(Options{Notify: func(v Verdict) { verdicts <- v }})
	err := s.Apply([]Spec{sp})
	var se *SpecError
	if !errors.As(err, &se) || se.Field != "HTTP.TLS.CAFile" {
		t.Fatalf("Apply: %v", err)
	}
	checker := s.checks["a"].checker
	if err := checker.Check(t.Context()); ReasonOf(err) != Config || !strings.Contains(err.Error(), late) {
		t.Fatalf("Check: %v", err)
	}
	if err := os.Rename(ca, late); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := contextFor(t)
	defer cancel()
	go func() { done <- s.Run(ctx) }()
	if v := <-verdicts; !v.Up {
		t.Errorf("verdict %+v", v)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRequestOnTheWire compares whole requests.
func TestRequestOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		target string
		kind   Kind
		http   *HTTPSpec
		want   string
	}{
		{"127.0.0.1:8080", HTTP, nil, "GET / HTTP/1.1\nHost: 127.0.0.1:8080\nUser-Agent: baton-healthcheck\nConnection: close\n\n"},
		{"[::ffff:127.0.0.1]:80", HTTP, nil, "GET / HTTP/1.1\nHost: 127.0.0.1\nUser-Agent: baton-healthcheck\nConnection: close\n\n"},
		{"127.0.0.1:80", HTTP, nil, "GET / HTTP/1.1\nHost: 127.0.0.1\nUser-Agent: baton-healthcheck\nConnection: close\n\n"},
		{"[2001:db8::1]:80", HTTP, nil, "GET / HTTP/1.1\nHost: [2001:db8::1]\nUser-Agent: baton-healthcheck\nConnection: close\n\n"},
		{"[2001:db8::1]:81", HTTP, nil, "GET / HTTP/1.1\nHost: [2001:db8::1]:81\nUser-Agent: baton-healthcheck\nConnection: close\n\n"},
		{
			"127.0.0.1:80", HTTP,
			&HTTPSpec{HTTPRequest: HTTPRequest{Method: "OPTIONS", Path: "//a%20b/ü?x=%zz&y", Host: "www.example.org:81", Headers: []Header{{"user-agent", "me"}, {"X-A", "1"}, {"x-a", "2"}}}},
			"OPTIONS //a%20b/%C3%BC?x=%zz&y HTTP/1.1\nHost: www.example.org:81\nUser-Agent: me\nConnection: close\nX-A: 1\nX-A: 2\n\n",
		},
	} {
		c, err := NewChecker(spec("a", func(s *Spec) { s.Target = netip.MustParseAddrPort(tc.target); s.Kind, s.HTTP = tc.kind, tc.http }), nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.ReplaceAll(string(c.(*dialog).opening), "\r\n", "\n"); got != tc.want {
			t.Errorf("got\n%s\nwant\n%s", got, tc.want)
		}
	}
}

// TestCallOnTheWire takes a grpc check's call apart.
func TestCallOnTheWire(t *testing.T) {
	c, err := NewChecker(spec("a", func(s *Spec) { s.Kind, s.GRPC = GRPC, &GRPCSpec{Service: "shop", Authority: "www.example.org:50051"} }), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, ok := bytes.CutPrefix(c.(*dialog).opening, []byte(http2.ClientPreface))
	f := http2.NewFramer(nil, bytes.NewReader(raw))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	got := map[string]string{}
	for ok {
		frame, err := f.ReadFrame()
		if err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range frame.Fields {
				got[h.Name] = h.Value
			}
		case *http2.DataFrame:
			got["message"] = string(frame.Data())
			got["ends"] = fmt.Sprint(frame.StreamEnded())
		}
	}
	want := map[string]string{
		":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": "www.example.org:50051",
		"content-type": "application/grpc", "te": "trailers", "user-agent": "baton-healthcheck",
		"message": "\x00\x00\x00\x00\x06\x0a\x04shop", "ends": "true",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestConnectionsEndWithReset: nothing stays in TIME_WAIT, on either path.
func TestConnectionsEndWithReset(t *testing.T) {
	ends := make(chan error, 2)
	target := server(t, func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		ends <- err
	})
	sp := Spec{ID: "a", Kind: TCP, Target: target, Interval: time.Minute, Timeout: 5 * sec}
	c, err := NewChecker(sp, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; ReasonOf(err) != Reset {
		t.Errorf("the server saw %v", err)
	}
	s := NewScheduler(Options{Notify: func(Verdict) {}})
	if err := s.Apply([]Spec{sp}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(t)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if err := <-ends; ReasonOf(err) != Reset {
		t.Errorf("the server saw %v", err)
	}
	cancel()
	<-done
}

func TestValuesSurviveJSON(t *testing.T) {
	sp := Spec{
		ID: "tcp 192.0.2.1:80", Kind: HTTPS, Target: netip.MustParseAddrPort("[fe80::1%eth0]:443"),
		Interval: 6 * sec, Timeout: 3 * sec, Retry: 2, RetryDelay: sec, Rise: 3, Warmup: sec, LogAllFailures: true,
		Socket: SocketSpec{BindTo: netip.MustParseAddr("fe80::2%eth0"), BindPort: 7, BindIf: "eth0", FWMark: 9},
		DNS:    &DNSSpec{Name: "n", Type: "A", TCP: true, RCode: []string{"NXDOMAIN"}, Answer: []string{"192.0.2.1"}},
		SMTP:   &SMTPSpec{Helo: "h", Security: SMTPStartTLS, TLS: TLSSpec{ServerName: "n"}},
		UDP:    &UDPSpec{Payload: []byte{0, 255}, RequireReply: true, Reply: []byte{1}, ReplyMask: []byte{2}, MinReply: 1, MaxReply: 2},
		GRPC:   &GRPCSpec{Service: "s", Authority: "a", Secure: true, TLS: TLSSpec{ServerName: "n"}},
		Exec:   &ExecSpec{Args: []string{"/a", "b"}, Dynamic: true},
		File:   &FileSpec{Path: "/f", Dynamic: true, Multiplier: -1, Weight: 2},
		HTTP: &HTTPSpec{HTTPRequest: HTTPRequest{
			Method: "GET", Path: "/", Host: "h", Headers: []Header{{"A", "b"}}, Status: []StatusRange{{200, 204}},
			BodyContains: "x", BodyRegex: "y", RegexNoMatch: true, BodySHA256: "z",
		}, More: []HTTPRequest{{Path: "/2"}}, Version: "2", TLS: TLSSpec{ServerName: "n", SkipVerify: true, CAFile: "f", CertFile: "c", KeyFile: "k"}},
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	weight := 7
	for _, v := range []any{
		&sp, &Verdict{"a", true, true, Refused, "d", 1, at, 2, &weight}, &Overload{at, 1, 2, 3, "i", Config, "d", 4, 5},
		&CheckStatus{"i", TCP, Up, at, true, 1, 2, at, Reset, "d", 3, at, 4, 5, &weight}, &Stats{Checks: 1, Lateness: [len(LatenessBuckets) + 1]uint64{1, 2}, MaxLateness: 4},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := json.Unmarshal(b, got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("%s\n got %+v\nwant %+v", b, got, v)
		}
	}
}

func TestReasonOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want Reason
	}{
		{nil, ""},
		{fmt.Errorf("check: %w", Status), Status},
		{failure(Body, "x"), Body},
		{&net.DNSError{IsTimeout: true}, DNSAnswer},
		{os.ErrDeadlineExceeded, Timeout},
		{errors.New("whatever"), Protocol},
		{context.DeadlineExceeded, Timeout},
		{context.Canceled, Resources}, // of this process's own
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ECONNREFUSED)}, Refused},
		{unix.ECONNRESET, Reset}, {unix.ECONNABORTED, Reset}, {unix.EPIPE, Reset}, {unix.ETIMEDOUT, Timeout},
		{unix.EHOSTUNREACH, Unreachable}, {unix.ENETUNREACH, Unreachable}, {unix.ENETDOWN, Unreachable}, {unix.EHOSTDOWN, Unreachable},
		{unix.EAFNOSUPPORT, Unreachable}, {unix.EACCES, Unreachable}, {unix.EPERM, Unreachable},
		// What this machine lacks says nothing about the server.
		{unix.EMFILE, Resources}, {unix.ENFILE, Resources}, {unix.ENOBUFS, Resources}, {unix.ENOMEM, Resources},
		{unix.EADDRNOTAVAIL, Resources}, {unix.EAGAIN, Resources},
		{unix.EBADMSG, Protocol},
	} {
		if got := ReasonOf(tc.err); got != tc.want {
			t.Errorf("ReasonOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestDetailIsBounded(t *testing.T) {
	d := detailOf(errors.New(strings.Repeat("ü\xff", 10000)))
	if len(d) > maxDetail+len("…") || !strings.HasPrefix(d, "ü�") || strings.ToValidUTF8(d, "") != d {
		t.Errorf("%d bytes: %q", len(d), d)
	}
}

// TestDefaultsOfAScheduler: what Options leave out works.
func TestDefaultsOfAScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{})
		if s.fds.limit < 1 || s.talks.limit < 1 || s.talks.limit > 1024 {
			t.Errorf("limits %d and %d", s.fds.limit, s.talks.limit)
		}
		for range 100 {
			if d := s.opt.Random(sec); d < 0 || d >= sec {
				t.Fatalf("random %v", d)
			}
		}
	})
}

// TestReasonsAreAClosedSet: docs/checks.md explains each reason that there is, and
// no other.
func TestReasonsAreAClosedSet(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reasons, documented []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Reason" {
				reasons = append(reasons, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
			}
		}
		return true
	})
	raw, err := os.ReadFile("../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if word, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `") {
			documented = append(documented, word)
		}
	}
	if len(reasons) < 10 || !slices.Equal(reasons, documented) {
		t.Errorf("reasons are\n%q\nexplained are\n%q", reasons, documented)
	}
}
