package settings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"baton/conf"
	"baton/ipvs"
)

// State is what the kernel was found with.
type State struct {
	Sysctls  map[string]string // by name below net/ipv4/vs; one that the kernel does not have is not in it
	Timeouts ipvs.Timeouts
	Daemons  map[ipvs.DaemonRole]ipvs.SyncDaemon
	Links    map[string]int // index of the interface by name; one that does not exist is not in it
}

// Outcome is what follows from a configuration, a state and a record.
type Outcome struct {
	Ops     []Op
	Blocked []string // what cannot be done now, each with what it needs
	Foreign []string // daemons that are neither ours nor wanted: left alone
	Held    []string // objects (Op.Object) that are as the configuration wants them
	// Record is to be saved before Ops are performed. What they take back is
	// still in it; the Plan after them leaves it out.
	Record Record
}

// roles in the order in which they are started.
var roles = []ipvs.DaemonRole{ipvs.DaemonMaster, ipvs.DaemonBackup}

// startOnly are the parameters that a daemon reads when it starts.
var startOnly = []string{"sync_ports", "sync_sock_size"}

// Plan says what makes the kernel agree with a configuration: what it sets is
// set, what it sets no longer gets back the value that was there before, unless
// somebody has changed it since. Plan is pure.
func Plan(want conf.IPVS, now State, rec Record) Outcome {
	p := planner{want: want, now: now, out: Outcome{Record: rec.clone()}}
	sysctls := p.sysctls()
	p.timeouts()
	var stop, start []Op
	for _, role := range roles {
		a, b := p.daemon(role, sysctls)
		stop, start = append(stop, a...), append(start, b...)
	}
	p.out.Ops = append(append(p.out.Ops, stop...), start...)
	if s := want.Sync; s != nil {
		if _, there := now.Links[s.Interface]; !there {
			p.out.Blocked = append(p.out.Blocked,
				fmt.Sprintf("lvs_sync_daemon: interface %s does not exist; the daemons are started when it appears", s.Interface))
		}
	}
	return p.out
}

type planner struct {
	want conf.IPVS
	now  State
	out  Outcome
}

// sysctls plans the parameters and returns the values that they then have.
func (p *planner) sysctls() map[string]string {
	want := map[string]string{}
	for _, s := range p.want.Sysctls {
		want[s.Name] = s.Value
		is, there := p.now.Sysctls[s.Name]
		switch {
		case !there:
			p.out.Blocked = append(p.out.Blocked, fmt.Sprintf("%s: the kernel has no parameter %s: %s", s.Name, sysctlName(s.Name), needs(s.Name)))
		case same(s.Name, s.Value, is):
			p.out.Held = append(p.out.Held, Op{Kind: SetSysctl, Sysctl: s}.Object())
		}
	}
	then := maps.Clone(p.now.Sysctls)
	for _, s := range values(want, p.now.Sysctls, p.out.Record.Sysctls) {
		p.out.Ops = append(p.out.Ops, Op{Kind: SetSysctl, Sysctl: conf.Sysctl{Name: s.name, Value: s.to}, From: s.from, Reason: s.reason})
		then[s.name] = s.to
	}
	return then
}

// needs says what would bring a parameter that is missing.
func needs(name string) string {
	switch name {
	case "conntrack":
		return "it was built without CONFIG_IP_VS_NFCT"
	case "debug_level":
		return "it was built without CONFIG_IP_VS_DEBUG"
	case "lblc_expiration", "lblcr_expiration":
		return "run modprobe ip_vs_" + strings.TrimSuffix(name, "_expiration")
	}
	return "a newer kernel has it, or this network namespace belongs to a container that may not see it: take the key out of [ipvs]"
}

func (p *planner) timeouts() {
	now := timeoutValues(p.now.Timeouts)
	want := timeoutValues(p.want.Timeouts)
	set := values(want, now, p.out.Record.Timeouts)
	op := Op{Kind: SetTimeouts}
	if len(set) == 0 {
		if len(want) > 0 {
			p.out.Held = append(p.out.Held, op.Object())
		}
		return
	}
	op.From, op.Reason = strings.TrimPrefix(p.now.Timeouts.String(), "ipvsadm --set "), set[0].reason
	for _, s := range set {
		n, err := strconv.ParseInt(s.to, 10, 64)
		if err != nil { // of a record that somebody has edited
			continue
		}
		d := time.Duration(n) * time.Second
		switch s.name {
		case "tcp":
			op.Timeouts.TCP = d
		case "tcpfin":
			op.Timeouts.TCPFin = d
		case "udp":
			op.Timeouts.UDP = d
		}
	}
	if op.Timeouts != (ipvs.Timeouts{}) {
		p.out.Ops = append(p.out.Ops, op)
	}
}

// timeoutValues are those that are not 0, in seconds.
func timeoutValues(t ipvs.Timeouts) map[string]string {
	out := map[string]string{}
	for name, d := range map[string]time.Duration{"tcp": t.TCP, "tcpfin": t.TCPFin, "udp": t.UDP} {
		if d > 0 {
			out[name] = strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
		}
	}
	return out
}

// replacement is a value to be set.
type replacement struct{ name, from, to, reason string }

// The reasons of operations on what the configuration names or has named.
const (
	Configured   = "configured"
	Unconfigured = "no longer configured"
)

// values plans parameters, sorted by name, and brings the record of them up to
// date. What now does not have can neither be set nor be put back.
func values(want, now map[string]string, rec map[string]Change) []replacement {
	var set []replacement
	for name, to := range want {
		is, there := now[name]
		if !there {
			continue
		}
		was, ours := rec[name]
		if !ours {
			was = Change{Was: is, Set: to}
		}
		if same(name, to, is) {
			was.Set = to // not before: the kernel may refuse it
		} else {
			set = append(set, replacement{name, is, to, Configured})
		}
		rec[name] = was
	}
	for name, c := range rec {
		if _, wanted := want[name]; wanted {
			continue
		}
		is, there := now[name]
		if !there || same(name, c.Set, c.Was) || !same(name, c.Set, is) {
			delete(rec, name)
			continue
		}
		set = append(set, replacement{name, is, c.Was, Unconfigured})
	}
	slices.SortFunc(set, func(a, b replacement) int { return cmp.Compare(a.name, b.name) })
	return set
}

// same says whether is stands for set: white space counts for nothing, and the
// kernel itself turns a defence that is set to 1, "automatic", into 2 while it
// is short of memory (Documentation/networking/ipvs-sysctl.rst).
func same(name, set, is string) bool {
	if slices.Equal(strings.Fields(set), strings.Fields(is)) {
		return true
	}
	switch name {
	case "drop_entry", "drop_packet", "secure_tcp":
		return set == "1" && is == "2"
	}
	return false
}
