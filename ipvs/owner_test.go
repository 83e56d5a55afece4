package ipvs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSession answers an operation after the time its weight says, in seconds.
type fakeSession struct {
	aborted chan struct{} // closed by abort
	deaf    bool          // abort has no effect: the kernel does not let go
	opened  *atomic.Int32 // sessions open now
	err     error
}

func (s *fakeSession) read(ctx context.Context, beat func()) (Table, error) {
	for range 10 { // a slow but steady reading, longer than the time-out as a whole
		time.Sleep(time.Second)
		beat()
	}
	return Table{}, ctx.Err()
}

func (s *fakeSession) apply(op Op) error {
	aborted := s.aborted
	if s.deaf {
		aborted = nil
	}
	select {
	case <-time.After(time.Duration(op.Server.Weight) * time.Second):
		return s.err
	case <-aborted:
		return errors.New("aborted")
	}
}

func (s *fakeSession) abort() { close(s.aborted) }
func (s *fakeSession) close() { s.opened.Add(-1) }

func takes(seconds int) func(*fakeSession, func()) error {
	return func(s *fakeSession, _ func()) error { return s.apply(Op{Server: Server{Weight: seconds}}) }
}

// lab runs f with an owner of fake sessions, time-out 5 s, on a fake clock.
func lab(t *testing.T, deaf bool, f func(o *owner[*fakeSession], opens, open *atomic.Int32)) {
	synctest.Test(t, func(t *testing.T) {
		var opens, open atomic.Int32
		o := newOwner(func() (*fakeSession, error) {
			opens.Add(1)
			open.Add(1)
			return &fakeSession{aborted: make(chan struct{}), deaf: deaf, opened: &open}, nil
		}, 5*time.Second)
		f(o, &opens, &open)
		o.close()
		synctest.Wait()
		if n := open.Load(); n != 0 && !deaf {
			t.Errorf("%d sessions left open", n)
		}
		if err := o.do(context.Background(), takes(0)); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("use after close: %v", err)
		}
	})
}

func TestOwnerReopensAfterHang(t *testing.T) {
	lab(t, false, func(o *owner[*fakeSession], opens, open *atomic.Int32) {
		began := time.Now()
		err := o.do(context.Background(), takes(3600))
		if !errors.Is(err, ErrHung) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := o.do(context.Background(), takes(1)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if opens.Load() != 2 || open.Load() != 1 {
			t.Errorf("%d opened, %d open; want the hung session closed and a new one", opens.Load(), open.Load())
		}
	})
}

func TestOwnerBoundsStuckSessions(t *testing.T) {
	lab(t, true, func(o *owner[*fakeSession], opens, open *atomic.Int32) {
		for range 10 {
			if err := o.do(context.Background(), takes(3600)); !errors.Is(err, ErrHung) {
				t.Error(err)
			}
		}
		if n := opens.Load(); n != maxStuck {
			t.Errorf("%d sessions opened while the kernel hangs, want %d", n, maxStuck)
		}
		time.Sleep(2 * time.Hour) // the kernel lets go
		if err := o.do(context.Background(), takes(0)); err != nil {
			t.Errorf("after the kernel let go: %v", err)
		}
		if open.Load() != 1 {
			t.Errorf("%d sessions open", open.Load())
		}
	})
}

func TestOwnerPatientWithProgress(t *testing.T) {
	lab(t, false, func(o *owner[*fakeSession], opens, _ *atomic.Int32) {
		began := time.Now()
		err := o.do(context.Background(), func(s *fakeSession, beat func()) error {
			_, err := s.read(context.Background(), beat)
			return err
		})
		if err != nil || time.Since(began) != 10*time.Second || opens.Load() != 1 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestOwnerGivesUpWhatStops: a time-out after it has stopped, not after it began, and not
// much later.
func TestOwnerGivesUpWhatStops(t *testing.T) {
	lab(t, false, func(o *owner[*fakeSession], _, _ *atomic.Int32) {
		began := time.Now()
		err := o.do(context.Background(), func(s *fakeSession, beat func()) error {
			for range 7 {
				time.Sleep(time.Second)
				beat()
			}
			return s.apply(Op{Server: Server{Weight: 3600}})
		})
		if took := time.Since(began); !errors.Is(err, ErrHung) || took < 12*time.Second || took > 12*time.Second+5*time.Second/looks {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestOwnerWaitingHonoursContext(t *testing.T) {
	lab(t, false, func(o *owner[*fakeSession], _, _ *atomic.Int32) {
		first := make(chan error)
		go func() { first <- o.do(context.Background(), takes(4)) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := o.do(ctx, takes(0)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// TestOwnerKeepsSessionAfterErrno: an errno is an answer; anything else may
// have left the sockets out of step.
func TestOwnerKeepsSessionAfterErrno(t *testing.T) {
	lab(t, false, func(o *owner[*fakeSession], opens, _ *atomic.Int32) {
		answer := func(err error) func(*fakeSession, func()) error {
			return func(*fakeSession, func()) error { return err }
		}
		for _, err := range []error{nil, syscall.EEXIST, context.Canceled, errMalformedForTest} {
			if got := o.do(context.Background(), answer(err)); !errors.Is(got, err) {
				t.Errorf("error %v, want %v", got, err)
			}
			if opens.Load() != 1 {
				t.Errorf("session opened again after %v", err)
			}
		}
		if err := o.do(context.Background(), takes(0)); err != nil || opens.Load() != 2 {
			t.Errorf("%d sessions after a malformed answer, want 2 (%v)", opens.Load(), err)
		}
	})
}

var errMalformedForTest = errors.New("malformed")

func TestOwnerTellsWhyItCannotOpen(t *testing.T) {
	o := newOwner(func() (*fakeSession, error) { return nil, ErrNoIPVS }, time.Second)
	if err := o.do(context.Background(), takes(0)); !errors.Is(err, ErrNoIPVS) || !strings.Contains(err.Error(), "modprobe ip_vs") {
		t.Error(err)
	}
	o.close()
}
