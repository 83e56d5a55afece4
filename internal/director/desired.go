package director

import (
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// health is what all checks of one server say together.
type health struct {
	state   healthcheck.State
	verdict healthcheck.Verdict // the one that decided: a failure if there is one
}

// serverHealth joins the checks of a server: up when all pass, down when one
// has failed, else unknown. A server without checks is up.
func serverHealth(s conf.RealServer, verdicts map[string]healthcheck.Verdict) health {
	h := health{state: healthcheck.Up}
	for _, c := range s.Checks {
		v, known := verdicts[c.ID]
		switch {
		case known && !v.Up:
			return health{healthcheck.Down, v}
		case !known:
			h.state = healthcheck.Unknown
		case h.verdict.At.Before(v.At):
			h.verdict = v
		}
	}
	return h
}

// drainKey names a server that the configuration no longer has.
type drainKey struct {
	service ipvs.ServiceKey
	server  ipvs.ServerKey
}

// drain is such a server on its way out.
type drain struct {
	server   ipvs.Server
	begun    time.Time
	deadline time.Time
	read     time.Time // the last reading that counted; begun at first
	idle     int       // readings in a row without an active connection
}

// desiredTable is what the kernel should hold: configuration × health ×
// drains. What is unknown stays as it was in the table before, so that a
// restart changes nothing until a check has answered, and a new server waits
// for its first pass.
func desiredTable(services []conf.VirtualServer, verdicts map[string]healthcheck.Verdict, before ipvs.Table, drains map[drainKey]drain) ipvs.Table {
	t := make(ipvs.Table, len(services))
	for _, vs := range services {
		e := ipvs.Entry{Service: vs.Service, Servers: make(map[ipvs.ServerKey]ipvs.Server, len(vs.Servers))}
		was := before[vs.Service.Key].Servers
		for _, rs := range vs.Servers {
			s := rs.Server
			old, present := was[s.Key]
			switch serverHealth(rs, verdicts).state {
			case healthcheck.Up:
				e.Servers[s.Key] = s
			case healthcheck.Unknown:
				if !present {
					continue
				}
				if old.Weight == 0 && rs.InhibitOnFailure {
					s.Weight = 0
				}
				e.Servers[s.Key] = s
			case healthcheck.Down:
				if rs.InhibitOnFailure {
					s.Weight = 0
					e.Servers[s.Key] = s
				}
			}
		}
		t[vs.Service.Key] = e
	}
	for k, d := range drains {
		e, ok := t[k.service]
		if !ok {
			continue
		}
		if _, back := e.Servers[k.server]; !back {
			s := d.server
			s.Weight = 0
			e.Servers[k.server] = s
		}
	}
	return t
}

// newDrains returns the servers that leave with a change of configuration: in
// the table now, not in the new one, while their service stays.
func newDrains(next []conf.VirtualServer, table ipvs.Table) map[drainKey]ipvs.Server {
	out := map[drainKey]ipvs.Server{}
	for _, vs := range next {
		leaving := map[ipvs.ServerKey]ipvs.Server{}
		for k, s := range table[vs.Service.Key].Servers {
			leaving[k] = s
		}
		for _, rs := range vs.Servers {
			delete(leaving, rs.Server.Key)
		}
		for k, s := range leaving {
			out[drainKey{vs.Service.Key, k}] = s
		}
	}
	return out
}
