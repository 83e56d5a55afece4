package sim

import (
	"slices"
	"time"
)

// Shrink returns a scenario as small as tries runs can make it that violates
// the same invariant as s. It takes faults away, delta debugging as Zeller and
// Hildebrandt have it, then what the network does, then time.
func Shrink(s *Scenario, o Options, tries int) *Scenario {
	o.Trace = nil
	_, bad := Run(s, o)
	if bad == nil {
		return s
	}
	best := *s
	fails := func(try Scenario) bool {
		if tries--; tries < 0 {
			return false
		}
		_, v := Run(&try, o)
		if v == nil || v.Invariant != bad.Invariant {
			return false
		}
		try.Length = min(try.Length, v.At+time.Nanosecond)
		try.Faults = slices.DeleteFunc(slices.Clone(try.Faults), func(f Fault) bool { return f.At > v.At })
		best = try
		return true
	}
	fails(best)
	for size := 0; size != measure(&best); {
		size = measure(&best)
		fewer(&best, fails)
		simpler(&best, fails)
		sooner(&best, fails)
	}
	return &best
}

// measure falls with each step of Shrink.
func measure(s *Scenario) int {
	m := len(s.Faults)*1000 + len(s.Directors)
	for _, f := range s.Faults {
		m += int((f.At + f.For) / time.Millisecond)
	}
	return m
}

// fewer takes faults away, large parts first.
func fewer(best *Scenario, fails func(Scenario) bool) {
	for part := (len(best.Faults) + 1) / 2; part > 0; {
		gone := false
		for from := 0; from < len(best.Faults); {
			try := *best
			try.Faults = slices.Delete(slices.Clone(best.Faults), from, min(from+part, len(best.Faults)))
			if fails(try) {
				gone = true
				atOnce(best, fails)
			} else {
				from += part
			}
		}
		if !gone || part > 1 {
			part /= 2
		}
	}
}

// atOnce takes away the time before the first fault: every later try is the
// faster for it.
func atOnce(best *Scenario, fails func(Scenario) bool) {
	if len(best.Faults) == 0 {
		return
	}
	settle := 20 * best.Directors[0].Config.AdvertInterval
	less := best.Faults[0].At - settle
	if less < settle {
		return
	}
	try := *best
	try.Faults = slices.Clone(best.Faults)
	for k := range try.Faults {
		try.Faults[k].At -= less
	}
	fails(try)
}

// simpler takes away what the network does, and directors that nothing is about.
func simpler(best *Scenario, fails func(Scenario) bool) {
	for _, change := range []func(*Scenario){
		func(s *Scenario) { s.Network.Loss = 0 },
		func(s *Scenario) { s.Network.Duplicate = 0 },
		func(s *Scenario) { s.Network.Late = 0 },
		func(s *Scenario) { s.Network.SetCost = 0 },
		func(s *Scenario) { s.Network.Jitter = 0 },
		func(s *Scenario) {
			for i := range s.Directors {
				s.Directors[i].Start = 0
			}
		},
		func(s *Scenario) {
			last := len(s.Directors) - 1
			for _, f := range s.Faults {
				if f.Node == last || f.Kind == OneWay && f.Value == last || last < 2 {
					return
				}
			}
			s.Directors = s.Directors[:last]
		},
		func(s *Scenario) {
			for _, f := range s.Faults {
				if f.LAN > 0 {
					return
				}
			}
			s.LANs, s.Group = 1, false
		},
	} {
		try := *best
		try.Directors = slices.Clone(best.Directors)
		change(&try)
		fails(try)
	}
}

// sooner shortens the waits between faults and the faults themselves, and makes
// their times round.
func sooner(best *Scenario, fails func(Scenario) bool) {
	for k := 0; k < len(best.Faults); k++ {
		before := time.Duration(0)
		if k > 0 {
			before = best.Faults[k-1].At
		}
		wait := best.Faults[k].At - before
		for _, less := range []time.Duration{wait, wait / 2, wait / 4, wait % time.Second, wait % (100 * time.Millisecond), wait % time.Millisecond} {
			if less == 0 {
				continue
			}
			try := *best
			try.Faults = slices.Clone(best.Faults)
			for j := k; j < len(try.Faults); j++ {
				try.Faults[j].At -= less
			}
			if fails(try) {
				break
			}
		}
		if k >= len(best.Faults) {
			return
		}
		last := best.Faults[k].For
		for _, less := range []time.Duration{last / 2, last / 4, last % time.Second, last % (100 * time.Millisecond), last % time.Millisecond} {
			if less == 0 || k >= len(best.Faults) {
				continue
			}
			try := *best
			try.Faults = slices.Clone(best.Faults)
			try.Faults[k].For -= less
			if fails(try) {
				break
			}
		}
	}
}
