package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestMarker: a check with a mark has each of its sockets marked before it is
// connected, and none without one has; while that takes its time, other checks
// are made.
func TestMarker(t *testing.T) {
	target := server(t, hold)
	var mu sync.Mutex
	marked := map[uint32]int{}
	others := make(chan struct{}) // closed when the check without a mark is up
	mark := func(_ context.Context, fd int, m uint32) error {
		if _, err := unix.Getpeername(fd); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("mark %d: the socket is connected: %v", m, err)
		}
		select {
		case <-others:
		case <-time.After(10 * sec):
			t.Errorf("mark %d: the check without a mark waits for it", m)
		}
		mu.Lock()
		defer mu.Unlock()
		marked[m]++
		return nil
	}
	checks := []Spec{
		spec("a", func(s *Spec) { s.Kind, s.Target, s.Socket.FWMark = TCP, target, 7 }),
		spec("b", func(s *Spec) { s.Kind, s.Target, s.Socket.FWMark = UDP, target, 1<<32-1 }),
		spec("c", func(s *Spec) { s.Kind, s.Target = TCP, target }),
	}
	for i := range checks {
		checks[i].Timeout = 30 * sec
	}
	verdicts := make(chan Verdict, 100)
	later := []time.Duration{0, 0, 0, 0, 50 * ms, 0} // first and second beats
	s := NewScheduler(Options{Mark: mark, Notify: func(v Verdict) { verdicts <- v }, Random: func(time.Duration) (d time.Duration) {
		d, later = later[0], later[1:]
		return d
	}})
	if err := s.Apply(checks); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for range checks {
		if v := <-verdicts; v.ID == "c" {
			close(others)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if len(marked) != 2 || marked[7] == 0 || marked[1<<32-1] == 0 {
		t.Errorf("marked %v", marked)
	}
}

// TestMarkThatCannotBeHad says nothing about the server, and leaves half of the
// attempt's time for whoever gets one late.
func TestMarkThatCannotBeHad(t *testing.T) {
	late := func(ctx context.Context, _ int, _ uint32) error {
		<-ctx.Done()
		return ctx.Err()
	}
	refused := func(err error) Marker { return func(context.Context, int, uint32) error { return err } }
	for _, tc := range []struct {
		mark Marker
		want Reason
		text string
		took time.Duration
	}{
		{late, Resources, "the director is busy", sec / 2},
		{refused(fmt.Errorf("no answer")), Resources, "mark packets with 7: the director is busy: no answer", 0},
		{refused(unix.EPERM), Config, "CAP_NET_ADMIN is missing", 0},
		{refused(unix.EACCES), Config, "permission denied", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, problems := build(spec("a", func(s *Spec) {
				s.Kind, s.Target, s.Socket.FWMark = TCP, netip.MustParseAddrPort("127.0.0.1:9"), 7
			}), means{mark: tc.mark})
			if problems != nil {
				t.Fatal(problems)
			}
			ctx, cancel := context.WithTimeout(t.Context(), sec)
			defer cancel()
			begun := time.Now()
			err := c.Check(ctx)
			if ReasonOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) || time.Since(begun) != tc.took {
				t.Errorf("%v after %v, want %s with %q after %v", err, time.Since(begun), tc.want, tc.text, tc.took)
			}
		})
	}
}
