package director

import (
	"cmp"
	"slices"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/pool"
	"baton/ipvs"
)

// serviceStatus joins what is known of a virtual server with the kernel's view.
func (c *core) serviceStatus(s *service) control.Service {
	vs, st, observed := s.VirtualServer, s.state, c.observed
	out := control.Service{Name: vs.Name, Scheduler: vs.Service.Scheduler, Programmed: true, Flapping: flapping(s.flaps),
		Counters: serviceCounters(observed, vs.Keys),
		Quorum:   &control.Quorum{State: quorumWord(st.Quorum), Since: s.since, Weight: st.Alive, Needed: vs.Quorum, Hysteresis: vs.Hysteresis}}
	if vs.Service.Persistence > 0 {
		out.Persistent = vs.Service.Persistence.String()
	}
	for _, k := range vs.Keys {
		if _, there := observed[k]; !there {
			out.Programmed = false
		}
		if len(vs.Keys) > 1 || vs.Name != k.String() {
			out.Keys = append(out.Keys, k.String())
		}
	}
	if vs.Sorry != nil {
		k := kernelView(observed, vs.Keys, vs.Sorry.Server)
		out.Sorry = &control.Sorry{Address: vs.Sorry.Server.Key.String(), Forward: string(vs.Sorry.Server.Forward), In: st.Sorry, Since: s.sorry,
			Kernel: k.weight, Active: k.active, Inactive: k.inactive}
		if d, finishing := st.Finishing[vs.Sorry.Server.Key]; finishing {
			out.Sorry.Drain = drainStatus(d)
		}
	}
	for i := range vs.Servers {
		sv := c.serverStatus(s, i)
		if sv.Health == string(healthcheck.Up) {
			out.Up++
		}
		out.Servers = append(out.Servers, sv)
	}
	for _, k := range vs.Keys {
		out.Servers = append(out.Servers, c.leavingStatus(k)...)
	}
	return out
}

// goneStatus is a service that the configuration no longer has, as long as its
// servers drain.
func (c *core) goneStatus(k ipvs.ServiceKey, d *departure) control.Service {
	_, there := c.observed[k]
	return control.Service{Name: k.String(), Scheduler: d.service.Scheduler, Programmed: there, Leaving: true,
		Counters: serviceCounters(c.observed, []ipvs.ServiceKey{k}), Servers: c.leavingStatus(k)}
}

func (c *core) leavingStatus(k ipvs.ServiceKey) (out []control.Server) {
	d := c.leaving[k]
	if d == nil {
		return nil
	}
	for _, l := range d.servers {
		sv := kernelView(c.observed, []ipvs.ServiceKey{k}, l.Server).server(l.Server)
		sv.State, sv.Why, sv.Since, sv.Reason, sv.Leaving = string(pool.Draining), string(pool.Draining), l.Drain.Begun, gone, true
		sv.Health = string(healthcheck.Unknown)
		sv.Drain = drainStatus(l.Drain)
		out = append(out, sv)
	}
	slices.SortFunc(out, func(a, b control.Server) int { return cmp.Compare(a.Address, b.Address) })
	return out
}

func (c *core) serverStatus(s *service, place int) control.Server {
	rs, known := &s.Servers[place], s.known(place)
	order := c.order(s, rs.Server.Key)
	verdict := c.verdicts[known.Health.Check]
	out := kernelView(c.observed, s.Keys, rs.Server).server(rs.Server)
	out.Effective, out.Why = known.Weight, string(known.Why)
	out.Override, out.Dynamic = order.Weight, known.Health.Weight
	out.Health, out.State, out.Since = string(known.Health.State), serverWord(known.Health.State, order.Drain), known.Since
	out.Reason, out.Detail = string(verdict.Reason), verdict.Detail
	out.Flapping = flapping(s.servers[rs.Server.Key])
	out.Path = c.pathStatus(s, rs.Server)
	if !known.Ramp.IsZero() {
		out.Ramp = &known.Ramp
	}
	if verdict.Latency > 0 {
		out.Latency = round(verdict.Latency)
	}
	if d := order.Drain; d != nil {
		out.Drain, out.Since = drainStatus(*d), d.Begun
		if !d.Done.IsZero() {
			out.Since = d.Done
		}
	}
	return out
}

// serverWord is the state of a server of this health, with the operator's drain of it,
// as baton status and events name it.
func serverWord(health healthcheck.State, d *pool.Drain) string {
	switch {
	case d == nil:
		return string(health)
	case d.Done.IsZero():
		return string(pool.Draining)
	}
	return string(pool.Drained)
}

// pathStatus is how the path to a server is; of a group's services the first
// that is broken.
func (c *core) pathStatus(s *service, server ipvs.Server) (out *control.Path) {
	for _, k := range s.Keys {
		way := c.paths.is[serverID{k, conf.ServerAt(k, server).Key}]
		if way.word == "" || out != nil && way.word != "broken" {
			continue
		}
		out = &control.Path{State: way.word, Since: way.since, Reason: string(way.reason), Detail: way.detail, Mend: way.mend}
		if way.word == "broken" {
			return out
		}
	}
	return out
}

// orderStatus is what an operator is answered who has named servers.
func (c *core) orderStatus(targets []member) []control.Ordered {
	out := make([]control.Ordered, 0, len(targets))
	for _, t := range targets {
		out = append(out, control.Ordered{Service: t.s.Name, Server: c.serverStatus(t.s, t.place)})
	}
	return out
}

func drainStatus(d pool.Drain) *control.Drain {
	return &control.Drain{Begun: d.Begun, Deadline: d.Deadline, Done: d.Done, Left: d.Left, Reason: d.Reason}
}

func flapping(f pool.Flaps) *control.Flapping {
	if !f.On() {
		return nil
	}
	return &control.Flapping{Since: f.Since, Changes: f.Count}
}

// kernel is what the kernel has of a server, in all services of its pool.
type kernel struct {
	weight           *int
	active, inactive uint64
	counters         *control.Counters
}

func kernelView(observed ipvs.Table, keys []ipvs.ServiceKey, s ipvs.Server) (out kernel) {
	out.counters = serverCounters(observed, keys, s)
	for _, k := range keys {
		have, ok := observed[k].Servers.Get(conf.ServerAt(k, s).Key)
		if !ok {
			continue
		}
		if out.weight == nil {
			out.weight = &have.Weight
		}
		if have.Stats != nil {
			out.active += uint64(have.Stats.Active)
			out.inactive += uint64(have.Stats.Inactive)
		}
	}
	return out
}

func (k kernel) server(s ipvs.Server) control.Server {
	return control.Server{Address: s.Key.String(), Forward: string(s.Forward), Weight: s.Weight, Kernel: k.weight, Active: k.active, Inactive: k.inactive,
		Counters: k.counters}
}
