package director

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryAfterReloads: what reloads leave behind goes back some time after the last.
func TestMemoryAfterReloads(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	holes := make([][]byte, 0, 4096) // which no collection gives back
	for i := range 8192 {
		if b := make([]byte, 4096); i%2 == 0 {
			holes = append(holes, b)
		}
	}
	defer runtime.KeepAlive(holes)
	synctest.Test(t, func(t *testing.T) {
		var freed atomic.Int32
		timer := newTrimmer(func() { freed.Add(1); debug.FreeOSMemory() })
		defer timer.Stop()
		collections := func() int32 {
			synctest.Wait()
			return freed.Load()
		}
		for range 3 {
			relax()
			timer.Reset(calm)
			time.Sleep(calm - 1)
			garbage = strings.Repeat("x", 2*worthAtTrim)
			garbage = ""
		}
		if n := collections(); n != 0 {
			t.Errorf("%d collections before the reloads were over", n)
		}
		time.Sleep(time.Nanosecond)
		if n := collections(); n != 1 {
			t.Errorf("%d collections after the reloads, want 1", n)
		}
		if got := debug.SetGCPercent(-1); got != gcPercent {
			t.Errorf("the collector is at %d, want %d", got, gcPercent)
		}
		timer.Reset(calm)
		time.Sleep(calm)
		if n := collections(); n != 1 {
			t.Errorf("%d collections when there was nothing to collect", n)
		}
	})
}

var garbage string // to be allocated, whatever the compiler thinks of it

func TestSmallPages(t *testing.T) {
	if err := smallPages(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "THP_enabled:\t0\n") {
		t.Errorf("transparent huge pages are still on:\n%s", raw)
	}
}
