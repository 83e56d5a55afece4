package director

import (
	"maps"
	"slices"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/ipvs"
)

// order returns what the operator has said of a server.
func (c *core) order(s *service, k ipvs.ServerKey) pool.Order { return c.orders[s.Name][k] }

// setOrder notes what the operator has said, or that it has been taken back.
func (c *core) setOrder(s *service, k ipvs.ServerKey, o pool.Order) {
	if c.orders[s.Name] == nil {
		c.orders[s.Name] = map[ipvs.ServerKey]pool.Order{}
	}
	c.orders[s.Name][k] = o
	if o == (pool.Order{}) {
		delete(c.orders[s.Name], k)
	}
	if len(c.orders[s.Name]) == 0 {
		delete(c.orders, s.Name)
	}
	c.unsaved = true
}

// forgetOrders drops the orders for servers that the configuration no longer
// has: should they come back, that is a wish as well, and a newer one.
func (c *core) forgetOrders() {
	for name, orders := range c.orders {
		known := map[ipvs.ServerKey]bool{}
		if s := c.named[name]; s != nil {
			for _, rs := range s.Servers {
				known[rs.Server.Key] = true
			}
		}
		for k, o := range orders {
			if known[k] {
				continue
			}
			delete(orders, k)
			c.unsaved = true
			what := []event.Field{event.F(event.Service, name), event.F(event.Server, k), event.F(event.Reason, gone)}
			if o.Drain != nil {
				c.say(event.ServerUndrained, append(what, event.F(event.From, serverWord("", o.Drain)))...)
			}
			if o.Weight != nil {
				c.say(event.ServerWeight, append(what, event.F(event.From, *o.Weight))...)
			}
		}
		if len(orders) == 0 {
			delete(c.orders, name)
		}
	}
}

// awaited returns the services of which somebody waits for connections to end.
func (c *core) awaited() []ipvs.ServiceKey {
	keys := slices.Collect(maps.Keys(c.leaving))
	for _, s := range c.list {
		if len(s.state.Finishing) > 0 {
			keys = append(keys, s.Keys...)
		}
	}
	for name, orders := range c.orders {
		for _, o := range orders {
			if o.Drain != nil && o.Drain.Done.IsZero() {
				keys = append(keys, c.named[name].Keys...)
				break
			}
		}
	}
	return keys
}

// endDrains ends the drains of servers that have no entry: they have failed, or
// were not in service. It says whether there were any.
func (c *core) endDrains(s *service, now time.Time) bool {
	ended := false
	for k, o := range c.orders[s.Name] {
		sv, _ := s.state.Servers.Get(k, 0)
		if o.Drain == nil || !o.Drain.Done.IsZero() || sv.In {
			continue
		}
		reason := "it was not in service"
		if sv.Health.State == healthcheck.Down {
			reason = "the server has failed"
		}
		c.drained(s, k, o, o.Drain.End(reason, now))
		ended = true
	}
	return ended
}

// drained notes and tells the end of a drain that the operator has begun.
func (c *core) drained(s *service, k ipvs.ServerKey, o pool.Order, d pool.Drain) {
	from := serverWord("", o.Drain)
	o.Drain = &d
	c.setOrder(s, k, o)
	c.tellDrained(s.Name, k, d, event.F(event.From, from), event.F(event.To, serverWord("", o.Drain)))
}

// tellDrained tells the end of a drain, with the states before and after it where the
// server has one: not when a reload has taken it out, or when it has made room for the
// sorry server.
func (c *core) tellDrained(service string, k ipvs.ServerKey, d pool.Drain, states ...event.Field) {
	fields := append([]event.Field{event.F(event.Service, service), event.F(event.Server, k)}, states...)
	c.say(event.ServerDrained, append(fields,
		event.F(event.Reason, d.Reason), event.F(event.Count, d.Left), event.F(event.Took, round(d.Done.Sub(d.Begun))))...)
}

// readFinishing takes over a reading of the table for those whom a swap with the
// sorry server has taken out of service, or whose entries a reload no longer keeps.
func (c *core) readFinishing(r ipvs.Result, now time.Time) {
	read := c.list
	if !r.Whole {
		read = nil
		for _, k := range r.Keys {
			if s := c.keyed[k]; s != nil {
				read = append(read, s)
			}
		}
	}
	for _, s := range read {
		if len(s.state.Finishing) == 0 {
			continue
		}
		var ended map[ipvs.ServerKey]pool.Drain
		s.state, ended = s.state.Read(func(k ipvs.ServerKey) (int, bool) { return held(c.observed, s, k) }, now)
		for k, d := range ended {
			if d.Left > 0 {
				c.tellDrained(s.Name, k, d)
			}
		}
		if len(ended) > 0 {
			c.settle(s, now)
		}
	}
}

// readDrains takes over a reading of the table for those who wait for the end
// of connections.
func (c *core) readDrains(r ipvs.Result, now time.Time) {
	if c.observed == nil {
		return
	}
	c.readDepartures(c.observed, now)
	c.readFinishing(r, now)
	for name, orders := range c.orders {
		s, ended := c.named[name], false
		for k, o := range orders {
			if o.Drain == nil || !o.Drain.Done.IsZero() {
				continue
			}
			connections, there := held(c.observed, s, k)
			d := o.Drain.Read(connections, there, now)
			if d.Done.IsZero() {
				o.Drain = &d
				orders[k] = o
				continue
			}
			c.drained(s, k, o, d)
			ended, c.asked = true, true
		}
		if ended {
			c.settle(s, now)
		}
	}
}

// held returns the active connections of a server in all services of its pool,
// and whether it is in one of them.
func held(observed ipvs.Table, s *service, k ipvs.ServerKey) (connections int, there bool) {
	for _, at := range s.Keys {
		if sv, ok := observed[at].Servers.Get(conf.ServerAt(at, ipvs.Server{Key: k}).Key); ok {
			connections, there = connections+active(sv), true
		}
	}
	return connections, there
}
