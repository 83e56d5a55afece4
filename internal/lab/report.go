package lab

import (
	"maps"
	"sync"
	"time"
)

// Failure is the kind of a request's failure, a closed set.
type Failure string

// The kinds of failures.
const (
	Refused     Failure = "refused"
	TimedOut    Failure = "timeout"
	WasReset    Failure = "reset"
	Unreachable Failure = "unreachable"
	Cut         Failure = "closed" // ended before the answer was complete
	BadStatus   Failure = "status"
	OtherError  Failure = "other"
)

// Report is what a client saw during a time, or during one phase of it.
type Report struct {
	Name     string          `json:"name,omitempty"`
	Start    time.Time       `json:"start"`
	End      time.Time       `json:"end"`
	Requests int             `json:"requests"` // begun in this phase and ended
	Answers  map[string]int  `json:"answers"`  // by the name that the server gave
	Failures map[Failure]int `json:"failures,omitempty"`
	// FirstFailed and LastFailed are when the first and the last that failed were begun, and
	// Broken counts those among them whose connection had been opened.
	FirstFailed time.Time `json:"first_failed,omitzero"`
	LastFailed  time.Time `json:"last_failed,omitzero"`
	Broken      int       `json:"broken,omitempty"`
	// Retransmitted counts answered requests for which the kernel had to send a
	// segment again: nobody failed, but a packet was lost on the way.
	Retransmitted int `json:"retransmitted"`
	// Missed counts beats without a request because too many were in flight or
	// the client itself was late.
	Missed int `json:"missed"`
	// LongestGap is the longest time between two answers, the start and the end
	// of the time counting as answers; GapStart is when it began.
	LongestGap time.Duration `json:"longest_gap_ns"`
	GapStart   time.Time     `json:"gap_start"`
	// Slowest is the slowest answered request, SlowestStart when it was begun.
	Slowest      time.Duration `json:"slowest_ns"`
	SlowestStart time.Time     `json:"slowest_start"`
	Mean         time.Duration `json:"mean_ns"` // of all answered requests
	Phases       []Report      `json:"phases,omitempty"`
}

// Answered is the number of requests that were answered.
func (r Report) Answered() int {
	n := 0
	for _, k := range r.Answers {
		n += k
	}
	return n
}

// Failed is the number of requests that were not.
func (r Report) Failed() int {
	n := 0
	for _, k := range r.Failures {
		n += k
	}
	return n
}

// Phase returns the phase of that name, and whether there is one.
func (r Report) Phase(name string) (Report, bool) {
	for _, p := range r.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Report{}, false
}

func (r Report) clone() Report {
	r.Answers, r.Failures = maps.Clone(r.Answers), maps.Clone(r.Failures)
	phases := make([]Report, len(r.Phases))
	for i, p := range r.Phases {
		phases[i] = p.clone()
	}
	r.Phases = phases
	return r
}

// outcome is one request: begun at a beat, ended with an answer or a failure.
type outcome struct {
	begun, ended  time.Time
	answer        string
	failure       Failure // "" is success
	opened        bool
	retransmitted bool
}

// recorder adds outcomes up, for the whole time and for the phase in which a
// request began.
type recorder struct {
	mu     sync.Mutex
	total  tally
	phases []tally
}

type tally struct {
	Report
	last time.Time     // of the last answer
	took time.Duration // by all answers together
	done bool
}

func newTally(name string, start time.Time) tally {
	return tally{
		Report: Report{Name: name, Start: start, Answers: map[string]int{}, Failures: map[Failure]int{}, GapStart: start},
		last:   start,
	}
}

func newRecorder(start time.Time) *recorder {
	return &recorder{total: newTally("", start)}
}

// restart forgets what was: requests that began before now count nowhere.
func (r *recorder) restart(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total, r.phases = newTally("", now), nil
}

// mark ends the current phase and begins another one.
func (r *recorder) mark(name string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.phases); n > 0 {
		r.phases[n-1].finish(now)
	}
	r.phases = append(r.phases, newTally(name, now))
}

func (r *recorder) missed(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Missed += n
	if k := len(r.phases); k > 0 {
		r.phases[k-1].Missed += n
	}
}

func (r *recorder) add(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !o.begun.Before(r.total.Start) {
		r.total.count(o)
	}
	r.total.answer(o)
	for i := len(r.phases) - 1; i >= 0; i-- {
		if !o.begun.Before(r.phases[i].Start) {
			r.phases[i].count(o)
			break
		}
	}
	if n := len(r.phases); n > 0 {
		r.phases[n-1].answer(o)
	}
}

func (t *tally) count(o outcome) {
	t.Requests++
	if o.failure != "" {
		t.Failures[o.failure]++
		if t.FirstFailed.IsZero() || o.begun.Before(t.FirstFailed) {
			t.FirstFailed = o.begun
		}
		if o.begun.After(t.LastFailed) {
			t.LastFailed = o.begun
		}
		if o.opened {
			t.Broken++
		}
		return
	}
	t.Answers[o.answer]++
	if o.retransmitted {
		t.Retransmitted++
	}
	took := o.ended.Sub(o.begun)
	if took > t.Slowest {
		t.Slowest, t.SlowestStart = took, o.begun
	}
	t.took += took
	t.Mean = t.took / time.Duration(t.Answered())
}

func (t *tally) answer(o outcome) {
	if o.failure == "" && !t.done && o.ended.After(t.last) {
		t.gap(o.ended)
		t.last = o.ended
	}
}

func (t *tally) gap(until time.Time) {
	if g := until.Sub(t.last); g > t.LongestGap {
		t.LongestGap, t.GapStart = g, t.last
	}
}

func (t *tally) finish(now time.Time) {
	if t.done {
		return
	}
	t.End, t.done = now, true
	if now.After(t.last) {
		t.gap(now)
	}
}

// finish ends the last phase and the whole; requests that end later still
// count where they began.
func (r *recorder) finish(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.finish(now)
	if n := len(r.phases); n > 0 {
		r.phases[n-1].finish(now)
	}
}

func (r *recorder) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.total.Report
	for i := range r.phases {
		out.Phases = append(out.Phases, r.phases[i].Report)
	}
	return out.clone()
}
