package director

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/track"
)

// running is a core at work, until the test ends.
func running(t *testing.T, cfg *conf.Config) *core {
	t.Helper()
	c := testCore(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return c
}

// giveProber connects a core with a prober whose scheduler is the test's: all
// but the process and the checking is real.
func giveProber(t *testing.T, c *core, sched *healthcheck.Scheduler) {
	t.Helper()
	ours, theirs := net.Pipe()
	down, up, out := ipc.NewConn(theirs), ipc.NewConn(ours), ipc.NewOutbox(8)
	ctx, cancel := context.WithCancel(context.Background())
	served, received := make(chan error, 1), make(chan struct{})
	go func() { _ = out.Run(ctx, down, func(err error) { t.Error(err) }) }() // ends with the pipe
	go func() {
		served <- serveProber(down, out, func(event.Name, ...event.Field) {}, sched, track.NewScheduler(track.Options{}))
	}()
	go func() {
		defer close(received)
		for {
			m, err := up.Receive()
			if err != nil {
				return
			}
			c.fromProber(&supervised{hello: make(chan struct{})}, m)
		}
	}()
	if err := c.ask(ctx, func() { c.prober.connect(1, up, c.tellUnsendable("prober")); c.sendProber() }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.ask(ctx, c.prober.disconnect); err != nil {
			t.Error(err)
		}
		cancel()
		ours.Close()
		<-received
		if err := <-served; err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("serve: %v", err)
		}
	})
}

func checked(ids ...string) *conf.Config {
	cfg := &conf.Config{}
	vs := conf.VirtualServer{}
	for _, id := range ids {
		vs.Servers = append(vs.Servers, conf.RealServer{Checks: []healthcheck.Spec{{
			ID: id, Kind: healthcheck.TCP, Target: netip.MustParseAddrPort("192.0.2.1:80"), Interval: time.Second, Timeout: time.Second,
		}}})
	}
	cfg.Services = append(cfg.Services, vs)
	return cfg
}

func TestInspect(t *testing.T) {
	c := running(t, checked("a", "b"))
	if got, err := c.inspect(t.Context(), []string{"a"}); got != nil || err != nil {
		t.Errorf("without a prober: %+v, %v", got, err)
	}
	// What the director knows already, the prober begins with.
	judged := healthcheck.Verdict{ID: "a", Reason: healthcheck.Refused, At: time.Unix(1e9, 0)}
	if err := c.ask(t.Context(), func() { c.judged(judged) }); err != nil {
		t.Fatal(err)
	}
	giveProber(t, c, healthcheck.NewScheduler(healthcheck.Options{}))
	got, err := c.inspect(t.Context(), []string{"b", "nobody", "a"})
	if err != nil || len(got) != 2 || got[0].ID != "b" || got[1].ID != "a" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].State != healthcheck.Unknown || got[1].State != healthcheck.Down || !got[1].Since.Equal(judged.At) {
		t.Errorf("states %+v", got)
	}
	if n := 0; c.ask(t.Context(), func() { n = len(c.inspections.waiting) }) != nil || n != 0 {
		t.Errorf("%d questions are left", n)
	}
}

// TestInspectIsAbandoned: a question whose prober dies is answered at once.
func TestInspectIsAbandoned(t *testing.T) {
	c := running(t, checked("a"))
	ours, theirs := net.Pipe() // nobody reads
	defer ours.Close()
	defer theirs.Close()
	if err := c.ask(t.Context(), func() { c.prober.connect(1, ipc.NewConn(ours), c.tellUnsendable("prober")) }); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		got, err := c.inspect(t.Context(), []string{"a"})
		if got != nil {
			err = errors.New("an answer")
		}
		answered <- err
	}()
	for asked := false; !asked; {
		if err := c.ask(t.Context(), func() {
			asked = len(c.inspections.waiting) == 1
			if asked {
				c.prober.disconnect()
				c.inspections.abandon()
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
