package director

import (
	"slices"
	"time"

	"baton/internal/event"
	"baton/ipvs"
)

// tableState is what the core knows of the kernel's table.
type tableState struct {
	table    ipvs.Table // desired
	changed  changes    // of table, since the programmer was told
	asked    bool       // somebody has asked for some of that: a reload, an order, or the end of a drain
	observed ipvs.Table // what was read last

	last        pass // without what it found
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

// program hands the programmer what has changed in the desired table, and
// returns the number of that.
func (c *core) program() uint64 {
	ch, asked := c.changed, c.asked
	c.changed, c.asked = nil, false
	if !asked {
		return c.prog.follow(ch)
	}
	return c.prog.change(ch)
}

// put makes e the desired entry of a service, or removes it where keep says
// that nothing is left of it.
func (c *core) put(k ipvs.ServiceKey, e ipvs.Entry, keep bool) {
	have, there := c.table[k]
	// At the start the table is the kernel's, of which the programmer knows nothing.
	if !c.starting && there == keep && (!keep || sameEntry(have, e)) {
		return
	}
	if c.changed == nil {
		c.changed = changes{}
	}
	if !keep {
		delete(c.table, k)
		c.changed[k] = nil
		return
	}
	c.table[k], c.changed[k] = e, &e
}

func sameEntry(a, b ipvs.Entry) bool {
	return a.Service == b.Service && slices.EqualFunc(a.Servers, b.Servers, ipvs.Server.Equal)
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
	asked := p.asked || c.last.err != nil // who has read that it failed wants to know that it no longer does
	c.last = p
	c.last.res = ipvs.Result{} // of ten thousand, megabytes
	c.observed = p.res.Over(c.observed)
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
		case ipvs.AddService, ipvs.UpdateService, ipvs.DeleteService:
			asked = true
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
		tell := c.say
		if !asked {
			tell = c.mention
		}
		tell(event.IPVSApplied, event.F(event.Added, count.added), event.F(event.Changed, count.changed),
			event.F(event.Deleted, count.deleted), event.F(event.Took, round(p.took)))
	}
	c.sawForeign(p.res)
	c.passWaiters = release(c.passWaiters, p.seq, p.err)
	if p.res.Whole || len(p.res.Keys) > 0 { // else nothing was read
		c.readDrains(p.res, time.Now())
	}
}

// sawForeign takes over which services a pass found that are not ours, and tells
// the new ones.
func (c *core) sawForeign(r ipvs.Result) {
	was := c.foreign
	if r.Whole || was == nil {
		c.foreign = make(map[ipvs.ServiceKey]bool, len(r.Foreign))
	}
	for _, k := range r.Keys {
		if !slices.Contains(r.Foreign, k) {
			delete(c.foreign, k)
		}
	}
	for _, k := range r.Foreign {
		if !was[k] {
			c.say(event.IPVSForeign, event.F(event.Service, k), event.F(event.Reason, "not in the configuration, left alone"))
		}
		c.foreign[k] = true
	}
}
