package still

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Now()
	steps := []time.Duration{tick, tick, tick + Bound - 1, tick, tick + Bound, tick + 3*time.Second, tick}
	var told []time.Duration
	watch(ctx, func() time.Time {
		now = now.Add(steps[0])
		if steps = steps[1:]; len(steps) == 0 {
			cancel()
		}
		return now
	}, func(d time.Duration) { told = append(told, d) })
	if want := []time.Duration{Bound, 3 * time.Second}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	if got := Line(told[1]); got != "machine: stood still for 3.0 s\n" {
		t.Errorf("the line is %q", got)
	}
}
