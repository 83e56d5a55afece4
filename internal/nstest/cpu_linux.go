package nstest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is what this process has used, the garbage collector's threads included.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
