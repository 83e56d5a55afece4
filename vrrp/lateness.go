package vrrp

import "time"

// LatenessBuckets are the upper bounds of a Lateness; one more bucket follows
// for whatever is later. Adverts are 10 ms apart at the least.
var LatenessBuckets = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 5 * time.Second,
}

// Lateness counts how late an engine came to what was due. It is what the
// machine adds to the protocol's own times.
type Lateness struct {
	Counts [len(LatenessBuckets) + 1]uint64 `json:"counts"`
	Sum    time.Duration                    `json:"sum"`
}

func (l *Lateness) note(late time.Duration) {
	i := 0
	for i < len(LatenessBuckets) && late > LatenessBuckets[i] {
		i++
	}
	l.Counts[i]++
	l.Sum += late
}
