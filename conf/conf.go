// Package conf reads Baton's configuration: TOML in keepalived's words.
//
// A file passes through two layers. The raw layer has one struct for each
// table, with the keys, defaults and ranges in its tags; the typed layer is
// [Config], in which defaults are resolved, per-node values chosen and
// everything that can be known to be wrong from the file alone has been
// refused. [Parse] reports every problem of a file at once, each with its
// place.
package conf

import (
	"net/netip"
	"time"

	"baton/healthcheck"
	"baton/vrrp"
)

// Config is one valid configuration as one node sees it. It is immutable:
// whoever holds one reads it, and copies what is to be changed.
type Config struct {
	File      string // as given to Load or Parse
	Hash      string // SHA-256 of the file's bytes, hexadecimal
	Global    Global
	Instances []vrrp.Config   // in the order of the file
	Services  []VirtualServer // in the order of the file
	Warnings  Problems        // what is suspicious but not wrong, by position

	SyncGroups []vrrp.SyncGroup
	Scripts    []TrackScript // those that something tracks, as Files and Processes
	Files      []TrackFile   // of vrrp.Track.Name, like Scripts and Processes
	Processes  []TrackProcess
	Notify     map[string]Notify // by "INSTANCE/name" and "GROUP/name"; who has none is not in it

	IPVS IPVS // of the node

	source *source // of Reload; nil: all is to be read again
}

// Command is a program that Baton runs, without a shell.
type Command struct {
	Args    []string // Args[0] is an absolute path
	User    string   // that it runs as; "": the prober's user
	Group   string   // "": the user's own
	Timeout time.Duration
}

// TrackScript is a vrrp_script: Command passes with exit status 0.
type TrackScript struct {
	Name     string
	Command  Command
	Interval time.Duration // from one begin to the next
	Rise     int           // passes until it is up
	Fall     int           // failures until it is down
}

// TrackFile is a vrrp_track_file: a file that holds a number.
type TrackFile struct {
	Name     string
	Path     string // absolute
	Interval time.Duration
}

// TrackProcess is a vrrp_track_process: it is up while at least Quorum and at
// most QuorumMax processes run that fit.
type TrackProcess struct {
	Name           string
	Process        string        // the program's path, or its last element
	Args           []string      // its arguments, all; nil: any, empty: none
	Quorum         int           // 1 or more
	QuorumMax      int           // 0: no limit
	Delay          time.Duration // that a change must last
	TerminateDelay time.Duration // in place of Delay when it is the end of processes
	Interval       time.Duration
}

// Notify is what is run when an instance or a sync group changes its state,
// nil where nothing is.
type Notify struct {
	Master, Backup, Fault, Stop, Any *Command
}

// Checks returns every health check of every real server.
func (c *Config) Checks() []healthcheck.Spec {
	n := 0
	for _, s := range c.Services {
		for _, r := range s.Servers {
			n += len(r.Checks)
		}
	}
	out := make([]healthcheck.Spec, 0, n)
	for _, s := range c.Services {
		for _, r := range s.Servers {
			out = append(out, r.Checks...)
		}
	}
	return out
}

// Global is what concerns the whole of Baton on this node.
type Global struct {
	RouterID        string         // this node's name; per-node values are chosen by it
	Nodes           []string       // every node that the file serves, this one included
	ControlSocket   string         // absolute path, at most 107 bytes (sun_path in unix(7))
	ControlGroup    string         // group of the control socket; empty: the director's own
	ControlListen   netip.AddrPort // where the read-only part of the control interface and the metrics are served over TCP; zero: nowhere
	KeepalivedNames bool           // the metrics also have the names of the exporter for keepalived
	RuntimeDir      string         // absolute path; lost at reboot
	StateDir        string         // absolute path; kept
	ProberUser      string         // user that health checks run as
	ResyncInterval  time.Duration  // between two comparisons of the IPVS table, 1 s … 1 h
	StartupDelayMax time.Duration  // most that the ready gate waits for first verdicts, 0 … 10 min
	DrainTimeout    time.Duration  // most that a removed server's connections are waited for, 0 … 24 h
	OnStop          string         // OnStopKeep or OnStopRemove
	LogFormat       string         // LogAuto, LogJSON or LogConsole
	LogLevel        string         // debug, info, warn or error
}

// What becomes of the IPVS table when Baton stops.
const (
	OnStopKeep   = "keep"   // it stays; connections live on
	OnStopRemove = "remove" // our services are removed
)

// How log lines are written.
const (
	LogAuto    = "auto" // console on a terminal, entries where the log is journald's, else JSON
	LogJSON    = "json"
	LogConsole = "console"
)
