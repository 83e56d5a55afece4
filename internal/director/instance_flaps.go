package director

import (
	"time"

	"baton/internal/event"
	"baton/vrrp"
)

// flapLines bounds the transitions of an instance that flaps which have a line
// of their own: a drill makes some twenty in two minutes, a cable that is loose
// a thousand.
const flapLines = 30

// flapped takes over a transition and says whether it has a line of its own.
// What flaps is told as that; what follows from each transition goes on.
func (c *core) flapped(in *instance, n vrrp.Notice, now time.Time) (told bool) {
	var tell bool
	in.flaps, tell = in.flaps.Change(now)
	if tell {
		c.say(event.VRRPFlapping, append(about(in.cfg), event.F(event.Count, in.flaps.Count),
			event.F(event.Took, round(now.Sub(in.flaps.Since))), event.F(event.Reason, n.Reason))...)
	}
	return !in.flaps.On() || in.flaps.Count <= flapLines
}

// calmInstances tells which instances have stopped flapping.
func (c *core) calmInstances(now time.Time) {
	for _, vi := range c.cfg.Instances {
		in := c.instances[vi.Name]
		was := in.flaps
		var calm bool
		if in.flaps, calm = was.Calm(now); calm {
			c.say(event.VRRPSteady, append(about(in.cfg), event.F(event.To, in.role),
				event.F(event.Count, was.Count), event.F(event.Took, round(now.Sub(was.Since))))...)
		}
	}
}

// about are the fields that name an instance.
func about(vi vrrp.Config) []event.Field {
	return []event.Field{event.F(event.Instance, vi.Name), event.F(event.VRID, vi.VRID), event.F(event.Interface, vi.Interface)}
}
