package director

import (
	"fmt"
	"time"

	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/vrrp"
)

// explainInstance says why an instance is in its state and what would change
// that.
func (c *core) explainInstance(st control.Status, in control.Instance) *control.InstanceExplained {
	out := &control.InstanceExplained{Instance: in}
	preempts, down := true, 3*time.Second
	if own := c.instances[in.Name]; own != nil {
		preempts = own.cfg.Preempt
		down = time.Duration(own.cfg.DownTimerAdverts) * own.cfg.AdvertInterval
	}
	for _, g := range st.Groups {
		if g.Name == in.Group {
			out.GroupTracks = g.Tracks
		}
	}
	var tracks []vrrp.TrackStatus
	for _, s := range c.statuses {
		if s.Config.Name == in.Name {
			tracks = s.Tracks
		}
	}
	out.Why = whyInstance(in, tracks, preempts, down)
	out.History = c.history(func(e event.Event) bool {
		return e.Get(event.Instance) == in.Name || in.Group != "" && e.Get(event.Group) == in.Group
	})
	return out
}

// whyInstance explains an election in sentences.
func whyInstance(in control.Instance, tracks []vrrp.TrackStatus, preempts bool, down time.Duration) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if in.Reason != "" {
		say("it is %s: %s", in.State, in.Reason)
	}
	switch in.State {
	case "MASTER":
		say("it holds the addresses and sends an advert every %s with priority %d", in.AdvertInterval, in.EffectivePriority)
		if in.Handover {
			say("it is handing over: the addresses stay until the successor is heard")
		}
	case "BACKUP":
		switch {
		case in.Master == "":
			say("it hears no master; it takes over when it has heard none for %v and its skew", down)
		case in.MasterPriority < in.EffectivePriority && !preempts:
			say("%s is master with priority %d below our %d, and nopreempt leaves it so", in.Master, in.MasterPriority, in.EffectivePriority)
		case in.MasterPriority < in.EffectivePriority:
			say("%s is master with priority %d below our %d: it is about to be taken over from", in.Master, in.MasterPriority, in.EffectivePriority)
		default:
			say("%s is master with priority %d, ours is %d", in.Master, in.MasterPriority, in.EffectivePriority)
		}
		if in.Master != "" {
			say("it takes over when it hears nothing for %v and its skew", down)
		}
	case "FAULT":
		if !in.Link {
			say("%s has no link: it returns when that is up", in.Interface)
		}
	}
	if !in.Ready {
		say("it may not become master yet: %s", in.NotReady)
	}
	if in.Priority != in.EffectivePriority {
		say("its priority is %d by configuration and %d with what it tracks", in.Priority, in.EffectivePriority)
	}
	for _, t := range tracks {
		if s := weighs(t); s != "" {
			say("%s", s)
		}
	}
	if in.Group != "" {
		say("it changes together with the other members of %s", in.Group)
	}
	return out
}

// weighs says what a track does to the election; "" for what does nothing.
func weighs(t vrrp.TrackStatus) string {
	switch what := string(t.Kind) + " " + t.String(); {
	case t.Fault:
		return what + ": a fault until it is mended"
	case t.Effect != 0:
		return fmt.Sprintf("%s: changes the priority by %+d", what, t.Effect)
	case t.Weight > 0 && t.State != string(healthcheck.Up):
		return fmt.Sprintf("%s: its %+d of priority is missing", what, t.Weight)
	}
	return ""
}
