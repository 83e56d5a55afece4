package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"baton/internal/event"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("BATON_TEST_ASK"); socket != "" {
		_, err := NewClient(socket).Status(context.Background())
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// backend answers what a test put into it.
type backend struct {
	mu          sync.Mutex
	status      Status
	reload      Reload
	failover    Failover
	orders      Orders
	log         Log
	explanation Explanation
	metrics     []string // written one after the other
	err         error
	asked       []string // what was done, in order
	past        []event.Event
	follow      func(ctx context.Context) <-chan event.Event
	block       func(ctx context.Context) // before each answer
}

func (b *backend) ask(ctx context.Context, what string) error {
	if b.block != nil {
		b.block(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, what)
	return b.err
}

func (b *backend) Status(ctx context.Context) (Status, error) {
	return b.status, b.ask(ctx, "status")
}

func (b *backend) Explain(ctx context.Context, name string) (Explanation, error) {
	return b.explanation, b.ask(ctx, "explain "+name)
}

func (b *backend) Metrics(ctx context.Context, w io.Writer) error {
	for _, m := range b.metrics {
		if _, err := io.WriteString(w, m); err != nil {
			return err
		}
	}
	return b.ask(ctx, "metrics")
}

func (b *backend) Reload(ctx context.Context) (Reload, error) {
	return b.reload, b.ask(ctx, "reload")
}

func (b *backend) Failover(ctx context.Context, instance string) (Failover, error) {
	return b.failover, b.ask(ctx, fmt.Sprintf("failover %q", instance))
}

func (b *backend) Log(ctx context.Context) (Log, error) { return b.log, b.ask(ctx, "levels") }

func (b *backend) SetLog(ctx context.Context, req LogRequest) (Log, error) {
	return b.log, b.ask(ctx, fmt.Sprintf("log %v for %v", req.Levels, req.Duration()))
}

func (b *backend) Drain(ctx context.Context, req DrainRequest) (Orders, error) {
	within := "as configured"
	if req.Timeout != nil {
		within = req.Timeout.String()
	}
	return b.orders, b.ask(ctx, fmt.Sprintf("drain %q of %q within %s", req.Server, req.Service, within))
}

func (b *backend) Undrain(ctx context.Context, req ServerRequest) (Orders, error) {
	return b.orders, b.ask(ctx, fmt.Sprintf("undrain %q of %q", req.Server, req.Service))
}

func (b *backend) Drains(ctx context.Context, req ServerRequest) (Orders, error) {
	return b.orders, b.ask(ctx, fmt.Sprintf("drains %q of %q", req.Server, req.Service))
}

func (b *backend) Weight(ctx context.Context, req WeightRequest) (Orders, error) {
	weight := "as configured"
	if req.Weight.Value != nil {
		weight = fmt.Sprint(*req.Weight.Value)
	}
	return b.orders, b.ask(ctx, fmt.Sprintf("weight %q of %q: %s", req.Server, req.Service, weight))
}

func (b *backend) Events(since time.Time) iter.Seq[event.Event] {
	var out []event.Event
	for _, e := range b.past {
		if !e.Time.Before(since) {
			out = append(out, e)
		}
	}
	return slices.Values(out)
}

func (b *backend) Follow(ctx context.Context) <-chan event.Event { return b.follow(ctx) }

// serve runs a server until the test ends and returns its socket.
func serve(t *testing.T, b Backend, change ...func(*HTTPServer)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	stop := serveAt(t, socket, b, change...)
	t.Cleanup(stop)
	return socket
}

// serveAt returns when the server listens; stop ends it.
func serveAt(t *testing.T, socket string, b Backend, change ...func(*HTTPServer)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := NewServer(ServerOptions{Socket: socket, GID: -1, Backend: b, Notify: func(err error) { t.Errorf("notified: %v", err) }})
	for _, c := range change {
		c(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			break
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func client(t *testing.T, socket string) *Client {
	t.Helper()
	c := NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

func weight(n int) *int { return &n }

func TestStatusTravelsWhole(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	b := &backend{status: Status{
		Version: "v1", Node: "lvs-a", PID: 7, Started: at, Time: at,
		Config:    Config{File: "/f", Hash: "abc", Loaded: at, LastReload: at, LastOK: true, Problems: []string{"p"}},
		Children:  []Child{{Name: "speaker", PID: 8, Started: at, Restarts: 2}},
		Instances: []Instance{{Name: "VI_1", State: "MASTER", Since: at, Dropped: map[string]uint64{"ttl": 3}, Addresses: []string{"a"}}},
		Services:  []Service{{Name: "s", Servers: []Server{{Address: "r", Kernel: weight(0)}, {Address: "q"}}}},
		Foreign:   []string{"tcp x"},
	}}
	got, err := client(t, serve(t, b)).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.status, got); d != "" {
		t.Errorf("status differs:\n%s", d)
	}
}

func TestReloadAndFailover(t *testing.T) {
	b := &backend{}
	c := client(t, serve(t, b))
	for _, want := range []Reload{{OK: true, Changes: []string{"a"}}, {OK: true}, {Problems: []string{"f:1:1: k: m (r)"}}} {
		b.reload = want
		got, err := c.Reload(t.Context())
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("reload is %+v, %v, want %+v", got, err, want)
		}
	}
	for _, want := range []Failover{{OK: true, Instances: []string{"VI_1"}, Message: "to b"}, {Message: "not master"}} {
		b.failover = want
		got, err := c.Failover(t.Context(), "VI_1")
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("failover is %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := c.Failover(t.Context(), ""); err != nil {
		t.Error(err)
	}
	want := []string{"reload", "reload", "reload", `failover "VI_1"`, `failover "VI_1"`, `failover ""`}
	if d := cmp.Diff(want, b.asked); d != "" {
		t.Errorf("asked:\n%s", d)
	}
}

func TestErrorOfTheDirectorArrives(t *testing.T) {
	b := &backend{err: errors.New("the director is stopping")}
	_, err := client(t, serve(t, b)).Status(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusInternalServerError || e.Message != "the director is stopping" || e.Remedy == "" {
		t.Errorf("error is %#v", err)
	}
}

// TestOneReloadAtATime: the others wait for their turn.
func TestOneReloadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most int
		b := &backend{reload: Reload{OK: true}}
		b.block = func(context.Context) {
			b.mu.Lock()
			running++
			most = max(most, running)
			b.mu.Unlock()
			<-time.After(time.Second)
			b.mu.Lock()
			running--
			b.mu.Unlock()
		}
		h := NewServer(ServerOptions{Backend: b}).handler(t.Context())
		codes := make(chan int, 100)
		for range cap(codes) {
			go func() {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/reload", nil))
				codes <- rec.Code
			}()
		}
		count := map[int]int{}
		for range cap(codes) {
			count[<-codes]++
		}
		// Sixty have their second within the minute that a reload may take.
		done := count[http.StatusOK]
		if most != 1 || done != len(b.asked) || done < 59 || done > 61 || done+count[http.StatusServiceUnavailable] != cap(codes) {
			t.Errorf("%d reloads at once, answers %v, %d done", most, count, len(b.asked))
		}
	})
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	b := &backend{block: func(context.Context) { panic("broken") }}
	told := make(chan error, 1)
	socket := serve(t, b, func(s *HTTPServer) { s.notify = func(err error) { told <- err } })
	_, err := client(t, socket).Status(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusInternalServerError || !strings.Contains(e.Remedy, "defect") {
		t.Errorf("error is %v", err)
	}
	if err := <-told; !strings.Contains(err.Error(), "broken") || !strings.Contains(err.Error(), "server_test.go") {
		t.Errorf("notified is %v", err)
	}
	b.block = nil
	if _, err := client(t, socket).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStopWaitsForAnswers: a failover that runs while the daemon stops still
// gets its answer.
func TestStopWaitsForAnswers(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	b := &backend{failover: Failover{OK: true, Message: "done"}, block: func(ctx context.Context) {
		close(begun)
		select {
		case <-release:
		case <-ctx.Done():
		}
	}}
	socket := filepath.Join(t.TempDir(), "c.sock")
	stop := serveAt(t, socket, b)
	got := make(chan error, 1)
	go func() {
		out, err := client(t, socket).Failover(context.Background(), "")
		if err == nil && out.Message != "done" {
			err = fmt.Errorf("answer is %+v", out)
		}
		got <- err
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case err := <-got:
		t.Errorf("cut off: %v", err)
		close(release)
	case <-time.After(100 * time.Millisecond): // it would be cut off at once
		close(release)
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	<-stopped
}
