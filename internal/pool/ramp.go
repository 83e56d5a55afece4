package pool

import "time"

// A ramp has at most rampSteps steps, at least rampStep apart: each is a change
// of the kernel's table.
const (
	rampSteps = 20
	rampStep  = 100 * time.Millisecond
)

// climbed returns after how long a weight that rises to target within that time
// has come to so much of it.
func climbed(weight, target int, within time.Duration) (elapsed time.Duration) {
	for {
		is, next := rise(target, elapsed, within)
		if is >= weight || next == 0 {
			return elapsed
		}
		elapsed = next
	}
}

// rise returns the weight of a server so long after its coming up, 1 at first
// and target after within, and when, counted the same way, it rises next; 0:
// it is there.
func rise(target int, elapsed, within time.Duration) (weight int, next time.Duration) {
	steps := min(time.Duration(target-1), rampSteps, within/rampStep)
	if steps < 1 || elapsed >= within {
		return target, 0
	}
	n := max(elapsed, 0) * steps / within
	weight = 1 + int(time.Duration(target-1)*n/steps)
	return weight, (within*(n+1) + steps - 1) / steps
}
