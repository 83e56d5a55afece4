package healthcheck

import (
	"net/netip"
	"time"
)

// triggerEvery is the least time between two triggers of one check that have an
// effect.
const triggerEvery = time.Second

// Trigger makes the named checks due now, for something hints that their
// servers have gone: or once more when an attempt is under way. It is for
// checks that are up. Those that are down, or have just failed and are being
// retried, know it already, and to try them would often bring the next hint:
// so a storm of hints costs at most one attempt more for each check and
// triggerEvery. Names that are not known are ignored. It returns how many
// checks it has made due.
func (s *Scheduler) Trigger(ids ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, n := s.tick(), 0
	for _, id := range ids {
		if c := s.checks[id]; c != nil && s.hurry(c, now) {
			n++
		}
	}
	if n > 0 {
		s.wake()
	}
	return n
}

// hurry makes a check due and reports whether that had an effect.
func (s *Scheduler) hurry(c *check, now time.Duration) bool {
	if c.phase == waiting || c.health.State != Up || c.health.Fails > 0 || c.hinted && now-c.triggered < triggerEvery {
		return false
	}
	c.triggered, c.hinted = now, true
	if c.phase != idle {
		c.again = true
		return true
	}
	c.at = now
	s.line.set(c)
	return true
}

// Hint says that checks were made due because another one of their server has
// found no way to it: an ICMP error, a neighbour that does not answer, a route
// that is gone.
type Hint struct {
	Address netip.Addr // of the server; invalid: of several
	Checks  int        // made due, at least 1
}

// hints gathers the servers that have just been found unreachable. Whose checks
// they are is looked up for all of them together, at once and then once in each
// triggerEvery: a router that is gone may be the way to ten thousand.
type hints struct {
	lost map[netip.Addr]bool
	next time.Duration // not before
}

func (h *hints) add(a netip.Addr) {
	if h.lost == nil {
		h.lost = map[netip.Addr]bool{}
	}
	h.lost[a.Unmap()] = true
}

// follow makes the other checks of unreachable servers due, if there are any,
// and returns what is to be told of that.
func (s *Scheduler) follow(now time.Duration) (Hint, bool) {
	if len(s.hints.lost) == 0 || now < s.hints.next {
		return Hint{}, false
	}
	lost := s.hints.lost
	s.hints = hints{next: now + triggerEvery}
	hint, several := Hint{}, false
	for _, c := range s.order {
		a := c.spec.Target.Addr().Unmap()
		if !lost[a] || !s.hurry(c, now) {
			continue
		}
		several = several || hint.Checks > 0 && hint.Address != a
		hint.Address = a
		hint.Checks++
	}
	if several {
		hint.Address = netip.Addr{}
	}
	return hint, hint.Checks > 0
}
