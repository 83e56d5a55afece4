package healthcheck

import (
	"fmt"
	"net/netip"
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

// TestUnreachableTriggersTheOthers: a check that finds no way to its server has
// the other checks of that server made at once, and nobody else's; of a storm
// those that follow within a second are made together.
func TestUnreachableTriggersTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := failure(Unreachable, "no route to host")
		dead := func(after ...error) checkFunc { return script(append(after, away)...) }
		var told []string
		var r *rig
		checks := map[string]checkFunc{
			"a": dead(nil), "b": dead(nil), "busy": takes(600 * ms), "down": refuses, "else": passes, // "a" is found out at 1 s
			"c": dead(nil, nil), "d": dead(nil), "e": dead(nil), // "c" at 1.2 s
			"timeout": script(nil, failure(Timeout, "no connection")), "beside": passes,
		}
		r = newRig(t, Options{Hinted: func(h Hint) { told = append(told, fmt.Sprintf("%v %v %d", time.Since(r.start), h.Address, h.Checks)) }}, checks)
		defer r.stop()
		at := func(address string, interval time.Duration) func(*Spec) {
			return func(s *Spec) {
				s.Target, s.Interval, s.Retry, s.RetryDelay = netip.MustParseAddrPort(address), interval, 2, 5*sec
			}
		}
		r.Apply([]Spec{
			spec("a", at("192.0.2.1:80", sec)), spec("b", at("[::ffff:192.0.2.1]:25", time.Minute)),
			spec("busy", at("192.0.2.1:81", 900*ms), func(s *Spec) { s.Timeout = 800 * ms }),
			spec("down", at("192.0.2.1:82", time.Minute), func(s *Spec) { s.Retry = 0 }), spec("else", at("192.0.2.9:80", time.Minute)),
			spec("c", at("192.0.2.2:80", 600*ms)), spec("d", at("192.0.2.2:81", time.Minute)), spec("e", at("192.0.2.3:80", time.Minute)),
			spec("timeout", at("192.0.2.4:80", sec)), spec("beside", at("192.0.2.4:81", time.Minute)),
		})
		r.after(4 * sec)
		wantTimes(t, r.begun("b"), 0, sec)
		wantTimes(t, r.begun("busy")[:3], 0, 900*ms, 1500*ms) // once more when its attempt has ended
		wantTimes(t, r.begun("d"), 0, 2*sec)
		for _, id := range []string{"down", "else", "e", "beside"} {
			wantTimes(t, r.begun(id), 0)
		}
		// What "b" and "c" found out waits for its second; "busy" is up still.
		if want := "[1s 192.0.2.1 2 2s invalid IP 2]"; fmt.Sprint(told) != want {
			t.Errorf("told %v, want %s", told, want)
		}
	})
}
