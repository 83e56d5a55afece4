package pool

import (
	"testing"
	"time"
)

// TestFlaps: told once, again every ten minutes, and no longer after a quiet
// minute.
func TestFlaps(t *testing.T) {
	var f Flaps
	told := 0
	at := epoch
	for range 1200 { // twenty minutes
		at = at.Add(time.Second)
		var tell bool
		if f, tell = f.Change(at); tell {
			told++
		}
		var calm bool
		if f, calm = f.Calm(at); calm {
			t.Fatalf("calm in the middle of it: %+v", f)
		}
	}
	if told != 2 || f.Count != 1200 || !f.Since.Equal(epoch.Add(time.Second)) {
		t.Errorf("told %d times, %d changes since %v", told, f.Count, f.Since)
	}
	if _, calm := f.Calm(at.Add(59 * time.Second)); calm {
		t.Error("calm after 59 s")
	}
	f, calm := f.Calm(at.Add(time.Minute))
	if !calm || f.On() {
		t.Errorf("after a minute it still flaps: %+v", f)
	}
}

// TestSlowChangesAreNoFlapping: five changes in two minutes are an incident.
func TestSlowChangesAreNoFlapping(t *testing.T) {
	var f Flaps
	for i := range 100 {
		var tell bool
		if f, tell = f.Change(epoch.Add(time.Duration(i) * 25 * time.Second)); tell || f.On() {
			t.Fatalf("flaps after %d changes: %+v", i+1, f)
		}
	}
}
