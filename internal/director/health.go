package director

import (
	"time"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/ipvs"
)

// judged takes over a verdict of the prober.
func (c *core) judged(v healthcheck.Verdict) {
	c.verdicts[v.ID] = v
	now := time.Now()
	if c.settleServers(now, event.F(event.Check, v.ID)) {
		c.program()
		c.paths.stale = true
	}
	if c.settleServiceTracks(now) {
		c.sendTrack()
	}
	c.evaluateGates()
}

// settleServers brings the servers' states in line with the verdicts, tells
// every change and says whether there was one. The check that caused it is
// named in the lines.
func (c *core) settleServers(now time.Time, cause event.Field) bool {
	changed := false
	next := make(map[serverID]serverState, len(c.servers))
	for _, vs := range c.services {
		up := 0
		known := true
		for _, rs := range vs.Servers {
			id := serverID{vs.Service.Key, rs.Server.Key}
			was, seen := c.servers[id]
			is := serverState{serverHealth(rs, c.verdicts), was.since}
			if !seen || was.state != is.state {
				is.since = now
				changed = true
				c.tellServer(id, was, is, seen, cause)
			}
			next[id] = is
			switch is.state {
			case healthcheck.Up:
				up++
			case healthcheck.Unknown:
				known = false
			}
		}
		c.tellQuorum(vs.Service.Key, up, len(vs.Servers), known)
	}
	c.servers = next
	return changed
}

func (c *core) tellServer(id serverID, was, is serverState, seen bool, cause event.Field) {
	fields := []event.Field{event.F(event.Service, id.service), event.F(event.Server, id.server), cause}
	lasted := ""
	if seen && was.state != healthcheck.Unknown {
		lasted = round(is.since.Sub(was.since))
	}
	switch is.state {
	case healthcheck.Up:
		if cause.Value == "" {
			return // has no checks: nothing was found out
		}
		from := string(was.state)
		c.say(event.ServerUp, append(fields, event.F(event.From, from), event.F(event.Took, lasted))...)
	case healthcheck.Down:
		c.say(event.ServerDown, append(fields, event.F(event.Reason, is.verdict.Reason),
			event.F(event.Detail, is.verdict.Detail), event.F(event.Took, lasted))...)
	}
}

// tellQuorum tells when a service loses its last server or gets one back. As
// long as servers are unknown a service with none up may still be serving.
func (c *core) tellQuorum(k ipvs.ServiceKey, up, servers int, known bool) {
	if servers == 0 || up == 0 && !known {
		return
	}
	was, seen := c.quorum[k]
	is := up > 0
	c.quorum[k] = is
	if seen && was == is || !seen && is {
		return
	}
	word := map[bool]string{true: "up", false: "down"}
	reason := "no server is up"
	if is {
		reason = plural(up, "server") + " up"
	}
	c.say(event.ServiceQuorum, event.F(event.Service, k), event.F(event.From, word[!is]), event.F(event.To, word[is]), event.F(event.Reason, reason))
}

// advanceDrains asks for a reading of the table while servers drain.
func (c *core) advanceDrains() {
	if len(c.drains) > 0 {
		c.prog.poke()
	}
}

// A drain ends when drainReadings in a row, at least drainApart from one
// another, show no active connection: one that is still in its handshake is
// not counted as active.
const (
	drainReadings = 2
	drainApart    = 900 * time.Millisecond
)

// observeDrains ends the drains that have no connections left or no time.
func (c *core) observeDrains(observed ipvs.Table) {
	if len(c.drains) == 0 || observed == nil {
		return
	}
	now, ended := time.Now(), false
	for k, d := range c.drains {
		s, there := observed[k.service].Servers[k.server]
		active := 0
		if there && s.Stats != nil {
			active = int(s.Stats.Active)
		}
		switch {
		case active > 0:
			d.idle = 0
		case now.Sub(d.read) >= drainApart:
			d.idle++
			d.read = now
		}
		c.drains[k] = d
		reason := ""
		switch {
		case !there || d.idle >= drainReadings:
			reason = "no active connection"
		case !now.Before(d.deadline):
			reason = "deadline passed"
		default:
			continue
		}
		delete(c.drains, k)
		ended = true
		c.say(event.ServerDrained, event.F(event.Service, k.service), event.F(event.Server, k.server),
			event.F(event.Reason, reason), event.F(event.Count, active), event.F(event.Took, round(now.Sub(d.begun))))
	}
	if ended {
		c.program()
	}
}
