package healthcheck

import "time"

// Attempt is one attempt of a check, with the state that followed from it.
type Attempt struct {
	ID      string
	State   State
	Reason  Reason // "": it passed
	Detail  string
	Latency time.Duration
	At      time.Time
}

// SetTracing has Options.Attempted called with every attempt, or no longer. It is
// for an operator who watches.
func (s *Scheduler) SetTracing(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracing = on && s.opt.Attempted != nil
	s.attempts = nil
}
