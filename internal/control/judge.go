package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Severity is how bad a finding is, in the numbers of a monitoring plugin's exit
// code (Monitoring Plugins Development Guidelines).
type Severity int

// The severities. Unknown says that nothing could be found out.
const (
	OK       Severity = 0
	Warning  Severity = 1
	Critical Severity = 2
	Unknown  Severity = 3
)

// String returns the word that monitoring plugins use.
func (s Severity) String() string {
	switch s {
	case OK:
		return "OK"
	case Warning:
		return "WARNING"
	case Critical:
		return "CRITICAL"
	}
	return "UNKNOWN"
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity
	Text     string // names the thing, then what is wrong with it
}

// LatelyRestarted is how long a child's restart counts as a warning.
const LatelyRestarted = time.Hour

// masterWithin is how many advertisement intervals an instance may be without a
// known master: three and the skew are what an election takes.
const masterWithin = 4

// Findings says what in a status is not as it should be, the worst first.
//
// Critical is what costs traffic, or would at the next fault: an instance in
// FAULT or without a known master, a service without quorum or that is not in the
// kernel's table, a speaker that does not run or answer. Warning is what somebody should
// look at in the morning.
func (st Status) Findings() []Finding {
	var out findings
	out.director(st)
	for _, i := range st.Instances {
		out.instance(i, st.Time)
	}
	for _, g := range st.Groups {
		out.tracks("group "+g.Name, g.Tracks)
	}
	for _, s := range st.Services {
		out.service(s)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

type findings []Finding

func (f *findings) add(s Severity, format string, args ...any) {
	*f = append(*f, Finding{s, fmt.Sprintf(format, args...)})
}

func (f *findings) director(st Status) {
	for _, c := range st.Children {
		switch {
		case c.PID == 0 && c.Name == "speaker":
			f.add(Critical, "%s does not run", c.Name)
		case c.PID == 0:
			f.add(Warning, "%s does not run", c.Name)
		case !c.SilentSince.IsZero() && c.Name == "speaker":
			f.add(Critical, "%s %d does not answer for %v: kill -9 it", c.Name, c.PID, st.Time.Sub(c.SilentSince).Truncate(time.Second))
		case !c.SilentSince.IsZero():
			f.add(Warning, "%s %d does not answer for %v: kill -9 it", c.Name, c.PID, st.Time.Sub(c.SilentSince).Truncate(time.Second))
		case c.Restarts > 0 && st.Time.Sub(c.Started) < LatelyRestarted:
			f.add(Warning, "%s was restarted %v ago", c.Name, st.Time.Sub(c.Started).Truncate(time.Second))
		}
	}
	if !st.Config.LastOK {
		f.add(Warning, "last reload refused, baton check tells why")
	}
	if st.IPVS == nil {
		return
	}
	if st.IPVS.Problem != "" {
		f.add(Warning, "ipvs settings: %s", st.IPVS.Problem)
	}
	for _, d := range st.IPVS.Daemons {
		if d.Configured && !d.Running {
			f.add(Warning, "connection sync %s does not run", d.Role)
		}
	}
}

func (f *findings) instance(i Instance, now time.Time) {
	interval, err := time.ParseDuration(i.AdvertInterval)
	if err != nil {
		interval = time.Second
	}
	switch {
	case i.State == "FAULT":
		f.add(Critical, "%s FAULT: %s", i.Name, i.Reason)
	case i.State == "MASTER", i.Master != "":
	case i.Since.IsZero() || now.Sub(i.Since) < masterWithin*interval:
		f.add(Warning, "%s %s: no master known yet", i.Name, i.State)
	default:
		f.add(Critical, "%s %s: no master known", i.Name, i.State)
	}
	if !i.Ready {
		f.add(Warning, "%s not ready: %s", i.Name, i.NotReady)
	}
	f.tracks(i.Name, i.Tracks)
}

// tracks warns of what is tracked and costs priority; where it is a fault, the
// instance's own state says so.
func (f *findings) tracks(of string, tracks []Track) {
	for _, t := range tracks {
		if t.Weight != 0 && t.Kind != "file" && t.State == "down" && !t.Reverse {
			f.add(Warning, "%s: %s %s is down: %s", of, t.Kind, t.Name, t.Reason)
		}
	}
}

func (f *findings) service(s Service) {
	if s.Leaving {
		return
	}
	if !s.Programmed {
		f.add(Critical, "%s is not in the kernel's table", s.Name)
	}
	switch {
	case s.Quorum != nil && s.Quorum.State == "down" && s.Sorry != nil && s.Sorry.In:
		f.add(Critical, "%s quorum lost: sorry server %s stands in", s.Name, s.Sorry.Address)
	case s.Quorum != nil && s.Quorum.State == "down":
		f.add(Critical, "%s quorum lost: weight %d of %d", s.Name, s.Quorum.Weight, s.Quorum.Needed)
	}
	if s.Flapping != nil {
		f.add(Warning, "%s quorum is flapping", s.Name)
	}
	for _, sv := range s.Servers {
		if !sv.Leaving {
			f.server(s.Name, sv)
		}
	}
}

func (f *findings) server(service string, s Server) {
	switch s.State {
	case "down":
		f.add(Warning, "%s %s down: %s", service, s.Address, cmp.Or(s.Reason, "no reason known"))
	case "draining", "drained":
		f.add(Warning, "%s %s %s", service, s.Address, s.State)
	}
	if s.Health == "down" && s.State != "down" {
		f.add(Warning, "%s %s down: %s", service, s.Address, cmp.Or(s.Reason, "no reason known"))
	}
	if s.Flapping != nil {
		f.add(Warning, "%s %s is flapping", service, s.Address)
	}
	if s.Path != nil && s.Path.State == "broken" {
		f.add(Warning, "%s %s path broken: %s", service, s.Address, s.Path.Reason)
	}
}
