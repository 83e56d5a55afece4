package healthcheck

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistoryGathersWhatEndedAlike(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	var h history
	h.note(at(1), 3*ms, "", "")
	h.note(at(2), 9*ms, "", "")
	h.note(at(3), ms, "", "")
	h.note(at(4), sec, Timeout, "no connection")
	h.note(at(5), 2*ms, Status, "answered 503")
	h.note(at(6), 2*ms, Status, "answered 500")
	got := h.report(CheckStatus{ID: "a"})
	want := []Run{
		{Count: 3, From: at(1), To: at(3), Latency: ms, Longest: 9 * ms},
		{Reason: Timeout, Detail: "no connection", Count: 1, From: at(4), To: at(4), Latency: sec, Longest: sec},
		{Reason: Status, Detail: "answered 503", Count: 1, From: at(5), To: at(5), Latency: 2 * ms, Longest: 2 * ms},
		{Reason: Status, Detail: "answered 500", Count: 1, From: at(6), To: at(6), Latency: 2 * ms, Longest: 2 * ms},
	}
	if d := cmp.Diff(want, got.Runs); d != "" {
		t.Error(d)
	}
	if !reflect.DeepEqual(got.Reasons, map[Reason]uint64{Timeout: 1, Status: 2}) {
		t.Errorf("reasons %v", got.Reasons)
	}
	// 1 ms is the upper end of its bucket, 9 ms is in that of 10 ms.
	if l := (Latencies{2: 1, 3: 2, 4: 1, 5: 1, 11: 1}); got.Latencies != l {
		t.Errorf("latencies %v, want %v", got.Latencies, l)
	}
	h.note(at(7), time.Hour, Timeout, "")
	if h.latencies[len(LatencyBuckets)] != 1 {
		t.Errorf("latencies %v", h.latencies)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 1000 {
		h.note(time.Unix(int64(i), 0), ms, Body, fmt.Sprint(i))
	}
	if n := len(h.runs); n != MaxRuns || h.runs[0].Detail != "990" || h.runs[n-1].Detail != "999" || cap(h.runs) > 2*MaxRuns {
		t.Errorf("%d runs in %d places, from %+v to %+v", n, cap(h.runs), h.runs[0], h.runs[n-1])
	}
}

func TestReportsAndKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"a": takes(3 * ms), "b": refuses, "c": passes})
		defer r.stop()
		r.Apply([]Spec{spec("a"), spec("b"), spec("c", func(s *Spec) { s.Kind = HTTP })})
		r.after(5 * sec)
		got := r.Reports("b", "nobody", "a")
		if len(got) != 2 || got[0].ID != "b" || got[1].ID != "a" {
			t.Fatalf("reports %+v", got)
		}
		b, a := got[0], got[1]
		if len(b.Runs) != 1 || b.Runs[0].Count != 3 || b.Runs[0].Reason != Refused || b.Runs[0].Detail != "closed" || b.Reasons[Refused] != 3 || b.Next.Sub(r.start) != 6*sec {
			t.Errorf("report %+v", b)
		}
		if len(a.Runs) != 1 || a.Runs[0].Latency != 3*ms || a.Latencies[4] != 3 || a.Reasons != nil || a.Attempts != 3 {
			t.Errorf("report %+v", a)
		}
		kinds := r.Kinds()
		if k := kinds[TCP]; k.Attempts != 6 || k.Reasons[Refused] != 3 || k.Took != 9*ms || k.Latencies[0] != 3 || k.Latencies[4] != 3 {
			t.Errorf("tcp %+v", k)
		}
		if k := kinds[HTTP]; len(kinds) != 2 || k.Attempts != 3 || len(k.Reasons) != 0 {
			t.Errorf("kinds %+v", kinds)
		}
	})
}

// TestResume: what the scheduler before this one knew is not told again, and
// holds until attempts show otherwise, in as many as it takes.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looked := make(chan struct{}) // an attempt that ends before is no longer what nobody knows
		late := func(context.Context) error { <-looked; return nil }
		r := newRig(t, Options{}, map[string]checkFunc{"well": passes, "dead": refuses, "back": passes, "dies": refuses, "new": late})
		defer r.stop()
		long := r.start.Add(-time.Hour)
		r.Resume(map[string]Verdict{
			"well": {ID: "well", Up: true, At: long}, "dead": {ID: "dead", At: long},
			"back": {ID: "back", At: long}, "dies": {ID: "dies", Up: true, At: long}, "gone": {ID: "gone", Up: true, At: long},
		})
		rise := func(s *Spec) { s.Rise, s.Retry, s.RetryDelay = 2, 1, 500*ms }
		specs := []Spec{spec("well", rise), spec("dead", rise), spec("back", rise), spec("dies", rise), spec("new", rise)}
		r.Apply(specs)
		if st := r.Status(); st[0].State != Up || !st[0].Since.Equal(long) || st[1].State != Down || st[4].State != Unknown {
			t.Errorf("status %+v", st)
		}
		close(looked)
		r.after(5 * sec)
		wantStrings(t, r.told(), "0s new up=true first", "500ms dies up=false refused", "2s back up=true")
		// Only a new scheduler knows nothing better: a check that returns is new.
		r.Apply(nil)
		r.Apply([]Spec{spec("dead", rise)})
		if st := r.Status(); st[0].State != Unknown {
			t.Errorf("status %+v", st)
		}
	})
}

func TestWarmupBoundsTheFirstDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bounds []time.Duration
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { bounds = append(bounds, n); return n - 1 }},
			map[string]checkFunc{"a": passes, "b": passes})
		defer r.stop()
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Warmup = 5 * sec }), spec("b", func(s *Spec) { s.Warmup = ms })})
		if !reflect.DeepEqual(bounds, []time.Duration{5 * sec, ms, 2 * sec}) { // the last is for the second beat
			t.Errorf("bounds %v", bounds)
		}
		r.after(6 * sec)
		wantTimes(t, r.begun("a"), 5*sec) // up to a whole grain
	})
}

func TestEveryFailureIsToldWhereItIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lack := failure(Resources, "lack")
		r := newRig(t, Options{}, map[string]checkFunc{"all": script(nil, errRefused, nil, lack, errRefused), "few": script(nil, errRefused)})
		defer r.stop()
		change := func(s *Spec) { s.Interval, s.Retry, s.RetryDelay = sec, 2, 200*ms }
		r.Apply([]Spec{spec("all", change, func(s *Spec) { s.LogAllFailures = true }), spec("few", change)})
		r.after(10 * sec)
		var got []string
		for _, f := range r.failed {
			got = append(got, fmt.Sprintf("%v %s %s %s %d/%d", f.At.Sub(r.start), f.ID, f.Reason, f.Detail, f.Attempts, f.Retry))
		}
		// Not the third in a row, which brings it down and is told by the verdict,
		// nor what this machine lacked.
		wantStrings(t, got, "1s all refused closed 1/2", "3s all refused closed 1/2", "3.2s all refused closed 2/2")
	})
}

// TestEveryAttemptIsToldWhileTracing: passed or not, and at no other time.
func TestEveryAttemptIsToldWhileTracing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var r *rig
		told := func(a Attempt) {
			got = append(got, fmt.Sprintf("%v %s %s %s %s", a.At.Sub(r.start), a.ID, a.State, a.Reason, a.Detail))
		}
		r = newRig(t, Options{Attempted: told}, map[string]checkFunc{"a": script(nil, nil, errRefused, nil, nil)})
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Interval, s.Retry, s.RetryDelay = sec, 1, 200*ms })})
		r.after(500 * ms)
		r.SetTracing(true)
		r.after(2400 * ms)
		r.SetTracing(false)
		r.after(2 * sec)
		r.stop()
		wantStrings(t, got, "1s a up  ", "2s a up refused closed", "2.2s a up  ")
	})
}

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for i := range 100 {
		f.tell(time.Duration(i)*ms, Failure{ID: "a"})
	}
	f.tell(sec, Failure{ID: "b"})
	got := f.take()
	if len(got) != FailuresEvery+1 || got[FailuresEvery].ID != "b" || got[FailuresEvery].Omitted != 100-FailuresEvery || got[0].Omitted != 0 {
		t.Errorf("%d told, the last %+v", len(got), got[len(got)-1])
	}
	f.tell(1001*ms, Failure{})
	if got := f.take(); len(got) != 1 || got[0].Omitted != 0 {
		t.Errorf("then %+v", got)
	}
}
