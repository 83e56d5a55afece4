package director

import (
	"net/netip"
	"reflect"

	"baton/conf"
	"baton/healthcheck"
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
	// and of which services they were.
	for _, vs := range cfg.Services {
		if !c.starting || c.orders[vs.Name] != nil {
			continue
		}
		for _, k := range vs.Keys {
			was, known := c.recorded[k]
			if !known {
				was = k.String() // a record without services: names are addresses unless they are a group's
			}
			if c.orders[was] != nil && !stays[was] {
				c.reorder(was, vs.Name)
				break
			}
		}
	}
	c.recorded = nil
}

// reorder makes the orders for the servers of one name those of another.
func (c *core) reorder(was, is string) {
	if orders, ok := c.orders[was]; ok {
		delete(c.orders, was)
		c.orders[is], c.unsaved = orders, true
	}
}

// renamed notes that s is called as vs.
func (c *core) renamed(s *service, vs conf.VirtualServer) {
	delete(c.named, s.Name)
	c.named[vs.Name] = s
	c.reorder(s.Name, vs.Name)
}

// inherit gives a check that cfg has under a name of its own the verdict of one that
// asks the same of the same server: of a service that is renamed, or that becomes
// another one, by a firewall mark or another protocol. A server that is known to be
// up need not wait for its first pass while the old service takes no connection any
// more.
func (c *core) inherit(cfg *conf.Config) {
	var heard map[netip.Addr][]healthcheck.Spec
	for _, vs := range cfg.Services {
		for _, rs := range vs.Servers {
			for _, is := range rs.Checks {
				if _, known := c.verdicts[is.ID]; known || c.checked[is.ID].s != nil {
					continue
				}
				if heard == nil {
					heard = c.heard()
				}
				for _, had := range heard[rs.Server.Key.Address] {
					v := c.verdicts[had.ID]
					if v.ID, had.ID = is.ID, is.ID; reflect.DeepEqual(had, is) {
						c.verdicts[is.ID] = v
						break
					}
				}
			}
		}
	}
}

// heard are the checks with a verdict, by the addresses of their servers.
func (c *core) heard() map[netip.Addr][]healthcheck.Spec {
	heard := map[netip.Addr][]healthcheck.Spec{}
	for _, s := range c.list {
		for _, rs := range s.Servers {
			for _, check := range rs.Checks {
				if _, known := c.verdicts[check.ID]; known {
					heard[rs.Server.Key.Address] = append(heard[rs.Server.Key.Address], check)
				}
			}
		}
	}
	return heard
}
