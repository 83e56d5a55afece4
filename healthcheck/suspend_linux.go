package healthcheck

import (
	"time"

	"golang.org/x/sys/unix"
)

// suspended is for how long this machine has been suspended since it booted, in
// which the monotonic clock stands still; 0 where that cannot be told.
func suspended() time.Duration {
	var boot, ran unix.Timespec
	// Monotonic last: a moment between the two is none of suspension.
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &ran) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - ran.Nano())
}
