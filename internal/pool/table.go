package pool

import (
	"baton/conf"
	"baton/ipvs"
)

// Entry is what the kernel should hold of the pool at one of its keys.
func (s State) Entry(vs conf.VirtualServer, k ipvs.ServiceKey) ipvs.Entry {
	most := len(vs.Servers)
	if vs.Sorry != nil {
		most += 2
	}
	servers := make([]ipvs.Server, 0, most)
	put := func(server ipvs.Server, weight int) {
		server = conf.ServerAt(k, server)
		server.Weight = weight
		servers = append(servers, server)
	}
	if vs.Sorry != nil {
		if _, finishing := s.Finishing[vs.Sorry.Server.Key]; finishing || vs.SorryInhibit {
			put(vs.Sorry.Server, 0)
		}
	}
	for i := range vs.Servers {
		if sv := &s.Servers[i]; sv.In {
			put(vs.Servers[i].Server, sv.Weight)
		}
	}
	if s.Sorry {
		put(vs.Sorry.Server, max(vs.Sorry.Server.Weight, 1))
	}
	return ipvs.Entry{Service: vs.At(k), Servers: ipvs.MakeServers(servers)} // the last word on each
}

// Keep adds to an entry the server that is leaving it, unless it is back.
func (l Leaving) Keep(e *ipvs.Entry) {
	if _, back := e.Servers.Get(l.Server.Key); !back {
		s := l.Server
		s.Weight, s.Stats = 0, nil
		e.Servers.Put(s)
	}
}

// Table is what the kernel should hold of all services, by their names, and of
// what is leaving.
func Table(services []conf.VirtualServer, states map[string]State, leaving []Leaving) ipvs.Table {
	t := make(ipvs.Table, len(services))
	for _, vs := range services {
		for _, k := range vs.Keys {
			t[k] = states[vs.Name].Entry(vs, k)
		}
	}
	for _, l := range leaving {
		k := l.Service.Key
		e, stays := t[k]
		if !stays {
			e.Service = l.Service
		}
		l.Keep(&e)
		t[k] = e
	}
	return t
}
