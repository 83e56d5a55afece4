package healthcheck

import (
	"testing"
	"testing/synctest"
	"time"
)

func triggered(t *testing.T, r *rig, want int, ids ...string) {
	t.Helper()
	if n := r.Trigger(ids...); n != want {
		t.Errorf("Trigger(%v) at %v made %d due, want %d", ids, time.Since(r.start), n, want)
	}
}

func TestTriggerIsWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"idle": passes, "busy": takes(600 * ms)})
		defer r.stop()
		r.Apply([]Spec{spec("idle"), spec("busy")})
		r.after(2100 * ms) // busy's second attempt is under way
		triggered(t, r, 2, "idle", "busy", "nobody")
		r.after(2 * sec)
		// The beat goes on; busy is tried once more when its attempt has ended.
		wantTimes(t, r.begun("idle"), 0, 2*sec, 2100*ms, 4*sec)
		wantTimes(t, r.begun("busy"), 0, 2*sec, 2600*ms, 4*sec)
	})
}

// TestTriggerStorm: hints by the hundred cost one attempt a second, and none
// when the server is known to fail.
func TestTriggerStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"a": script(nil, nil, nil, errRefused)})
		defer r.stop()
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Interval, s.Retry, s.RetryDelay = time.Minute, 1, 2*sec })})
		r.after(500 * ms)
		for range 100 {
			r.Trigger("a")
			r.after(50 * ms)
		}
		// 1.5 s passes, 2.5 s fails; retried 2 s later as without hints, then down.
		wantTimes(t, r.begun("a"), 0, 500*ms, 1500*ms, 2500*ms, 4500*ms)
		wantStrings(t, r.told(), "0s a up=true first", "4.5s a up=false refused")
	})
}

func TestTriggerOfWhatIsNotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"down": refuses, "new": takes(900 * ms)})
		defer r.stop()
		r.Apply([]Spec{spec("down"), spec("new")})
		r.after(500 * ms)
		triggered(t, r, 0, "down", "new")
		r.after(time.Second)
		wantTimes(t, r.begun("down"), 0)
		wantTimes(t, r.begun("new"), 0)
	})
}
