package vrrp

import (
	"fmt"
	"strings"
	"time"
)

// maxWeight is the most that one Track adds to a priority or takes from it.
const maxWeight = PriorityOwner - 1

// The words of TrackStatus.State.
const (
	trackUp      = "up"
	trackFailed  = "failed"
	trackUnknown = "unknown"
)

// TrackStatus is what an instance makes of one of its tracks.
type TrackStatus struct {
	Track
	State  string `json:"state"`            // up, failed, or unknown: nobody has told of it
	Value  int    `json:"value,omitempty"`  // of a file
	Effect int    `json:"effect,omitempty"` // on the priority
	Fault  bool   `json:"fault,omitempty"`  // it puts the instance into FAULT
	Reason string `json:"reason,omitempty"` // why it is not up, for people
}

// verdict is what tracking comes to.
type verdict struct {
	priority uint8
	fault    Reason
	detail   string // which track made the fault, and why
	early    bool   // the fault is only that nobody has told of it
	unknown  bool   // one at least was not told of
	tracks   []TrackStatus
}

// judge computes the effective priority and the fault that tracks lead to. An
// owner keeps its priority (RFC 9568 section 5.2.4) but can be in fault. With
// patience, what was not told of has no effect on the priority and its fault
// is an early one.
func judge(base uint8, tracks []Track, states map[string]TrackState, links map[string]LinkState, patience bool) verdict {
	var v verdict
	sum := 0
	for _, t := range tracks {
		s := t.judge(states, links)
		early := false
		if s.State == trackUnknown {
			v.unknown = true
			if early = patience; early {
				s.Effect = 0
			}
		}
		sum += s.Effect
		if s.Fault && (v.fault == "" || v.early && !early) {
			v.fault, v.detail, v.early = t.Kind.fault(), s.String(), early
		}
		v.tracks = append(v.tracks, s)
	}
	v.priority = base
	if base != PriorityOwner && sum != 0 {
		v.priority = uint8(min(max(int(base)+sum, 1), PriorityOwner-1))
	}
	return v
}

// judge says what is known of t and what it leads to.
func (t Track) judge(states map[string]TrackState, links map[string]LinkState) TrackStatus {
	s := TrackStatus{Track: t, State: trackUnknown}
	if t.Kind == TrackInterface {
		if f, known := links[t.Name]; known {
			s.State = trackUp
			if !f.Up {
				s.State, s.Reason = trackFailed, string(ReasonLinkDown)
			}
		}
	} else if f, known := states[t.Key()]; known {
		s.State, s.Value, s.Reason = trackUp, f.Value, ""
		if !f.Up {
			s.State, s.Reason = trackFailed, f.Reason
		}
	}
	switch s.State {
	case trackUnknown:
		s.Reason = "not heard of yet"
		s.count(false)
		s.Fault = t.Weight == 0 // with Reverse as well: nobody knows
	case trackUp:
		if t.Kind == TrackFile {
			s.read()
			return s
		}
		s.count(true)
	default:
		s.count(false)
		if t.Kind == TrackFile {
			s.Fault = t.Weight == 0 // what cannot be read does not say 0
		}
	}
	return s
}

// count applies the weight of what is up or is not. Reverse turns the direction
// of the adjustment round, as keepalived's does, not its condition.
func (s *TrackStatus) count(up bool) {
	switch {
	case s.Weight == 0:
		s.Fault = up == s.Reverse
	case (s.Weight > 0) == up:
		s.Effect = s.Weight
		if s.Reverse {
			s.Effect = -s.Weight
		}
	}
}

// read applies the value of a file: any but 0 is a fault with weight 0, else
// it is multiplied. A product that takes more than any priority has is a fault.
func (s *TrackStatus) read() {
	weight := s.Weight
	if s.Reverse {
		weight = -weight
	}
	if weight == 0 {
		s.Fault = (s.Value != 0) != s.Reverse
		return
	}
	value := min(max(s.Value, -maxWeight), maxWeight) // a larger one is beyond all whatever the weight
	product := min(max(value*weight, -maxWeight), maxWeight)
	if product == -maxWeight {
		s.Fault = true
		return
	}
	s.Effect = product
}

// String says of the track what a line of the log needs.
func (s TrackStatus) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.Name, s.State)
	if s.Kind == TrackFile && s.State == trackUp {
		fmt.Fprintf(&b, " with %d", s.Value)
	}
	if s.Reason != "" {
		fmt.Fprintf(&b, ": %s", s.Reason)
	}
	if s.Reverse {
		b.WriteString(" (reverse)")
	}
	return b.String()
}

// fault is the reason of the fault that something of this kind leads to.
func (k TrackKind) fault() Reason {
	switch k {
	case TrackInterface:
		return ReasonTrackInterface
	case TrackScript:
		return ReasonTrackScript
	case TrackFile:
		return ReasonTrackFile
	case TrackProcess:
		return ReasonTrackProcess
	}
	return ReasonTrackServer
}

// change is the reason where something of this kind is up, and changes a
// priority.
func (k TrackKind) change() Reason {
	switch k {
	case TrackInterface:
		return ReasonInterfaceBack
	case TrackScript:
		return ReasonScriptBack
	case TrackFile:
		return ReasonFileChanged
	case TrackProcess:
		return ReasonProcessBack
	}
	return ReasonServerBack
}

// changedEffects returns what has another effect than before, for people, and
// the first of it as a reason.
func changedEffects(before, now []TrackStatus) (reason Reason, detail string) {
	old := make(map[Track]int, len(before))
	for _, s := range before {
		old[s.Track] += s.Effect
	}
	var parts []string
	add := func(r Reason, text string) {
		if reason == "" {
			reason = r
		}
		parts = append(parts, text)
	}
	seen := make(map[Track]bool, len(now))
	for _, s := range now {
		if seen[s.Track] = true; s.Effect != old[s.Track] {
			r := s.Kind.fault()
			if s.State == trackUp {
				r = s.Kind.change()
			}
			add(r, fmt.Sprintf("%s, %+d", s, s.Effect))
		}
	}
	for _, s := range before {
		if !seen[s.Track] && s.Effect != 0 {
			add(ReasonUntracked, s.Name+" is no longer tracked")
		}
	}
	return reason, strings.Join(parts, "; ")
}

// patient says how long what was never told of does not count: as long as an
// interface may stay unknown at the start.
func (c *Config) patient() time.Duration {
	p := Params{Version: c.Version, Priority: c.Priority, AdvertInterval: c.AdvertInterval, DownTimerAdverts: c.DownTimerAdverts}
	return p.downInterval(c.AdvertInterval)
}
