package healthcheck

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	// startBatch bounds what begins before the sockets are looked at again.
	startBatch = 256
	// longestSleep bounds one wait of an idle loop.
	longestSleep = time.Minute
)

// turn is one round of the event loop: begin and end what is due, deliver the
// verdicts, wait.
func (s *Scheduler) turn(p poller) error {
	s.mu.Lock()
	now := s.tick()
	s.stall.note(now)
	s.begin(now)
	s.stall.note(s.tick())
	hint, hinted := s.follow(now)
	verdicts := s.outbox
	s.outbox = nil
	failed := s.fails.take()
	attempts := s.attempts
	s.attempts = nil
	report, told := s.overload.take(now, s.wall, s.fds.limit)
	sleep := longestSleep
	if c := s.line.first(); c != nil {
		sleep = min(sleep, c.at-s.now)
	}
	if len(s.hints.lost) > 0 {
		sleep = min(sleep, s.hints.next-s.now)
	}
	if s.fds.ready() || s.talks.ready() {
		sleep = 0
	}
	s.wakeAt = now + sleep
	if s.fds.held > 0 {
		sleep = min(sleep, stallTick)
	}
	s.stall.until = s.now + max(sleep, 0)
	s.mu.Unlock()

	for _, v := range verdicts {
		s.opt.Notify(v)
	}
	if s.opt.Failed != nil {
		for _, f := range failed {
			s.opt.Failed(f)
		}
	}
	for _, a := range attempts {
		s.opt.Attempted(a)
	}
	if hinted && s.opt.Hinted != nil {
		s.opt.Hinted(hint)
	}
	if told && s.opt.Overload != nil {
		s.opt.Overload(report)
	}

	// Every answer that has arrived is taken before any attempt is declared
	// timed out: after a stall of this process the answers are there as well.
	for {
		ready, full, err := p.wait(sleep)
		if err != nil {
			return err
		}
		if len(ready) > 0 {
			s.mu.Lock()
			s.stall.note(s.tick())
			for _, r := range ready {
				s.progress(r)
				s.stall.note(s.tick())
			}
			s.mu.Unlock()
		}
		if !full {
			return nil
		}
		sleep = 0
	}
}

// begin ends the attempts whose time is up and starts those that are due and
// have a place.
func (s *Scheduler) begin(now time.Duration) {
	left := startBatch
	for ; left > 0; left-- {
		c := s.talks.next(func(c *check) bool { return c.phase == queued && !c.removed })
		if c == nil {
			break
		}
		s.talk(c)
	}
	for ; left > 0; left-- {
		c := s.fds.next(func(c *check) bool { return c.phase == waiting && !c.removed })
		if c == nil {
			break
		}
		s.start(c)
	}
	for ; left > 0; left-- {
		c := s.line.first()
		if c == nil || c.at > now {
			return
		}
		s.line.drop(c)
		if c.phase == idle {
			s.start(c)
		} else {
			s.expire(c)
		}
	}
}

// start begins the attempt of an idle or waiting check, when there is a place.
func (s *Scheduler) start(c *check) {
	if !s.fds.enter(c.suspect) {
		c.phase = waiting
		s.fds.wait(c)
		return
	}
	if c.dialog() == nil || c.dialog().marker != nil || !s.poll.dials() {
		c.phase = queued
		s.talk(c)
		return
	}
	s.begun(c)
	fd, done, err := s.poll.connect(c.dialog())
	if err != nil {
		s.tick()
		s.finish(c, err)
		return
	}
	c.fd, c.phase = int32(fd), connecting
	if done {
		s.tick()
		s.connected(c)
		return
	}
	s.watch(c, true)
}

// watch waits for the check's socket until the end of the attempt's time.
func (s *Scheduler) watch(c *check, writable bool) {
	if err := s.poll.watch(int(c.fd), writable, c.opened); err != nil {
		s.finish(c, err)
		return
	}
	c.opened = true
	for int(c.fd) >= len(s.byFD) {
		s.byFD = append(s.byFD, make([]*check, 256)...)
	}
	s.byFD[c.fd] = c
	s.until(c)
}

func (s *Scheduler) until(c *check) {
	c.at = c.started + c.within
	s.line.set(c)
}

// progress takes up a check whose socket has news.
func (s *Scheduler) progress(r readiness) {
	c := s.byFD[r.fd]
	if c == nil {
		return
	}
	if r.failed {
		if err := s.poll.failure(r.fd); err != nil {
			s.finish(c, socketError(c, err))
			return
		}
	}
	switch c.phase {
	case connecting:
		s.connected(c)
	case awaiting:
		if whole, err := s.heard(c); whole {
			s.finish(c, err)
			return
		}
		c.phase = queued
		s.talk(c)
	}
}

// errMore: an answer goes on after what has come of it.
var errMore = errors.New("more is to come")

// come is what has come of an answer.
type come struct {
	b   []byte
	end bool // nothing follows
}

func (a *come) Read(p []byte) (int, error) {
	switch {
	case len(a.b) > 0:
		n := copy(p, a.b)
		a.b = a.b[n:]
		return n, nil
	case a.end:
		return 0, io.EOF
	}
	return 0, errMore
}

// heard judges an answer that is there as a whole already, as those of most
// servers are: what is so short costs no goroutine. It leaves the others as they
// are.
func (s *Scheduler) heard(c *check) (whole bool, err error) {
	d := c.dialog()
	if d.listen == nil || d.next != nil {
		return false, nil
	}
	n, err := s.poll.peek(int(c.fd), s.peeked[:])
	if err != nil {
		return false, nil // who reads it meets it again
	}
	err = d.listen(&come{s.peeked[:n], n == 0})
	return !errors.Is(err, errMore), err
}

// connected goes on with a check whose connection stands.
func (s *Scheduler) connected(c *check) {
	d := c.dialog()
	if d.talk == nil {
		s.finish(c, nil)
		return
	}
	if d.opens() {
		if err := s.poll.send(int(c.fd), d.opening); err != nil {
			s.finish(c, err)
			return
		}
	}
	if d.await {
		c.phase = awaiting
		s.watch(c, false)
		return
	}
	c.phase = queued
	s.talk(c)
}

// talk hands a queued check to a goroutine, when there is a place.
func (s *Scheduler) talk(c *check) {
	if c.fd >= 0 {
		s.until(c) // who has a connection has its time running
	}
	if !s.talks.enter(c.suspect) {
		s.talks.wait(c)
		return
	}
	c.phase = talking
	if c.fd < 0 {
		s.begun(c)
		s.until(c)
		var ctx context.Context
		ctx, c.cancel = context.WithTimeout(s.run, c.within)
		s.group.Go(func() { s.conclude(c, c.checker.Check(ctx)) })
		return
	}
	left := c.started + c.within - s.now
	d := c.dialog()
	conn := s.poll.conn(int(c.fd), d)
	s.forget(c)
	ctx := s.run
	c.cancel = func() { conn.Close() }
	if d.next != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(s.run, left)
		c.cancel = func() { cancel(); conn.Close() }
	}
	s.group.Go(func() {
		var err error
		if err = conn.SetDeadline(time.Now().Add(left)); err != nil {
			err = failure(Resources, "set deadline: %v", err)
		} else {
			err = d.quiet(d.talk(conn))
		}
		conn.Close()
		if err == nil && d.next != nil {
			err = d.next.Check(ctx)
		}
		s.conclude(c, err)
	})
}

// conclude takes the outcome of a goroutine, and wakes the loop only if that
// gives it something to do.
func (s *Scheduler) conclude(c *check, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall.note(s.tick())
	s.finish(c, err)
	if len(s.outbox)+len(s.fails.list)+len(s.attempts) > 0 || s.overload.due(s.now) || len(s.hints.lost) > 0 && s.hints.next < s.wakeAt || c.index >= 0 && c.at < s.wakeAt || s.fds.ready() || s.talks.ready() {
		s.wake()
	}
}
