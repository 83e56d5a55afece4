// Package doctor says what is wrong with a machine that is a director or a real
// server of one, what follows from it, and the command that mends it.
//
// What was found on the machine is a [Facts]; what is judged of it, here and in
// a file for each subject, is pure. The files that end in _linux.go gather.
// docs/doctor.md explains each finding by its ID.
package doctor

import (
	"cmp"
	"slices"

	"baton/conf"
	"baton/internal/netif"
)

// Severity is how bad a finding is.
type Severity string

// The severities, in the order of [Report.Code].
const (
	OK       Severity = "ok"
	Warning  Severity = "warning"  // traffic flows, something is lost or will be
	Critical Severity = "critical" // traffic does not flow, or not as it should
	Unknown  Severity = "unknown"  // it could not be found out
)

// Finding is one thing that was looked at.
type Finding struct {
	ID          string   `json:"id"` // "sysctl.ip_forward", explained in docs/doctor.md
	Severity    Severity `json:"severity"`
	What        string   `json:"what"`                  // "net.ipv4.ip_forward is 0"
	Consequence string   `json:"consequence,omitempty"` // of what is not OK
	Mend        string   `json:"mend,omitempty"`        // the command that mends it
	Persist     string   `json:"persist,omitempty"`     // the command that makes that outlive a reboot
	On          string   `json:"on,omitempty"`          // the host that Mend is for; "": this one
	Fix         *Fix     `json:"fix,omitempty"`         // what --fix does; nil: nothing
}

// Fix is a change that cuts no traffic: one parameter set or one module loaded.
type Fix struct {
	Sysctl string `json:"sysctl,omitempty"` // below /proc/sys
	Value  string `json:"value,omitempty"`
	Module string `json:"module,omitempty"`
}

// Report is what a machine was found like.
type Report struct {
	Role     Role      `json:"role"`
	Node     string    `json:"node,omitempty"` // of a director
	Findings []Finding `json:"findings"`       // by subject, the worst of each first
	Fixed    []string  `json:"fixed,omitempty"`
}

// Role is what a machine is.
type Role string

// The roles.
const (
	Director   Role = "director"
	RealServer Role = "real-server"
)

// Count returns how many findings have a severity.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Code is the exit code in the convention of Nagios plugins: 2 when something is
// critical, else 1 with a warning, else 3 when something could not be found
// out, else 0.
func (r Report) Code() int {
	switch {
	case r.Count(Critical) > 0:
		return 2
	case r.Count(Warning) > 0:
		return 1
	case r.Count(Unknown) > 0:
		return 3
	}
	return 0
}

// Judge judges a director.
func Judge(cfg *conf.Config, f Facts) Report {
	e := &examination{cfg: cfg, f: f}
	for _, subject := range []func(){
		e.kernel, e.sysctls, e.settings, e.addresses, e.wire, e.firewall, e.tunnels,
		e.clock, e.capabilities, e.limits, e.others, e.director, e.failures,
	} {
		e.subject(subject)
	}
	e.elsewhere()
	return Report{Role: Director, Node: cfg.Global.RouterID, Findings: e.out}
}

// examination is a judgement in the making.
type examination struct {
	cfg *conf.Config
	f   Facts
	out []Finding

	parsed ruleset // of the firewall, once it is asked for
}

// subject runs one subject's judgement and puts the worst of it first. What
// several ways lead to is said once.
func (e *examination) subject(judge func()) {
	before := e.out
	e.out = nil
	judge()
	slices.SortStableFunc(e.out, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	for _, f := range e.out {
		if !slices.ContainsFunc(before, func(g Finding) bool { return same(f, g) }) {
			before = append(before, f)
		}
	}
	e.out = before
}

func same(a, b Finding) bool { return a.ID == b.ID && a.What == b.What && a.Severity == b.Severity }

func rank(s Severity) int { return slices.Index([]Severity{Critical, Warning, Unknown, OK}, s) }

func (e *examination) add(f Finding) { e.out = append(e.out, f) }

func (e *examination) ok(id, what string) { e.add(Finding{ID: id, Severity: OK, What: what}) }

// unknown says what could not be found out and why.
func (e *examination) unknown(id, what, mend string) {
	e.add(Finding{ID: id, Severity: Unknown, What: what, Consequence: "this could not be judged", Mend: mend})
}

// elsewhere gives what cannot be set here to those who can.
func (e *examination) elsewhere() {
	if !e.f.Kernel.ReadOnly {
		return
	}
	for i := range e.out {
		if f := &e.out[i]; f.Fix != nil && f.Fix.Sysctl != "" {
			f.Consequence += "; /proc/sys is read-only here"
			f.On, f.Fix = "the host of this container", nil
		}
	}
}

// failures are what gathering could not find out.
func (e *examination) failures() {
	for _, f := range e.f.Failures {
		e.unknown(f.ID, f.What, f.Mend)
	}
}

// sysctl is a finding that one parameter mends.
func sysctl(f Finding, name, value string, safe bool) Finding {
	key := netif.SysctlKey(name)
	f.Mend = "sysctl -w " + key + "=" + value
	f.Persist = "echo '" + key + " = " + value + "' >>/etc/sysctl.d/90-baton.conf"
	if safe {
		f.Fix = &Fix{Sysctl: name, Value: value}
	}
	return f
}

// module is a finding that loading a module mends.
func module(f Finding, name string) Finding {
	f.Mend = "modprobe " + name
	f.Persist = "echo " + name + " >>/etc/modules-load.d/baton.conf"
	f.Fix = &Fix{Module: name}
	return f
}
