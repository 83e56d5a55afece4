package pool

import (
	"time"

	"baton/conf"
	"baton/healthcheck"
)

// Health is what all checks of one server say together.
type Health struct {
	State  healthcheck.State
	Check  string // whose verdict decided: that of a failure if there is one, else the latest; "": none has answered
	Weight *int   // the least that a check has named; nil: none names any
}

// HealthOf joins the checks of a server: up when all pass, down when one has
// failed, else unknown. A server without checks is up.
func HealthOf(rs *conf.RealServer, verdicts map[string]healthcheck.Verdict) Health {
	h := Health{State: healthcheck.Up}
	var decided time.Time
	for i := range rs.Checks {
		c := &rs.Checks[i]
		v, known := verdicts[c.ID]
		switch {
		case known && !v.Up:
			return Health{State: healthcheck.Down, Check: c.ID}
		case !known:
			h.State = healthcheck.Unknown
			continue
		case h.Check == "" || decided.Before(v.At):
			h.Check, decided = c.ID, v.At
		}
		if v.Weight != nil && (h.Weight == nil || *v.Weight < *h.Weight) {
			h.Weight = v.Weight
		}
	}
	return h
}
