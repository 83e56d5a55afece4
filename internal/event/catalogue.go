package event

import "slices"

// Every name that Baton logs. docs/events.md explains each: a test compares.
const (
	DirectorStarted  Name = "director.started"
	DirectorReady    Name = "director.ready"
	DirectorStopping Name = "director.stopping"
	DirectorStopped  Name = "director.stopped"

	ConfigApplied  Name = "config.applied"
	ConfigRejected Name = "config.rejected"
	ConfigProblem  Name = "config.problem"
	ConfigWarning  Name = "config.warning"
	ConfigChange   Name = "config.change"

	ChildStarted   Name = "child.started"
	ChildExited    Name = "child.exited"
	ChildRestarted Name = "child.restarted"
	ChildLimited   Name = "child.limited"
	ChildSilent    Name = "child.silent"
	ChildAnswers   Name = "child.answers"

	VRRPTransition        Name = "vrrp.transition"
	VRRPFlapping          Name = "vrrp.flapping"
	VRRPSteady            Name = "vrrp.steady"
	VRRPGroupTransition   Name = "vrrp.group.transition"
	VRRPMasterConflict    Name = "vrrp.master.conflict"
	VRRPPriorityChanged   Name = "vrrp.priority.changed"
	VRRPAdvertDropped     Name = "vrrp.advert.dropped"
	VRRPPeerFound         Name = "vrrp.peer.found"
	VRRPPeerStation       Name = "vrrp.peer.station"
	VRRPPeerLost          Name = "vrrp.peer.lost"
	VRRPPeerChanged       Name = "vrrp.peer.changed"
	VRRPAddressesMismatch Name = "vrrp.addresses.mismatch"
	VRRPAddressDuplicate  Name = "vrrp.address.duplicate"
	VRRPPreemptDelayed    Name = "vrrp.preempt.delayed"
	VRRPStalled           Name = "vrrp.stalled"
	VRRPSendFailed        Name = "vrrp.send.failed"
	VRRPReceiveFailed     Name = "vrrp.receive.failed"
	VRRPAdvertSent        Name = "vrrp.advert.sent"
	VRRPAdvertReceived    Name = "vrrp.advert.received"
	VRRPReady             Name = "vrrp.ready"
	VRRPWithdrawn         Name = "vrrp.withdrawn"

	HandoverBegun  Name = "handover.begun"
	HandoverDone   Name = "handover.done"
	HandoverFailed Name = "handover.failed"

	RelayInstalled Name = "relay.installed"
	RelayFailed    Name = "relay.failed"

	AnnounceSent   Name = "announce.sent"
	AnnounceFailed Name = "announce.failed"

	AnnounceConflict Name = "announce.conflict"

	AddressAdded    Name = "address.added"
	AddressRemoved  Name = "address.removed"
	AddressRestored Name = "address.restored"
	AddressForeign  Name = "address.foreign"
	AddressFailed   Name = "address.failed"

	RouteAdded    Name = "route.added"
	RouteRemoved  Name = "route.removed"
	RouteRestored Name = "route.restored"
	RouteFailed   Name = "route.failed"

	VMACCreated Name = "vmac.created"
	VMACRemoved Name = "vmac.removed"
	VMACFailed  Name = "vmac.failed"

	LinkUp   Name = "link.up"
	LinkDown Name = "link.down"

	ServerUp       Name = "server.up"
	ServerDown     Name = "server.down"
	ServerUnknown  Name = "server.unknown"
	ServerDraining Name = "server.draining"
	ServerDrained  Name = "server.drained"
	ServerPath     Name = "server.path"

	ServerUndrained Name = "server.undrained"
	ServerWeight    Name = "server.weight"
	ServerFlapping  Name = "server.flapping"
	ServerSteady    Name = "server.steady"

	ServiceQuorum   Name = "service.quorum"
	ServiceSorry    Name = "service.sorry"
	ServiceDraining Name = "service.draining"
	ServiceDrained  Name = "service.drained"
	ServiceFlapping Name = "service.flapping"
	ServiceSteady   Name = "service.steady"

	OrdersFailed Name = "orders.failed"

	CheckLate      Name = "check.late"
	CheckFailed    Name = "check.failed"
	CheckTriggered Name = "check.triggered"
	CheckResult    Name = "check.result"

	TrackChanged    Name = "track.changed"
	TrackUnreadable Name = "track.unreadable"

	ScriptFailed Name = "script.failed"
	ScriptLate   Name = "script.late"

	NotifyRan     Name = "notify.ran"
	NotifyFailed  Name = "notify.failed"
	NotifyDropped Name = "notify.dropped"

	IPVSApplied   Name = "ipvs.applied"
	IPVSDrift     Name = "ipvs.drift"
	IPVSOperation Name = "ipvs.operation"
	IPVSForeign   Name = "ipvs.foreign"
	IPVSFailed    Name = "ipvs.failed"

	IPVSSettingApplied Name = "ipvs.setting.applied"
	IPVSSettingDrift   Name = "ipvs.setting.drift"
	IPVSSettingFailed  Name = "ipvs.setting.failed"
	IPVSDaemonForeign  Name = "ipvs.daemon.foreign"

	ControlFailed Name = "control.failed"

	JournalFailed Name = "journal.failed"

	LogDropped Name = "log.dropped"
	LogLevel   Name = "log.level"
)

// Spec is a name's entry in the catalogue.
type Spec struct {
	Name   Name
	Level  Level
	Fields []Key
}

// Catalogue lists every event with its level and the fields it may carry.
var Catalogue = []Spec{
	{DirectorStarted, LevelInfo, []Key{Version, PID, File}},
	{DirectorReady, LevelInfo, []Key{Took}},
	{DirectorStopping, LevelInfo, []Key{Reason}},
	{DirectorStopped, LevelInfo, []Key{Took}},
	{ConfigApplied, LevelInfo, []Key{File, Added, Changed, Deleted, Took, Detail}},
	{ConfigRejected, LevelError, []Key{File, Count, Detail}},
	{ConfigProblem, LevelError, []Key{File, Detail}},
	{ConfigWarning, LevelWarn, []Key{File, Detail}},
	{ConfigChange, LevelDebug, []Key{File, Detail, Count}},
	{ChildStarted, LevelInfo, []Key{Child, PID}},
	{ChildExited, LevelWarn, []Key{Child, PID, Reason}},
	{ChildRestarted, LevelWarn, []Key{Child, Count, Took}},
	{ChildLimited, LevelWarn, []Key{Child, Reason, Detail}},
	{ChildSilent, LevelError, []Key{Child, PID, Took}},
	{ChildAnswers, LevelInfo, []Key{Child, PID, Took}},
	{VRRPTransition, LevelInfo, []Key{Instance, VRID, Interface, From, To, Reason, Detail, Peer, Priority}},
	{VRRPFlapping, LevelWarn, []Key{Instance, VRID, Interface, Count, Took, Reason}},
	{VRRPSteady, LevelInfo, []Key{Instance, VRID, Interface, To, Count, Took}},
	{VRRPGroupTransition, LevelInfo, []Key{Group, From, To, Reason, Detail}},
	{VRRPMasterConflict, LevelWarn, []Key{Instance, VRID, Interface, Peer, Priority, Count, Detail}},
	{VRRPPriorityChanged, LevelInfo, []Key{Instance, VRID, Interface, From, To, Reason, Detail}},
	{VRRPAdvertDropped, LevelWarn, []Key{Instance, VRID, Interface, Reason, Detail, Peer, Count}},
	{VRRPPeerFound, LevelInfo, []Key{Instance, VRID, Interface, Peer, Priority}},
	{VRRPPeerStation, LevelInfo, []Key{Instance, Interface, Peer, MAC}},
	{VRRPPeerLost, LevelWarn, []Key{Instance, VRID, Interface, Peer}},
	{VRRPPeerChanged, LevelInfo, []Key{Instance, VRID, Interface, Peer, Priority, Detail}},
	{VRRPAddressesMismatch, LevelWarn, []Key{Instance, VRID, Interface, Peer, Detail}},
	{VRRPAddressDuplicate, LevelWarn, []Key{Instance, VRID, Interface, Peer}},
	{VRRPPreemptDelayed, LevelInfo, []Key{Instance, VRID, Interface, Peer, Took}},
	{VRRPStalled, LevelWarn, []Key{Instance, VRID, Interface, Took}},
	{VRRPSendFailed, LevelWarn, []Key{Instance, VRID, Interface, Err, Count}},
	{VRRPReceiveFailed, LevelWarn, []Key{Interface, Err}},
	{VRRPAdvertSent, LevelDebug, []Key{Instance, VRID, Interface, To, Priority, Count}},
	{VRRPAdvertReceived, LevelDebug, []Key{Instance, VRID, Interface, Peer, Priority, Took, Count}},
	{VRRPReady, LevelInfo, []Key{Instance, Reason, Took}},
	{VRRPWithdrawn, LevelError, []Key{Instance, Reason}},
	{HandoverBegun, LevelInfo, []Key{Instance, VRID, Interface, Peer, Reason}},
	{HandoverDone, LevelInfo, []Key{Instance, VRID, Interface, Peer, Took}},
	{HandoverFailed, LevelWarn, []Key{Instance, VRID, Interface, Reason}},
	{RelayInstalled, LevelInfo, []Key{Instance, Peer, Took}},
	{RelayFailed, LevelWarn, []Key{Instance, Peer, Err}},
	{AnnounceSent, LevelDebug, []Key{Instance, Interface, Count}},
	{AnnounceFailed, LevelWarn, []Key{Instance, Interface, Err}},
	{AnnounceConflict, LevelWarn, []Key{Instance, Interface, Address, MAC, Count}},
	{AddressAdded, LevelInfo, []Key{Instance, Interface, Address}},
	{AddressRemoved, LevelInfo, []Key{Instance, Interface, Address}},
	{AddressRestored, LevelWarn, []Key{Instance, Interface, Address, Reason}},
	{AddressForeign, LevelWarn, []Key{Instance, Interface, Address, Reason}},
	{AddressFailed, LevelError, []Key{Instance, Interface, Address, Err}},
	{RouteAdded, LevelInfo, []Key{Instance, Route}},
	{RouteRemoved, LevelInfo, []Key{Instance, Route, Reason}},
	{RouteRestored, LevelWarn, []Key{Instance, Route, Reason}},
	{RouteFailed, LevelError, []Key{Instance, Err}},
	{VMACCreated, LevelInfo, []Key{Instance, Interface, MAC}},
	{VMACRemoved, LevelInfo, []Key{Interface}},
	{VMACFailed, LevelError, []Key{Instance, Interface, Err}},
	{LinkUp, LevelInfo, []Key{Interface, Address}},
	{LinkDown, LevelWarn, []Key{Interface, Reason}},
	{ServerUp, LevelInfo, []Key{Service, Server, Check, From, To, Latency, Count, Took}},
	{ServerDown, LevelWarn, []Key{Service, Server, Check, From, To, Reason, Detail, Latency, Count, Took, Until}},
	{ServerUnknown, LevelWarn, []Key{Service, Server, Check, Reason, Detail}},
	{ServerDraining, LevelInfo, []Key{Service, Server, From, To, Reason, Took}},
	{ServerDrained, LevelInfo, []Key{Service, Server, From, To, Reason, Count, Took}},
	{ServerPath, LevelWarn, []Key{Service, Server, From, To, Reason, Count, Took, Detail, Command}},
	{ServerUndrained, LevelInfo, []Key{Service, Server, From, To, Reason}},
	{ServerWeight, LevelInfo, []Key{Service, Server, From, To, Reason}},
	{ServerFlapping, LevelWarn, []Key{Service, Server, Count, Took, Reason}},
	{ServerSteady, LevelInfo, []Key{Service, Server, To, Reason, Count, Took}},
	{ServiceQuorum, LevelWarn, []Key{Service, From, To, Reason, Took}},
	{ServiceSorry, LevelWarn, []Key{Service, Server, To, Reason}},
	{ServiceDraining, LevelInfo, []Key{Service, Count, Reason}},
	{ServiceDrained, LevelInfo, []Key{Service, Count, Took}},
	{ServiceFlapping, LevelWarn, []Key{Service, Count, Took, Reason}},
	{ServiceSteady, LevelInfo, []Key{Service, To, Count, Took}},
	{OrdersFailed, LevelWarn, []Key{File, Err, Detail}},
	{CheckLate, LevelWarn, []Key{Count, Took}},
	{CheckFailed, LevelWarn, []Key{Check, Reason, Detail, Count, Took}},
	{CheckTriggered, LevelInfo, []Key{Interface, Address, Count, Reason}},
	{CheckResult, LevelDebug, []Key{Check, To, Reason, Latency, Count, Detail}},
	{TrackChanged, LevelInfo, []Key{Track, From, To, Reason}},
	{TrackUnreadable, LevelWarn, []Key{Track, Reason}},
	{ScriptFailed, LevelWarn, []Key{Track, Reason, Took, Detail}},
	{ScriptLate, LevelWarn, []Key{Track, Reason, Count, Took}},
	{NotifyRan, LevelDebug, []Key{Instance, Group, Service, Server, To, Command, Took}},
	{NotifyFailed, LevelWarn, []Key{Instance, Group, Service, Server, To, Command, Reason, Took, Detail}},
	{NotifyDropped, LevelWarn, []Key{Instance, Group, Service, Server, To, Reason}},
	{IPVSApplied, LevelInfo, []Key{Added, Changed, Deleted, Took}},
	{IPVSDrift, LevelWarn, []Key{Service, Command, Reason, Count, Detail}},
	{IPVSOperation, LevelDebug, []Key{Command, Reason, Count}},
	{IPVSForeign, LevelInfo, []Key{Service, Reason}},
	{IPVSFailed, LevelError, []Key{Err}},
	{IPVSSettingApplied, LevelInfo, []Key{Command, From, Reason}},
	{IPVSSettingDrift, LevelWarn, []Key{Command, From, Reason}},
	{IPVSSettingFailed, LevelError, []Key{Err}},
	{IPVSDaemonForeign, LevelInfo, []Key{Detail, Reason}},
	{ControlFailed, LevelError, []Key{Err}},
	{JournalFailed, LevelWarn, []Key{Err, Count}},
	{LogDropped, LevelWarn, []Key{Count}},
	{LogLevel, LevelInfo, []Key{Part, From, To, Reason}},
}

var levels = func() map[Name]Level {
	m := make(map[Name]Level, len(Catalogue))
	for _, s := range Catalogue {
		m[s.Name] = s.Level
	}
	return m
}()

// LevelOf returns the catalogue's level for a name, LevelError for a name
// that is not in it.
func LevelOf(n Name) Level {
	if l, ok := levels[n]; ok {
		return l
	}
	return LevelError
}

// Listed keeps of fields those that the catalogue lists for the name.
func Listed(n Name, fields []Field) []Field {
	kept := fields[:0]
	for _, f := range fields {
		if slices.Contains(keysOf[n], f.Key) {
			kept = append(kept, f)
		}
	}
	return kept
}

var keysOf = func() map[Name][]Key {
	m := make(map[Name][]Key, len(Catalogue))
	for _, s := range Catalogue {
		m[s.Name] = s.Fields
	}
	return m
}()
