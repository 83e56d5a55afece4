package track

import (
	"context"
	"sync"
	"time"
)

// watchProcess counts processes at every interval.
func (s *Scheduler) watchProcess(ctx context.Context, sp Process, h hysteresis) {
	var (
		before  int           // the last count
		pending bool          // the count says otherwise than the state
		left    time.Duration // of the delay
		failed  string        // why the processes could not be counted, as told
	)
	look := func() time.Duration {
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
		switch {
		case h.known && is == h.up:
			pending = false
		case !pending:
			pending, left = true, sp.Delay
			if n < before {
				left = sp.TerminateDelay
			}
			if !h.known {
				left = 0
			}
		}
		before = n
		if !pending {
			return sp.Interval
		}
		if left > 0 {
			return min(left, sp.Interval)
		}
		pending = false
		h.known, h.up = true, is
		s.changed(ctx, sp.Key(), State{Up: is, Reason: sp.why(n)})
		return sp.Interval
	}
	asked := time.Duration(0)
	every(ctx, func() time.Duration {
		// A look that comes late takes no more of the delay than it was to: who
		// restarts the process stood still like us.
		left -= asked
		asked = look()
		return asked
	})
}

// shareFor is for how long a list of processes serves others who count too, if
// that is less than half of their interval.
const shareFor = 100 * time.Millisecond

// list is all processes as they were at a time.
type list struct {
	mu    sync.Mutex
	at    time.Time
	procs []Proc
}

// count counts the processes that fit. Those who count in the same moment share
// one look at all processes, of which there may be thousands.
func (s *Scheduler) count(sp Process) (int, error) {
	s.list.mu.Lock()
	defer s.list.mu.Unlock()
	if now := time.Now(); s.list.at.IsZero() || now.Sub(s.list.at) >= min(shareFor, sp.Interval/2) {
		s.list.procs = s.list.procs[:0]
		if err := s.opts.List(func(p Proc) { s.list.procs = append(s.list.procs, p) }); err != nil {
			s.list.at = time.Time{}
			return 0, err
		}
		s.list.at = now
	}
	n := 0
	for _, p := range s.list.procs {
		if sp.fits(p) {
			n++
		}
	}
	return n, nil
}
