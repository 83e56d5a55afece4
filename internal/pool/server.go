package pool

import (
	"slices"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// Server is what is known of a real server of a pool.
type Server struct {
	Key     ipvs.ServerKey // RealServer.Server.Key, which has port 0 where the server has its service's
	Health  Health
	Since   time.Time // of Health.State
	In      bool      // has an entry in the table, of Weight
	Held    bool      // it was there before the director was, so that its first pass is no coming back
	Kept    bool      // inhibit_on_failure keeps its entry
	Doubted bool      // has been down, and not up since
	Weight  int       // effective; 0 without an entry
	Target  int       // the weight when nothing is the matter: the operator's, else the check's, else the configured one
	By      Why       // whose it is: Overridden, Dynamic or Configured
	Why     Why       // why Weight is not the configured one

	Ramp time.Time // since when the weight rises (slow_start); zero: it does not
	Step time.Time // when it rises next

	// Found is the weight that the server has until its checks have answered,
	// absent for none.
	Found int
}

// absent as a weight: no entry at all.
const absent = -1

// Why names what decides over a weight in place of the configuration.
type Why string

// The reasons.
const (
	Configured Why = ""
	Drained    Why = "drained"    // taken out by the operator
	Draining   Why = "draining"   // on its way out
	Failed     Why = "failed"     // its checks fail
	Unproven   Why = "unproven"   // its checks have not answered yet
	Replaced   Why = "sorry"      // the sorry server stands in for the pool
	Ramping    Why = "slow_start" // on its way to its weight
	Overridden Why = "override"   // the operator's weight
	Dynamic    Why = "check"      // the weight that a check has named
)

// first is a server before its first look: as the kernel holds it. What the
// kernel does not hold waits for its first pass; without alpha it need not,
// unless the kernel holds its service without it: then it had failed.
func first(vs *conf.VirtualServer, rs *conf.RealServer, in *Inputs) Server {
	s := Server{Key: rs.Server.Key, Health: Health{State: healthcheck.Unknown}, Found: absent, Held: in.Start}
	known := false
	for _, k := range vs.Keys {
		e, there := in.Table[k]
		known = known || there
		if have, ok := e.Servers.Get(conf.ServerAt(k, rs.Server).Key); ok {
			s.In, s.Weight, s.Found = true, have.Weight, have.Weight
			goal, by := target(rs, Health{}, in.Orders[rs.Server.Key])
			if in.Start && rs.SlowStart > 0 && 0 < have.Weight && have.Weight < goal && (by == Overridden || !weighed(rs)) {
				s.Ramp = in.Now.Add(-climbed(have.Weight, goal, rs.SlowStart))
			}
			return s
		}
	}
	if !vs.Alpha && !(in.Start && known) {
		s.Found = rs.Server.Weight
	}
	return s
}

// next is the server as it is now, for itself: the sorry server comes later.
func (s Server) next(rs *conf.RealServer, in *Inputs) Server {
	was, order := s, in.Orders[rs.Server.Key]
	s.Kept = false
	s.Health = HealthOf(rs, in.Verdicts)
	if s.Health.State != healthcheck.Unknown {
		s.Doubted = s.Health.State == healthcheck.Down
	}
	if s.Health.State != was.Health.State {
		s.Since = in.Now
		if s.Health.State == healthcheck.Unknown {
			s.Found = was.worth(rs)
		}
	}
	s.Target, s.By = target(rs, s.Health, order)
	if s.By == Configured && s.Health.State == healthcheck.Unknown && s.Found > 0 && weighed(rs) {
		s.Target, s.By = s.Found, Dynamic // a check's, which will name another if it has changed
	}
	s.Why = s.By
	s.Ramp, s.Step = s.ramp(was, rs, in.Now), time.Time{}
	if s.Health.State != healthcheck.Unknown {
		s.Held = false
	}
	switch {
	case order.Drain != nil && !order.Drain.Done.IsZero():
		return s.out(false, Drained)
	case order.Drain != nil:
		// One that fails has no connections that are worth waiting for.
		return s.out(was.In && s.Health.State != healthcheck.Down, Draining)
	case s.Health.State == healthcheck.Down:
		return s.out(rs.InhibitOnFailure, Failed)
	case s.Health.State == healthcheck.Unknown && s.Found <= 0:
		return s.out(s.Found == 0, Unproven)
	}
	s.In, s.Weight = true, s.Target
	if s.Ramp.IsZero() {
		return s
	}
	weight, more := rise(s.Target, in.Now.Sub(s.Ramp), rs.SlowStart)
	if more == 0 {
		s.Ramp = time.Time{}
		return s
	}
	s.Weight, s.Step, s.Why = weight, s.Ramp.Add(more), Ramping
	return s
}

// out is the server without connections to come: with an entry of weight 0, or
// without any.
func (s Server) out(entry bool, why Why) Server {
	s.In, s.Weight, s.Why, s.Ramp = entry, 0, why, time.Time{}
	return s
}

// replaced is the server while the sorry server stands in for it. One that
// drains goes on doing so.
func (s Server) replaced(inhibit bool) Server {
	if s.Why == Draining || s.Weight == 0 {
		return s
	}
	// A ramp goes on meanwhile: the server has been up since.
	s.In, s.Weight, s.Why = inhibit, 0, Replaced
	return s
}

// worth is what a server whose checks are unknown again, because they have
// changed, has until they answer: what it had.
func (s Server) worth(rs *conf.RealServer) int {
	switch {
	case s.Health.State == healthcheck.Up:
		return s.Target
	case rs.InhibitOnFailure:
		return 0
	}
	return absent
}

// target is the weight of a server with which nothing is the matter.
func target(rs *conf.RealServer, h Health, o Order) (int, Why) {
	switch {
	case o.Weight != nil:
		return *o.Weight, Overridden
	case h.Weight != nil:
		return *h.Weight, Dynamic
	}
	return rs.Server.Weight, Configured
}

// weighed says whether a check of the server names its weight.
func weighed(rs *conf.RealServer) bool {
	return slices.ContainsFunc(rs.Checks, func(c healthcheck.Spec) bool {
		return c.Exec != nil && c.Exec.Dynamic || c.File != nil && c.File.Dynamic
	})
}

// ramp is since when the weight rises: since the server came up or was
// undrained, until it has failed. The first pass after the director's start is
// no coming up: who has served all along does not begin anew, and who was on his
// way goes on with it.
func (s Server) ramp(was Server, rs *conf.RealServer, now time.Time) time.Time {
	switch {
	case rs.SlowStart > 0 && s.Health.State == healthcheck.Unknown && was.Held:
		return s.Ramp
	case rs.SlowStart <= 0 || s.Health.State != healthcheck.Up:
		return time.Time{}
	case was.Why == Drained || was.Why == Draining:
		return now
	case was.Health.State == healthcheck.Up:
		return s.Ramp
	case was.Held:
		return s.Ramp
	case was.Found > 0 && was.Health.State == healthcheck.Unknown:
		return time.Time{}
	}
	return now
}
