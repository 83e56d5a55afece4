package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"baton/internal/control"
)

func (t *table) service(s control.Service) {
	about := s.Scheduler
	if s.Persistent != "" {
		about += ", persistent " + s.Persistent
	}
	state, colour := serviceState(s)
	t.b.WriteByte('\n')
	if name := clean(s.Name) + "  " + clean(about) + "  "; width(name+state) <= columns {
		t.b.WriteString(t.p.as(bold, clean(s.Name)) + "  " + clean(about) + "  " + t.p.as(colour, state) + "\n")
	} else {
		t.wrap(bold, "", s.Name)
		t.wrap(plain, "  ", about)
		t.wrap(colour, "  ", state)
	}
	if len(s.Keys) > 0 {
		t.wrap(dim, "  ", strings.Join(s.Keys, ", "))
	}
	if !s.Programmed {
		t.wrap(red, "  ", "NOT in the kernel's table; baton events --since 10m tells why")
	}
	t.quorum(s)
	if len(s.Servers) == 0 {
		return
	}
	t.line(bold, fmt.Sprintf("  %-21s %-4s %7s  %-8s %6s %9s %9s", "SERVER", "KIND", "WEIGHT", "STATE", "SINCE", "ACTIVE", "INACTIVE"))
	for _, sv := range s.Servers {
		t.server(sv)
	}
}

// serviceState is how well a service does.
func serviceState(s control.Service) (string, colour) {
	configured, drained := 0, 0
	for _, sv := range s.Servers {
		switch {
		case sv.Leaving:
			continue
		case sv.Drain != nil:
			drained++
		}
		configured++
	}
	more := ""
	if drained > 0 {
		more = fmt.Sprintf(", %d drained", drained)
	}
	switch {
	case s.Leaving:
		return "LEAVING, no longer in the configuration", yellow
	case configured == 0:
		return "NO SERVERS", red
	case s.Up == 0:
		return "NO SERVER UP" + more, red
	case s.Up < configured || drained > 0:
		return fmt.Sprintf("%d of %d up", s.Up, configured) + more, yellow
	}
	return fmt.Sprintf("%d of %d up", s.Up, configured), green
}

// quorum says what stands beside the servers: the quorum where it is more than
// one server or is missing, and the sorry server.
func (t *table) quorum(s control.Service) {
	if q := s.Quorum; q != nil && (q.State != "up" || q.Needed > 1) {
		line, colour := fmt.Sprintf("quorum %s for %s: weight %d of %d", q.State, t.ago(q.Since), q.Weight, q.Needed), plain
		if q.Hysteresis > 0 {
			line += fmt.Sprintf(" ± %d", q.Hysteresis)
		}
		if q.State == "down" {
			colour = red
		}
		t.wrap(colour, "  ", line)
	}
	if f := s.Flapping; f != nil {
		t.wrap(yellow, "  ", fmt.Sprintf("FLAPPING: the quorum has changed %s in %s", times(f.Changes), t.ago(f.Since)))
	}
	if y := s.Sorry; y != nil {
		line, colour := fmt.Sprintf("sorry server %s stands by", y.Address), dim
		if y.In {
			line, colour = fmt.Sprintf("sorry server %s STANDS IN for %s", y.Address, t.ago(y.Since)), red
		}
		if y.Drain != nil {
			line = fmt.Sprintf("sorry server %s finishes", y.Address)
		}
		if y.Active > 0 {
			line += ", " + count(int(y.Active), "connection")
		}
		t.wrap(colour, "  ", line)
	}
}

func times(n int) string { return count(n, "time") }

func (t *table) server(s control.Server) {
	colour := yellow
	switch s.State {
	case "up":
		colour = green
	case "down":
		colour = red
	}
	// What the kernel has counts; the configured weight only where it differs.
	weight, active, inactive := "-", "-", "-"
	if s.Kernel != nil {
		weight = strconv.Itoa(*s.Kernel)
		active, inactive = strconv.FormatUint(s.Active, 10), strconv.FormatUint(s.Inactive, 10)
	}
	if s.Kernel == nil || *s.Kernel != s.Weight {
		weight += "/" + strconv.Itoa(s.Weight)
	}
	t.name("  ", s.Address, 21)
	fmt.Fprintf(&t.b, " %-4s %7s  %s %6s %9s %9s\n", clean(s.Forward), weight,
		t.p.as(colour, fmt.Sprintf("%-8s", clean(s.State))), t.ago(s.Since), active, inactive)
	if f := s.Flapping; f != nil {
		t.wrap(yellow, "    ", fmt.Sprintf("FLAPPING: it has changed %s in %s", times(f.Changes), t.ago(f.Since)))
	}
	if why := whyWords(s, t.zone); why != "" {
		t.wrap(plain, "    ", why)
	}
	if s.Health != "up" && s.State != "up" && !s.Leaving && (s.Reason != "" || s.Detail != "") {
		t.wrap(plain, "    ", strings.Trim(s.Reason+": "+s.Detail, ": "))
	}
	t.path("    ", s.Path)
}

// whyWords says why a server has not its configured weight, "" where its state
// says so.
func whyWords(s control.Server, zone *time.Location) string {
	switch s.Why {
	case "draining":
		who := "by the operator"
		if s.Leaving {
			who = "no longer in the configuration"
		}
		if s.Drain == nil {
			return who
		}
		return fmt.Sprintf("%s, at most until %s", who, s.Drain.Deadline.In(zone).Format(time.TimeOnly))
	case "drained":
		if s.Drain == nil || s.Drain.Left == 0 {
			return "by the operator, until baton undrain"
		}
		return fmt.Sprintf("by the operator, until baton undrain; %s broken", count(s.Drain.Left, "connection"))
	case "sorry":
		return "the sorry server stands in"
	case "slow_start":
		return "weight rises: slow_start"
	case "override":
		return "weight by baton weight"
	case "check":
		return "weight by its check"
	}
	return ""
}
