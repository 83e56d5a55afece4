package director

import (
	"maps"
	"slices"
	"time"

	"baton/internal/event"
	"baton/ipvs"
)

// tableState is what the core knows of the kernel's table.
type tableState struct {
	table  ipvs.Table // desired
	shared bool       // the programmer reads table: it is copied before a change
	dirty  bool       // table has changed since the programmer was told

	last        pass
	lastErr     string
	foreign     map[ipvs.ServiceKey]bool
	passWaiters []passWaiter
}

type passWaiter struct {
	seq  uint64
	done chan<- error
}

// release answers those who wait for a pass of that number or an earlier one,
// and returns the others.
func release(waiters []passWaiter, seq uint64, err error) []passWaiter {
	return slices.DeleteFunc(waiters, func(w passWaiter) bool {
		if w.seq > seq {
			return false
		}
		w.done <- err
		return true
	})
}

// program hands the programmer the desired table, and returns its number.
func (c *core) program() uint64 {
	c.dirty, c.shared = false, true
	return c.prog.set(c.table)
}

// put makes e the desired entry of a service, or removes it where keep says
// that nothing is left of it.
func (c *core) put(k ipvs.ServiceKey, e ipvs.Entry, keep bool) {
	have, there := c.table[k]
	if there == keep && (!keep || sameEntry(have, e)) {
		return
	}
	if c.shared {
		c.table, c.shared = maps.Clone(c.table), false
	}
	c.dirty = true
	if !keep {
		delete(c.table, k)
		return
	}
	c.table[k] = e
}

func sameEntry(a, b ipvs.Entry) bool {
	return a.Service == b.Service && maps.EqualFunc(a.Servers, b.Servers, ipvs.Server.Equal)
}

// maxDrift bounds the lines of one pass: ipvsadm -C is one fact, however large
// the table was.
const maxDrift = 50

// programmed says whether some table of ours stands in the kernel.
func (c *core) programmed() bool { return c.last.seq > 0 && c.last.err == nil }

// passed takes over the report of the programmer.
func (c *core) passed(p pass) {
	if p.err == nil {
		c.lastErr = ""
	} else if c.lastErr != p.err.Error() {
		// Told once, not with each attempt.
		c.lastErr = p.err.Error()
		c.say(event.IPVSFailed, event.F(event.Err, p.err))
	}
	c.last = p
	c.last.res.Applied, c.last.res.Drift = nil, nil // of ten thousand, megabytes
	drift := map[string]bool{}
	for i, op := range p.res.Drift {
		drift[op.String()] = true
		if i > maxDrift {
			continue
		} else if i == maxDrift {
			c.say(event.IPVSDrift, event.F(event.Count, len(p.res.Drift)-i), event.F(event.Reason, "somebody else changed the table"),
				event.F(event.Detail, "so many more commands mended the rest of it"))
			continue
		}
		c.say(event.IPVSDrift, event.F(event.Service, op.Service.Key), event.F(event.Command, op.String()),
			event.F(event.Reason, "somebody else changed the table"))
	}
	c.traceOps(p.res.Applied, drift)
	var count struct{ added, changed, deleted int }
	for _, op := range p.res.Applied {
		if len(drift) > 0 && drift[op.String()] {
			continue
		}
		switch op.Kind {
		case ipvs.AddService, ipvs.AddServer:
			count.added++
		case ipvs.UpdateService, ipvs.UpdateServer:
			count.changed++
		default:
			count.deleted++
		}
	}
	if count.added+count.changed+count.deleted > 0 {
		c.say(event.IPVSApplied, event.F(event.Added, count.added), event.F(event.Changed, count.changed),
			event.F(event.Deleted, count.deleted), event.F(event.Took, round(p.took)))
	}
	now := make(map[ipvs.ServiceKey]bool, len(p.res.Foreign))
	for _, k := range p.res.Foreign {
		if now[k] = true; !c.foreign[k] {
			c.say(event.IPVSForeign, event.F(event.Service, k), event.F(event.Reason, "not in the configuration, left alone"))
		}
	}
	c.foreign = now
	c.passWaiters = release(c.passWaiters, p.seq, p.err)
	c.readDrains(p.res.Observed, time.Now())
}
