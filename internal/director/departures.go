package director

import (
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/ipvs"
)

// departure is who is leaving an IPVS service because the configuration no
// longer has them, or no longer has the service.
type departure struct {
	service ipvs.Service // as it was last
	whole   bool         // nothing of the service stays
	servers map[ipvs.ServerKey]pool.Leaving
	begun   time.Time
	count   int // servers at the beginning
	cut     int // connections that were left when their servers' time was over
}

func (d *departure) into(e *ipvs.Entry) {
	for _, l := range d.servers {
		l.Keep(e)
	}
}

const gone = "no longer in the configuration"

// depart begins the drains of what next has no place for, and ends those of
// what is back.
func (c *core) depart(next *conf.Config, now time.Time) {
	if len(c.table)+len(c.leaving) == 0 {
		return
	}
	ours := c.ours
	if ours == nil {
		ours = func(ipvs.ServiceKey) bool { return true }
	}
	within := map[ipvs.ServiceKey]time.Duration{}
	for k, s := range c.keyed {
		within[k] = s.DrainTimeout
	}
	stays := map[ipvs.ServiceKey]bool{}
	for _, vs := range next.Services {
		for _, k := range vs.Keys {
			within[k], stays[k] = vs.DrainTimeout, true
		}
	}
	was := c.leaving
	c.leaving = map[ipvs.ServiceKey]*departure{}
	for _, l := range pool.Unwanted(c.table, next.Services, ours) {
		k, sk := l.Service.Key, l.Server.Key
		limit, known := within[k]
		if !known {
			limit = next.Global.DrainTimeout
		}
		old, already := was[k].of(sk)
		switch {
		case already:
			l.Drain = old.Drain
		case limit <= 0 || !c.worthDraining(k, sk, &l.Drain):
			continue
		case l.Drain.Begun.IsZero():
			l.Drain = pool.NewDrain(now, limit)
		}
		d := c.leaving[k]
		if d == nil {
			d = &departure{service: l.Service, whole: !stays[k], servers: map[ipvs.ServerKey]pool.Leaving{}, begun: l.Drain.Begun}
			c.leaving[k] = d
		}
		l.Server.Stats = nil
		d.servers[sk] = l
		d.count++
		c.unsaved = true
		if !already && stays[k] {
			c.say(event.ServerDraining, event.F(event.Service, k), event.F(event.Server, sk),
				event.F(event.To, pool.Draining), event.F(event.Reason, gone), event.F(event.Took, l.Drain.Deadline.Sub(now)))
		}
	}
	for k, d := range c.leaving {
		old := was[k]
		if old != nil {
			d.cut = old.cut
		}
		if d.whole && (old == nil || !old.whole) {
			c.say(event.ServiceDraining, event.F(event.Service, k), event.F(event.Count, d.count), event.F(event.Reason, gone))
		}
	}
	if len(was) > 0 {
		c.unsaved = true
	}
}

func (d *departure) of(k ipvs.ServerKey) (pool.Leaving, bool) {
	if d == nil {
		return pool.Leaving{}, false
	}
	l, ok := d.servers[k]
	return l, ok
}

// worthDraining says whether a server that leaves may have connections: one
// that has failed has none that are worth waiting for. A drain that the
// operator has begun goes on as it is.
func (c *core) worthDraining(k ipvs.ServiceKey, sk ipvs.ServerKey, d *pool.Drain) bool {
	s := c.keyed[k]
	if s == nil {
		return true
	}
	for i, rs := range s.Servers {
		if conf.ServerAt(k, rs.Server).Key != sk {
			continue
		}
		if o := c.orders[s.Name][rs.Server.Key].Drain; o != nil {
			*d = *o
		}
		return s.known(i).Health.State != healthcheck.Down
	}
	return true
}

// readDepartures takes over a reading of the table.
func (c *core) readDepartures(observed ipvs.Table, now time.Time) {
	for k, d := range c.leaving {
		for sk, l := range d.servers {
			s, there := observed[k].Servers.Get(sk)
			l.Drain = l.Drain.Read(active(s), there, now)
			d.servers[sk] = l
			if l.Drain.Done.IsZero() {
				continue
			}
			delete(d.servers, sk)
			c.unsaved, c.asked = true, true
			d.cut += l.Drain.Left
			if !d.whole {
				c.tellDrained(k.String(), sk, l.Drain, event.F(event.From, pool.Draining))
			}
		}
		if len(d.servers) == 0 {
			delete(c.leaving, k)
			if d.whole {
				c.say(event.ServiceDrained, event.F(event.Service, k), event.F(event.Count, d.cut), event.F(event.Took, round(now.Sub(d.begun))))
			}
		}
		c.keep(k)
	}
}

// active are the connections of a server that was read from the kernel.
func active(s ipvs.Server) int {
	if s.Stats == nil {
		return 0
	}
	return int(s.Stats.Active)
}
