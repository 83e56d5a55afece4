package vrrp

import (
	"net/netip"
	"time"
)

// Role is the state of RFC 9568 section 6.3 that an instance is in, under the
// names that keepalived made common; FAULT is keepalived's own.
type Role string

const (
	Init   Role = "INIT"
	Backup Role = "BACKUP"
	Master Role = "MASTER"
	Fault  Role = "FAULT"
)

// Reason says why an instance changed its state.
type Reason string

const (
	ReasonStartup        Reason = "startup"
	ReasonOwner          Reason = "address owner"
	ReasonResume         Reason = "resumed after restart"
	ReasonMasterDown     Reason = "no advert within the master down interval"
	ReasonMasterLeft     Reason = "master resigned"
	ReasonPreempt        Reason = "preempted a lower priority"
	ReasonReady          Reason = "became ready"
	ReasonHigherPriority Reason = "advert of a higher priority"
	ReasonHigherAddress  Reason = "advert of equal priority from a higher address"
	ReasonLinkDown       Reason = "link down"
	ReasonLinkUnknown    Reason = "interface was not found"
	ReasonLinkUp         Reason = "link up"
	ReasonFaultCleared   Reason = "fault cleared"
	ReasonNoAddress      Reason = "interface has no address for adverts"
	ReasonNoSocket       Reason = "no socket for adverts"
	ReasonStop           Reason = "stopped"
	ReasonFailover       Reason = "failover"
	ReasonStalled        Reason = "stalled"
	ReasonSilence        Reason = "no other master was heard"
	ReasonNoSuccessor    Reason = "no successor was heard"
	ReasonGroup          Reason = "sync group"
	ReasonGroupFault     Reason = "sync group member in fault"
	ReasonTrackInterface Reason = "tracked interface failed"
	ReasonTrackScript    Reason = "tracked script failed"
	ReasonTrackFile      Reason = "tracked file failed"
	ReasonTrackProcess   Reason = "tracked process failed"
	ReasonTrackServer    Reason = "tracked virtual server failed"
	ReasonInterfaceBack  Reason = "tracked interface is up"
	ReasonScriptBack     Reason = "tracked script succeeded"
	ReasonFileChanged    Reason = "tracked file changed"
	ReasonProcessBack    Reason = "tracked process runs"
	ReasonServerBack     Reason = "tracked virtual server is up"
	ReasonUntracked      Reason = "no longer tracked"
)

// Params is what an instance is told: its configuration as far as the election
// needs it, and the facts that bear on it now.
type Params struct {
	Version          Version
	Priority         uint8         // effective: configured, and changed by tracking
	AdvertInterval   time.Duration // our own
	Preempt          bool
	PreemptDelay     time.Duration
	StartupDelay     time.Duration
	DownTimerAdverts int
	Source           netip.Addr // what our adverts come from, the primary address of RFC 9568 section 1.7

	Group bool // a member of a sync group: Take makes it master, not its deadline

	CanSend bool   // an advert would reach the wire
	Fault   Reason // why the instance must not take part; "": it may
	Early   bool   // Fault is only that nobody has told of something yet: who takes part goes on, who starts waits
	Ready   bool   // it may become master
}

// preempts says whether a lower master is to be replaced. An owner always does
// (RFC 9568 section 6.1, Preempt_Mode).
func (p *Params) preempts() bool { return p.Preempt || p.Priority == PriorityOwner }

// State is what an instance remembers. The zero State is an instance that
// Startup has not reached. Each role has one live deadline; it is a part of
// the state, so an expiry that comes late or twice finds now before Deadline
// and does nothing.
type State struct {
	Role     Role // "" is Init
	Reason   Reason
	Since    time.Time // of Role
	Running  bool      // between Startup and the end of Shutdown
	Started  time.Time // since when StartupDelay runs
	Resume   bool      // Init: become master as soon as there is no fault
	Deadline time.Time // Adver_Timer of a master, Active_Down_Timer of a backup; Init: when waiting for the link ends

	ActiveInterval time.Duration // Active_Adver_Interval: the master's, 0 while ours counts

	// The sender of the last advert.
	Peer         netip.Addr
	PeerPriority uint8     // of its last advert; 0: it has resigned
	PeerUntil    time.Time // from here on it counts as gone

	// Backup.
	Expired      bool       // the deadline has passed, the ready gate was closed or the sync group was not agreed
	Cause        Reason     // why it would have become master, but for its sync group
	Listening    bool       // we have stalled: the deadline gives others time to be heard
	Stalls       int        // how often in a row: Listening was slept through
	Holding      bool       // the addresses are still here: we stalled as master
	PreemptSince time.Time  // first advert of a lower master, for preempt_delay
	YieldTo      netip.Addr // whom we handed over to: not preempted

	// Master.
	LastAdvert   time.Time
	Said         uint8  // the priority in our last advert that did not resign
	Leaving      Reason // "", ReasonStop, ReasonFailover or ReasonGroup: resigned, the addresses kept for the successor
	Follow       bool   // leaving: another of the sync group has its successor already, so no way back
	LeavingSince time.Time
	LeaveBy      time.Time // when waiting for the successor ends
}

// role is s.Role with the zero State's made plain.
func (s *State) role() Role {
	if s.Role == "" {
		return Init
	}
	return s.Role
}

// hears says whether the Peer of a backup is a master that has not gone.
func (s *State) hears(now time.Time) bool { return s.PeerPriority > 0 && now.Before(s.PeerUntil) }

// Wake returns when the instance next needs a tick, false for never.
func (s *State) Wake() (time.Time, bool) {
	if s.Deadline.IsZero() || s.Role == Backup && s.Expired {
		return time.Time{}, false
	}
	return s.Deadline, true
}

// EventKind is what happens to an instance.
type EventKind uint8

const (
	EventTick     EventKind = iota // time has passed
	EventAdvert                    // a valid advert of somebody else: Advert, From
	EventChanged                   // Params are not what they were; Reload: by the operator's will
	EventStartup                   // Resume, Waited
	EventShutdown                  // Now: without a handover
	EventFailover
	EventTake  // the sync group becomes master; Reason: regardless of what this member has heard
	EventLeave // another of the sync group has lost, or leaves: follow it
	EventHurry // the master of another of the sync group has resigned
	EventStood // this process, or the machine, has stood still: Lost
	eventKinds // how many there are
)

// Event is one thing that happens to an instance.
type Event struct {
	Kind   EventKind
	Resume bool
	Reload bool
	Now    bool
	Reason Reason
	Waited time.Duration // what of StartupDelay is over
	Advert Advert
	From   netip.Addr
	Lost   time.Duration // for how long it stood still
}

// ActionKind is what is to be done.
type ActionKind uint8

const (
	ActionSendAdvert     ActionKind = iota + 1 // Priority
	ActionSetAddresses                         // Present, Handover
	ActionAnnounce                             // a burst, and its repetitions; Lower: it answers a lower master
	ActionTransition                           // From, To, Reason, Peer, Priority
	ActionHandoverBegun                        // Reason
	ActionHandoverDone                         // Peer, Took
	ActionHandoverFailed                       // Reason, Took
	ActionPreemptDelayed                       // Peer, Priority, Took until the end of the delay
	ActionStalled                              // Took: the time lost
)

// Action is one thing to do. The actions of one Step are to be done in order.
type Action struct {
	Kind     ActionKind
	Priority uint8
	Present  bool
	Lower    bool
	Handover Handover
	From, To Role
	Reason   Reason
	Peer     netip.Addr
	Took     time.Duration
}

// maxActions is more than any one Step emits. A stalled master under handover
// whose link is down as well and that is then stopped needs six.
const maxActions = 8

// Actions is a list that needs no allocation.
type Actions struct {
	list [maxActions]Action
	n    int
}

// All returns the actions in order. The slice is a view of a.
func (a *Actions) All() []Action { return a.list[:a.n] }

func (a *Actions) add(x Action) {
	a.list[a.n] = x
	a.n++
}
