package director

import (
	"time"

	"baton/internal/event"
	"baton/internal/metrics"
	"baton/vrrp"
)

// notices maps what the election reports to the event that tells it and the
// fields that this kind fills.
var notices = map[vrrp.NoticeKind]struct {
	name   event.Name
	fields func(vrrp.Notice) []event.Field
}{
	vrrp.NoticeTransition: {event.VRRPTransition, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.From, n.From), event.F(event.To, n.To), event.F(event.Reason, n.Reason), detail(n), peer(n), priority(n)}
	}},
	vrrp.NoticeGroup: {event.VRRPGroupTransition, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Group, n.Instance), event.F(event.From, n.From), event.F(event.To, n.To), event.F(event.Reason, n.Reason), detail(n)}
	}},
	vrrp.NoticeMasterConflict: {event.VRRPMasterConflict, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), priority(n), event.F(event.Count, n.Count), detail(n)}
	}},
	vrrp.NoticePriorityChanged: {event.VRRPPriorityChanged, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.From, n.Was), event.F(event.To, n.Priority), event.F(event.Reason, n.Reason), detail(n)}
	}},
	vrrp.NoticeAdvertDropped: {event.VRRPAdvertDropped, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Reason, n.Drop), detail(n), peer(n), event.F(event.Count, n.Count)}
	}},
	vrrp.NoticePeerFound: {event.VRRPPeerFound, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), priority(n)}
	}},
	vrrp.NoticePeerLost: {event.VRRPPeerLost, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n)}
	}},
	vrrp.NoticePeerChanged: {event.VRRPPeerChanged, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), priority(n), event.F(event.Detail, n.Detail)}
	}},
	vrrp.NoticeAddressesMismatch: {event.VRRPAddressesMismatch, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), event.F(event.Detail, n.Detail)}
	}},
	vrrp.NoticeOwnAddress: {event.VRRPAddressDuplicate, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n)}
	}},
	vrrp.NoticePreemptDelayed: {event.VRRPPreemptDelayed, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), took(n)}
	}},
	vrrp.NoticeStalled: {event.VRRPStalled, func(n vrrp.Notice) []event.Field {
		return []event.Field{took(n)}
	}},
	vrrp.NoticeSendFailed: {event.VRRPSendFailed, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Err, n.Err), event.F(event.Count, n.Count)}
	}},
	vrrp.NoticeReceiveFailed: {event.VRRPReceiveFailed, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Err, n.Err)}
	}},
	vrrp.NoticeHandoverBegun: {event.HandoverBegun, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), event.F(event.Reason, n.Reason)}
	}},
	vrrp.NoticeHandoverDone: {event.HandoverDone, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), took(n)}
	}},
	vrrp.NoticeHandoverFailed: {event.HandoverFailed, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Reason, n.Reason)}
	}},
	vrrp.NoticeAnnounceSent: {event.AnnounceSent, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Count, n.Count)}
	}},
	vrrp.NoticeAnnounceFailed: {event.AnnounceFailed, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Err, n.Err)}
	}},
	vrrp.NoticeAdvertSent: {event.VRRPAdvertSent, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.To, n.Peer), priority(n), countOf(n.Count)}
	}},
	vrrp.NoticeAdvertReceived: {event.VRRPAdvertReceived, func(n vrrp.Notice) []event.Field {
		return []event.Field{peer(n), priority(n), took(n), countOf(n.Count)}
	}},
	vrrp.NoticeAddressFailed: {event.AddressFailed, func(n vrrp.Notice) []event.Field {
		return []event.Field{event.F(event.Err, n.Err)}
	}},
}

func peer(n vrrp.Notice) event.Field {
	if !n.Peer.IsValid() {
		return event.Field{}
	}
	return event.F(event.Peer, n.Peer)
}

func detail(n vrrp.Notice) event.Field {
	if n.Detail == "" {
		return event.Field{}
	}
	return event.F(event.Detail, n.Detail)
}

func priority(n vrrp.Notice) event.Field {
	if n.Priority == 0 && !n.Peer.IsValid() {
		return event.Field{}
	}
	return event.F(event.Priority, n.Priority)
}

func took(n vrrp.Notice) event.Field { return event.F(event.Took, round(n.Duration)) }

// eventOf turns a notice into its event, with those of the fields that all
// notices share which the event's catalogue entry lists.
func eventOf(n vrrp.Notice) (event.Event, bool) {
	m, ok := notices[n.Kind]
	if !ok {
		return event.Event{}, false
	}
	var vrid event.Field
	if n.VRID != 0 {
		vrid = event.F(event.VRID, n.VRID)
	}
	shared := []event.Field{event.F(event.Instance, n.Instance), vrid, event.F(event.Interface, n.Interface)}
	e := event.New("speaker", m.name, event.Listed(m.name, append(shared, m.fields(n)...))...)
	e.Time = n.Time
	return e, true
}

// noticed takes over a fact of the election.
func (c *core) noticed(n vrrp.Notice) {
	in := c.instances[n.Instance]
	told := n.Kind != vrrp.NoticeTransition || in == nil || c.flapped(in, n, time.Now())
	if e, ok := eventOf(n); ok && told {
		c.emit(e)
	}
	switch n.Kind {
	case vrrp.NoticeTransition:
		if in != nil {
			in.role = n.To
			c.transitions[metrics.Transition{Instance: n.Instance, From: n.From, To: n.To, Reason: n.Reason}]++
		}
		c.notifyTransition(n)
		c.tellRoles()
		c.askStatus()
	case vrrp.NoticePriorityChanged:
		if in != nil {
			in.effective = n.Priority
		}
	case vrrp.NoticeHandoverDone, vrrp.NoticeHandoverFailed:
		c.endHandover(n)
	}
}

// endHandover answers whoever waits for this instance's handover.
func (c *core) endHandover(n vrrp.Notice) {
	for _, w := range c.handovers[n.Instance] {
		w <- n // buffered for every instance that was asked for
	}
	delete(c.handovers, n.Instance)
}
