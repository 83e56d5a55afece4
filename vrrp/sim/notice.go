package sim

import (
	"fmt"
	"time"

	"baton/vrrp"
)

// notified takes what an engine tells.
func (n *node) notified(x vrrp.Notice) {
	lan := -1
	if x.Instance != "" {
		if in := n.named(x.Instance); in != nil {
			lan = in.lan
		}
	}
	if n.w.o.Trace != nil {
		n.w.tell(n, lan, "%s", brief(&x))
	}
	if lan >= 0 {
		n.follow(&n.inst[lan], &x)
	}
}

// follow keeps role and handover of an instance as the engine tells them.
func (n *node) follow(in *instance, x *vrrp.Notice) {
	w := n.w
	switch x.Kind {
	case vrrp.NoticeHandoverBegun:
		in.leaving = true
		n.causes.moved = w.now
	case vrrp.NoticeHandoverDone:
		in.leaving = false
		n.causes.yielded = true
	case vrrp.NoticeHandoverFailed:
		in.leaving = false
	case vrrp.NoticeStalled:
		in.causes.stalled = n.time()
	case vrrp.NoticeTransition:
		w.stats.Transitions[x.Reason]++
		if x.Reason != string(vrrp.ReasonGroup) && x.Reason != string(vrrp.ReasonGroupFault) {
			n.causes.moved = w.now
		}
		if x.From != in.role {
			w.violate("told", "%s goes from %s on, but was %s", nodeName(n.id), x.From, in.role)
		}
		if !in.justified(x) {
			w.violate("cause", "%s goes from %s to %s because of %q, which has not happened", nodeName(n.id), x.From, x.To, x.Reason)
		}
		if w.check.settled {
			w.violate("settles", "%s goes from %s to %s (%s) although nothing has happened since %v", nodeName(n.id), x.From, x.To, x.Reason, w.check.calm)
		}
		in.role, in.reason, in.leaving, in.zero = x.To, vrrp.Reason(x.Reason), false, false
		if x.To == vrrp.Backup && (x.From == vrrp.Init || x.From == vrrp.Fault) {
			in.causes.began, in.causes.heard = w.now, long // whom it had heard is forgotten
		}
	default:
		return
	}
	w.check.dirty = true
}

// brief is a notice as transcripts have it.
func brief(x *vrrp.Notice) string {
	switch x.Kind {
	case vrrp.NoticeTransition:
		return fmt.Sprintf("%s>%s: %s", x.From, x.To, x.Reason)
	case vrrp.NoticeAnnounceSent:
		return "announces"
	}
	s := string(x.Kind)
	if x.Kind == vrrp.NoticeGroup {
		s = fmt.Sprintf("group %s>%s", x.From, x.To)
	}
	for _, part := range []struct {
		show bool
		text string
	}{
		{x.Drop != vrrp.DropNone, x.Drop.String()},
		{x.Reason != "", x.Reason},
		{x.Peer.IsValid(), x.Peer.String()},
		{x.Count > 1, fmt.Sprintf("x%d", x.Count)},
		{x.Duration != 0, x.Duration.Round(time.Microsecond).String()},
		{x.Err != "", x.Err},
		{x.Detail != "", x.Detail},
	} {
		if part.show {
			s += " " + part.text
		}
	}
	return s
}
