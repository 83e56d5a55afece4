package healthcheck

import (
	"context"
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
	// Now is the clock, default time.Now. Only differences count.
	Now func() time.Time
	// Random returns a uniformly distributed duration in [0, n), default from
	// math/rand/v2.
	Random func(n time.Duration) time.Duration
	// MaxDescriptors bounds the attempts under way at a time. 0: what
	// RLIMIT_NOFILE allows, less a reserve.
	MaxDescriptors int
	// MaxConversations bounds the goroutines that talk to servers. 0: 1024.
	MaxConversations int
}

// Scheduler makes the attempts of all checks when they are due.
type Scheduler struct{}

// NewScheduler returns a scheduler without checks; Run makes it work.
func NewScheduler(Options) *Scheduler { return &Scheduler{} }

// Apply makes specs the whole set of checks. What did not change keeps its
// timers and its state; what is new or changed begins as unknown, at a random
// point within the shorter of its interval and one second.
func (s *Scheduler) Apply(specs []Spec) error { return nil }

// Trigger makes the named checks due now, or once more when an attempt is under
// way. Names that are not known are ignored.
func (s *Scheduler) Trigger(ids ...string) {}

// Run checks until ctx is done, then ends every attempt and returns nil; or
// returns the error that keeps it from working.
func (s *Scheduler) Run(ctx context.Context) error { return nil }

// Status returns every check, in the order of Apply.
func (s *Scheduler) Status() []CheckStatus { return nil }

// Stats returns the counters.
func (s *Scheduler) Stats() Stats { return Stats{} }

// Validate returns what is wrong with a spec, a *SpecError for each fault
// joined with errors.Join, or nil.
func Validate(Spec) error { return nil }

// SpecError is one fault of a Spec.
type SpecError struct {
	ID      string // of the check
	Field   string // Go name, "Interval" or "HTTP.BodyRegex"
	Problem string
	Remedy  string
}

// Error returns `check "ID": field: problem (remedy)`.
func (e *SpecError) Error() string {
	return `check "` + e.ID + `": ` + e.Field + ": " + e.Problem + " (" + e.Remedy + ")"
}
