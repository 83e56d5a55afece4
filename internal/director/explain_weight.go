package director

import (
	"fmt"
	"time"

	"baton/internal/control"
	"baton/internal/pool"
)

// whyWeight says what besides its health decides over a server's weight, and
// what would end that.
func whyWeight(s control.Server) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch pool.Why(s.Why) {
	case pool.Drained:
		if s.Leaving {
			say("it is no longer in the configuration and has been drained")
		} else {
			say("it has been drained: baton undrain %s brings it back", s.Address)
		}
	case pool.Draining:
		end := "at the deadline"
		if s.Drain != nil && !s.Drain.Deadline.IsZero() {
			end = "at " + s.Drain.Deadline.Format(time.RFC3339)
		}
		say("it drains: new connections go elsewhere, and its entry goes with the last of its own or %s", end)
		if !s.Leaving {
			say("baton undrain %s brings it back", s.Address)
		}
	case pool.Unproven:
		say("it waits for the first answers of its checks before it takes connections")
	case pool.Replaced:
		say("the sorry server stands in for the whole pool until there is a quorum")
	case pool.Ramping:
		say("slow_start: its weight rises to %d and is %d now", s.Weight, s.Effective)
	case pool.Overridden:
		say("baton weight has set it to %d: baton weight %s default goes back to %d", s.Effective, s.Address, s.Weight)
	case pool.Dynamic:
		say("a check has named the weight %d", s.Effective)
	}
	if f := s.Flapping; f != nil {
		say("it is flapping: %s since %s; single ones are not logged until it has calmed down", plural(f.Changes, "change"), f.Since.Format(time.RFC3339))
	}
	if p := s.Path; p != nil && p.State == "broken" {
		say("it does not do its part for the virtual address (%s): %s", p.Reason, p.Detail)
		if p.Mend != "" {
			say("on the server: %s", p.Mend)
		}
	}
	return out
}
