package script

import (
	"context"
	"time"
)

const (
	// part is how often the clock is looked at while a program runs, and grain
	// from when on a look comes so late that this process has not run meanwhile.
	part  = 100 * time.Millisecond
	grain = 50 * time.Millisecond
)

// ending is why there is nothing to wait for any more.
type ending int

const (
	exited ending = iota
	timedOut
	canceled
)

// await waits until the program is gone, ctx ends, or timeout is over. Time in
// which this process stood still does not count, for as a rule the program did so,
// too: it is returned as stood. What is there already comes before a time-out.
func await(ctx context.Context, gone <-chan struct{}, timeout time.Duration, now func() time.Time) (end ending, stood time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for left := timeout; left > 0; {
		wait := min(left, part)
		begun := now()
		timer.Reset(wait)
		end = timedOut
		select {
		case <-gone:
			end = exited
		case <-ctx.Done():
			end = canceled
		case <-timer.C:
		}
		if late := now().Sub(begun) - wait; late >= grain {
			stood += late
		}
		if end != timedOut {
			break
		}
		left -= wait
	}
	select {
	case <-gone:
		return exited, stood
	default:
		return end, stood
	}
}
