package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// read serves the read-only part until the test ends and returns its address.
func read(t testing.TB, r Reader, change ...func(*HTTPServer)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewReadServer(ReadOptions{Socket: "/run/baton/control.sock", Reader: r, Notify: func(err error) { t.Errorf("notified: %v", err) }})
	s.listen = func(context.Context) (net.Listener, error) { return l, nil }
	for _, c := range change {
		c(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// overTCP sends a raw request to a read-only server.
func overTCP(t *testing.T, address, raw string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, c, raw)
}

// answer parses what a server has sent.
func answer(t *testing.T, method, raw string) (code int, header http.Header, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// TestReadOnly: over TCP everything that looks is answered as on the socket,
// with GET and with HEAD, and nothing that changes is done. Fault 34.
func TestReadOnly(t *testing.T) {
	b := &backend{status: Status{Node: "lvs-a"}, metrics: []string{"up 1\n"}, past: list(0, 2)}
	at := read(t, b)
	for _, path := range []string{"/v1/status", "/v1/explain?name=VI_1", "/v1/events", "/v1/drain", "/metrics"} {
		code, header, body := answer(t, "GET", overTCP(t, at, request("GET", path, "")))
		if code != 200 || body == "" {
			t.Errorf("GET %s: %d %q", path, code, body)
		}
		if typ := header.Get("Content-Type"); (typ == MetricsType) != (path == "/metrics") {
			t.Errorf("GET %s is of type %q", path, typ)
		}
		if code, _, body := answer(t, "HEAD", overTCP(t, at, request("HEAD", path, ""))); code != 200 || body != "" {
			t.Errorf("HEAD %s: %d %q", path, code, body)
		}
	}
	asked := slices.Clone(b.asked)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/reload", "", 403},
		{"POST", "/v1/failover", `{"instance":"VI_1"}`, 403},
		{"POST", "/v1/drain", `{"server":"192.168.16.103:80"}`, 403},
		{"PUT", "/v1/drain", `{"server":"192.168.16.103:80"}`, 403},
		{"POST", "/v1/undrain", `{"server":"192.168.16.103:80"}`, 403},
		{"POST", "/v1/weight", `{"server":"192.168.16.103:80","weight":0}`, 403},
		{"GET", "/v1/reload", "", 403},
		{"POST", "/v1/status", "{}", 405},
		{"DELETE", "/metrics", "", 405},
		{"POST", "/v1/nothing", "", 404},
		{"GET", "/metrics?name[]=up", "", 400},
	} {
		code, _, body := answer(t, c.method, overTCP(t, at, request(c.method, c.path, c.body)))
		var e Error
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("%s %s: %q: %v", c.method, c.path, body, err)
		}
		if code != c.status || e.Message == "" || e.Remedy == "" {
			t.Errorf("%s %s: %d %+v, want %d", c.method, c.path, code, e, c.status)
		}
		if code == 403 && (!strings.Contains(e.Message, c.path) || !strings.Contains(e.Remedy, "/run/baton/control.sock")) {
			t.Errorf("%s %s: %v", c.method, c.path, e)
		}
	}
	if !slices.Equal(b.asked, asked) {
		t.Errorf("refused, and yet done: %v", b.asked[len(asked):])
	}
}

// scraped tells how each scrape has ended.
type scraped struct {
	*backend
	ended chan error
}

func (b scraped) Metrics(ctx context.Context, w io.Writer) error {
	err := b.backend.Metrics(ctx, w)
	b.ended <- err
	return err
}

// TestGarbageOverTCP: what is no request is refused, whoever stays silent or
// reads nothing is cut off, and the others are served meanwhile. Fault 34.
func TestGarbageOverTCP(t *testing.T) {
	big := make([]string, 64)
	for i := range big {
		big[i] = strings.Repeat("x", 1<<20)
	}
	b := scraped{&backend{status: Status{Node: "lvs-a"}, metrics: big}, make(chan error, 100)}
	at := read(t, b, func(s *HTTPServer) { s.readWithin, s.writeWithin = 200*time.Millisecond, 200*time.Millisecond })
	for _, raw := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET /metrics\r\n\r\n", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n"} {
		if got := overTCP(t, at, raw); got != "" && !strings.HasPrefix(got, "HTTP/1.1 4") {
			t.Errorf("%.20q is answered %.40q", raw, got)
		}
	}
	silent, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if got := converse(t, silent, ""); got != "" { // returns when it is cut off
		t.Errorf("who says nothing is told %.40q", got)
	}
	var slow []net.Conn
	for range cap(NewReadServer(ReadOptions{}).turns) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request("GET", "/metrics", "")); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	for {
		// The turns come back when the slow ones are cut off.
		if code, _, body := answer(t, "GET", overTCP(t, at, request("GET", "/v1/status", ""))); code == 200 {
			break
		} else if code != 503 {
			t.Fatalf("%d %s", code, body)
		}
	}
	for range slow { // who is not cut off yet may still read it all
		select {
		case err := <-b.ended:
			if err == nil {
				t.Error("a scrape that nobody reads is written")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a scrape that nobody reads goes on")
		}
	}
	for _, c := range slow {
		if got := converse(t, c, ""); len(got) >= 64<<20 || strings.HasSuffix(got, "0\r\n\r\n") {
			t.Error("a scrape that was cut off looks whole")
		}
	}
}

// TestFewReaders: who can reach the address cannot take all of the director.
func TestFewReaders(t *testing.T) {
	at := read(t, &backend{})
	for range maxReaders {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: b\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, body := answer(t, "GET", overTCP(t, at, request("GET", "/v1/status", ""))); code != 503 || !strings.Contains(body, "32 clients") {
		t.Errorf("one too many: %d %q", code, body)
	}
}

// TestScrapeFails: before the first byte it is an error like any other; after
// it the connection breaks, for half of the figures must not pass for all.
func TestScrapeFails(t *testing.T) {
	b := &backend{err: errors.New("the director is stopping")}
	at := read(t, b)
	if code, _, body := answer(t, "GET", overTCP(t, at, request("GET", "/metrics", ""))); code != 500 || !strings.Contains(body, "stopping") {
		t.Errorf("%d %q", code, body)
	}
	// Less than what net/http gathers before it sends anything, and more.
	for _, size := range []int{1, 1 << 20} {
		c, err := net.Dial("tcp", read(t, &backend{err: b.err, metrics: []string{strings.Repeat("x", size)}}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request("GET", "/metrics", "")); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			continue
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("half of a scrape of %d bytes looks whole: %.40q", size, body)
		}
	}
}

// TestScrapesInTurn: whoever has to wait too long is told so.
func TestScrapesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{block: func(ctx context.Context) { <-ctx.Done() }}
		h := NewReadServer(ReadOptions{Reader: b}).handler(t.Context())
		codes := make(chan int, 5)
		for range cap(codes) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil).WithContext(ctx))
				codes <- rec.Code
			}()
		}
		busy := 0
		for range cap(codes) {
			if <-codes == http.StatusServiceUnavailable {
				busy++
			}
		}
		if busy == 0 || busy > 3 {
			t.Errorf("%d of 5 were told to come again, want 1 to 3: two are served at a time", busy)
		}
	})
}

// TestKeepListening: an address that is not there yet is told once and tried
// again until it is.
func TestKeepListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		s := NewReadServer(ReadOptions{Address: netip.MustParseAddrPort("192.0.2.1:9112"), Reader: &backend{}, Notify: func(err error) { told = append(told, err) }})
		tries := 0
		s.listen = func(context.Context) (net.Listener, error) {
			if tries++; tries < 5 {
				return nil, syscall.EADDRNOTAVAIL
			}
			return nil, syscall.EADDRINUSE
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*relistenEvery+time.Second)
		defer cancel()
		s.Keep(ctx)
		if tries != 10 || len(told) != 2 || !errors.Is(told[0], syscall.EADDRNOTAVAIL) || !errors.Is(told[1], syscall.EADDRINUSE) {
			t.Errorf("%d tries, told %v", tries, told)
		}
	})
	if _, err := listenTCP(t.Context(), netip.MustParseAddrPort("192.0.2.1:9112")); err == nil || !strings.Contains(err.Error(), "control_listen") || !strings.Contains(err.Error(), "ss -ltnp") {
		t.Errorf("error is %v", err)
	}
}
