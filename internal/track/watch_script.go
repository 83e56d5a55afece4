package track

import (
	"context"
	"fmt"
	"time"

	"baton/internal/script"
)

// lateEvery bounds how often skipped runs are told of.
const lateEvery = time.Minute

// maxExcused bounds how many failures in a row a stall of this process excuses.
const maxExcused = 3

// watchScript runs a script at every interval. While one run lasts there is no
// other: those that fall into it are skipped. A run that failed while this process,
// and as a rule the machine, stood still does not count and is made again.
func (s *Scheduler) watchScript(ctx context.Context, sp Script, h hysteresis) {
	var reason string // of the last failure that was told
	excused := 0      // runs in a row
	late := 0         // runs skipped since that was told last
	var lateTold time.Time
	next := time.Now()
	every(ctx, func() time.Duration {
		r := s.opts.Run(ctx, sp)
		if r.Canceled {
			return sp.Interval // ctx has ended
		}
		if !r.OK() && r.Stood > 0 && excused < maxExcused && over(ctx, r) {
			if excused++; excused == 1 { // of several in a row the first is told
				s.trouble(ctx, Trouble{Key: sp.Key(), Kind: Failed, Detail: r.Excerpt(), Took: r.Took,
					Reason: fmt.Sprintf("%s; this process stood still for %v of it: it is run again", r.Reason(), r.Stood.Round(time.Millisecond))})
			}
			return 0
		}
		excused = 0
		if pass := r.OK(); pass {
			reason = ""
		} else if why := failure(r); why != reason {
			reason = why
			s.trouble(ctx, Trouble{Key: sp.Key(), Kind: Failed, Reason: r.Reason(), Detail: r.Excerpt(), Took: r.Took})
		}
		if h.next(r.OK(), sp.Rise, sp.Fall) {
			s.changed(ctx, sp.Key(), State{Up: h.up, Reason: r.Reason()})
		}
		s.outlast(ctx, sp, r)
		next = next.Add(sp.Interval)
		now := time.Now()
		for !next.After(now) {
			next = next.Add(sp.Interval)
			late++
		}
		if late > 0 && (lateTold.IsZero() || now.Sub(lateTold) >= lateEvery) {
			s.trouble(ctx, Trouble{Key: sp.Key(), Kind: Late, Count: late, Took: r.Took,
				Reason: "the run took longer than interval"})
			late, lateTold = 0, now
		}
		return next.Sub(now)
	})
}

// failure is what makes a failure another one than the last: not how long it
// took.
func failure(r script.Result) string {
	if r.TimedOut {
		return "timeout"
	}
	return r.Reason()
}

// overWithin is what a program that was killed during a stall is given to go.
const overWithin = time.Second

// over says whether a run has come to its end, if need be after a moment. One that
// hangs for good is a failure, whatever else there was.
func over(ctx context.Context, r script.Result) bool {
	if r.Gone == nil {
		return false
	}
	t := time.NewTimer(overWithin)
	defer t.Stop()
	select {
	case <-r.Gone:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// outlast waits for a program that even SIGKILL has not ended, as on a file
// server that is gone: another run would only hang beside it.
func (s *Scheduler) outlast(ctx context.Context, sp Script, r script.Result) {
	if r.Gone == nil {
		return
	}
	select {
	case <-r.Gone:
	case <-ctx.Done():
	}
}

// runScript is Options.Run where it is left out.
func runScript(ctx context.Context, sp Script) script.Result {
	c := script.Command{Args: sp.Args, Timeout: sp.Timeout}
	if sp.User != "" {
		id, err := script.Lookup(sp.User, sp.Group)
		if err != nil {
			return script.Result{Err: err, Exit: -1}
		}
		c.As = id
	}
	return script.Run(ctx, c)
}
