package director

import (
	"reflect"

	"baton/conf"
)

// rename gives a virtual server that cfg has under another name that name, with
// all that is known of it and the operator's orders: a group that is renamed, or a
// service that becomes a group because it gets a second address, is the same pool
// to its clients. Which one it was is said by the first of its addresses that some
// service had whose name is no longer there.
func (c *core) rename(cfg *conf.Config) {
	stays := make(map[string]bool, len(cfg.Services))
	for _, vs := range cfg.Services {
		stays[vs.Name] = true
	}
	for _, vs := range cfg.Services {
		if c.named[vs.Name] != nil {
			continue
		}
		for _, k := range vs.Keys {
			if s := c.keyed[k]; s != nil && !stays[s.Name] {
				stays[s.Name] = true // what it was is taken over once
				c.renamed(s, vs)
				break
			}
		}
	}
	// A director that has just started knows of the one before it only the orders,
	// by names, which are addresses unless they are a group's.
	for _, vs := range cfg.Services {
		for _, k := range vs.Keys {
			if c.starting && !stays[k.String()] && c.orders[vs.Name] == nil {
				c.reorder(k.String(), vs.Name)
			}
		}
	}
}

// reorder makes the orders for the servers of one name those of another.
func (c *core) reorder(was, is string) {
	if orders, ok := c.orders[was]; ok {
		delete(c.orders, was)
		c.orders[is], c.unsaved = orders, true
	}
}

// renamed notes that s is called as vs. Its checks have other identifiers with
// that; where nothing else of them has changed, their verdicts go on.
func (c *core) renamed(s *service, vs conf.VirtualServer) {
	delete(c.named, s.Name)
	c.named[vs.Name] = s
	c.reorder(s.Name, vs.Name)
	for _, rs := range vs.Servers {
		for _, before := range s.Servers {
			if before.Server.Key != rs.Server.Key || len(before.Checks) != len(rs.Checks) {
				continue
			}
			for i, is := range rs.Checks {
				had := before.Checks[i]
				v, known := c.verdicts[had.ID]
				v.ID, had.ID = is.ID, is.ID
				if known && reflect.DeepEqual(had, is) {
					c.verdicts[is.ID] = v
				}
			}
		}
	}
}
