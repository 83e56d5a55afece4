package healthcheck

import (
	"maps"
	"slices"
	"time"
)

// MaxRuns bounds the Runs that are kept of a check.
const MaxRuns = 10

// Run is attempts in a row that ended alike. A server that has been well for a
// month is one Run, and so the few that are kept reach back to what mattered.
type Run struct {
	Reason  Reason        `json:"reason,omitempty"` // "": they passed
	Detail  string        `json:"detail,omitempty"`
	Count   uint64        `json:"count"` // at least 1
	From    time.Time     `json:"from"`  // end of the first
	To      time.Time     `json:"to"`    // end of the last
	Latency time.Duration `json:"latency"`
	Longest time.Duration `json:"longest"` // latency
}

// LatencyBuckets are the upper bounds of a Latencies; one more bucket follows
// for whatever takes longer.
var LatencyBuckets = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// Latencies counts attempts by how long they took, time-outs included.
type Latencies [len(LatencyBuckets) + 1]uint32

func bucketOf(d time.Duration) int {
	i := 0
	for i < len(LatencyBuckets) && d > LatencyBuckets[i] {
		i++
	}
	return i
}

// Report is a check with its past, since the scheduler knows it.
type Report struct {
	CheckStatus
	Runs      []Run             `json:"runs,omitempty"` // oldest first, at most MaxRuns
	Latencies Latencies         `json:"latencies"`
	Reasons   map[Reason]uint64 `json:"reasons,omitempty"` // of Failures
}

// KindStats are the counters of all checks of a kind.
type KindStats struct {
	Attempts  uint64                          `json:"attempts"`
	Reasons   map[Reason]uint64               `json:"reasons,omitempty"` // of those that did not pass
	Latencies [len(LatencyBuckets) + 1]uint64 `json:"latencies"`
	Took      time.Duration                   `json:"took"` // the sum of all latencies
}

// history is what a check keeps of its attempts.
type history struct {
	runs      []Run
	latencies Latencies
	reasons   map[Reason]uint64 // nil while all have passed
}

func (h *history) note(at time.Time, latency time.Duration, r Reason, detail string) {
	h.latencies[bucketOf(latency)]++
	if r != "" {
		if h.reasons == nil {
			h.reasons = map[Reason]uint64{}
		}
		h.reasons[r]++
	}
	if n := len(h.runs); n > 0 && h.runs[n-1].Reason == r && h.runs[n-1].Detail == detail {
		last := &h.runs[n-1]
		last.Count++
		last.To, last.Latency, last.Longest = at, latency, max(last.Longest, latency)
		return
	}
	if len(h.runs) == MaxRuns {
		copy(h.runs, h.runs[1:])
		h.runs = h.runs[:MaxRuns-1]
	}
	h.runs = append(h.runs, Run{Reason: r, Detail: detail, Count: 1, From: at, To: at, Latency: latency, Longest: latency})
}

// last is the run that goes on; the zero Run before the first attempt.
func (h *history) last() Run {
	if n := len(h.runs); n > 0 {
		return h.runs[n-1]
	}
	return Run{}
}

func (h *history) report(st CheckStatus) Report {
	return Report{CheckStatus: st, Runs: slices.Clone(h.runs), Latencies: h.latencies, Reasons: maps.Clone(h.reasons)}
}

// note counts an attempt of a check of the kind.
func (k *KindStats) note(latency time.Duration, r Reason) {
	k.Attempts++
	k.Took += latency
	k.Latencies[bucketOf(latency)]++
	if r != "" {
		k.Reasons[r]++
	}
}

// Reports returns the named checks with their past, in the order of the names;
// those that are not known are left out.
func (s *Scheduler) Reports(ids ...string) []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	out := make([]Report, 0, len(ids))
	for _, id := range ids {
		if c := s.checks[id]; c != nil {
			out = append(out, c.past.report(c.status(s.wall, s.now)))
		}
	}
	return out
}

// Kinds returns the counters of each kind that has been checked.
func (s *Scheduler) Kinds() map[Kind]KindStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[Kind]KindStats, len(s.kinds))
	for k, v := range s.kinds {
		c := *v
		c.Reasons = maps.Clone(v.Reasons)
		out[k] = c
	}
	return out
}
