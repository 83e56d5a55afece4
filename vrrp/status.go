package vrrp

import (
	"net/netip"
	"time"
)

// Status is what an engine knows about one instance at one moment.
type Status struct {
	Config            Config            `json:"config"`
	Role              Role              `json:"role"`
	Reason            string            `json:"reason"` // of the last transition
	Since             time.Time         `json:"since"`  // of the last transition
	Ready             bool              `json:"ready"`  // the ready gate is open
	Link              bool              `json:"link"`   // the interface can carry adverts
	Handover          bool              `json:"handover"`
	EffectivePriority uint8             `json:"effective_priority"`
	Master            netip.Addr        `json:"master,omitzero"` // our own source when Role is MASTER; zero: unknown
	MasterPriority    uint8             `json:"master_priority,omitempty"`
	Sent              uint64            `json:"sent"`
	Received          uint64            `json:"received"` // valid adverts of others
	PriorityZeroSent  uint64            `json:"priority_zero_sent"`
	PriorityZeroSeen  uint64            `json:"priority_zero_seen"`
	BecameMaster      uint64            `json:"became_master"`
	ReleasedMaster    uint64            `json:"released_master"`
	Transitions       uint64            `json:"transitions"`
	Dropped           map[string]uint64 `json:"dropped,omitempty"`           // by DropReason
	InterfaceDropped  map[string]uint64 `json:"interface_dropped,omitempty"` // belonging to no instance; the same for all of an interface
}
