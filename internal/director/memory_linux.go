package director

import (
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// gcPercent is the collector's at rest. Ten thousand servers are 20 MiB that
// stay for hours; what else comes and goes is little.
const gcPercent = 25

// plenty lets the collector rest while the first configuration is read and
// programmed: nothing of it is to be had back yet, and trim ends it.
func plenty() { debug.SetGCPercent(200) }

// relax is for the time of a reload: at gcPercent the collector would come every few
// megabytes, and take as long as the reading.
func relax() { debug.SetGCPercent(70) }

// trim gives back the memory that reading a large configuration took.
func trim() {
	debug.SetGCPercent(gcPercent)
	debug.FreeOSMemory()
}

// Some time after the last reload what it has left behind is given back, where that is
// worth a collection: some 10 ms of CPU for ten thousand servers.
const (
	calm        = time.Second
	worthAtTrim = 2 << 20 // bytes
)

// newTrimmer is the timer that does so with debug.FreeOSMemory; reloads set it to calm.
func newTrimmer(free func()) *time.Timer {
	stays := uint64(0) // of that, what the last collection could not give back: holes between what lives
	return time.AfterFunc(math.MaxInt64, func() {
		debug.SetGCPercent(gcPercent)
		left := leftBehind()
		if stays = min(stays, left); left >= stays+worthAtTrim {
			free()
			stays = leftBehind()
		}
	})
}

// leftBehind bounds the bytes of the heap that a collection could give back: those that
// are free, and those that were allocated since the last one.
func leftBehind() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	free, unused, objects, live := s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()
	return free + unused + max(objects, live) - live
}

// smallPages keeps this process and those that it starts to pages of the usual size.
// A kernel whose transparent huge pages are on for all (Debian's) would give each of the
// three a second or third 2 MiB of which it needs a few hundred KiB.
func smallPages() error {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("switch transparent huge pages off: %w", err)
	}
	return nil
}
