package vrrp

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock returns a clock that no setting of the time moves and that goes on
// while the machine is suspended, so that a resumed machine knows what it has
// missed. Its times are near those of the wall clock when it was made.
func bootClock() func() time.Time {
	base := time.Now().Round(0).Add(-boottime())
	return func() time.Time { return base.Add(boottime()) }
}

func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has it since 2.6.39: only a filter on system calls can refuse.
		panic("read CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
