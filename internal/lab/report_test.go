package lab

import (
	"reflect"
	"testing"
	"time"
)

var origin = time.Unix(1_000_000, 0)

func at(ms int) time.Time { return origin.Add(time.Duration(ms) * time.Millisecond) }

func answered(begun, ended int, by string) outcome {
	return outcome{begun: at(begun), ended: at(ended), answer: by}
}

func failed(begun, ended int, f Failure) outcome {
	return outcome{begun: at(begun), ended: at(ended), failure: f}
}

func TestGapIsMeasuredBetweenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes []outcome
		end      int
		gap      time.Duration
		from     int
	}{
		"between two":               {[]outcome{answered(0, 1, "a"), answered(5, 6, "a"), answered(300, 306, "a")}, 307, 300 * time.Millisecond, 6},
		"a failure ends no gap":     {[]outcome{answered(0, 10, "a"), failed(15, 100, Refused), answered(20, 210, "a")}, 215, 200 * time.Millisecond, 10},
		"before the first":          {[]outcome{answered(90, 100, "a"), answered(105, 110, "a")}, 120, 100 * time.Millisecond, 0},
		"after the last":            {[]outcome{answered(0, 10, "a")}, 500, 490 * time.Millisecond, 10},
		"none at all":               {[]outcome{failed(0, 10, Refused)}, 500, 500 * time.Millisecond, 0},
		"out of order":              {[]outcome{answered(5, 50, "a"), answered(0, 40, "a"), answered(10, 60, "a")}, 60, 50 * time.Millisecond, 0},
		"a late answer is no start": {[]outcome{answered(0, 10, "a"), answered(5, 200, "a"), answered(195, 201, "a")}, 205, 190 * time.Millisecond, 10},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(origin)
			for _, o := range c.outcomes {
				r.add(o)
			}
			r.finish(at(c.end))
			got := r.report()
			if got.LongestGap != c.gap || !got.GapStart.Equal(at(c.from)) {
				t.Errorf("gap of %s from %s, want %s from %s", got.LongestGap, got.GapStart.Sub(origin), c.gap, at(c.from).Sub(origin))
			}
		})
	}
}

func TestRequestCountsInThePhaseItBeganIn(t *testing.T) {
	r := newRecorder(origin)
	r.add(answered(0, 5, "rs1"))
	r.mark("one", at(10))
	r.add(answered(9, 12, "rs2")) // begun before any phase
	r.add(answered(10, 15, "rs1"))
	r.mark("two", at(20))
	r.add(failed(19, 30, TimedOut))
	broken := failed(20, 31, WasReset)
	broken.opened = true
	r.add(broken)
	again := answered(21, 40, "rs2")
	again.retransmitted = true
	r.add(again)
	r.missed(3)
	r.finish(at(50))
	r.add(answered(49, 60, "rs1")) // under way when the beat ended

	got := r.report()
	if got.Requests != 7 || got.Answered() != 5 || got.Failed() != 2 || got.Missed != 3 || got.Retransmitted != 1 {
		t.Errorf("total is %+v", got)
	}
	if !got.FirstFailed.Equal(at(19)) || !got.LastFailed.Equal(at(20)) || got.Broken != 1 {
		t.Errorf("failed from %s to %s, %d broken", got.FirstFailed, got.LastFailed, got.Broken)
	}
	one, _ := got.Phase("one")
	two, _ := got.Phase("two")
	if one.Requests != 2 || one.Answers["rs1"] != 1 || one.Failures[TimedOut] != 1 || !one.End.Equal(at(20)) || one.Missed != 0 {
		t.Errorf("one is %+v", one)
	}
	if two.Requests != 3 || two.Answers["rs1"] != 1 || two.Failures[WasReset] != 1 || two.Missed != 3 {
		t.Errorf("two is %+v", two)
	}
	if got.Mean != 8600*time.Microsecond { // of 5, 3, 5, 19 and 11 ms
		t.Errorf("mean is %s", got.Mean)
	}
	if two.LongestGap != 20*time.Millisecond || two.Slowest != 19*time.Millisecond || !two.SlowestStart.Equal(at(21)) {
		t.Errorf("two's gap is %s, slowest %s", two.LongestGap, two.Slowest)
	}
	if got.LongestGap != 25*time.Millisecond || !got.GapStart.Equal(at(15)) {
		t.Errorf("gap over the phases is %s from %s", got.LongestGap, got.GapStart)
	}
	if _, ok := got.Phase("three"); ok {
		t.Error("there is a third phase")
	}
}

func TestRestartForgetsWhatWas(t *testing.T) {
	r := newRecorder(origin)
	r.mark("one", at(0))
	r.add(failed(0, 500, TimedOut))
	r.restart(at(600))
	r.add(failed(590, 650, TimedOut))
	r.add(answered(599, 660, "rs1")) // it says that the service was there
	r.add(answered(600, 700, "rs2"))
	r.finish(at(710))
	got := r.report()
	if got.Requests != 1 || got.Answers["rs2"] != 1 || got.Failed() != 0 || len(got.Phases) != 0 || !got.Start.Equal(at(600)) {
		t.Errorf("%+v", got)
	}
	if got.LongestGap != 60*time.Millisecond || !got.GapStart.Equal(at(600)) {
		t.Errorf("gap of %s from %s", got.LongestGap, got.GapStart)
	}
}

func TestPaceSuitsTheMachine(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct{ mean, slowest, beat, timeout time.Duration }{
		{ms / 3, 2 * ms, 5 * ms, 2 * time.Second},              // a real machine
		{5 * ms / 3, 2 * ms, 5 * ms, 2 * time.Second},          // the limit of the reference beat
		{ms, 101 * ms, 5 * ms, 2020 * ms},                      // quick, but with hiccups
		{2 * ms, 3 * ms, 10 * ms, 10 * time.Second},            // too slow for the reference beat
		{time.Second, time.Minute, 100 * ms, 20 * time.Second}, // hopeless, but bounded
	} {
		if o := paceFor(c.mean, c.slowest); o.Interval != c.beat || o.Timeout != c.timeout {
			t.Errorf("mean %s, slowest %s: beat %s, timeout %s; want %s, %s", c.mean, c.slowest, o.Interval, o.Timeout, c.beat, c.timeout)
		}
	}
}

func TestReportIsACopy(t *testing.T) {
	r := newRecorder(origin)
	r.mark("one", at(1))
	before := r.report()
	want := before.clone()
	r.add(answered(2, 3, "rs1"))
	r.add(failed(2, 3, Refused))
	if !reflect.DeepEqual(before, want) {
		t.Errorf("a report changed afterwards: %+v", before)
	}
}
