package healthcheck

import "time"

// Verdict is a decision about one check: its first, or a change of its state or
// of its weight.
type Verdict struct {
	ID       string        `json:"id"`
	Up       bool          `json:"up"`
	First    bool          `json:"first,omitempty"`  // nothing was known before
	Reason   Reason        `json:"reason,omitempty"` // of the attempt that decided; "" when up
	Detail   string        `json:"detail,omitempty"` // the same for people
	Latency  time.Duration `json:"latency"`          // of the attempt that decided
	At       time.Time     `json:"at"`
	Attempts int           `json:"attempts"` // in a row that led here, at least 1
	// Weight is what the check says that the server can bear, 0 … 65535, from
	// an exec or file check with dynamic weight; nil: it says nothing. A change of it
	// alone is a verdict too.
	Weight *int `json:"weight,omitempty"`
}

// State is what is known of a check.
type State string

const (
	Unknown State = "unknown" // no verdict yet
	Up      State = "up"
	Down    State = "down"
)

// CheckStatus is a check as it stands.
type CheckStatus struct {
	ID       string        `json:"id"`
	Kind     Kind          `json:"kind"`
	State    State         `json:"state"`
	Since    time.Time     `json:"since"`             // of State
	Doubted  bool          `json:"doubted,omitempty"` // unknown, of a server that has failed: it needs Rise passes
	Passes   int           `json:"passes,omitempty"`  // in a row towards up, of a check that is not up
	Fails    int           `json:"fails,omitempty"`   // in a row towards down, of a check that is not down
	Last     time.Time     `json:"last,omitzero"`     // end of the last attempt
	Reason   Reason        `json:"reason,omitempty"`  // of the last attempt; "" when it passed
	Detail   string        `json:"detail,omitempty"`  // of the last attempt
	Latency  time.Duration `json:"latency,omitempty"` // of the last attempt
	Next     time.Time     `json:"next,omitzero"`     // start of the next attempt; zero while one is under way
	Attempts uint64        `json:"attempts"`
	Failures uint64        `json:"failures"`         // of Attempts, those that did not pass
	Weight   *int          `json:"weight,omitempty"` // what the last pass said that the server can bear; nil: nothing
}

// Overload says that this machine, not a server, is the trouble. The first is
// told at once, the following ones are summed up over OverloadEvery; only a lack
// of resources after mere lateness does not wait for that.
type Overload struct {
	At          time.Time     `json:"at"`
	Late        int           `json:"late,omitempty"`         // attempts begun more than the late threshold after they were due
	MaxLateness time.Duration `json:"max_lateness,omitempty"` // of those
	Unknown     int           `json:"unknown,omitempty"`      // attempts without an outcome
	ID          string        `json:"id,omitempty"`           // the last such check
	Reason      Reason        `json:"reason,omitempty"`       // Resources, or Config when a check has just turned out to be impossible as it stands
	Detail      string        `json:"detail,omitempty"`       // and what it lacked
	Descriptors int           `json:"descriptors"`            // bound of attempts at a time
	Needed      int           `json:"needed,omitempty"`       // number of checks, when that exceeds the bound
}

// OverloadEvery is the least time between two Overload reports.
const OverloadEvery = 10 * time.Second

// LatenessBuckets are the upper bounds of Stats.Lateness; one more bucket
// follows for whatever is later.
var LatenessBuckets = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second,
}

// Stats are a scheduler's counters since it was made.
type Stats struct {
	Checks      int                              `json:"checks"`
	InFlight    int                              `json:"in_flight"`   // attempts under way, each holds a descriptor
	Talking     int                              `json:"talking"`     // of those, the ones past connecting, each holds a goroutine
	Waiting     int                              `json:"waiting"`     // attempts that are due and wait for one of the two
	Descriptors int                              `json:"descriptors"` // bound of InFlight
	Attempts    uint64                           `json:"attempts"`
	Failures    uint64                           `json:"failures"`
	Unknown     uint64                           `json:"unknown"`
	Lateness    [len(LatenessBuckets) + 1]uint64 `json:"lateness"` // attempts by how late they began
	LatenessSum time.Duration                    `json:"lateness_sum"`
	MaxLateness time.Duration                    `json:"max_lateness"`
}

// LatenessQuantile is how late, at most, the q-th part (0 … 1) of the attempts
// began that were made since an earlier look: a bound of LatenessBuckets, or
// MaxLateness beyond the last.
func (s Stats) LatenessQuantile(since Stats, q float64) time.Duration {
	var all, sum uint64
	for i := range s.Lateness {
		all += s.Lateness[i] - since.Lateness[i]
	}
	for i, bound := range LatenessBuckets {
		sum += s.Lateness[i] - since.Lateness[i]
		if float64(sum) >= q*float64(all) {
			return bound
		}
	}
	return s.MaxLateness
}
