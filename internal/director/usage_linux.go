package director

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/metrics"
)

// usage is what this process has used of the machine. Each process asks for
// itself: /proc may hide the others from a director that holds few privileges.
func usage() *metrics.Usage {
	u := &metrics.Usage{Files: entries("/proc/self/fd"), Threads: entries("/proc/self/task")}
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) == nil {
		u.CPU = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	u.Resident = resident()
	return u
}

// entries counts what a directory holds, -1 if that cannot be read.
func entries(dir string) int {
	d, err := os.Open(dir)
	if err != nil {
		return -1
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names)
}

// resident reads statm of proc(5): its second number counts pages.
func resident() uint64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
