package healthcheck

// Hysteresis is how many answers in a row change a server's state.
type Hysteresis struct {
	Retry int // failures after the first before the server is down
	Rise  int // passes that bring a down server up; below 1 means 1
}

// Health is what the attempts so far have shown. Its zero value is unknown.
type Health struct {
	State   State // "" is Unknown
	Doubted bool  // unknown, of a server that another check has found down: the first pass does not suffice
	Passes  int   // in a row, towards Up
	Fails   int   // in a row, towards Down
}

// Decision is what follows from an attempt.
type Decision struct {
	Changed  bool // State is new: a verdict is due
	First    bool // the state before was unknown
	Retry    bool // attempt again after the retry delay instead of at the next interval
	Attempts int  // in a row that led to State, when Changed
}

// Next returns the health after an attempt that ended with r, "" being a pass.
// It is total and has no other input. The first pass ever brings a server up
// without waiting for Rise, so that a start does not take Rise intervals, unless
// its server is Doubted; failures are retried whenever the server is not down
// already. An unknown outcome moves nothing.
func (y Hysteresis) Next(h Health, r Reason) (Health, Decision) {
	if h.State == "" {
		h.State = Unknown
	}
	switch {
	case r.Unknown():
		return h, Decision{Retry: true}
	case r == "":
		h.Fails = 0
		if h.State == Up {
			return h, Decision{}
		}
		h.Passes++
		if (h.State == Down || h.Doubted) && h.Passes < y.Rise {
			return h, Decision{}
		}
		d := Decision{Changed: true, First: h.State == Unknown, Attempts: h.Passes}
		return Health{State: Up}, d
	default:
		h.Passes = 0
		if h.State == Down {
			return h, Decision{}
		}
		h.Fails++
		if h.Fails <= y.Retry {
			return h, Decision{Retry: true}
		}
		d := Decision{Changed: true, First: h.State == Unknown, Attempts: h.Fails}
		return Health{State: Down}, d
	}
}
