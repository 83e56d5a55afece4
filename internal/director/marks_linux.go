package director

import (
	"fmt"
	"net"
	"sync"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/mark"
)

// marks are the firewall marks that the prober may have: those that checks of
// the configuration name, or have named since the start. A check that a reload
// has just removed may still be in the middle of an attempt.
type marks struct{ known sync.Map }

func (m *marks) learn(checks []healthcheck.Spec) {
	for _, spec := range checks {
		if n := spec.Socket.FWMark; n != 0 {
			m.known.Store(n, true)
		}
	}
}

func (m *marks) allows(n uint32) bool {
	_, ok := m.known.Load(n)
	return ok
}

// serveMarks marks the prober's sockets until it is gone. What it does apart from
// the core cannot wait behind the core.
func (c *core) serveMarks(conn *net.UnixConn) {
	defer conn.Close() // what asks from now on is told at once that nobody answers
	if err := mark.Serve(conn, c.marks.allows); err != nil {
		c.postAlways(func() {
			c.say(event.ChildLimited, event.F(event.Child, "prober"), event.F(event.Reason, fmt.Sprint(err)),
				event.F(event.Detail, "checks with fwmark are not made until the prober is started again"))
		})
	}
}
