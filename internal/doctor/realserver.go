package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"baton/internal/realserver"
)

// JudgeServer judges a real server that shall hold virtual addresses.
func JudgeServer(wants []realserver.Want, f Facts) Report {
	e := &examination{f: f}
	for _, subject := range []func(){
		func() { e.serverModules(wants) },
		e.serverSide,
		func() { e.serverWire(wants) },
		func() { e.serverGateway(wants) },
		func() { e.serverFirewall(wants) },
		e.clock, e.failures,
	} {
		e.subject(subject)
	}
	e.elsewhere()
	return Report{Role: RealServer, Findings: e.out}
}

// serverModules: the devices that take a tunnel's packets are their modules'.
func (e *examination) serverModules(wants []realserver.Want) {
	for _, w := range wants {
		m := w.Module()
		if m == "" {
			continue
		}
		switch e.f.Kernel.Modules[m] {
		case Missing:
			e.add(Finding{ID: "kernel.module", Severity: Critical, What: fmt.Sprintf("module %s is missing", m),
				Consequence: fmt.Sprintf("there can be no %s, and nothing comes out of the director's tunnel", w.Interface), Mend: e.kernelPackage()})
		case Loaded:
			e.ok("kernel.module", "module "+m+" is loaded")
		default:
			e.add(module(Finding{ID: "kernel.module", Severity: Critical, What: fmt.Sprintf("module %s is not loaded", m),
				Consequence: fmt.Sprintf("there is no %s, and nothing comes out of the director's tunnel", w.Interface)}, m))
		}
	}
}

// serverSide is what internal/realserver says, which puts the same things right.
func (e *examination) serverSide() {
	for _, g := range e.f.RealServer {
		f := Finding{ID: "realserver." + string(g.About), Severity: OK, What: g.What, Consequence: g.Consequence, Mend: g.Mend}
		switch {
		case g.OK:
		case g.Sysctl != "":
			f = sysctl(f, g.Sysctl, g.Value, true)
			f.Severity = Critical
		default:
			f.Severity = Critical
			if strings.HasPrefix(g.Mend, "baton realserver up") {
				f.Persist = g.Mend + " --persist && systemctl enable baton-realserver"
			}
		}
		e.add(f)
	}
}

// serverWire: who answers for the addresses in this server's networks, and
// whether it would itself.
func (e *examination) serverWire(wants []realserver.Want) {
	for _, dev := range slices.Sorted(maps.Keys(e.f.Segments)) {
		seg := e.f.Segments[dev]
		if seg.Failed != "" {
			e.unknown("wire.listen", fmt.Sprintf("nobody could be asked on %s: %s", dev, seg.Failed), "sudo baton doctor --real-server")
			continue
		}
		for _, w := range wants {
			if slices.Contains(seg.Self, w.VIP) {
				e.add(Finding{ID: "wire.answers_itself", Severity: Critical, What: fmt.Sprintf("asked as on %s, this server answers for %s", dev, w.VIP),
					Consequence: "it takes the address from the director: all who hear the answer are served by it alone",
					Mend:        w.Command("down") + "; " + w.Command("up")})
			} else if seg.Asked && w.VIP.Is4() {
				e.ok("wire.answers_itself", fmt.Sprintf("asked as on %s, this server keeps silent about %s", dev, w.VIP))
			}
			switch who := claimants(seg, w.VIP); len(who) {
			case 0:
				e.ok("wire.duplicate_vip", fmt.Sprintf("nobody answers for %s on %s: no director is master in that network", w.VIP, dev))
			case 1:
				e.ok("wire.duplicate_vip", fmt.Sprintf("%s alone answers for %s on %s", who[0], w.VIP, dev))
			default:
				e.add(Finding{ID: "wire.duplicate_vip", Severity: Critical, What: fmt.Sprintf("%s answer for %s on %s", strings.Join(who, " and "), w.VIP, dev),
					Consequence: "one of them is no director, or two directors are master: clients reach now one, now the other",
					Mend:        "baton doctor", On: "the directors, which know one another"})
			}
		}
	}
}

// claimants are the stations that answer for an address.
func claimants(seg Segment, vip netip.Addr) []string {
	var out []string
	for _, c := range seg.Claims {
		if c.VIP == vip && !slices.Contains(out, c.MAC) {
			out = append(out, c.MAC)
		}
	}
	slices.Sort(out)
	return out
}

// serverGateway: the way back is the router's, and a strict filter wants it to be
// the way that packets come in by.
func (e *examination) serverGateway(wants []realserver.Want) {
	back, ok := e.f.Default["ipv4"]
	if !ok {
		return
	}
	wrong := false
	for _, w := range wants {
		for _, dev := range slices.Sorted(maps.Keys(e.f.Segments)) {
			who := claimants(e.f.Segments[dev], w.VIP)
			if len(who) == 0 || !w.VIP.Is4() {
				continue
			}
			if back.MAC != "" && slices.Contains(who, back.MAC) && back.Gateway != w.VIP {
				wrong = true
				e.add(Finding{ID: "realserver.gateway", Severity: Critical, What: fmt.Sprintf("the default gateway %s (%s) is the director that holds %s", back.Gateway, back.MAC, w.VIP),
					Consequence: "answers go to the director, which does not expect them, for their source is its own address: clients get none",
					Mend:        "ip route replace default via ROUTER dev " + back.Interface})
			}
			if back.Interface != dev && e.strict(dev) {
				wrong = true
				e.add(sysctl(Finding{ID: "sysctl.rp_filter", Severity: Warning, What: fmt.Sprintf("rp_filter is strict on %s, and the default route leaves by %s", dev, back.Interface),
					Consequence: "the kernel drops clients' packets that the director passes on by " + dev}, conf4(dev, "rp_filter"), "2", true))
			}
		}
	}
	if !wrong {
		e.ok("realserver.gateway", fmt.Sprintf("the default gateway %s is not the director", back.Gateway))
	}
}

// strict says whether reverse path filtering is on an interface.
func (e *examination) strict(dev string) bool {
	return max(number(e.f.Sysctls[conf4("all", "rp_filter")]), number(e.f.Sysctls[conf4(dev, "rp_filter")])) == 1
}

// serverFirewall: what is for an address, and the tunnel that brings it.
func (e *examination) serverFirewall(wants []realserver.Want) {
	if n := e.f.Firewall.Unread; n > 0 {
		e.unknown("firewall.read", fmt.Sprintf("the kernel has %d firewall chains, and neither nft nor iptables-save is here to print them", n), e.nftPackage())
		return
	}
	if e.f.failed("firewall.read") {
		return
	}
	clear := true
	try := func(p probe, what string) {
		if c := e.rules().ask(p); c != nil {
			clear = false
			e.add(c.opens(p, Finding{ID: "firewall.service", Severity: Critical, What: what, Consequence: "the server never sees what the director sends it"}))
		} else if e.unplaced(p) {
			clear = false
		}
	}
	for _, dev := range slices.Sorted(maps.Keys(e.f.Segments)) {
		for _, w := range wants {
			outer, what := outerOf(w, dev)
			if w.Mode != realserver.TUN {
				outer = probe{hook: "input", in: dev, six: w.VIP.Is6(), proto: protoTCP, dst: w.VIP, state: "new"}
				what = fmt.Sprintf("the firewall drops all TCP for %s that comes in by %s", w.VIP, dev)
			}
			if outer.proto != 0 {
				try(outer, what)
			}
		}
	}
	for _, w := range wants {
		if w.Mode == realserver.TUN { // what the device has unpacked comes in by it
			try(probe{hook: "input", in: w.Interface, six: w.VIP.Is6(), proto: protoTCP, dst: w.VIP, state: "new"},
				fmt.Sprintf("the firewall drops all TCP for %s that comes out of %s", w.VIP, w.Interface))
		}
	}
	if clear {
		e.ok("firewall.rules", "no rule of the firewall drops all that is for the addresses")
	}
}

// outerOf is the packet that brings the clients' to a tunnel's device; its
// protocol is 0 where it is not known, as the port of gue is not.
func outerOf(w realserver.Want, dev string) (p probe, what string) {
	p = probe{hook: "input", in: dev, state: "new"}
	switch w.Module() {
	case "ipip":
		p.proto = unix.IPPROTO_IPIP
	case "ip6_tunnel":
		p.six, p.proto = true, unix.IPPROTO_IPV6
	case "ip_gre":
		p.proto = unix.IPPROTO_GRE
	}
	return p, fmt.Sprintf("the firewall drops IP protocol %d, the tunnel's, that comes in by %s", p.proto, dev)
}
