package sim

import "time"

// Stats is what happened in one or more runs.
type Stats struct {
	Runs          int
	Simulated     time.Duration // one cluster's time
	Events        uint64        // of the queue
	Adverts       uint64        // sent
	Delivered     uint64        // copies that arrived in a socket
	Lost          uint64        // copies that a LAN has lost
	Announcements uint64
	Settled       uint64                          // times that a cluster was found at rest
	Intervals     map[time.Duration]time.Duration // simulated, by the advert_int that the first director begins with
	Transitions   map[string]uint64               // by reason
	Faults        map[string]uint64               // by kind
}

// Add counts o in.
func (s *Stats) Add(o *Stats) {
	s.Runs += o.Runs
	s.Simulated += o.Simulated
	s.Events += o.Events
	s.Adverts += o.Adverts
	s.Delivered += o.Delivered
	s.Lost += o.Lost
	s.Announcements += o.Announcements
	s.Settled += o.Settled
	if s.Transitions == nil {
		s.Transitions, s.Faults = map[string]uint64{}, map[string]uint64{}
		s.Intervals = map[time.Duration]time.Duration{}
	}
	for k, v := range o.Intervals {
		s.Intervals[k] += v
	}
	for k, v := range o.Transitions {
		s.Transitions[k] += v
	}
	for k, v := range o.Faults {
		s.Faults[k] += v
	}
}
