package director

import (
	"time"

	"baton/internal/event"
	"baton/internal/ipc"
)

// A child that has died is seen at once: its socket ends. One that is stopped, or hangs, is
// seen by its not answering: it is asked every aliveEvery ticks of a second, and silent when
// no answer has come for silentAfter more. Ticks, not time: while the whole machine stands
// still, there are none.
const (
	aliveEvery  = 5
	silentAfter = 10
)

// pulse is what is known of a child's answers.
type pulse struct {
	ticks  int  // since the question, or since the last answer
	asked  bool // and there is no answer yet
	silent bool
	heard  time.Time // when it was heard last
}

// feelPulses is called once a second.
func (c *core) feelPulses() {
	for _, l := range []struct {
		name string
		link *link
	}{{"speaker", &c.speaker}, {"prober", &c.prober}} {
		p := &l.link.pulse
		if l.link.conn == nil {
			*p = pulse{}
			continue
		}
		p.ticks++
		switch {
		case !p.asked && p.ticks >= aliveEvery:
			p.asked, p.ticks = true, 0
			l.link.send(kindAlive, string(kindAlive), nil)
		case p.asked && !p.silent && p.ticks >= silentAfter:
			p.silent = true
			c.say(event.ChildSilent, event.F(event.Child, l.name), event.F(event.PID, l.link.pid), event.F(event.Took, time.Since(p.since(l.link))))
		}
	}
}

// since is when the child was heard last.
func (p *pulse) since(l *link) time.Time {
	if p.heard.IsZero() {
		return l.started
	}
	return p.heard
}

// alive takes the answer of a child.
func (c *core) alive(name string, l *link) {
	if l.pulse.silent {
		c.say(event.ChildAnswers, event.F(event.Child, name), event.F(event.PID, l.pid), event.F(event.Took, time.Since(l.pulse.since(l))))
	}
	l.pulse = pulse{heard: time.Now()}
}

// silentSince is when a silent child was heard last, zero for one that answers.
func (l *link) silentSince() time.Time {
	if !l.pulse.silent {
		return time.Time{}
	}
	return l.pulse.since(l)
}

// isAlive answers the director's question.
func isAlive(out *ipc.Outbox) { out.Put(kindAlive, string(kindAlive), nil) }
