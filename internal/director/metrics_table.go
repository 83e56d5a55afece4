package director

import (
	"maps"
	"slices"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/metrics"
	"baton/internal/pool"
	"baton/ipvs"
)

// tableFigures adds all services and servers: those of the configuration in the
// order of the file, then those that leave, then who else is in the kernel.
func (c *core) tableFigures(s *metrics.Snapshot, table ipvs.Table) {
	servers := 0
	for _, sv := range c.list {
		servers += len(sv.Servers) * len(sv.Keys)
	}
	s.Room(len(c.table), servers)
	for _, sv := range c.list {
		for _, k := range sv.Keys {
			c.serviceFigures(s, sv, k, table)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.leaving), ipvs.ServiceKey.Compare) {
		if c.keyed[k] == nil {
			s.Services = append(s.Services, metrics.Service{Key: k, Name: k.String(), Leaving: true})
			c.otherServers(s, k, table, nil)
		}
	}
	var foreign []ipvs.ServiceKey
	for k := range table {
		if c.keyed[k] == nil && c.leaving[k] == nil {
			foreign = append(foreign, k)
		}
	}
	slices.SortFunc(foreign, ipvs.ServiceKey.Compare)
	for _, k := range foreign {
		s.Services = append(s.Services, metrics.Service{Key: k})
		c.otherServers(s, k, table, nil)
	}
	for i := range s.Services {
		if e, there := table[s.Services[i].Key]; there {
			s.Services[i].There, s.Services[i].Counters = true, e.Counters
		}
	}
}

// serviceFigures adds one IPVS service of a virtual server.
func (c *core) serviceFigures(s *metrics.Snapshot, sv *service, k ipvs.ServiceKey, table ipvs.Table) {
	out := metrics.Service{Key: k, Name: sv.Name, Quorum: sv.state.Quorum == pool.Gained, Needed: sv.Quorum, Weight: sv.state.Alive,
		HasSorry: sv.Sorry != nil, Sorry: sv.state.Sorry}
	at, e, found := len(s.Services), table[k], 0
	orders := c.orders[sv.Name]
	for i := range sv.Servers {
		rs := &sv.Servers[i]
		key := conf.ServerAt(k, rs.Server).Key
		known := sv.known(i)
		one := metrics.Server{Service: int32(at), Key: key, Configured: true, Healthy: known.Health.State == healthcheck.Up, Weight: int32(known.Weight)}
		one.State = stateOf(known.Health.State)
		if d := orders[rs.Server.Key].Drain; d != nil {
			one.State, one.Deadline = metrics.Draining, d.Deadline.Unix()
			if !d.Done.IsZero() {
				one.State = metrics.Drained
			}
		}
		if len(c.paths.is) > 0 {
			switch c.paths.is[serverID{k, key}].word {
			case pathOK:
				one.Path = metrics.PathOK
			case pathBroken:
				one.Path = metrics.PathBroken
			}
		}
		if have, there := e.Servers.Get(key); there {
			inKernel(&one, have)
			found++
		}
		out.States[one.State]++
		s.Servers = append(s.Servers, one)
	}
	s.Services = append(s.Services, out)
	if found < len(e.Servers) {
		c.otherServers(s, k, table, sv.Servers)
	}
}

// otherServers adds the servers of the service added last that the
// configuration does not list there: those that leave, the sorry server, and
// all of a service that is not ours.
func (c *core) otherServers(s *metrics.Snapshot, k ipvs.ServiceKey, table ipvs.Table, servers []conf.RealServer) {
	e, at := table[k], len(s.Services)-1
	configured := make(map[ipvs.ServerKey]bool, len(servers))
	for _, rs := range servers {
		configured[conf.ServerAt(k, rs.Server).Key] = true
	}
	for _, have := range e.Servers {
		if configured[have.Key] {
			continue
		}
		one := metrics.Server{Service: int32(at), Key: have.Key, State: metrics.Unknown}
		if d := c.leaving[k]; d != nil {
			if l, leaves := d.servers[have.Key]; leaves {
				one.State, one.Deadline = metrics.Draining, l.Drain.Deadline.Unix()
			}
		}
		inKernel(&one, have)
		s.Servers = append(s.Servers, one)
	}
}

func inKernel(to *metrics.Server, have ipvs.Server) {
	to.There, to.KernelWeight, to.Stats = true, int32(have.Weight), have.Stats
	if to.Stats == nil { // a kernel for tests tells none
		to.Stats = &ipvs.ServerStats{}
	}
}

func stateOf(h healthcheck.State) metrics.State {
	switch h {
	case healthcheck.Up:
		return metrics.Up
	case healthcheck.Down:
		return metrics.Down
	}
	return metrics.Unknown
}
