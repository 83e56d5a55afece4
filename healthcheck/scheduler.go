package healthcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"
)

// Options configure a Scheduler.
type Options struct {
	// Notify is called with every verdict, in order, from one goroutine. All
	// checking waits for it: it must not block.
	Notify func(Verdict)
	// Overload is called like Notify when attempts begin late or cannot be
	// made. Nil: not told.
	Overload func(Overload)
	// Failed is called like Notify with failed attempts of the checks that want
	// all of theirs told, while they are not down; at most FailuresEvery in a
	// second. Nil: not told.
	Failed func(Failure)
	// Attempted is called like Notify with every attempt that ends while SetTracing
	// is on. Nil: not told.
	Attempted func(Attempt)
	// Hinted is called like Notify when checks were made due because another one
	// of their server has found no way to it. Nil: not told.
	Hinted func(Hint)
	// Now is the clock, default time.Now. Its monotonic reading counts.
	Now func() time.Time
	// Random returns a uniformly distributed duration in [0, n), default from
	// math/rand/v2.
	Random func(n time.Duration) time.Duration
	// MaxDescriptors bounds the attempts under way at a time. 0: what
	// RLIMIT_NOFILE allows, less a reserve.
	MaxDescriptors int
	// MaxConversations bounds the goroutines that talk to servers, 0: 1024.
	// A plain connection, and an http server that does not begin to answer,
	// need none.
	MaxConversations int

	// Run runs the programs of exec checks. Nil: these stay unknown.
	Run Runner
	// Mark marks the sockets of checks with an FWMark, which are then made by a
	// goroutine each from the beginning. Nil: this process does it itself.
	Mark Marker

	poller func() (poller, error)        // default newPoller
	build  func(Spec) (Checker, []error) // default build

	suspended func() time.Duration // of this machine, in all; default the operating system's
}

// reservedDescriptors are left for all else that the process opens.
const reservedDescriptors = 64

// grain is what beats are gathered to: checks that begin within it of one another
// begin together, for to wake up costs as much as half a check.
const grain = 5 * time.Millisecond

// coarse is the interval from which on that changes nothing for anybody.
const coarse = 100 * time.Millisecond

// firstWithin bounds the random delay of a new check's first attempt.
const firstWithin = time.Second

// Scheduler makes the attempts of all checks when they are due.
type Scheduler struct {
	opt   Options
	epoch time.Time
	group sync.WaitGroup // conversations

	applying sync.Mutex // one Apply at a time

	mu       sync.Mutex // guards everything below; never held while waiting or calling back
	checks   map[string]*check
	order    []*check // as applied
	line     timeline
	fds      gate // attempts under way
	talks    gate // of these, goroutines
	poll     poller
	peeked   [4096]byte // of the answer that is being looked at
	byFD     []*check   // index: descriptor that the poller watches
	outbox   []Verdict
	fails    failures
	tracing  bool
	attempts []Attempt // while tracing
	hints    hints
	kinds    map[Kind]*KindStats
	known    map[string]Verdict // by Resume, until the first Apply
	doubted  []string           // by Doubt, until the next Apply
	anchor   time.Time          // the time of day
	anchorAt time.Duration      // when that was, since epoch
	wall     time.Time          // at the last tick
	now      time.Duration      // the same, since epoch
	wakeAt   time.Duration      // when the loop looks at the timeline anyway
	stopping bool
	run      context.Context

	overload overload
	stall    stall
	stats    Stats
}

// NewScheduler returns a scheduler without checks; Run makes it work.
func NewScheduler(o Options) *Scheduler {
	if o.Random == nil {
		o.Random = func(n time.Duration) time.Duration { return rand.N(n) }
	}
	if o.MaxDescriptors <= 0 {
		o.MaxDescriptors = defaultDescriptors()
	}
	if o.MaxConversations <= 0 {
		o.MaxConversations = 1024
	}
	if o.poller == nil {
		o.poller = newPoller
	}
	if o.build == nil {
		o.build = func(s Spec) (Checker, []error) { return build(s, means{o.Run, o.Mark}) }
	}
	if o.suspended == nil {
		o.suspended = suspended
	}
	epoch := time.Now()
	if o.Now != nil {
		epoch = o.Now()
	}
	return &Scheduler{
		opt: o, epoch: epoch, checks: map[string]*check{}, kinds: map[Kind]*KindStats{},
		stall: stall{suspended: o.suspended()},
		fds:   gate{limit: o.MaxDescriptors}, talks: gate{limit: min(o.MaxConversations, o.MaxDescriptors)},
	}
}

// Apply makes specs the whole set of checks. What did not change keeps its
// timers and its state; what is new or changed begins as unknown, at a random
// point within its warmup, or the shorter of its interval and one second. Its second
// attempt comes at a random point within the interval after that, so that checks which
// begin together do not stay together.
//
// Unheard are those of which the caller knows no verdict. What has had one begins
// anew: the caller has dropped it together with the check, in a set of specs that
// was overtaken by this one, and would not hear of it until its state changes.
//
// The error joins what is wrong with each spec, as of Validate. All else is
// applied nevertheless, and so is a spec whose files cannot be read: it stays
// unknown with reason Config until they can.
func (s *Scheduler) Apply(specs []Spec, unheard ...string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	old, known, doubted := s.checks, s.known, map[string]bool{}
	for _, id := range s.doubted {
		doubted[id] = true
	}
	s.known, s.doubted = nil, nil
	anew := map[string]bool{}
	for _, id := range unheard {
		anew[id] = old[id] != nil && old[id].health.State != Unknown
	}
	s.mu.Unlock()

	// Building reads files and compiles expressions: not under mu. The map is
	// replaced here only, and never changed.
	var errs []error
	next := make(map[string]*check, len(specs))
	order := make([]*check, 0, len(specs))
	for _, spec := range specs {
		if next[spec.ID] != nil {
			errs = append(errs, &SpecError{spec.ID, "ID", "is used twice", "give each check an ID of its own"})
			continue
		}
		c := old[spec.ID]
		if c == nil || anew[spec.ID] || !reflect.DeepEqual(c.spec, spec) {
			checker, problems := s.opt.build(spec)
			errs = append(errs, problems...)
			if checker == nil {
				continue
			}
			c = newCheck(spec, checker)
			c.resume(known[spec.ID])
			c.health.Doubted = c.health.State == Unknown && doubted[spec.ID]
		}
		next[spec.ID] = c
		order = append(order, c)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tick()
	for id, c := range s.checks {
		if next[id] != c {
			s.remove(c)
		}
	}
	for _, c := range order {
		if old[c.spec.ID] != c {
			if c.since.IsZero() {
				c.since = s.wall
			}
			s.begins(c, now)
			c.at = c.due
			s.line.set(c)
		}
	}
	s.checks, s.order = next, order
	if n := len(order); n > s.fds.limit {
		s.overload.needed = n
	}
	s.wake()
	return errors.Join(errs...)
}

// begins sets a new check's first beat, and its second: all begin soon, and from then on
// they are spread over their intervals, of which none is longer for that.
func (s *Scheduler) begins(c *check, now time.Duration) {
	within := cmp.Or(c.spec.Warmup, min(c.spec.Interval, firstWithin))
	c.due = now + s.opt.Random(within)
	if c.spec.Interval > within {
		c.spread = c.spec.Interval - s.opt.Random(c.spec.Interval)
	}
	if c.spec.Interval >= coarse {
		c.due, c.spread = (c.due + grain - 1).Truncate(grain), c.spread.Truncate(grain)
	}
}

// Resume has the first Apply begin with what a scheduler before this one knew,
// by the checks' names: a verdict is due only when it is no longer true.
func (s *Scheduler) Resume(known map[string]Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
}

// Doubt names checks of servers that have failed and not come up since. Those of
// them that are new or changed in the next Apply bring their servers up as one that
// is down does, after Rise passes: a change of what is asked is no sign that they are
// well.
func (s *Scheduler) Doubt(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted = ids
}

// Status returns every check, in the order of Apply.
func (s *Scheduler) Status() []CheckStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	out := make([]CheckStatus, len(s.order))
	for i, c := range s.order {
		out[i] = c.status(s.wall, s.now)
	}
	return out
}

// Stats returns the counters.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Checks, st.InFlight, st.Talking = len(s.order), s.fds.held, s.talks.held
	for _, c := range s.order {
		if c.phase == waiting || c.phase == queued {
			st.Waiting++
		}
	}
	st.Descriptors = s.fds.limit
	return st
}

// Run checks until ctx is done, then ends every attempt without a verdict and
// returns nil; or returns the error that keeps it from working. A scheduler
// runs once.
func (s *Scheduler) Run(ctx context.Context) error {
	p, err := s.opt.poller()
	if err != nil {
		return fmt.Errorf("run health checks: %w", err)
	}
	defer p.close()
	run, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, p.wake)
	defer stop()
	s.mu.Lock()
	s.poll, s.run = p, run
	s.mu.Unlock()

	for err == nil && ctx.Err() == nil {
		err = s.turn(p)
	}

	s.mu.Lock()
	s.stopping = true
	for _, c := range s.order {
		s.remove(c)
	}
	s.poll = nil
	s.mu.Unlock()
	cancel()
	s.group.Wait()
	if err != nil {
		return fmt.Errorf("run health checks: %w", err)
	}
	return nil
}

// tick reads the clock. Whatever happens until the next tick happens now: where
// reading it is a system call, several for each attempt would be dear. So the
// time of day, which takes a second reading, is looked at once a second.
func (s *Scheduler) tick() time.Duration {
	if s.opt.Now != nil {
		s.wall = s.opt.Now()
		s.now = s.wall.Sub(s.epoch)
		return s.now
	}
	s.now = time.Since(s.epoch)
	if s.anchor.IsZero() || s.now-s.anchorAt >= time.Second {
		s.anchor, s.anchorAt = time.Now(), s.now
		s.stall.slept(s.opt.suspended())
	}
	s.wall = s.anchor.Add(s.now - s.anchorAt)
	return s.now
}

func (s *Scheduler) wake() {
	if s.poll != nil {
		s.poll.wake()
	}
}
