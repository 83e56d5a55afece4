package director

import (
	"sync"
	"time"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/ipvs"
	"baton/vrrp"
)

// How much is traced in a second. The rest is counted with the next.
const (
	tracedAdverts    = 200
	tracedAttempts   = 500
	tracedOperations = 1000
	tracedChanges    = 1000
)

// bucket lets so many a second through.
type bucket struct {
	size int

	mu      sync.Mutex
	begun   time.Time // of the present second
	told    int       // in it
	omitted int
}

// room says whether there is room for one more at now, and how many there was
// none for since the one before.
func (b *bucket) room(now time.Time) (omitted int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.begun); d >= time.Second || d < 0 {
		b.begun, b.told = now, 0
	}
	if b.told == b.size {
		b.omitted++
		return 0, false
	}
	b.told++
	omitted, b.omitted = b.omitted, 0
	return omitted, true
}

// countOf leaves the field out where there is nothing to count.
func countOf(omitted int) event.Field {
	if omitted == 0 {
		return event.Field{}
	}
	return event.F(event.Count, omitted)
}

// tracedNotice says whether a notice is of the steady state.
func tracedNotice(k vrrp.NoticeKind) bool {
	return k == vrrp.NoticeAdvertSent || k == vrrp.NoticeAdvertReceived
}

// tellAttempt tells an attempt, within the bucket's bound.
func tellAttempt(say teller, b *bucket, a healthcheck.Attempt) {
	omitted, ok := b.room(a.At)
	if !ok {
		return
	}
	say(event.CheckResult, event.F(event.Check, a.ID), event.F(event.To, a.State), event.F(event.Reason, a.Reason),
		event.F(event.Latency, round(a.Latency)), countOf(omitted), event.F(event.Detail, a.Detail))
}

// traceOps tells what a pass has done to the kernel's table.
func (c *core) traceOps(applied []ipvs.Op, drift map[string]bool) {
	if !c.levels.debug(event.IPVS) {
		return
	}
	for _, op := range applied {
		text, why := op.String(), ""
		if drift[text] {
			why = "drift"
		}
		if omitted, ok := c.tracedOps.room(time.Now()); ok {
			c.say(event.IPVSOperation, event.F(event.Command, text), event.F(event.Reason, why), countOf(omitted))
		}
	}
}

// traceChanges tells each change of a reload.
func (c *core) traceChanges(lines []string) {
	if !c.levels.debug(event.Config) {
		return
	}
	for _, l := range lines {
		if omitted, ok := c.tracedChanges.room(time.Now()); ok {
			c.say(event.ConfigChange, event.F(event.File, c.opts.ConfigFile), event.F(event.Detail, l), countOf(omitted))
		}
	}
}
