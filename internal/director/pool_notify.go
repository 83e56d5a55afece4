package director

import (
	"strconv"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pool"
)

// notifyServer runs the program that is configured for a server that has come
// up or gone down. All programs of a service run one after the other, in the
// order of what they are told.
func (c *core) notifyServer(s *service, rs conf.RealServer, from healthcheck.State, is pool.Health) {
	command := map[healthcheck.State]*conf.Command{healthcheck.Up: rs.NotifyUp, healthcheck.Down: rs.NotifyDown}[is.State]
	if len(rs.Checks) == 0 {
		return
	}
	c.notifyPool(s, command, string(from), string(is.State), string(c.verdicts[is.Check].Reason), event.F(event.Server, rs.Server.Key))
}

// notifyQuorum runs the program that is configured for a quorum that has been
// gained or lost.
func (c *core) notifyQuorum(s *service, from pool.Quorum) {
	command := map[pool.Quorum]*conf.Command{pool.Gained: s.QuorumUp, pool.Lost: s.QuorumDown}[s.state.Quorum]
	c.notifyPool(s, command, quorumWord(from), string(s.state.Quorum), quorumReason(s))
}

// quorumWord is up, down or undecided.
func quorumWord(q pool.Quorum) string {
	if q == pool.Undecided {
		return "undecided"
	}
	return string(q)
}

func (c *core) notifyPool(s *service, command *conf.Command, from, to, reason string, who ...event.Field) {
	if command == nil {
		return
	}
	t := transition{key: "virtual_server/" + s.Name, what: append([]event.Field{event.F(event.Service, s.Name)}, who...), to: to, commands: []conf.Command{*command},
		env: []string{"BATON_SERVICE=" + s.Name, "BATON_FROM=" + from, "BATON_TO=" + to, "BATON_REASON=" + reason,
			"BATON_QUORUM=" + strconv.Itoa(s.Quorum), "BATON_WEIGHT=" + strconv.Itoa(s.state.Alive)}}
	for _, w := range who {
		t.env = append(t.env, "BATON_SERVER="+w.Value)
	}
	c.queueNotify(t)
}

// notifyOmega tells the scripts of services with omega that the daemon ends:
// keepalived runs those of servers that were up and of a quorum that was there.
func (c *core) notifyOmega() {
	for _, s := range c.list {
		if !s.Omega {
			continue
		}
		const reason = "the daemon stops"
		for i, rs := range s.Servers {
			if s.known(i).Health.State == healthcheck.Up && len(rs.Checks) > 0 {
				c.notifyPool(s, rs.NotifyDown, string(healthcheck.Up), string(healthcheck.Down), reason, event.F(event.Server, rs.Server.Key))
			}
		}
		if s.state.Quorum == pool.Gained {
			c.notifyPool(s, s.QuorumDown, string(pool.Gained), string(pool.Lost), reason)
		}
	}
}
