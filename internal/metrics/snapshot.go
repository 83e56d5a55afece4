// Package metrics writes what is known of a director in Prometheus's text
// format. It gathers nothing: whoever owns the facts fills a Snapshot.
package metrics

import (
	"slices"
	"sync"
	"time"

	"baton/healthcheck"
	"baton/ipvs"
	"baton/vrrp"
)

// Snapshot is everything that one scrape tells. Write only reads it.
type Snapshot struct {
	Version string
	Node    string // router_id

	Config    Config
	Processes []Process
	Events    map[string]uint64 // lines of the log by name, also those that were never written

	Instances   []Instance
	Groups      []Group
	Transitions map[Transition]uint64
	Lateness    *vrrp.Lateness // of the speaker; nil: it did not answer

	Checks *Checks // nil: the prober did not answer

	IPVS     IPVS
	Services []Service
	Servers  []Server // those of one service in a row, in the order of Services

	// KeepalivedNames adds the names of the exporter for keepalived.
	KeepalivedNames bool
}

// lists are those of a snapshot that is no more: room for the next, for which ten
// thousand servers would be megabytes to collect with each scrape. Where nobody
// scrapes the collector takes it.
var lists sync.Pool

type listRoom struct {
	services []Service
	servers  []Server
}

// Room gives the snapshot empty lists of services and servers.
func (s *Snapshot) Room(services, servers int) {
	if l, ok := lists.Get().(*listRoom); ok {
		s.Services, s.Servers = l.services, l.servers
	}
	s.Services, s.Servers = slices.Grow(s.Services, services), slices.Grow(s.Servers, servers)
}

// Release hands the lists on. The snapshot must not be used any more.
func (s *Snapshot) Release() {
	clear(s.Services) // of what they point to
	clear(s.Servers)
	lists.Put(&listRoom{s.Services[:0], s.Servers[:0]})
	*s = Snapshot{}
}

// Config is what is known of the configuration.
type Config struct {
	Hash       string
	Loaded     time.Time // when what is in force was read
	LastReload time.Time // or the start
	LastOK     bool      // it, or the start, was not refused
	Warnings   int       // of what is in force
}

// Process is the director or one of its children.
type Process struct {
	Name     string // director, speaker or prober
	Running  bool   // and it answers
	Started  time.Time
	Restarts int // since the director started
	Usage    *Usage
}

// Usage is what a process has used of the machine.
type Usage struct {
	CPU      time.Duration `json:"cpu"` // user and system, of all threads
	Resident uint64        `json:"resident"`
	Threads  int           `json:"threads"`
	Files    int           `json:"files"` // open descriptors, -1: not known
}

// Instance is a vrrp_instance.
type Instance struct {
	vrrp.Status
	NotReady bool // the ready gate is closed
}

// Group is a vrrp_sync_group.
type Group struct {
	Name  string
	State string // that of its members; "changing" while they differ
}

// Transition is a kind of change of an instance's state.
type Transition struct {
	Instance string
	From, To vrrp.Role
	Reason   string
}

// Checks are the counters of the prober since it started.
type Checks struct {
	Kinds map[healthcheck.Kind]healthcheck.KindStats
	Stats healthcheck.Stats
}

// IPVS is what concerns the kernel's table as a whole.
type IPVS struct {
	Read     time.Time // of the figures; zero: there are none
	Readable bool      // the table could be read for this scrape
	OK       bool      // the kernel has taken the last table
	Foreign  int       // services that are not ours
	Daemons  []Daemon
}

// Daemon is a synchronisation daemon that runs or is to run.
type Daemon struct {
	Role      string // master or backup
	Interface string
	SyncID    uint8
	Running   bool
}

// Service is one IPVS service.
type Service struct {
	Key      ipvs.ServiceKey
	Name     string // of the virtual_server that it is of; "": it is of none
	There    bool   // in the kernel, with Counters
	Counters ipvs.Counters

	// Of the virtual_server, where Name is not "".
	Leaving        bool // and no longer in the configuration
	Quorum         bool // it has its quorum
	Needed, Weight int  // the quorum, and what the servers that are up weigh
	HasSorry       bool
	Sorry          bool // the sorry server stands in
	States         [5]int
}

// State is that of a server, and its place in Service.States.
type State uint8

// The states.
const (
	Up State = iota
	Down
	Unknown
	Draining
	Drained
)

// Server is a real server of an IPVS service. There are ten thousand.
type Server struct {
	Key      ipvs.ServerKey
	Stats    *ipvs.ServerStats // of what is There, not nil
	Deadline int64             // of a drain, in seconds since 1970
	Service  int32             // index into Snapshot.Services

	Weight       int32 // wanted now
	KernelWeight int32
	State        State
	Path         Path
	Configured   bool // it is in the configuration
	Healthy      bool
	There        bool // in the kernel
}

// Path is what the path check has found of a server.
type Path uint8

// What it can have found.
const (
	PathUnknown Path = iota
	PathOK
	PathBroken
)
