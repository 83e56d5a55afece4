package doctor

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/ipvs"
)

// maxOpened bounds the commands of one finding: it is read by people.
const maxOpened = 8

// sending is what IPVS hands to the output hook for a real server, as if this
// machine had made it.
type sending struct {
	probe
	kind ipvs.Forward
	to   string // of whom a finding speaks
}

// firewallOut follows what IPVS sends on to the real servers. Those that one chain
// drops in the same way are one finding: a closed policy eats thousands.
func (e *examination) firewallOut() (clear bool) {
	type outcome struct {
		*chain
		kind  ipvs.Forward
		out   string
		proto int
	}
	asked := map[probe]bool{}
	lost := map[outcome][]sending{}
	var order []outcome
	for _, vs := range e.cfg.Services {
		for _, s := range e.sendings(vs) {
			if asked[s.probe] || len(asked) == maxProbes {
				continue
			}
			asked[s.probe] = true
			c := e.rules().ask(s.probe)
			if c == nil {
				continue
			}
			o := outcome{c, s.kind, s.out, s.proto}
			if lost[o] == nil {
				order = append(order, o)
			}
			lost[o] = append(lost[o], s)
		}
	}
	for _, o := range order {
		e.add(cannotLeave(o.chain, lost[o]))
	}
	return len(order) == 0
}

// cannotLeave is the finding about packets that one chain drops in the same way.
func cannotLeave(c *chain, lost []sending) Finding {
	s := lost[0]
	f := Finding{ID: "firewall.service_out", Severity: Critical,
		What:        fmt.Sprintf("the firewall drops what IPVS sends by %s %s", s.out, s.to),
		Consequence: "IPVS hands what is for a real server to the output hook: the server never sees it, and clients get no answer"}
	if more := len(lost) - 1; more > 0 {
		f.What += fmt.Sprintf(", and %d like it", more)
	}
	mends := []string{}
	for _, l := range lost {
		one := c.opens(l.probe, f)
		if !slices.Contains(mends, one.Mend) && len(mends) < maxOpened {
			mends = append(mends, one.Mend)
		}
	}
	f = c.opens(s.probe, f) // which names the chain
	f.Mend = mends[0]
	for _, m := range mends[1:] {
		f.Mend += " && " + m
	}
	return f
}

// sendings are those of a service: with DR they are still the client's packet, with
// NAT the server's address is in it, and a tunnel's outer packet is this machine's
// own.
func (e *examination) sendings(vs conf.VirtualServer) []sending {
	var out []sending
	for _, rs := range vs.Servers {
		s := rs.Server
		r := e.f.Routes[s.Key.Address]
		if r.Local || r.Interface == "" {
			continue // what is for this machine passes no output hook
		}
		if s.Forward == ipvs.TUN {
			for _, k := range vs.Keys {
				out = append(out, outerSent(s, k.AF() == ipvs.IPv6, r))
			}
			continue
		}
		for _, k := range vs.Keys {
			if k.FWMark != 0 {
				continue // of which neither protocol nor port is known
			}
			p := probe{hook: "output", out: r.Interface, six: k.Address.Is6(), proto: protocolOf(k.Protocol), dst: k.Address, dport: k.Port, state: e.sentState()}
			to := "for " + k.String()
			if s.Forward == ipvs.NAT {
				p.dst, p.dport = s.Key.Address, s.Key.Port
				to = "to " + s.Key.String()
			}
			out = append(out, sending{p, s.Forward, to})
		}
	}
	return out
}

// outerSent is the packet that brings a client's to a server behind a tunnel.
func outerSent(s ipvs.Server, inner6 bool, r Route) sending {
	p := probe{hook: "output", out: r.Interface, six: s.Key.Address.Is6(), src: r.Source, dst: s.Key.Address, state: "new"}
	switch s.Tunnel.Type {
	case ipvs.GRE:
		p.proto = unix.IPPROTO_GRE
	case ipvs.GUE:
		p.proto, p.dport = unix.IPPROTO_UDP, s.Tunnel.Port
	default:
		p.proto = unix.IPPROTO_IPIP
		if inner6 {
			p.proto = unix.IPPROTO_IPV6
		}
	}
	return sending{p, ipvs.TUN, fmt.Sprintf("to %s in a tunnel (%s, IP protocol %d)", s.Key.Address, s.Tunnel, p.proto)}
}

// sentState is what connection tracking says of what IPVS sends on without a tunnel:
// a packet is marked untracked unless net.ipv4.vs.conntrack is 1, so that a rule for
// new connections does not fit it.
func (e *examination) sentState() string {
	wanted := ""
	for _, s := range e.cfg.IPVS.Sysctls {
		if s.Name == "conntrack" {
			wanted = s.Value
		}
	}
	return map[string]string{"0": "untracked", "1": "new"}[cmp.Or(wanted, e.f.Sysctls["net/ipv4/vs/conntrack"])]
}
