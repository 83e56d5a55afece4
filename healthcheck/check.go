package healthcheck

import (
	"context"
	"time"
)

// phase is how far a check's present attempt has come.
type phase uint8

const (
	idle       phase = iota // none; the timeline holds the next one's start
	waiting                 // due, for a descriptor
	connecting              // the event loop has its socket; from here to talking the timeline holds the attempt's end
	awaiting                // the same, connected, for the first byte
	queued                  // has what it needs but a goroutine
	talking                 // a goroutine has it
)

// check is one Spec at work. Times are on the scheduler's clock. There are tens of
// thousands, each in 512 bytes of the allocator's: see TestCheckIsSmall.
type check struct {
	spec    Spec
	checker Checker

	at    time.Duration // place in the timeline
	index int32         // in the timeline, -1: not there
	fd    int32         // of the attempt's socket, while the event loop has it; -1: none

	phase   phase
	suspect bool  // the attempt before this one timed out
	removed bool  // no longer wanted: the outcome is dropped
	again   bool  // triggered while an attempt was under way
	opened  bool  // the poller watches fd
	hinted  bool  // Trigger ever had an effect
	repeats uint8 // attempts in a row that a stall has excused
	cancel  context.CancelFunc
	due     time.Duration // the regular beat
	spread  time.Duration // between the first beat and the second, 0: that has been
	started time.Duration
	within  time.Duration // of started the attempt ends: the Timeout, less after a stall
	lost    time.Duration // stall.lost when it began

	health   Health
	weight   *int // that the last pass has said
	since    time.Time
	attempts uint64
	failures uint64
	past     history

	triggered time.Duration // when Trigger last had an effect
}

func newCheck(spec Spec, checker Checker) *check {
	return &check{
		spec: spec, checker: checker,
		index: -1, fd: -1, within: spec.Timeout, health: Health{State: Unknown},
	}
}

// dialog is the checker, when the event loop can open its connection; else nil.
func (c *check) dialog() *dialog {
	d, _ := c.checker.(*dialog)
	return d
}

// resume begins with the verdict of an earlier scheduler, if there is one.
func (c *check) resume(v Verdict) {
	switch {
	case v.ID == "":
		return
	case v.Up:
		c.health.State = Up
	default:
		c.health.State = Down
	}
	c.since, c.weight = v.At, v.Weight
}

// reschedule sets when the next attempt begins. Regular attempts keep to the
// beat that the second one began, however long each takes; beats that have
// passed meanwhile are left out.
func (c *check) reschedule(now time.Duration, retry, unknown, excused bool) {
	switch {
	case c.again || excused:
		c.at, c.again = now, false
	case unknown:
		c.at = now + max(c.spec.RetryDelay, min(c.spec.Interval, time.Second))
	case retry:
		c.at = now + c.spec.RetryDelay
	default:
		if now >= c.due {
			c.due += c.spread
			c.spread = 0
		}
		if now >= c.due {
			c.due += c.spec.Interval * ((now-c.due)/c.spec.Interval + 1)
		}
		c.at = c.due
	}
}

// record keeps the attempt's outcome for Status.
func (c *check) record(at time.Time, latency time.Duration, r Reason, detail string) {
	c.attempts++
	if r != "" {
		c.failures++
	}
	c.past.note(at, latency, r, detail)
	c.suspect = r == Timeout
}

// status is at the moment at, now on the scheduler's clock.
func (c *check) status(at time.Time, now time.Duration) CheckStatus {
	last := c.past.last()
	st := CheckStatus{
		ID: c.spec.ID, Kind: c.spec.Kind, State: c.health.State, Since: c.since, Doubted: c.health.Doubted,
		Passes: c.health.Passes, Fails: c.health.Fails,
		Last: last.To, Reason: last.Reason, Detail: last.Detail, Latency: last.Latency,
		Attempts: c.attempts, Failures: c.failures, Weight: c.weight,
	}
	if c.phase == idle {
		st.Next = at.Add(c.at - now)
	}
	return st
}
