package healthcheck

import "time"

const (
	// stallGrain is from when on a delay of the event loop counts as standing
	// still. It shows that it runs with each attempt and each answer, for which it needs
	// a few milliseconds at most where it gets a part of a processor only. Being slow
	// loses no answer: they wait in the sockets, and are read before anything times out.
	stallGrain = 50 * time.Millisecond
	// stallTick is how long the loop sleeps at most while attempts are under way:
	// what is lost is known as exactly as that.
	stallTick = 100 * time.Millisecond
	// maxRepeats is how many attempts in a row a stall may excuse. A machine that
	// always stands still must take a dead server out in the end.
	maxRepeats = 3
)

// stall adds up for how long this process has not run although it should have:
// it was stopped or starved, or the whole machine was, by a snapshot or a
// migration. What servers said meanwhile may have been lost or not been read.
type stall struct {
	until     time.Duration // by then at the latest the loop runs again
	lost      time.Duration // in all
	suspended time.Duration // as the operating system said last
}

// note is to be called whenever the process finds itself running, before anything
// is judged.
func (st *stall) note(now time.Duration) {
	if d := now - st.until; d >= stallGrain {
		st.lost += d
	}
	st.until = max(st.until, now)
}

// slept takes up for how long the machine has been suspended since it started,
// which the clock of the scheduler does not see.
func (st *stall) slept(suspended time.Duration) {
	if d := suspended - st.suspended; d >= stallGrain {
		st.lost += d
	}
	st.suspended = suspended
}

// excuse reports whether an attempt that has failed is to be made again at once
// because this process stood still during it, and for how long it did. Whatever
// the reason is: a program, or a server that was made to wait, may have given up.
//
// After a time-out the server is given what was taken from it, and no more: so
// it has its whole time, and one that is dead is out after that and the stalls.
func (s *Scheduler) excuse(c *check, reason Reason) (lost time.Duration, again bool) {
	had := c.within
	c.within = c.spec.Timeout
	// Silence is an answer where none need come, but not while nobody listens: the
	// error that says that the port is closed may have been on its way.
	silence := reason == "" && c.dialog() != nil && c.dialog().silence && s.now-c.started >= had
	if reason == "" && !silence || reason.Unknown() {
		c.repeats = 0
		return 0, false
	}
	s.stall.slept(s.opt.suspended())
	lost = s.stall.lost - c.lost
	if lost == 0 || c.repeats == maxRepeats {
		c.repeats = 0
		return 0, false
	}
	c.repeats++
	if reason == Timeout || silence {
		left := max(0, had-(s.now-c.started-lost))
		c.within = min(c.spec.Timeout, left+stallTick)
	}
	return lost, true
}
