package doctor

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// spare are the descriptors that the prober needs besides one for each check.
const spare = 64

// policyRR is SCHED_RR of sched(7).
const policyRR = 2

func (e *examination) clock() {
	switch c := e.f.Clock; {
	case c.Failed != "":
		e.unknown("clock.sync", "the clock's state could not be read: "+c.Failed, "timedatectl status")
	case !c.Synchronised:
		e.add(Finding{ID: "clock.sync", Severity: Warning, What: "the clock is not synchronised",
			Consequence: "the times in the directors' logs do not fit together, and certificates may seem to have expired; elections do not depend on it",
			Mend:        "timedatectl set-ntp true"})
	default:
		e.ok("clock.sync", "the clock is synchronised")
	}
}

// capability is one that a process needs.
type capability struct {
	bit         int
	name        string
	severity    Severity
	consequence string
}

var (
	netAdmin = capability{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", Critical, "it can neither program IPVS nor set addresses"}
	netRaw   = capability{unix.CAP_NET_RAW, "CAP_NET_RAW", Critical, "it can neither send adverts nor announce addresses"}
	sysNice  = capability{unix.CAP_SYS_NICE, "CAP_SYS_NICE", Warning, "on a busy machine its adverts are late, and the peer takes over without cause"}
)

// processes of the running director, with what each needs.
var processes = []struct {
	name string
	caps []capability
}{
	{"director", []capability{netAdmin, netRaw, sysNice}},
	{"speaker", []capability{netAdmin, netRaw}},
}

func (e *examination) capabilities() {
	if lacks := e.f.Self.lacks([]capability{netAdmin, netRaw}); len(lacks) > 0 {
		e.unknown("capability.doctor", "baton doctor itself has no "+capNames(lacks)+": the wire and the firewall are not looked at", "sudo baton doctor")
	}
	for _, p := range processes {
		f, runs := e.f.Processes[p.name]
		if !runs || f.Failed != "" {
			continue
		}
		lacks := f.lacks(p.caps)
		for _, c := range lacks {
			e.add(Finding{ID: "capability.running", Severity: c.severity, What: fmt.Sprintf("the %s (pid %d) has no %s", p.name, f.PID, c.name),
				Consequence: c.consequence, Mend: "systemctl edit baton", On: "this one: no CapabilityBoundingSet may leave it out; a container needs --cap-add=" + strings.TrimPrefix(c.name, "CAP_")})
		}
		if len(lacks) == 0 {
			e.ok("capability.running", fmt.Sprintf("the %s has the capabilities that it needs", p.name))
		}
	}
}

func (p ProcessFacts) lacks(caps []capability) []capability {
	return slices.DeleteFunc(slices.Clone(caps), func(c capability) bool { return p.Caps&(1<<c.bit) != 0 })
}

func capNames(caps []capability) string {
	var out []string
	for _, c := range caps {
		out = append(out, c.name)
	}
	return strings.Join(out, " and ")
}

// limits are those of the running director: a shell's are others.
func (e *examination) limits() {
	if p, runs := e.f.Processes["prober"]; runs && p.Failed == "" {
		checks := len(e.cfg.Checks())
		if need := uint64(checks + spare); p.NoFile < need {
			e.add(Finding{ID: "limit.nofile", Severity: Warning, What: fmt.Sprintf("the prober may open %d files, and has %d checks", p.NoFile, checks),
				Consequence: "checks wait for one another, and are unknown when descriptors run out",
				Mend:        dropIn(fmt.Sprintf("LimitNOFILE=%d", roundUp(need)))})
		} else {
			e.ok("limit.nofile", fmt.Sprintf("the prober may open %d files for %d checks", p.NoFile, checks))
		}
	}
	p, runs := e.f.Processes["speaker"]
	if !runs || p.Failed != "" {
		return
	}
	if p.Policy != policyRR {
		e.add(Finding{ID: "limit.rtprio", Severity: Warning, What: fmt.Sprintf("the speaker (pid %d) is not scheduled in real time", p.PID),
			Consequence: sysNice.consequence, Mend: dropIn("LimitRTPRIO=infinity")})
	} else {
		e.ok("limit.rtprio", "the speaker is scheduled in real time")
	}
	if p.Locked == 0 {
		e.add(Finding{ID: "limit.memlock", Severity: Warning, What: fmt.Sprintf("the speaker (pid %d) has no locked memory", p.PID),
			Consequence: "when memory is short it waits for the disk, and the peer takes over without cause", Mend: dropIn("LimitMEMLOCK=infinity")})
	} else {
		e.ok("limit.memlock", fmt.Sprintf("the speaker has %d kB of locked memory", p.Locked))
	}
}

// dropIn is the command that gives baton's unit one more line. The restart hands
// the addresses over first.
func dropIn(line string) string {
	name, _, _ := strings.Cut(line, "=")
	return fmt.Sprintf("mkdir -p /etc/systemd/system/baton.service.d && printf '[Service]\\n%s\\n' >/etc/systemd/system/baton.service.d/%s.conf && systemctl daemon-reload && systemctl restart baton",
		line, strings.ToLower(name))
}

func roundUp(n uint64) uint64 {
	p := uint64(1024)
	for p < n {
		p *= 2
	}
	return p
}
