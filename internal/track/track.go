// Package track watches what an election depends on besides its network: the
// operator's scripts, files with a number, and processes that must run.
//
// A Scheduler is told what to watch, whole, and tells every change of state.
// It does not know who is interested, nor what follows.
package track

import (
	"fmt"
	"time"
)

// Script is a vrrp_script: a program that passes with exit status 0.
type Script struct {
	Name     string        `json:"name"`
	Args     []string      `json:"args"`
	User     string        `json:"user,omitempty"` // "": that of this process
	Group    string        `json:"group,omitempty"`
	Interval time.Duration `json:"interval"` // from one begin to the next, more than 0
	Timeout  time.Duration `json:"timeout"`  // more than 0
	Rise     int           `json:"rise"`     // passes in a row until it is up, 1 or more
	Fall     int           `json:"fall"`     // failures in a row until it is down, 1 or more
}

// File is a vrrp_track_file: a file that holds a number. It is always up: what
// the number means is for a weight to say. What cannot be read counts as 0, as
// in keepalived: a file that nobody has written yet must not move an address.
type File struct {
	Name     string        `json:"name"`
	Path     string        `json:"path"`     // absolute
	Interval time.Duration `json:"interval"` // more than 0
}

// Process is a vrrp_track_process: it is up while as many processes run as
// shall. Zombies do not run.
type Process struct {
	Name           string        `json:"name"`
	Process        string        `json:"process"`         // path, or its last element
	Args           []string      `json:"args"`            // all of them; nil: any
	Quorum         int           `json:"quorum"`          // least, 0 or more
	QuorumMax      int           `json:"quorum_max"`      // most; 0: no limit
	Delay          time.Duration `json:"delay"`           // that a change must last
	TerminateDelay time.Duration `json:"terminate_delay"` // the same for a change by the end of processes
	Interval       time.Duration `json:"interval"`        // more than 0
}

// Specs is everything that a Scheduler watches. Names are unique within a kind.
type Specs struct {
	Scripts   []Script  `json:"scripts,omitempty"`
	Files     []File    `json:"files,omitempty"`
	Processes []Process `json:"processes,omitempty"`
}

// Key names what is watched among all, in the form of vrrp.Track.Key.
func (s Script) Key() string { return "script/" + s.Name }

// Key names what is watched among all, in the form of vrrp.Track.Key.
func (f File) Key() string { return "file/" + f.Name }

// Key names what is watched among all, in the form of vrrp.Track.Key.
func (p Process) Key() string { return "process/" + p.Name }

// State is what is known of something. Its fields are those of vrrp.TrackState.
type State struct {
	Up     bool   `json:"up"`
	Value  int    `json:"value,omitempty"`  // of a file
	Reason string `json:"reason,omitempty"` // how it came to be so: "exit status 1"
}

// Trouble is something that an operator should know of and that is no change
// of state.
type Trouble struct {
	Key    string
	Kind   TroubleKind
	Reason string
	Detail string // output of a script
	Count  int
	Took   time.Duration
}

// TroubleKind is what a Trouble tells.
type TroubleKind string

// The kinds.
const (
	Failed     TroubleKind = "failed"     // a script has not passed: Reason, Detail, Took; told when the reason changes
	Late       TroubleKind = "late"       // Count runs were skipped because one was still running: Reason, Took; told once a minute at most
	Unreadable TroubleKind = "unreadable" // a file counts as 0: Reason
)

// hysteresis lets a script change its state after some runs in a row.
type hysteresis struct {
	known bool
	up    bool
	run   int // results in a row against the state
}

// next takes over a result and says whether the state has changed. The first
// result of something unknown decides at once: unknown counts as failed
// already, and nobody waits longer than he must.
func (h *hysteresis) next(pass bool, rise, fall int) bool {
	if !h.known {
		h.known, h.up = true, pass
		return true
	}
	if pass == h.up {
		h.run = 0
		return false
	}
	h.run++
	if pass && h.run < rise || !pass && h.run < fall {
		return false
	}
	h.up, h.run = pass, 0
	return true
}

// quorate says whether a count of processes is as it shall be.
func (p Process) quorate(n int) bool {
	return n >= p.Quorum && (p.QuorumMax == 0 || n <= p.QuorumMax)
}

// why puts a count of processes into words.
func (p Process) why(n int) string {
	switch {
	case n < p.Quorum:
		return fmt.Sprintf("%d of at least %d processes run", n, p.Quorum)
	case !p.quorate(n):
		return fmt.Sprintf("%d processes run, more than %d", n, p.QuorumMax)
	}
	return fmt.Sprintf("%d running", n)
}
