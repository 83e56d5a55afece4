package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"baton/conf"
	"baton/internal/netif"
	"baton/ipvs"
	"baton/vrrp"
)

// need is what a parameter has to be.
type need struct {
	id          string
	name        string // below /proc/sys
	value       string // that mends it
	fine        []string
	severity    Severity
	consequence string
	safe        bool
}

// conf4 is an IPv4 parameter of an interface.
func conf4(iface, name string) string { return "net/ipv4/conf/" + iface + "/" + name }

// needs are the parameters that the configuration depends on. What they need of
// the facts is routes.
func needs(cfg *conf.Config, f Facts) []need {
	var out []need
	ifaces := map[string]bool{}
	nat4, nat6 := false, false
	for _, vs := range cfg.Services {
		for _, rs := range vs.Servers {
			if rs.Server.Forward != ipvs.NAT {
				continue
			}
			a := rs.Server.Key.Address
			nat4, nat6 = nat4 || a.Is4(), nat6 || a.Is6()
			if r, ok := f.Routes[a]; ok && a.Is4() && !r.Local && r.Interface != "" {
				ifaces[r.Interface] = true
			}
		}
	}
	if nat4 {
		out = append(out, need{"sysctl.ip_forward", "net/ipv4/ip_forward", "1", nil, Critical,
			"NAT needs it: the real servers' answers are not passed on to the clients", true})
		for _, dev := range append([]string{"all"}, slices.Sorted(maps.Keys(ifaces))...) {
			out = append(out, need{"sysctl.send_redirects", conf4(dev, "send_redirects"), "0", nil, Warning,
				"the kernel tells real servers of a better way to clients of their own network, past NAT; their answers are then lost", true})
		}
	}
	if nat6 {
		// Not safe: an interface that forwards takes no router advertisement, and may lose its default route.
		out = append(out, need{"sysctl.forwarding6", "net/ipv6/conf/all/forwarding", "1", nil, Critical,
			"NAT needs it: the real servers' answers are not passed on to the clients", false})
	}
	for _, i := range cfg.Instances {
		if i.Family() == vrrp.IPv6 || slices.ContainsFunc(i.All(), func(a vrrp.Address) bool { return a.Prefix.Addr().Is6() }) {
			out = append(out, need{"sysctl.disable_ipv6", "net/ipv6/conf/" + i.Interface + "/disable_ipv6", "0", nil, Critical,
				"the interface takes no IPv6 address, so this node cannot hold those of " + i.Name, true})
		}
	}
	return out
}

// names are what has to be read for needs and for what is judged beside them.
func names(cfg *conf.Config, f Facts) []string {
	out := []string{"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count", "net/ipv4/vs/pmtu_disc", "net/ipv4/vs/conntrack"}
	for _, n := range needs(cfg, f) {
		out = append(out, n.name)
	}
	if r, ok := f.Default["ipv6"]; ok {
		out = append(out, acceptRA(r.Interface))
	}
	for _, i := range cfg.Instances {
		out = append(out, conf4("all", "rp_filter"), conf4(i.Interface, "rp_filter"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (e *examination) sysctls() {
	for _, n := range needs(e.cfg, e.f) {
		is, there := e.f.Sysctls[n.name]
		key := netif.SysctlKey(n.name)
		switch {
		case n.id == "sysctl.disable_ipv6" && e.f.Kernel.NoIPv6:
			e.add(Finding{ID: "kernel.ipv6", Severity: Critical, What: "the kernel has no IPv6",
				Consequence: "baton run refuses to start: an instance has IPv6 addresses",
				Mend:        e.bootWithIPv6()})
		case !there:
			e.unknown(n.id, key+" could not be read", "sysctl "+key)
		case is == n.value || slices.Contains(n.fine, is):
			e.ok(n.id, key+" is "+is)
		default:
			f := sysctl(Finding{ID: n.id, Severity: n.severity, What: fmt.Sprintf("%s is %s, not %s", key, is, n.value),
				Consequence: n.consequence}, n.name, n.value, n.safe)
			if n.id == "sysctl.forwarding6" {
				f = e.keepRoute(f)
			}
			e.add(f)
		}
	}
	e.reversePath()
	e.conntrack()
}

// acceptRA says whether an interface takes router advertisements: 1 only where it
// does not forward, 2 always (Documentation/networking/ip-sysctl.rst).
func acceptRA(dev string) string { return "net/ipv6/conf/" + dev + "/accept_ra" }

// keepRoute: the default route that router advertisements gave would run out
// once the interface forwards, so what keeps it comes first.
func (e *examination) keepRoute(f Finding) Finding {
	back, ok := e.f.Default["ipv6"]
	if !ok || e.f.Sysctls[acceptRA(back.Interface)] != "1" {
		return f
	}
	first := sysctl(Finding{}, acceptRA(back.Interface), "2", false)
	f.Consequence += fmt.Sprintf("; with forwarding alone %s takes no router advertisements any more, and may lose its default route", back.Interface)
	f.Mend = first.Mend + " && " + f.Mend
	f.Persist = first.Persist + "; " + f.Persist
	return f
}

// reversePath: a strict filter drops clients whose way back is another
// interface's. IPVS asks nobody for a way back with DR and TUN, so that they may
// come in by one interface and be routed by another one.
func (e *examination) reversePath() {
	done := map[string]bool{}
	for _, i := range e.cfg.Instances {
		dev := i.Interface
		back, ok := e.f.Default["ipv4"]
		if i.Family() != vrrp.IPv4 || i.VMAC != nil || done[dev] || !ok {
			continue // packets come in by the VMAC, whose filter the director sets
		}
		done[dev] = true
		switch strict := max(number(e.f.Sysctls[conf4("all", "rp_filter")]), number(e.f.Sysctls[conf4(dev, "rp_filter")])) == 1; {
		case strict && back.Interface != dev:
			e.add(sysctl(Finding{ID: "sysctl.rp_filter", Severity: Warning,
				What:        fmt.Sprintf("rp_filter is strict on %s, and the default route leaves by %s", dev, back.Interface),
				Consequence: "the kernel drops what clients of other networks send to the virtual addresses by " + dev,
			}, conf4(dev, "rp_filter"), "2", true))
		default:
			e.ok("sysctl.rp_filter", "rp_filter on "+dev+" lets clients in")
		}
	}
}

// conntrack: a table that is full drops what is new.
func (e *examination) conntrack() {
	most, now := number(e.f.Sysctls["net/netfilter/nf_conntrack_max"]), number(e.f.Sysctls["net/netfilter/nf_conntrack_count"])
	if most <= 0 {
		return // connections are not tracked here
	}
	what := fmt.Sprintf("connection tracking holds %d of %d entries", now, most)
	if now < most/5*4 {
		e.ok("sysctl.nf_conntrack_max", what)
		return
	}
	e.add(sysctl(Finding{ID: "sysctl.nf_conntrack_max", Severity: Warning, What: what,
		Consequence: "when it is full the kernel drops every new connection, those to the virtual addresses too",
	}, "net/netfilter/nf_conntrack_max", fmt.Sprint(2*most), true))
}

// settings: the parameters, time-outs and daemons of [ipvs], by the director's
// own plan of them.
func (e *examination) settings() {
	s := e.f.Settings
	if s == nil {
		return
	}
	for _, b := range s.Blocked {
		e.add(Finding{ID: "ipvs.setting", Severity: Warning, What: b, Consequence: "what [ipvs] asks for is not in force"})
	}
	for _, f := range s.Foreign {
		e.add(Finding{ID: "ipvs.sync_daemon", Severity: Warning, What: f,
			Consequence: "somebody else synchronises connections here; a daemon of [ipvs] could not be started beside it"})
	}
	if e.f.Status == nil {
		return // the director sets the rest when it starts
	}
	for _, op := range s.Ops {
		e.add(Finding{ID: "ipvs.setting", Severity: Warning, What: fmt.Sprintf("%s is not as [ipvs] asks for", op.Object()),
			Consequence: "the director puts it right within resync_interval; if it does not stay, somebody else sets it",
			Mend:        op.String()})
	}
	if len(s.Ops)+len(s.Blocked) == 0 && len(s.Held) > 0 {
		e.ok("ipvs.setting", "what [ipvs] asks for is in force")
	}
}

// number is a parameter's value, -1 for none.
func number(s string) int {
	n := -1
	if _, err := fmt.Sscan(s, &n); err != nil {
		return -1
	}
	return n
}

// servers are the real servers' addresses, once each, in order.
func servers(cfg *conf.Config) []netip.Addr {
	var out []netip.Addr
	for _, vs := range cfg.Services {
		for _, rs := range vs.Servers {
			out = append(out, rs.Server.Key.Address)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
