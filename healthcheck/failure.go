package healthcheck

import "time"

// FailuresEvery is how many Failures are told of in a second at most. Others
// are counted with the next.
const FailuresEvery = 20

// Failure is a failed attempt of a check that is not down: of one that wants
// all of them told.
type Failure struct {
	ID       string        `json:"id"`
	Reason   Reason        `json:"reason"`
	Detail   string        `json:"detail"`
	Latency  time.Duration `json:"latency"`
	At       time.Time     `json:"at"`
	Attempts int           `json:"attempts"` // that failed in a row
	Retry    int           `json:"retry"`    // the check is down when Attempts exceeds it
	Omitted  int           `json:"omitted"`  // failures before this one that were not told
}

// failures gathers what is to be told.
type failures struct {
	list    []Failure
	begun   time.Duration // of the present second
	told    int           // in it
	omitted int
}

func (f *failures) tell(now time.Duration, x Failure) {
	if now-f.begun >= time.Second {
		f.begun, f.told = now, 0
	}
	if f.told >= FailuresEvery {
		f.omitted++
		return
	}
	f.told++
	x.Omitted, f.omitted = f.omitted, 0
	f.list = append(f.list, x)
}

func (f *failures) take() []Failure {
	l := f.list
	f.list = nil
	return l
}
