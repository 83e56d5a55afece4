package director

import (
	"fmt"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pool"
	"baton/ipvs"
)

// tellPool tells what has changed in a pool, and has the operator's scripts run.
func (c *core) tellPool(s *service, was pool.State, now time.Time) {
	for i := range s.state.Servers {
		after := &s.state.Servers[i]
		before, seen := was.Servers.Get(after.Key, i)
		if !seen {
			before.Health.State, before.Since = healthcheck.Unknown, now
		}
		if before.Health.State != after.Health.State {
			c.tellServer(s, s.Servers[i], before, *after, now)
			c.notifyServer(s, s.Servers[i], before.Health.State, after.Health)
		}
		if seen && before.Target != after.Target && (before.By != pool.Configured || after.By != pool.Configured) {
			c.tellWeight(s, after.Key, before, *after, now)
		}
	}
	c.tellQuorum(s, was, now)
	if was.Sorry != s.state.Sorry {
		s.sorry = now
		if s.Sorry != nil && !s.flaps.On() {
			to, reason := "in", "no quorum: "+quorumReason(s)
			switch {
			case !s.state.Sorry:
				to, reason = "out", quorumReason(s)
			case s.state.Quorum == pool.Undecided:
				reason = "no server has passed its checks yet"
			}
			c.say(event.ServiceSorry, event.F(event.Service, s.Name), event.F(event.Server, s.Sorry.Server.Key), event.F(event.To, to), event.F(event.Reason, reason))
		}
	}
}

// tellServer tells a change of a server's health, unless it changes too often.
func (c *core) tellServer(s *service, rs conf.RealServer, was, is pool.Server, now time.Time) {
	k, v := rs.Server.Key, c.verdicts[is.Health.Check]
	if is.Health.State == healthcheck.Unknown || v.ID == "" {
		return // has no checks, or none that has answered: nothing was found out
	}
	fields := []event.Field{event.F(event.Service, s.Name), event.F(event.Server, k)}
	if was.Health.State != healthcheck.Unknown && c.tooOften(s, &s.servers, k, v.Reason, now) {
		return
	}
	fields = append(fields, event.F(event.Check, v.ID), event.F(event.From, was.Health.State), event.F(event.To, is.Health.State))
	lasted := ""
	if was.Health.State != healthcheck.Unknown {
		lasted = round(now.Sub(was.Since))
	}
	latency := ""
	if v.Latency > 0 {
		latency = round(v.Latency)
	}
	if is.Health.State == healthcheck.Up {
		c.say(event.ServerUp, append(fields, event.F(event.Latency, latency), event.F(event.Count, v.Attempts), event.F(event.Took, lasted))...)
		return
	}
	c.say(event.ServerDown, append(fields, event.F(event.Reason, v.Reason), event.F(event.Detail, v.Detail),
		event.F(event.Latency, latency), event.F(event.Count, v.Attempts), event.F(event.Took, lasted), event.F(event.Until, until(rs, v.ID)))...)
}

// tooOften takes over a change of a server, tells it as flapping where there are too
// many, and says whether single ones are not told any more.
func (c *core) tooOften(s *service, of *map[ipvs.ServerKey]pool.Flaps, k ipvs.ServerKey, reason healthcheck.Reason, now time.Time) bool {
	f, tell := (*of)[k].Change(now)
	if *of == nil {
		*of = map[ipvs.ServerKey]pool.Flaps{}
	}
	if (*of)[k] = f; tell {
		c.say(event.ServerFlapping, event.F(event.Service, s.Name), event.F(event.Server, k),
			event.F(event.Count, f.Count), event.F(event.Took, round(now.Sub(f.Since))), event.F(event.Reason, reason))
	}
	if f.On() {
		c.flapping[s] = true
	}
	return f.On()
}

// until says what brings a server back that the check has taken out.
func until(rs conf.RealServer, check string) string {
	for i := range rs.Checks {
		if s := &rs.Checks[i]; s.ID == check {
			return fmt.Sprintf("it has passed %s, made every %v", inARow(max(1, s.Rise)), s.Interval)
		}
	}
	return ""
}

// ofWeight is the reason of a server.flapping that is about its weight, which no
// failed check can have.
const ofWeight healthcheck.Reason = "weight"

// tellWeight tells a weight that is not, or no longer, the configuration's, unless a
// check names another one too often. What the operator orders is always told.
func (c *core) tellWeight(s *service, k ipvs.ServerKey, was, is pool.Server, now time.Time) {
	if was.By != pool.Overridden && is.By != pool.Overridden && c.tooOften(s, &s.weights, k, ofWeight, now) {
		return
	}
	reason := map[pool.Why]string{pool.Overridden: "baton weight", pool.Dynamic: "named by a check", pool.Configured: "as configured"}[is.By]
	c.say(event.ServerWeight, event.F(event.Service, s.Name), event.F(event.Server, k),
		event.F(event.From, was.Target), event.F(event.To, is.Target), event.F(event.Reason, reason))
}

// tellQuorum tells when a pool loses its quorum or gets it back, unless that
// happens too often. That it has one at first is no news.
func (c *core) tellQuorum(s *service, was pool.State, now time.Time) {
	is := s.state.Quorum
	if is == was.Quorum || is == pool.Undecided {
		return
	}
	lasted := now.Sub(s.since)
	s.since = now
	c.notifyQuorum(s, was.Quorum)
	first := was.Quorum == pool.Undecided
	if first && is == pool.Gained {
		return
	}
	name := event.F(event.Service, s.Name)
	if !first {
		var tell bool
		if s.flaps, tell = s.flaps.Change(now); tell {
			c.say(event.ServiceFlapping, name, event.F(event.Count, s.flaps.Count), event.F(event.Took, round(now.Sub(s.flaps.Since))), event.F(event.Reason, quorumReason(s)))
		}
		if s.flaps.On() {
			c.flapping[s] = true
			return
		}
	}
	from, took := string(was.Quorum), round(lasted)
	if first {
		from, took = string(healthcheck.Unknown), ""
	}
	c.say(event.ServiceQuorum, name, event.F(event.From, from), event.F(event.To, is), event.F(event.Reason, quorumReason(s)), event.F(event.Took, took))
}

// quorumReason says how many servers are up, and what they weigh where that
// matters.
func quorumReason(s *service) string {
	st := s.state
	switch {
	case len(s.Servers) == 0:
		return "it has no servers"
	case st.Up == 0:
		return "no server is up"
	case s.Quorum <= 1 && st.Alive > 0:
		return fmt.Sprintf("%d of %s up", st.Up, plural(len(s.Servers), "server"))
	}
	needs := fmt.Sprintf("the quorum is %d", s.Quorum)
	if s.Hysteresis > 0 {
		needs += fmt.Sprintf(" ± %d", s.Hysteresis)
	}
	return fmt.Sprintf("%d of %s up, their weights sum up to %d, %s", st.Up, plural(len(s.Servers), "server"), st.Alive, needs)
}

// calm tells what has stopped flapping, with the state that it has now.
func (c *core) calm(now time.Time) {
	for s := range c.flapping {
		left := false
		settled := func(f pool.Flaps, n event.Name, to any, reason healthcheck.Reason, who ...event.Field) pool.Flaps {
			next, calm := f.Calm(now)
			if calm {
				c.say(n, append(who, event.F(event.To, to), event.F(event.Reason, reason), event.F(event.Count, f.Count), event.F(event.Took, round(now.Sub(f.Since))))...)
			}
			left = left || next.On()
			return next
		}
		name := event.F(event.Service, s.Name)
		for k, f := range s.servers {
			is, _ := s.state.Servers.Get(k, 0)
			s.servers[k] = settled(f, event.ServerSteady, is.Health.State, "", name, event.F(event.Server, k))
		}
		for k, f := range s.weights {
			is, _ := s.state.Servers.Get(k, 0)
			s.weights[k] = settled(f, event.ServerSteady, is.Target, ofWeight, name, event.F(event.Server, k))
		}
		s.flaps = settled(s.flaps, event.ServiceSteady, s.state.Quorum, "", name)
		if !left {
			delete(c.flapping, s)
		}
	}
}
