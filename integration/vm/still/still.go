// Package still notices that the machine stood still: that for a while nothing ran
// on it at all, as a virtual machine does not while its host runs others.
// A test whose peers answer one another within milliseconds proves nothing then.
package still

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Bound is the shortest time that is told: no backup of a test waits for less before
// it takes over.
const Bound = 250 * time.Millisecond

// Mark begins the line in which it is told, with the time, in the output of a test.
const Mark = "machine: stood still for "

// Line is what is written between the lines of the test that runs.
func Line(d time.Duration) string { return fmt.Sprintf("%s%.1f s\n", Mark, d.Seconds()) }

// tick is how often the clock is looked at.
const tick = 20 * time.Millisecond

// priority is a real-time one: other programs of this machine, busy as they may be,
// do not hold the watch up.
const priority = 50

// Watch tells each time that nothing ran for Bound or longer, until ctx ends. Where
// it may not have a real-time priority it tells of a machine that is too busy as well.
func Watch(ctx context.Context, tell func(time.Duration)) {
	runtime.LockOSThread() // and not unlocked: the thread ends with its priority
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}, 0)
	watch(ctx, func() time.Time {
		t := unix.NsecToTimespec(int64(tick))
		_ = unix.Nanosleep(&t, nil) // a signal cuts it short: the clock is what counts
		return time.Now()
	}, tell)
}

func watch(ctx context.Context, next func() time.Time, tell func(time.Duration)) {
	for last := next(); ctx.Err() == nil; {
		now := next()
		if d := now.Sub(last) - tick; d >= Bound {
			tell(d)
		}
		last = now
	}
}
