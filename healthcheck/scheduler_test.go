package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// checkFunc is a Checker of a function.
type checkFunc func(ctx context.Context) error

func (f checkFunc) Check(ctx context.Context) error { return f(ctx) }

// rig is a scheduler on a virtual clock, whose checks are functions by ID.
type rig struct {
	*Scheduler
	start    time.Time
	mu       sync.Mutex
	verdicts []Verdict
	overload []Overload
	failed   []Failure
	begins   map[string][]time.Duration // of every attempt
	checkers map[string]checkFunc
	stop     func()
}

func newRig(t *testing.T, o Options, checkers map[string]checkFunc) *rig {
	t.Helper()
	r := &rig{start: time.Now(), begins: map[string][]time.Duration{}, checkers: checkers}
	o.poller = func() (poller, error) { return newSleeper(), nil }
	o.build = func(s Spec) (Checker, []error) {
		return checkFunc(func(ctx context.Context) error {
			r.mu.Lock()
			r.begins[s.ID] = append(r.begins[s.ID], time.Since(r.start))
			r.mu.Unlock()
			return r.checkers[s.ID](ctx)
		}), nil
	}
	if o.Random == nil {
		o.Random = func(time.Duration) time.Duration { return 0 }
	}
	o.Failed = func(f Failure) { r.mu.Lock(); r.failed = append(r.failed, f); r.mu.Unlock() }
	o.Notify = func(v Verdict) { r.mu.Lock(); r.verdicts = append(r.verdicts, v); r.mu.Unlock() }
	o.Overload = func(v Overload) { r.mu.Lock(); r.overload = append(r.overload, v); r.mu.Unlock() }
	r.Scheduler = NewScheduler(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return r
}

// after lets d pass and all that is due in it happen.
func (r *rig) after(d time.Duration) {
	synctest.Wait()
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) begun(id string) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.begins[id])
}

func (r *rig) overloads() []Overload {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.overload)
}

func (r *rig) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, v := range r.verdicts {
		s := fmt.Sprintf("%v %s up=%v", v.At.Sub(r.start), v.ID, v.Up)
		if v.First {
			s += " first"
		}
		if v.Reason != "" {
			s += " " + string(v.Reason)
		}
		out = append(out, s)
	}
	return out
}

func spec(id string, change ...func(*Spec)) Spec {
	s := Spec{
		ID: id, Kind: TCP, Target: netip.MustParseAddrPort("192.0.2.1:80"),
		Interval: 2 * time.Second, Timeout: time.Second,
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

func passes(context.Context) error { return nil }

var errRefused = failure(Refused, "closed")

func refuses(context.Context) error { return errRefused }
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// takes passes after d.
func takes(d time.Duration) checkFunc {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

// script answers with each error in turn, the last one for ever.
func script(errs ...error) checkFunc {
	var mu sync.Mutex
	return func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		return err
	}
}

// wantStrings compares without regard to order: goroutines that end at the same
// moment have none.
func wantStrings(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func wantTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("began at %v\n    want %v", got, want)
	}
}

const sec, ms = time.Second, time.Millisecond

// firstBeats delays the first beats of checks; the second ones come an interval later.
func firstBeats(delay func() time.Duration) func(time.Duration) time.Duration {
	return func(within time.Duration) time.Duration {
		if within != firstWithin {
			return 0
		}
		return delay()
	}
}

func TestRegularBeatIsAbsolute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { return n / 4 }},
			map[string]checkFunc{"slow": takes(700 * ms), "quick": passes})
		defer r.stop()
		r.Apply([]Spec{spec("slow"), spec("quick", func(s *Spec) { s.Interval = 400 * ms })})
		r.after(5 * sec)
		// A beat is a multiple of the interval after the second, however long an attempt takes.
		wantTimes(t, r.begun("slow"), 250*ms, 1750*ms, 3750*ms)
		if q := r.begun("quick"); q[0] != 100*ms || q[1] != 500*ms || len(q) != 13 {
			t.Errorf("quick began at %v", q)
		}
		wantStrings(t, r.told(), "100ms quick up=true first", "950ms slow up=true first")
	})
}

func TestFirstAttemptIsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bounds []time.Duration
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { bounds = append(bounds, n); return n - 1 }},
			map[string]checkFunc{"long": passes, "short": passes})
		defer r.stop()
		r.Apply([]Spec{spec("long", func(s *Spec) { s.Interval = time.Minute }), spec("short", func(s *Spec) { s.Interval = 50 * ms })})
		if !slices.Equal(bounds, []time.Duration{sec, time.Minute, 50 * ms}) {
			t.Errorf("random bounds %v", bounds)
		}
		r.after(sec)
		if len(r.begun("long")) != 1 || r.begun("short")[0] != 50*ms-1 {
			t.Errorf("began %v and %v", r.begun("long"), r.begun("short"))
		}
	})
}

// TestChecksThatBeginTogetherDoNotStayTogether: none waits longer than its interval for
// that.
func TestChecksThatBeginTogetherDoNotStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const checks, interval = 1000, 10
		checkers, specs := map[string]checkFunc{}, []Spec{}
		for i := range checks {
			id := fmt.Sprint(i)
			checkers[id] = passes
			specs = append(specs, spec(id, func(s *Spec) { s.Interval = interval * sec }))
		}
		random := rand.New(rand.NewPCG(1, 2))
		r := newRig(t, Options{Random: func(n time.Duration) time.Duration { return time.Duration(random.Int64N(int64(n))) }}, checkers)
		defer r.stop()
		r.Apply(specs)
		r.after(4 * interval * sec)
		var in [4 * interval]int // attempts in each second
		for id := range checkers {
			began := r.begun(id)
			for i, at := range began {
				in[min(int(at/sec), len(in)-1)]++
				if i > 0 && at-began[i-1] > interval*sec {
					t.Errorf("%s waited %v for attempt %d", id, at-began[i-1], i)
				}
			}
			if began[0] > sec || len(began) < 4 {
				t.Errorf("%s began at %v", id, began)
			}
		}
		for second, n := range in[interval+1:] {
			if n > 2*checks/interval {
				t.Errorf("%d attempts in second %d", n, second+interval+1)
			}
		}
	})
}

func TestRetryDelayIsCountedFromTheEndAndTheBeatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := failure(Refused, "closed")
		r := newRig(t, Options{}, map[string]checkFunc{"a": script(nil, fail, fail, fail, fail, nil)})
		defer r.stop()
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Retry, s.RetryDelay = 2, 300*ms })})
		r.after(7 * sec)
		wantTimes(t, r.begun("a"), 0, 2*sec, 2300*ms, 2600*ms, 4*sec, 6*sec)
		wantStrings(t, r.told(), "0s a up=true first", "2.6s a up=false refused", "6s a up=true")
	})
}

func TestTimeoutEndsAnAttemptThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"a": hangs})
		defer r.stop()
		// A timeout longer than the interval leaves out the beats it covers.
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Interval, s.Timeout = sec, 2500*ms })})
		r.after(7 * sec)
		wantTimes(t, r.begun("a"), 0, 3*sec, 6*sec)
		wantStrings(t, r.told(), "2.5s a up=false first timeout")
	})
}

func TestLackOfResourcesIsUnknownAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lack := failure(Resources, "too many open files")
		r := newRig(t, Options{}, map[string]checkFunc{"a": script(nil, lack, lack, errRefused)})
		defer r.stop()
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Interval = 5 * sec })})
		r.after(5500 * ms)
		wantStrings(t, r.told(), "0s a up=true first")
		if st := r.Status()[0]; st.State != Up || st.Reason != Resources || st.Detail != "too many open files" {
			t.Errorf("status %+v", st)
		}
		if o := r.overloads(); len(o) != 1 || o[0].Unknown != 1 || o[0].ID != "a" || o[0].Detail == "" {
			t.Errorf("overload %+v", o)
		}
		r.after(20 * sec)
		// Asked again within a second, not an interval later.
		wantTimes(t, r.begun("a")[:4], 0, 5*sec, 6*sec, 7*sec)
		wantStrings(t, r.told(), "0s a up=true first", "7s a up=false refused")
	})
}

func TestApplyKeepsWhatDidNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// What is applied later must not begin before it has been looked at.
		var first atomic.Int64
		r := newRig(t, Options{Random: firstBeats(func() time.Duration { return time.Duration(first.Load()) })}, map[string]checkFunc{"keep": refuses, "change": passes, "gone": passes, "new": passes})
		defer r.stop()
		r.Apply([]Spec{spec("keep", func(s *Spec) { s.Retry = 1; s.RetryDelay = 900 * ms }), spec("change"), spec("gone")})
		r.after(500 * ms)
		if st := r.Status(); st[0].Fails != 1 || st[1].State != Up {
			t.Fatalf("status %+v", st)
		}
		first.Store(int64(10 * ms))
		for range 3 { // as often as you like
			r.Apply([]Spec{spec("new"), spec("change", func(s *Spec) { s.Timeout = 2 * sec }), spec("keep", func(s *Spec) { s.Retry = 1; s.RetryDelay = 900 * ms })})
		}
		if st := r.Status(); st[2].ID != "keep" || st[2].Fails != 1 || st[1].State != Unknown {
			t.Fatalf("status %+v", st)
		}
		r.after(2010 * ms)
		wantTimes(t, r.begun("keep"), 0, 900*ms, 2*sec)
		wantTimes(t, r.begun("change"), 0, 510*ms, 2510*ms)
		wantTimes(t, r.begun("new"), 510*ms, 2510*ms)
		wantTimes(t, r.begun("gone"), 0)
		wantStrings(t, r.told(), "0s change up=true first", "0s gone up=true first",
			"510ms new up=true first", "510ms change up=true first", "900ms keep up=false first refused")
	})
}

func TestApplyEndsARemovedAttemptWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"a": hangs, "b": hangs})
		r.Apply([]Spec{spec("a"), spec("b")})
		r.after(100 * ms)
		r.Apply([]Spec{spec("b")})
		synctest.Wait()
		if st := r.Stats(); st.InFlight != 1 || st.Talking != 1 || st.Checks != 1 {
			t.Errorf("stats %+v", st)
		}
		r.stop() // nor does the end of Run make one
		wantStrings(t, r.told())
	})
}

func TestApplyTellsWhatIsWrongAndAppliesTheRest(t *testing.T) {
	s := NewScheduler(Options{Notify: func(Verdict) {}})
	bad := spec("bad", func(s *Spec) { s.Interval = 0 })
	err := s.Apply([]Spec{spec("a"), bad, spec("a"), spec("b")})
	var se *SpecError
	if !errors.As(err, &se) || se.ID != "bad" {
		t.Errorf("error %v", err)
	}
	var ids []string
	for _, st := range s.Status() {
		ids = append(ids, st.ID)
	}
	if !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("checks %v", ids)
	}
}

// TestHangingTargetsDoNotDelayHealthyOnes: with ten places and forty hanging
// targets, the healthy ones keep to their beat once the hanging ones are known
// to hang, and the hanging ones still get their turn.
func TestHangingTargetsDoNotDelayHealthyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checkers, specs := map[string]checkFunc{}, []Spec{}
		for i := range 40 {
			id := fmt.Sprintf("hang%d", i)
			checkers[id] = hangs
			specs = append(specs, spec(id))
		}
		for i := range 20 {
			id := fmt.Sprintf("fine%d", i)
			checkers[id] = takes(10 * ms)
			specs = append(specs, spec(id))
		}
		var n time.Duration
		r := newRig(t, Options{MaxDescriptors: 10, Random: firstBeats(func() time.Duration { n += 20 * ms; return n })}, checkers)
		defer r.stop()
		r.Apply(specs)
		r.after(time.Minute)
		if o := r.overloads(); len(o) == 0 || o[0].Needed != 60 || o[0].Descriptors != 10 {
			t.Errorf("overload %+v", o)
		}
		for _, s := range specs {
			began := r.begun(s.ID)
			if s.ID[0] == 'h' {
				if len(began) < 5 {
					t.Errorf("%s had only %d turns", s.ID, len(began))
				}
				continue
			}
			for i := len(began) - 20; i < len(began); i++ {
				if gap := began[i] - began[i-1]; gap != 2*sec {
					t.Errorf("%s waited %v for its turn %d", s.ID, gap, i)
				}
			}
		}
		st := r.Stats()
		if st.MaxLateness < sec || st.Lateness[len(LatenessBuckets)-3] == 0 {
			t.Errorf("lateness of the hanging ones is not measured: %+v", st)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		late := 0
		for i, o := range r.overload {
			late += o.Late
			if i > 0 && o.At.Sub(r.overload[i-1].At) < OverloadEvery {
				t.Errorf("reports %v and %v", r.overload[i-1].At, o.At)
			}
		}
		if late == 0 || len(r.overload) > 7 {
			t.Errorf("%d late in %d reports", late, len(r.overload))
		}
		for _, v := range r.verdicts {
			if v.Up != (v.ID[0] == 'f') {
				t.Errorf("verdict %+v", v)
			}
		}
	})
}

func TestConversationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most int
		var mu sync.Mutex
		count := func(ctx context.Context) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			defer func() { mu.Lock(); now--; mu.Unlock() }()
			return takes(100 * ms)(ctx)
		}
		checkers, specs := map[string]checkFunc{}, []Spec{}
		for i := range 30 {
			id := fmt.Sprint(i)
			checkers[id] = count
			specs = append(specs, spec(id))
		}
		r := newRig(t, Options{MaxConversations: 3}, checkers)
		defer r.stop()
		r.Apply(specs)
		r.after(1900 * ms)
		if most != 3 || len(r.told()) != 30 {
			t.Errorf("%d at a time, %d verdicts", most, len(r.told()))
		}
		// The last three waited for nine others to take 100 ms each.
		if st := r.Stats(); st.Lateness[0] != 3 || st.MaxLateness != 900*ms {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestStatusSaysWhatIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, map[string]checkFunc{"a": script(nil, errRefused)})
		defer r.stop()
		r.Apply([]Spec{spec("a", func(s *Spec) { s.Retry = 3; s.RetryDelay = 500 * ms })})
		r.after(2100 * ms)
		want := CheckStatus{
			ID: "a", Kind: TCP, State: Up, Since: r.start, Fails: 1, Last: r.start.Add(2 * sec), Reason: Refused,
			Detail: "closed", Next: r.start.Add(2500 * ms), Attempts: 2, Failures: 1,
		}
		if got := r.Status()[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestRunFailsWithoutAnEventLoop(t *testing.T) {
	broken := errors.New("no epoll")
	s := NewScheduler(Options{poller: func() (poller, error) { return nil, broken }})
	if err := s.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run: %v", err)
	}
}
