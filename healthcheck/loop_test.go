package healthcheck

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// fakePoller plays the operating system. Each wait takes from the script.
type fakePoller struct {
	clock  *time.Time
	next   int
	open   map[int]*dialog
	script []func() (ready []readiness, full bool)
	errs   map[int]error
	peer   net.Conn      // what conn returns
	free   bool          // the last wait was not from the script
	slow   time.Duration // what each connect and close takes
}

func (p *fakePoller) dials() bool { return true }

func (p *fakePoller) peek(int, []byte) (int, error) { return 0, Resources }
func (p *fakePoller) connect(d *dialog) (int, bool, error) {
	*p.clock = p.clock.Add(p.slow)
	p.next++
	p.open[p.next] = d
	return p.next, false, nil
}
func (p *fakePoller) watch(int, bool, bool) error     { return nil }
func (p *fakePoller) failure(fd int) error            { return p.errs[fd] }
func (p *fakePoller) send(int, []byte) error          { return nil }
func (p *fakePoller) conn(fd int, d *dialog) net.Conn { delete(p.open, fd); return p.peer }
func (p *fakePoller) closeFD(fd int) {
	*p.clock = p.clock.Add(p.slow)
	delete(p.open, fd)
}
func (p *fakePoller) wake()  {}
func (p *fakePoller) close() {}

func (p *fakePoller) wait(timeout time.Duration) ([]readiness, bool, error) {
	p.free = len(p.script) == 0
	if len(p.script) == 0 {
		*p.clock = p.clock.Add(max(timeout, 0))
		return nil, false, nil
	}
	f := p.script[0]
	p.script = p.script[1:]
	ready, full := f()
	return ready, full, nil
}

// loopRig is a scheduler whose rounds the test takes one by one.
type loopRig struct {
	*Scheduler
	clock    time.Time
	poll     *fakePoller
	verdicts []Verdict
	overload []Overload
	t        *testing.T
}

func newLoopRig(t *testing.T, o Options, specs ...Spec) *loopRig {
	r := &loopRig{clock: time.Unix(1e9, 0), t: t}
	r.poll = &fakePoller{clock: &r.clock, open: map[int]*dialog{}, errs: map[int]error{}}
	o.Now = func() time.Time { return r.clock }
	o.Random = func(time.Duration) time.Duration { return 0 }
	o.Notify = func(v Verdict) { r.verdicts = append(r.verdicts, v) }
	o.Overload = func(v Overload) { r.overload = append(r.overload, v) }
	r.Scheduler = NewScheduler(o)
	r.Scheduler.poll, r.run = r.poll, t.Context()
	if err := r.Apply(specs); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *loopRig) rounds(n int) {
	r.t.Helper()
	for n > 0 {
		if err := r.turn(r.poll); err != nil {
			r.t.Fatal(err)
		}
		if !r.poll.free || r.clock.Sub(r.epoch) >= r.wakeAt { // else it watches for stalls only
			n--
		}
	}
}

func (r *loopRig) onWait(script ...func() ([]readiness, bool)) { r.poll.script = script }

func nothing() ([]readiness, bool) { return nil, false }

func TestTimeoutOfTheLoop(t *testing.T) {
	r := newLoopRig(t, Options{}, spec("a"))
	r.rounds(3) // begin and wait; expire and wait for the next; begin
	if len(r.verdicts) != 1 || r.verdicts[0].Reason != Timeout || r.verdicts[0].Latency != sec {
		t.Fatalf("verdicts %+v", r.verdicts)
	}
	if len(r.poll.open) != 1 || r.poll.next != 2 {
		t.Errorf("%d sockets opened, %d open", r.poll.next, len(r.poll.open))
	}
}

// TestSilenceAfterAFalseAlarm: the kernel calls a socket readable and then has
// nothing, as for a datagram whose checksum is wrong. Who need not answer passes.
func TestSilenceAfterAFalseAlarm(t *testing.T) {
	for _, reply := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newLoopRig(t, Options{}, spec("a", func(s *Spec) { s.Kind, s.UDP = UDP, &UDPSpec{RequireReply: reply} }))
			var server net.Conn
			r.poll.peer, server = net.Pipe()
			defer server.Close()
			r.onWait(func() ([]readiness, bool) { return []readiness{{fd: 1}}, false }, // connected
				func() ([]readiness, bool) { return []readiness{{fd: 1}}, false }, nothing)
			r.rounds(2)
			r.group.Wait()
			r.rounds(1)
			if len(r.verdicts) != 1 || r.verdicts[0].Up == reply {
				t.Errorf("reply wanted %v: verdicts %+v", reply, r.verdicts)
			}
		})
	}
}

// TestAnswersBeforeTimeouts: more answers wait than one call returns.
func TestAnswersBeforeTimeouts(t *testing.T) {
	r := newLoopRig(t, Options{}, spec("a"), spec("b"), spec("c"))
	r.onWait(
		func() ([]readiness, bool) { r.clock = r.clock.Add(sec); return []readiness{{fd: 1}}, true },
		func() ([]readiness, bool) { return []readiness{{fd: 2}}, true },
		func() ([]readiness, bool) { return []readiness{{fd: 3}}, false },
		nothing,
	)
	r.rounds(3)
	if len(r.verdicts) != 3 || !r.verdicts[0].Up || !r.verdicts[1].Up || !r.verdicts[2].Up {
		t.Fatalf("verdicts %+v", r.verdicts)
	}
}

func TestRemovedCheckClosesItsSocket(t *testing.T) {
	r := newLoopRig(t, Options{MaxDescriptors: 1}, spec("a"), spec("b"))
	r.onWait(nothing, func() ([]readiness, bool) { return []readiness{{fd: 1, failed: true}}, false })
	r.poll.errs[1] = Reset
	r.rounds(1)
	if len(r.poll.open) != 1 || r.Stats().Waiting != 1 {
		t.Fatalf("open %v, stats %+v", r.poll.open, r.Stats())
	}
	if err := r.Apply([]Spec{spec("b")}); err != nil {
		t.Fatal(err)
	}
	if len(r.poll.open) != 0 {
		t.Fatalf("open %v", r.poll.open)
	}
	r.rounds(1) // late news of the closed socket is ignored, and b has its place
	if st := r.Stats(); len(r.poll.open) != 1 || st.InFlight != 1 || st.Waiting != 0 || len(r.verdicts) != 0 {
		t.Fatalf("open %v, stats %+v, verdicts %+v", r.poll.open, st, r.verdicts)
	}
}

// TestABatchDoesNotKeepAnswersWaiting: thousands of checks due at once begin in
// portions, with a look at the sockets between.
func TestABatchDoesNotKeepAnswersWaiting(t *testing.T) {
	var specs []Spec
	for i := range 3 * startBatch {
		specs = append(specs, spec(string(rune('a'+i))))
	}
	r := newLoopRig(t, Options{MaxDescriptors: 4096}, specs...)
	var open []int
	look := func() ([]readiness, bool) { open = append(open, len(r.poll.open)); return nil, false }
	r.onWait(look, look, look)
	r.rounds(3)
	if len(open) != 3 || open[0] != startBatch || open[2] != 3*startBatch {
		t.Fatalf("open at each look: %v", open)
	}
}

// TestLackIsToldAtOnce, also when a report of lateness has just gone out.
func TestLackIsToldAtOnce(t *testing.T) {
	var o overload
	at := func(now time.Duration) bool {
		_, told := o.take(now, time.Time{}, 1)
		return told
	}
	o.late(lateThreshold - 1)
	if at(0) {
		t.Error("told of what is not late")
	}
	o.late(lateThreshold)
	if !at(sec) {
		t.Error("first lateness not told")
	}
	o.late(sec)
	if at(2 * sec) {
		t.Error("second lateness told at once")
	}
	o.unknown("a", Resources, "lack")
	if !at(3*sec) || at(3*sec) {
		t.Error("lack after lateness not told at once, or twice")
	}
	o.unknown("a", Resources, "lack")
	if at(4*sec) || at(3*sec+OverloadEvery-1) || !at(3*sec+OverloadEvery) {
		t.Error("second lack not summed up")
	}
}
