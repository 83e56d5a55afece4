// Package control is the director's control interface: HTTP and JSON over a
// unix socket, its client, and the values that travel there.
package control

import (
	"context"
	"io"
	"iter"
	"time"

	"baton/internal/event"
)

// Status is the answer to GET /v1/status: everything `baton status` shows.
type Status struct {
	Version   string     `json:"version"`
	Node      string     `json:"node"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started"`
	Time      time.Time  `json:"time"`
	Config    Config     `json:"config"`
	Children  []Child    `json:"children"`
	Instances []Instance `json:"instances"`
	Groups    []Group    `json:"groups,omitempty"`
	Services  []Service  `json:"services"`
	Foreign   []string   `json:"foreign_services,omitempty"` // in the kernel's table, not ours, never touched
	IPVS      *IPVS      `json:"ipvs,omitempty"`             // nil: it has not been read yet
}

// Config says which configuration is in force and how the last reload ended.
type Config struct {
	File       string    `json:"file"`
	Hash       string    `json:"hash"`
	Loaded     time.Time `json:"loaded"`
	LastReload time.Time `json:"last_reload"`
	LastOK     bool      `json:"last_reload_ok"`
	Problems   []string  `json:"problems,omitempty"` // of the last refused reload
}

// Child is one of the director's two processes.
type Child struct {
	Name     string    `json:"name"` // speaker or prober
	PID      int       `json:"pid"`  // 0: not running
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts"`
	// SilentSince is when a child that does not answer was heard last. What it knows is
	// as it was then.
	SilentSince time.Time `json:"silent_since,omitzero"`
}

// Instance is one vrrp_instance as the speaker sees it now.
type Instance struct {
	Name              string            `json:"name"`
	Interface         string            `json:"interface"`
	VRID              uint8             `json:"vrid"`
	Version           int               `json:"version"`
	State             string            `json:"state"` // INIT BACKUP MASTER FAULT
	Since             time.Time         `json:"since"`
	Reason            string            `json:"reason"` // of the last transition
	Priority          uint8             `json:"priority"`
	EffectivePriority uint8             `json:"effective_priority"`
	Ready             bool              `json:"ready"`
	NotReady          string            `json:"not_ready,omitempty"` // what the ready gate waits for
	Link              bool              `json:"link"`
	Handover          bool              `json:"handover"`
	Master            string            `json:"master,omitempty"` // address of the current master, ours when we are
	MasterPriority    uint8             `json:"master_priority,omitempty"`
	AdvertInterval    string            `json:"advert_int"`
	Addresses         []string          `json:"addresses"`
	Sent              uint64            `json:"adverts_sent"`
	Received          uint64            `json:"adverts_received"`
	Dropped           map[string]uint64 `json:"adverts_dropped,omitempty"` // by reason
	Transitions       uint64            `json:"transitions"`
	Group             string            `json:"group,omitempty"`  // its vrrp_sync_group
	Tracks            []Track           `json:"tracks,omitempty"` // its own; those of its group stand there
}

// Group is one vrrp_sync_group.
type Group struct {
	Name    string   `json:"name"`
	State   string   `json:"state"` // that of its members; "changing" while they differ
	Members []string `json:"members"`
	Tracks  []Track  `json:"tracks,omitempty"`
}

// Track is something that bears on an election.
type Track struct {
	Kind    string    `json:"kind"` // interface, script, file, process or virtual_server
	Name    string    `json:"name"`
	Weight  int       `json:"weight"` // 0: a failure is a fault
	Reverse bool      `json:"reverse,omitempty"`
	State   string    `json:"state"`           // up, down or unknown
	Value   int       `json:"value,omitempty"` // of a file
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// Service is one virtual_server: configuration, health and the kernel's view.
type Service struct {
	Name       string    `json:"name"`               // "tcp 192.168.16.200:80", "fwmark 7", "group NAME"
	Keys       []string  `json:"services,omitempty"` // the IPVS services of a group
	Scheduler  string    `json:"lb_algo"`
	Persistent string    `json:"persistence_timeout,omitempty"`
	Programmed bool      `json:"programmed"` // stands in the kernel's table, all of its IPVS services do
	Up         int       `json:"servers_up"`
	Quorum     *Quorum   `json:"quorum,omitempty"`       // nil: of a service that is leaving
	Sorry      *Sorry    `json:"sorry_server,omitempty"` // nil: there is none
	Flapping   *Flapping `json:"flapping,omitempty"`     // its quorum comes and goes
	Leaving    bool      `json:"leaving,omitempty"`      // no longer in the configuration, its servers drain
	Counters   *Counters `json:"counters,omitempty"`     // nil: not in the kernel's table
	Servers    []Server  `json:"servers"`
}

// Quorum says whether enough of a service's servers are up.
type Quorum struct {
	State      string    `json:"state"` // up, down or undecided
	Since      time.Time `json:"since"`
	Weight     int       `json:"weight"`               // sum over the servers that are up and not drained
	Needed     int       `json:"quorum"`               // configured
	Hysteresis int       `json:"hysteresis,omitempty"` // configured
}

// Sorry is the server that stands in for a service without quorum.
type Sorry struct {
	Address  string    `json:"address"`
	Forward  string    `json:"lb_kind"`
	In       bool      `json:"in"` // it does now
	Since    time.Time `json:"since"`
	Kernel   *int      `json:"kernel_weight"` // nil: not in the table
	Active   uint64    `json:"active_conns"`
	Inactive uint64    `json:"inactive_conns"`
	Drain    *Drain    `json:"drain,omitempty"` // it no longer does, and its connections are waited for
}

// Flapping is something that changes too often; its changes are counted, not
// told one by one.
type Flapping struct {
	Since   time.Time `json:"since"`
	Changes int       `json:"changes"`
}

// Server is one real_server of a service.
type Server struct {
	Address   string     `json:"address"`
	Forward   string     `json:"lb_kind"`
	Weight    int        `json:"weight"`                     // configured
	Effective int        `json:"effective_weight"`           // wanted now; 0 also for a server that is to have no entry
	Why       string     `json:"weight_reason,omitempty"`    // why that is not the configured one: drained, draining, failed, unproven, sorry, slow_start, override, check
	Override  *int       `json:"override,omitempty"`         // of baton weight
	Dynamic   *int       `json:"dynamic_weight,omitempty"`   // that a check has named
	Ramp      *time.Time `json:"slow_start_since,omitempty"` // its weight rises since
	Kernel    *int       `json:"kernel_weight"`              // nil: not in the table
	State     string     `json:"state"`                      // draining or drained, else its health
	Health    string     `json:"health"`                     // up, down or unknown
	Since     time.Time  `json:"since"`                      // of that state
	Reason    string     `json:"reason"`                     // of the last failure: refused, timeout, …
	Detail    string     `json:"detail"`                     // the failure in a sentence
	Active    uint64     `json:"active_conns"`               // IPVS's ActiveConn
	Inactive  uint64     `json:"inactive_conns"`             // IPVS's InActConn
	Counters  *Counters  `json:"counters,omitempty"`         // nil: not in the kernel's table
	Latency   string     `json:"check_latency,omitempty"`
	Drain     *Drain     `json:"drain,omitempty"`
	Leaving   bool       `json:"leaving,omitempty"` // no longer in the configuration
	Flapping  *Flapping  `json:"flapping,omitempty"`
	Path      *Path      `json:"path,omitempty"` // nil: not checked, or not yet
}

// Drain is a server on its way out, or out.
type Drain struct {
	Begun    time.Time `json:"begun"`
	Deadline time.Time `json:"deadline"`
	Done     time.Time `json:"done,omitzero"`    // when it was taken out of the table
	Left     int       `json:"left,omitempty"`   // active connections then
	Reason   string    `json:"reason,omitempty"` // why it had ended
}

// Path is whether a server with DR or TUN does its part for the service's
// address, on which its health checks do not call.
type Path struct {
	State  string    `json:"state"` // ok or broken
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"` // no-answer, refused, answers-arp or not-on-link
	Detail string    `json:"detail,omitempty"`
	Mend   string    `json:"mend,omitempty"` // the command that mends it, to be given on the server
}

// Reload is the answer to POST /v1/reload.
type Reload struct {
	OK       bool     `json:"ok"`
	Changes  []string `json:"changes,omitempty"`  // one line each; empty: nothing changed
	Problems []string `json:"problems,omitempty"` // FILE:LINE:COL: key: message (remedy)
}

// Failover is the answer to POST /v1/failover.
type Failover struct {
	OK        bool     `json:"ok"`
	Instances []string `json:"instances"` // handed over
	Message   string   `json:"message"`   // to whom and how long it took, or why not
}

// Orders is the answer to what an operator has asked for real servers.
type Orders struct {
	Servers []Ordered `json:"servers"`         // those that were meant
	Notes   []string  `json:"notes,omitempty"` // what is to be known about it, a sentence each
}

// Ordered is a real server with what an operator has said of it.
type Ordered struct {
	Service string `json:"service"`
	Server
}

// Reader is what of the director only looks: all that the read-only listener
// serves.
type Reader interface {
	Status(ctx context.Context) (Status, error)
	// Explain says why what bears the name is in its state; an *Error with status
	// 404 when nothing does.
	Explain(ctx context.Context, name string) (Explanation, error)
	// Drains returns the named servers, or with "" all that are drained or on
	// their way there.
	Drains(ctx context.Context, req ServerRequest) (Orders, error)
	// Log returns the log levels in force.
	Log(ctx context.Context) (Log, error)
	// Events returns what the journal still holds from since on, oldest first,
	// its files included, and for the zero time what is in memory. What comes
	// after the first one was taken is not among them.
	Events(since time.Time) iter.Seq[event.Event]
	// Follow delivers every event from now on until ctx ends. A reader that
	// does not keep up loses events, never the director its time.
	Follow(ctx context.Context) <-chan event.Event
	// Metrics writes every figure in Prometheus's text format. An error before
	// the first byte means that there are none.
	Metrics(ctx context.Context, w io.Writer) error
}

// Backend is what the control server asks of the director.
type Backend interface {
	Reader
	// SetLog changes log levels.
	SetLog(ctx context.Context, req LogRequest) (Log, error)
	// Reload reads the configuration file again and applies it, or refuses it whole.
	Reload(ctx context.Context) (Reload, error)
	// Failover hands the named instance ("" is every one that is master) to its
	// peer and returns when the handover has ended.
	Failover(ctx context.Context, instance string) (Failover, error)
	// Drain, Undrain and Weight note what the operator wants of real servers and
	// put it in force. What they do not find or what is ambiguous is an *Error
	// that lists the candidates.
	Drain(ctx context.Context, req DrainRequest) (Orders, error)
	Undrain(ctx context.Context, req ServerRequest) (Orders, error)
	Weight(ctx context.Context, req WeightRequest) (Orders, error)
}
