package healthcheck

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestBeatsAreGathered: checks whose interval is not short begin on a grid, so
// that many cost few wake-ups, and stay on it; each keeps to its interval, and
// they are spread over it. Short intervals are left alone.
func TestBeatsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		checks, specs := map[string]checkFunc{}, []Spec{}
		for i := range 100 {
			id := fmt.Sprint(i)
			checks[id] = passes
			specs = append(specs, spec(id, func(s *Spec) { s.Interval = sec }))
		}
		checks["short"] = passes
		specs = append(specs, spec("short", func(s *Spec) { s.Interval = 99 * ms }))
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { return time.Duration(random.Int64N(int64(n))) }}, checks)
		defer r.stop()
		r.after(ms + 1) // not a moment of the grid
		r.Apply(specs)
		r.after(4 * sec)
		moments := map[time.Duration]bool{}
		for i := range 100 {
			begun := r.begun(fmt.Sprint(i))
			if len(begun) < 3 || len(begun) > 5 {
				t.Fatalf("check %d began at %v", i, begun)
			}
			for n, at := range begun {
				if at%grain != 0 || n > 0 && at-begun[n-1] != sec {
					t.Errorf("check %d began at %v", i, begun)
				}
			}
			moments[begun[0]] = true
		}
		if len(moments) < 50 {
			t.Errorf("100 checks begin at %d moments", len(moments))
		}
		if at := r.begun("short")[0]; at%grain == 0 {
			t.Errorf("the short interval begins at %v", at)
		}
	})
}
