package healthcheck

import (
	"errors"
	"fmt"
	"time"
)

// finish ends a check's attempt: judge it, give its places back, set the next.
func (s *Scheduler) finish(c *check, err error) {
	p := c.phase
	s.release(c)
	if p == talking {
		s.talks.leave(c.suspect)
	}
	s.fds.leave(c.suspect)
	c.phase = idle
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if c.removed || s.stopping {
		return
	}

	latency := s.now - c.started
	reason := ReasonOf(err)
	lost, excused := s.excuse(c, reason)
	if excused {
		if err == nil {
			err = errors.New("no answer came")
		}
		err = failure(Resources, "this process stood still for %v of the attempt, which is made again (%v)", lost.Round(time.Millisecond), err)
		reason = Resources
	}
	detail := ""
	if err != nil {
		detail = detailOf(err)
	}
	was := c.past.last().Reason
	if reason == Unreachable && was != Unreachable {
		s.hints.add(c.spec.Target.Addr())
	}
	c.record(s.wall, latency, reason, detail)
	s.count(c, reason)
	if reason == Resources || reason == Config && was != Config && !c.told() {
		s.overload.unknown(c.spec.ID, reason, detail)
	}

	var d Decision
	c.health, d = Hysteresis{Retry: c.spec.Retry, Rise: c.spec.Rise}.Next(c.health, reason)
	if s.tracing {
		s.attempts = append(s.attempts, Attempt{ID: c.spec.ID, State: c.health.State, Reason: reason, Detail: detail, Latency: latency, At: s.wall})
	}
	if c.spec.LogAllFailures && c.health.Fails > 0 && !reason.Unknown() {
		s.fails.tell(s.now, Failure{ID: c.spec.ID, Reason: reason, Detail: detail, Latency: latency, At: s.wall, Attempts: c.health.Fails, Retry: c.spec.Retry})
	}
	if d.Changed {
		c.since = s.wall
	}
	if reweighed := reason == "" && c.weigh(); d.Changed || reweighed && c.health.State == Up {
		s.outbox = append(s.outbox, Verdict{
			ID: c.spec.ID, Up: c.health.State == Up, First: d.First, Reason: reason, Detail: detail,
			Latency: latency, At: s.wall, Attempts: max(d.Attempts, 1), Weight: c.bears(),
		})
	}
	c.reschedule(s.now, d.Retry, reason.Unknown(), excused)
	s.line.set(c)
}

// told reports whether Apply has said already that the check cannot be made.
func (c *check) told() bool {
	_, ok := c.checker.(broken)
	return ok
}

// weigh takes up the weight that a passed attempt has said, and reports
// whether it is another than before.
func (c *check) weigh() bool {
	w, ok := c.checker.(weigher)
	if !ok {
		return false
	}
	before, now := c.weight, w.weight()
	c.weight = now
	return (before == nil) != (now == nil) || now != nil && *before != *now
}

// bears is the weight for a verdict: nothing is said of a server that is down.
func (c *check) bears() *int {
	if c.health.State != Up {
		return nil
	}
	return c.weight
}

// expire ends an attempt whose time is up. A goroutine ends by its own
// deadline: what it read until then may tell more than that.
func (s *Scheduler) expire(c *check) {
	switch c.phase {
	case connecting, awaiting:
		s.finish(c, c.dialog().timedOut(c.phase, c.spec.Timeout))
	case queued:
		s.finish(c, failure(Resources, "no answer read: all %d conversations are with other servers", s.talks.held))
	}
}

// remove ends a check. Its attempt, if one is under way, has no outcome.
func (s *Scheduler) remove(c *check) {
	c.removed = true
	s.line.drop(c)
	switch c.phase {
	case connecting, awaiting, queued:
		s.finish(c, nil)
	case talking:
		c.cancel() // the goroutine finishes
	}
}

// release closes the socket that the event loop holds for c.
func (s *Scheduler) release(c *check) {
	if c.fd >= 0 {
		s.poll.closeFD(int(c.fd))
		s.forget(c)
	}
}

// forget leaves the socket to somebody else.
func (s *Scheduler) forget(c *check) {
	if c.opened {
		s.byFD[c.fd] = nil
	}
	c.fd, c.opened = -1, false
}

// socketError says during what the kernel reported err.
func socketError(c *check, err error) error {
	if c.phase == connecting {
		return fmt.Errorf("connect to %s: %w", c.dialog().peer(), err)
	}
	return fmt.Errorf("wait for an answer from %s: %w", c.dialog().peer(), err)
}

// begun notes that the attempt begins now, and how late that is.
func (s *Scheduler) begun(c *check) {
	c.started = s.tick()
	s.stall.note(s.now) // many attempts that begin one after the other are no standstill
	c.lost = s.stall.lost
	late := c.started - c.at // where it stood in the timeline
	i := 0
	for i < len(LatenessBuckets) && late > LatenessBuckets[i] {
		i++
	}
	s.stats.Lateness[i]++
	s.stats.LatenessSum += late
	s.stats.MaxLateness = max(s.stats.MaxLateness, late)
	s.overload.late(late)
}

// count adds the outcome of the last attempt to the counters.
func (s *Scheduler) count(c *check, r Reason) {
	k := s.kinds[c.spec.Kind]
	if k == nil {
		k = &KindStats{Reasons: map[Reason]uint64{}}
		s.kinds[c.spec.Kind] = k
	}
	k.note(c.past.last().Latency, r)
	s.stats.Attempts++
	if r != "" {
		s.stats.Failures++
	}
	if r.Unknown() {
		s.stats.Unknown++
	}
}
