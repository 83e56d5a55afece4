package healthcheck

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stand is a wait in which the process stands still for d.
func (r *loopRig) stand(d time.Duration) func() ([]readiness, bool) {
	return func() ([]readiness, bool) { r.clock = r.clock.Add(d); return nil, false }
}

// pass is a wait in which nothing happens for d.
func (r *loopRig) pass(d time.Duration) []func() ([]readiness, bool) {
	var waits []func() ([]readiness, bool)
	for ; d > 0; d -= stallTick {
		waits = append(waits, r.stand(min(d, stallTick)))
	}
	return waits
}

// TestStallIsNotHeldAgainstTheServer: this process stands still during an attempt,
// wherever in it. The server is given what was taken from it. One that answers
// then stays what it was, a dead one is out after the timeout and the stall.
func TestStallIsNotHeldAgainstTheServer(t *testing.T) {
	for _, tc := range []struct {
		name          string
		before, stall time.Duration
	}{
		{"from the beginning on", 0, 5 * sec},
		{"longer than the timeout by a little", 0, sec + 100*ms},
		{"over the end", 900 * ms, 600 * ms},
		{"until just before the end", 0, 990 * ms},
		{"a short one in the middle", 500 * ms, 200 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			begin := func(then ...func() ([]readiness, bool)) *loopRig {
				r := newLoopRig(t, Options{}, spec("a"))
				waits := append(r.pass(tc.before), r.stand(tc.stall))
				r.onWait(append(append(waits, r.pass(sec-tc.before-tc.stall)...), then...)...)
				r.rounds(len(r.poll.script) - len(then))
				if st := r.Status()[0]; len(r.verdicts) != 0 || st.State != Unknown {
					t.Fatalf("verdicts %+v, status %+v", r.verdicts, st)
				}
				return r
			}
			r := begin(func() ([]readiness, bool) { return []readiness{{fd: 2}}, false }, nothing)
			r.rounds(2)
			if len(r.verdicts) != 1 || !r.verdicts[0].Up {
				t.Errorf("verdicts of a server that answers: %+v", r.verdicts)
			}
			if len(r.overload) != 1 || r.overload[0].Unknown != 1 {
				t.Errorf("overload %+v", r.overload)
			}
			r = begin()
			r.rounds(3)
			if len(r.verdicts) == 0 || r.verdicts[0].Reason != Timeout {
				t.Fatalf("verdicts of a dead server: %+v", r.verdicts)
			}
			if out, most := r.verdicts[0].At.Sub(time.Unix(1e9, 0)), sec+tc.stall+stallTick; out < sec || out > most {
				t.Errorf("out after %v, at most %v", out, most)
			}
		})
	}
}

// TestAnswerDuringAStall: what has come meanwhile counts.
func TestAnswerDuringAStall(t *testing.T) {
	r := newLoopRig(t, Options{}, spec("a"))
	r.onWait(func() ([]readiness, bool) { r.clock = r.clock.Add(5 * sec); return []readiness{{fd: 1}}, false })
	r.rounds(2)
	if len(r.verdicts) != 1 || !r.verdicts[0].Up {
		t.Fatalf("verdicts %+v", r.verdicts)
	}
}

// TestStallsExcuseThreeTimes: a machine that stands still in each attempt takes a
// dead server out in the end.
func TestStallsExcuseThreeTimes(t *testing.T) {
	r := newLoopRig(t, Options{}, spec("a"))
	for attempt := 1; attempt <= 4; attempt++ {
		if len(r.verdicts) != 0 || r.poll.next != attempt-1 {
			t.Fatalf("before attempt %d of %d: verdicts %+v", attempt, r.poll.next+1, r.verdicts)
		}
		r.onWait(r.stand(5 * sec))
		r.rounds(1)
	}
	r.rounds(1)
	if len(r.verdicts) != 1 || r.verdicts[0].Reason != Timeout || r.poll.next != 4 {
		t.Fatalf("after attempt %d: verdicts %+v", r.poll.next, r.verdicts)
	}
}

// slowRig is a scheduler of so many checks for each of which it needs some time.
func slowRig(t *testing.T, checks int, slow time.Duration) *loopRig {
	var specs []Spec
	for i := range checks {
		specs = append(specs, spec(fmt.Sprint(i)))
	}
	r := newLoopRig(t, Options{}, specs...)
	r.poll.slow = slow
	return r
}

// TestSlowIsNotStill: many attempts that begin and end at a time take a scheduler that
// has a part of a processor only longer than a stall is. Nothing of that is excused: a
// dead server among them is out with its time-out.
func TestSlowIsNotStill(t *testing.T) {
	const checks = 200
	r := slowRig(t, checks, ms)
	r.onWait(func() ([]readiness, bool) {
		var answers []readiness
		for fd := 2; fd <= checks; fd++ {
			answers = append(answers, readiness{fd: fd})
		}
		return answers, false
	})
	for len(r.verdicts) < checks {
		r.rounds(1)
	}
	for i, v := range r.verdicts {
		if last := i == checks-1; v.Up == last || last && (v.ID != "0" || v.Reason != Timeout || v.Attempts != 1) {
			t.Errorf("verdict %d is %+v", i, v)
		}
	}
	if r.stall.lost != 0 || len(r.overload) != 0 {
		t.Errorf("%v is lost; overload %+v", r.stall.lost, r.overload)
	}
}

// TestStillWhileItBegins: who takes as long as a stall for one attempt stood still in it.
func TestStillWhileItBegins(t *testing.T) {
	for slow, still := range map[time.Duration]bool{stallGrain - ms: false, stallGrain: true} {
		r := slowRig(t, 20, slow)
		r.rounds(1)
		if lost := r.stall.lost; (lost > 0) != still {
			t.Errorf("of attempts that take %v to begin %v is lost", slow, lost)
		}
	}
}

// TestServerThatGaveUpDuringAStall: it closed a connection that did not speak.
// The next attempt has all of its time, for nothing of that was used.
func TestServerThatGaveUpDuringAStall(t *testing.T) {
	r := newLoopRig(t, Options{}, spec("a"))
	r.poll.errs[1] = Reset
	r.onWait(func() ([]readiness, bool) {
		r.clock = r.clock.Add(300 * ms)
		return []readiness{{fd: 1, failed: true}}, false
	}, nothing)
	r.rounds(2)
	if st := r.Status()[0]; len(r.verdicts) != 0 || st.Reason != Resources {
		t.Fatalf("verdicts %+v, status %+v", r.verdicts, st)
	}
	r.rounds(2)
	if len(r.verdicts) != 1 || r.verdicts[0].Reason != Timeout || r.verdicts[0].Latency != sec {
		t.Fatalf("verdicts %+v", r.verdicts)
	}
}

// TestSilenceDuringAStall is no pass, for a port that is closed is silent as well
// until its error is heard. After the stall it is one.
func TestSilenceDuringAStall(t *testing.T) {
	for _, stall := range []time.Duration{5 * sec, 300 * ms} {
		r := newLoopRig(t, Options{}, spec("a", func(s *Spec) { s.Kind, s.UDP = UDP, &UDPSpec{} }))
		connected := func(fd int) func() ([]readiness, bool) {
			return func() ([]readiness, bool) { return []readiness{{fd: fd}}, false }
		}
		waits := append(r.pass(sec-stall), connected(2))
		r.onWait(append([]func() ([]readiness, bool){connected(1), r.stand(stall)}, waits...)...)
		r.rounds(len(r.poll.script))
		if st := r.Status()[0]; len(r.verdicts) != 0 || st.State != Unknown || st.Reason != Resources {
			t.Fatalf("a stall of %v: verdicts %+v, status %+v", stall, r.verdicts, st)
		}
		r.rounds(2)
		if len(r.verdicts) != 1 || !r.verdicts[0].Up {
			t.Errorf("after a stall of %v: verdicts %+v", stall, r.verdicts)
		}
	}
}

// TestSuspendedMachine: the clock of the attempts does not see that, and a
// conversation is a goroutine's. Its packets are lost all the same.
func TestSuspendedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept atomic.Int64
		attempt := 0
		r := newRig(t, Options{suspended: func() time.Duration { return time.Duration(slept.Load()) }}, map[string]checkFunc{"a": func(ctx context.Context) error {
			if attempt++; attempt == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})
		defer r.stop()
		if err := r.Apply([]Spec{spec("a", func(s *Spec) { s.Timeout = sec / 2 })}); err != nil {
			t.Fatal(err)
		}
		r.after(spec("a").Interval + sec/4)
		slept.Store(int64(time.Hour))
		r.after(sec)
		if attempt != 3 || len(r.verdicts) != 1 || !r.verdicts[0].Up {
			t.Errorf("%d attempts, verdicts %+v", attempt, r.verdicts)
		}
	})
}
