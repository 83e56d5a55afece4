package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"baton/internal/control"
	"baton/internal/event"
)

// explanation renders an answer for a person, at most 80 columns wide. Times
// are relative to the director's clock.
func explanation(e control.Explanation, zone *time.Location, p paint) string {
	t := &table{now: e.Time, zone: zone, p: p}
	if i := e.Instance; i != nil {
		t.explainInstance(*i)
	}
	for n, s := range e.Servers {
		if n > 0 {
			t.b.WriteByte('\n')
		}
		t.explainServer(s)
	}
	if e.More > 0 {
		t.b.WriteByte('\n')
		t.wrap(yellow, "", fmt.Sprintf("%d more of that name are not shown; give the port as well", e.More))
	}
	return t.b.String()
}

func (t *table) explainInstance(i control.InstanceExplained) {
	colour := map[string]colour{"MASTER": green, "FAULT": red}[i.State]
	t.wrap(colour, "", fmt.Sprintf("%s on %s is %s for %s, priority %d", i.Name, i.Interface, i.State, t.since(i.Since), i.EffectivePriority))
	t.why(i.Why)
	t.tracks(slices.Concat(i.Tracks, i.GroupTracks))
	t.history(i.History)
}

func (t *table) explainServer(s control.ServerExplained) {
	colour := map[string]colour{"up": green, "down": red}[s.State]
	if colour == "" {
		colour = yellow
	}
	t.wrap(colour, "", fmt.Sprintf("%s of %s is %s for %s", s.Address, s.Service, strings.ToUpper(s.State), t.since(s.Since)))
	if s.State != "up" && s.Reason+s.Detail != "" {
		t.wrap(plain, "  ", "because: "+strings.Trim(s.Reason+": "+s.Detail, ": "))
	}
	kernel := "is not in the kernel's table"
	if s.Kernel != nil {
		kernel = fmt.Sprintf("has weight %d in the kernel's table, %d active and %d inactive connections", *s.Kernel, s.Active, s.Inactive)
	}
	t.wrap(plain, "  ", fmt.Sprintf("%s, configured weight %d: it %s", s.Forward, s.Weight, kernel))
	if s.Path != nil && s.Path.State == "ok" {
		t.wrap(plain, "  ", "it answers for the service's address as well, for "+t.ago(s.Path.Since))
	}
	t.path("  ", s.Path)
	t.why(s.Why)
	for _, c := range s.Checks {
		t.check(c)
	}
	t.history(s.History)
}

func (t *table) why(sentences []string) {
	for _, w := range sentences {
		t.wrap(plain, "  ", w)
	}
}

func (t *table) check(c control.CheckExplained) {
	t.b.WriteByte('\n')
	t.wrap(bold, "  ", fmt.Sprintf("%s: %s for %s", c.Name, c.State, t.ago(c.Since)))
	next := "one is under way"
	if !c.Next.IsZero() {
		next = "the next in " + brief(max(0, c.Next.Sub(t.now)))
	}
	t.wrap(plain, "    ", fmt.Sprintf("%s to %s every %v, within %v; %s", c.Kind, c.Target, c.Interval, c.Timeout, next))
	if c.Attempts > 0 {
		counts := fmt.Sprintf("%d attempts since the prober knows it", c.Attempts)
		for n, reason := range slices.Sorted(maps.Keys(c.Failed)) {
			counts += fmt.Sprintf("%s %d %s", []string{", failed", ","}[min(n, 1)], c.Failed[reason], reason)
		}
		t.wrap(plain, "    ", fmt.Sprintf("%s; half took at most %v, 99 of 100 %v", counts, c.P50, c.P99))
	}
	for _, r := range c.Runs {
		what, colour := "passed", plain
		if r.Reason != "" {
			what, colour = r.Reason, yellow
		}
		line := fmt.Sprintf("%s  %s", r.To.In(t.zone).Format("01-02 15:04:05"), what)
		if r.Count > 1 {
			line += fmt.Sprintf(" ×%d since %s", r.Count, r.From.In(t.zone).Format("01-02 15:04:05"))
		}
		line += ", took " + brief(r.Latency)
		if r.Longest > 2*r.Latency {
			line += ", once " + brief(r.Longest)
		}
		if r.Detail != "" {
			line += ": " + r.Detail
		}
		t.wrap(colour, "    ", line)
	}
}

func (t *table) history(events []event.Event) {
	if len(events) == 0 {
		return
	}
	t.line(bold, "\n  What happened, as far as the journal goes back:")
	for _, e := range events {
		line := e.Time.In(t.zone).Format("01-02 15:04:05") + "  " + string(e.Name)
		for _, f := range e.Fields {
			switch f.Key {
			case event.Instance, event.Server, event.Service, event.VRID: // what was asked for
			default:
				line += fmt.Sprintf(" %s=%s", f.Key, quoted(f.Value))
			}
		}
		t.wrap(map[event.Level]colour{event.LevelWarn: yellow, event.LevelError: red}[e.Level], "    ", line)
	}
}

// brief rounds a duration to what a person reads.
func brief(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
