package ipc

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets this test binary play the child: what it does is its argument.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "echo":
			c, err := Inherited()
			if err != nil {
				os.Exit(3)
			}
			for {
				msg, err := c.Receive()
				if err != nil || msg.Kind == "stop" {
					os.Exit(0)
				}
				if msg.Kind == "die" {
					os.Exit(7)
				}
				_ = c.Send("echo", msg.Body)
			}
		case "rubbish":
			c, err := Inherited()
			if err != nil {
				os.Exit(3)
			}
			_ = c.Send("note", "in order")
			_, _ = c.nc.Write([]byte{255, 255, 255, 255})
			_, _ = c.Receive() // until the other end closes
			os.Exit(0)
		case "stubborn":
			<-time.After(time.Hour)
		}
	}
	os.Exit(m.Run())
}

type recorder struct {
	mu   sync.Mutex
	said []string
	ch   chan string
}

func (r *recorder) say(s string) {
	r.mu.Lock()
	r.said = append(r.said, s)
	r.mu.Unlock()
	r.ch <- s
}

func (r *recorder) expect(t *testing.T, prefix string) {
	t.Helper()
	select {
	case s := <-r.ch:
		if !strings.HasPrefix(s, prefix) {
			t.Fatalf("heard %q, want %q…", s, prefix)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing heard within 20 s, want %q…", prefix)
	}
}

func child(r *recorder, mode string, started func(*Conn)) *Child {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &Child{
		Name: mode, Path: exe, Args: []string{mode}, Env: os.Environ(),
		Backoff: func(n int) time.Duration { return time.Duration(n) * time.Millisecond },
		Stable:  time.Hour, StopWithin: func() time.Duration { return 20 * time.Second },
		Started: func(_ int, c *Conn) { r.say("started"); started(c) },
		Message: func(m Message) { r.say("message " + string(m.Body)) },
		Exited:  func(_ int, reason string) { r.say("exited " + reason) },
		Waiting: func(n int, d time.Duration) { r.say("waiting " + d.String()) },
		Failed:  func(err error) { r.say("failed " + err.Error()) },
	}
}

func TestDeadChildIsRestartedWithBackoff(t *testing.T) {
	r := &recorder{ch: make(chan string, 100)}
	runs := 0
	c := child(r, "echo", func(c *Conn) {
		runs++
		_ = c.Send("apply", body{runs})
		if runs <= 2 {
			_ = c.Send("die", nil)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Supervise(ctx, func(c *Conn) { _ = c.Send("stop", nil) }) }()
	for _, want := range []string{
		"started", `message {"N":1}`, "exited exit status 7", "waiting 1ms",
		"started", `message {"N":2}`, "exited exit status 7", "waiting 2ms",
		"started", `message {"N":3}`,
	} {
		r.expect(t, want)
	}
	cancel()
	r.expect(t, "exited exit 0")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestChildThatDoesNotStopIsKilled(t *testing.T) {
	r := &recorder{ch: make(chan string, 100)}
	c := child(r, "stubborn", func(*Conn) {})
	var within atomic.Int64
	c.StopWithin = func() time.Duration { return time.Duration(within.Load()) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Supervise(ctx, func(*Conn) {}) }()
	r.expect(t, "started")
	within.Store(int64(100 * time.Millisecond)) // a reload may change it
	cancel()
	r.expect(t, "exited killed: not gone within 100ms")
	<-done
}

// TestChildThatSendsRubbishLearnsOfIt: it can end in order, as when this process
// is gone.
func TestChildThatSendsRubbishLearnsOfIt(t *testing.T) {
	r := &recorder{ch: make(chan string, 100)}
	c := child(r, "rubbish", func(*Conn) {})
	c.StopWithin = func() time.Duration { return time.Hour }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Supervise(ctx, func(*Conn) {}) }()
	r.expect(t, "started")
	r.expect(t, "message \"in order\"")
	r.expect(t, "exited receive message: malformed frame")
	cancel()
	<-done
}

func TestMissingBinaryIsToldAndTriedAgain(t *testing.T) {
	r := &recorder{ch: make(chan string, 100)}
	c := child(r, "echo", func(*Conn) {})
	c.Path = "/nonexistent/baton"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Supervise(ctx, func(*Conn) {}) }()
	r.expect(t, "failed start echo: ")
	r.expect(t, "waiting 1ms")
	r.expect(t, "failed start echo: ")
	cancel()
	<-done
}

// TestApart: what a thread gives up is not given up in the process's first one, which goes
// on, nor in one that goes on otherwise.
func TestApart(t *testing.T) {
	first := 0
	for range 2000 {
		if err := apart(func() error {
			if unix.Gettid() == unix.Getpid() {
				first++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if first > 0 {
		t.Errorf("%d times in the first thread", first)
	}
}
