package track

import (
	"context"
	"time"
)

// watchProcess counts processes at every interval.
func (s *Scheduler) watchProcess(ctx context.Context, sp Process, h hysteresis) {
	var (
		before  int       // the last count
		pending bool      // the count says otherwise than the state
		since   time.Time // it does so
		delay   time.Duration
		failed  string // why the processes could not be counted, as told
	)
	every(ctx, func() time.Duration {
		n, err := s.count(sp)
		if err != nil {
			if failed != err.Error() {
				failed = err.Error()
				s.trouble(ctx, Trouble{Key: sp.Key(), Kind: Failed, Reason: failed})
			}
			return sp.Interval
		}
		failed = ""
		is := sp.quorate(n)
		now := time.Now()
		switch {
		case h.known && is == h.up:
			pending = false
		case !pending:
			pending, since, delay = true, now, sp.Delay
			if n < before {
				delay = sp.TerminateDelay
			}
			if !h.known {
				delay = 0
			}
		}
		before = n
		if !pending {
			return sp.Interval
		}
		if left := delay - now.Sub(since); left > 0 {
			return min(left, sp.Interval)
		}
		pending = false
		h.known, h.up = true, is
		s.changed(ctx, sp.Key(), State{Up: is, Reason: sp.why(n)})
		return sp.Interval
	})
}

// count asks for all processes and counts those that fit.
func (s *Scheduler) count(sp Process) (int, error) {
	n := 0
	err := s.opts.List(func(p Proc) {
		if sp.fits(p) {
			n++
		}
	})
	return n, err
}
