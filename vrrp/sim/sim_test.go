package sim

import (
	"fmt"
	"strings"
	"testing"
)

// TestSeeds runs small scenarios. `make sim` runs large ones, and more.
func TestSeeds(t *testing.T) {
	seeds := uint64(1500)
	if raceEnabled {
		seeds = 150
	}
	var total Stats
	for seed := range seeds {
		s := Random(seed, Small)
		stats, bad := Run(s, Options{})
		if bad != nil {
			t.Fatalf("%s\nreplay with: go run ./vrrp/sim/cmd -small -days 0 -v -seed %d", Report(s, bad, Options{}), seed)
		}
		total.Add(&stats)
	}
	// A simulation in which nothing happens finds nothing.
	for k := range kinds {
		if k < Start && total.Faults[k.String()] == 0 {
			t.Errorf("no scenario had the fault %q", k)
		}
	}
	if total.Settled < seeds {
		t.Errorf("the clusters were found at rest %d times in %d runs", total.Settled, seeds)
	}
	t.Logf("%d runs, %v simulated, %d adverts, %d times at rest", total.Runs, total.Simulated, total.Adverts, total.Settled)
}

// TestSameSeedSameTrace: a transcript is worth something only if it can be had
// again.
func TestSameSeedSameTrace(t *testing.T) {
	var first string
	for seed := range uint64(20) {
		a := Transcript(Random(seed, Small), Options{Packets: true})
		b := Transcript(Random(seed, Small), Options{Packets: true})
		if a != b {
			t.Fatalf("seed %d gives two transcripts:\n%s", seed, firstDifference(a, b))
		}
		if len(a) < 1000 || a == first {
			t.Fatalf("seed %d has the transcript of another, or none:\n%s", seed, a)
		}
		first = a
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}
