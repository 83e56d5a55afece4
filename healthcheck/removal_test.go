package healthcheck

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadServerIsOutInTime: whatever the operator has set, and whenever in the
// beat a server begins to swallow what it gets, it is down when the next beat, all
// attempts and the pauses between them are over, and not before it has failed
// as often as it may.
func TestDeadServerIsOutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		between := func(low, high time.Duration) time.Duration {
			return low + time.Duration(random.Int64N(int64(high-low)))
		}
		begun := time.Now()
		specs, checks, dies := []Spec{}, map[string]checkFunc{}, map[string]time.Time{}
		for i := range 300 {
			id := fmt.Sprint(i)
			specs = append(specs, spec(id, func(s *Spec) {
				s.Interval, s.Timeout, s.RetryDelay = between(MinInterval, 5*sec), between(ms, 3*sec), between(0, 2*sec)
				s.Retry, s.Rise = random.IntN(4), 1
			}))
			died := begun.Add(between(6*sec, 15*sec))
			dies[id] = died
			checks[id] = func(ctx context.Context) error {
				if time.Now().Before(died) {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
		}
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { return between(0, n) }}, checks)
		defer r.stop()
		r.Apply(specs)
		r.after(60 * sec)
		for i, st := range r.Status() {
			s := specs[i]
			took, attempt := st.Since.Sub(dies[s.ID]), s.Timeout
			least := attempt + time.Duration(s.Retry)*(s.RetryDelay+attempt)
			if st.State != Down || took < least || took > s.Interval+least {
				t.Errorf("delay_loop %v, connect_timeout %v, retry %d, delay_before_retry %v: %s after %v, want %v to %v",
					s.Interval, attempt, s.Retry, s.RetryDelay, st.State, took, least, s.Interval+least)
			}
		}
	})
}
