package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// Status is what an engine knows about one instance at one moment.
type Status struct {
	Config            Config            `json:"config"`
	Group             string            `json:"group,omitempty"` // the sync group
	Role              Role              `json:"role"`
	Reason            string            `json:"reason"` // of the last transition; in FAULT why it lasts
	Since             time.Time         `json:"since"`  // of the last transition
	Ready             bool              `json:"ready"`  // the ready gate is open
	Link              bool              `json:"link"`   // the interface can carry adverts
	Handover          bool              `json:"handover"`
	EffectivePriority uint8             `json:"effective_priority"`
	Tracks            []TrackStatus     `json:"tracks,omitempty"`
	Detail            string            `json:"detail,omitempty"` // of a fault: which track, and why
	Master            netip.Addr        `json:"master,omitzero"`  // our own source when Role is MASTER; zero: none is heard
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

func (i *instance) status() Status {
	s, n := &i.state, &i.count
	out := Status{
		Config:            i.cfg,
		Role:              s.role(),
		Reason:            string(i.reason),
		Since:             i.since,
		Ready:             i.core.ready[i.cfg.Name],
		Handover:          s.Leaving != "",
		EffectivePriority: i.params.Priority,
		Tracks:            slices.Clone(i.tracks),
		Sent:              n.sent,
		Received:          n.received,
		PriorityZeroSent:  n.zeroSent,
		PriorityZeroSeen:  n.zeroSeen,
		BecameMaster:      n.became,
		ReleasedMaster:    n.released,
		Transitions:       n.transitions,
		Dropped:           labelled(&n.dropped),
	}
	out.Config = i.cfg.clone()
	switch s.Role {
	case Fault:
		// The fault that it is in, where the one that it began with is mended.
		out.Reason, out.Detail = string(s.Reason), i.detail
	case Master:
		out.Master, out.MasterPriority = i.params.Source, i.params.Priority
	case Backup:
		if s.hears(i.core.opts.Now()) {
			out.Master, out.MasterPriority = s.Peer, s.PeerPriority
		}
	}
	if i.group != nil {
		out.Group = i.group.cfg.Name
	}
	if i.link != nil {
		out.Link = i.link.up
		out.InterfaceDropped = labelled(&i.link.dropped)
	}
	return out
}

func labelled(counts *[dropReasons]uint64) map[string]uint64 {
	var out map[string]uint64
	for r, n := range counts {
		if n == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]uint64)
		}
		out[DropReason(r).String()] = n
	}
	return out
}
