package healthcheck

import "time"

// lateThreshold is from when on a late start is told.
const lateThreshold = 250 * time.Millisecond

// overload gathers what the next Overload report says.
type overload struct {
	sum    Overload
	needed int // checks, when more than descriptors; told once
	last   time.Duration
	told   bool // at last
	lack   bool // the last report told of a lack of resources
}

func (o *overload) late(d time.Duration) {
	if d < lateThreshold {
		return
	}
	o.sum.Late++
	o.sum.MaxLateness = max(o.sum.MaxLateness, d)
}

func (o *overload) unknown(id string, r Reason, detail string) {
	o.sum.Unknown++
	o.sum.ID, o.sum.Reason, o.sum.Detail = id, r, detail
}

// due reports whether there is something to tell and it is time to.
func (o *overload) due(now time.Duration) bool {
	switch {
	case o.sum.Late == 0 && o.sum.Unknown == 0 && o.needed == 0:
		return false
	case !o.told || now-o.last >= OverloadEvery:
		return true
	default: // mere lateness must not hide a lack that follows it
		return o.sum.Unknown > 0 && !o.lack
	}
}

// take returns the report that is due now, if one is.
func (o *overload) take(now time.Duration, at time.Time, descriptors int) (Overload, bool) {
	if !o.due(now) {
		return Overload{}, false
	}
	r := o.sum
	r.At, r.Descriptors, r.Needed = at, descriptors, o.needed
	*o = overload{last: now, told: true, lack: r.Unknown > 0}
	return r, true
}
