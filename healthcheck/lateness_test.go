package healthcheck

import (
	"testing"
	"time"
)

func TestLatenessQuantile(t *testing.T) {
	var before, now Stats
	before.Lateness[0], now.Lateness[0] = 1000, 1000+90 // within a millisecond
	now.Lateness[3] = 9                                 // within ten
	now.Lateness[len(LatenessBuckets)] = 1              // later than all bounds
	now.MaxLateness = 7 * time.Second
	for q, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.9: time.Millisecond, 0.95: 10 * time.Millisecond, 0.99: 10 * time.Millisecond, 1: 7 * time.Second} {
		if got := now.LatenessQuantile(before, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
