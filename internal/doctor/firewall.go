package doctor

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"baton/ipvs"
	"baton/vrrp"
)

// FirewallFacts are the rules of the machine, as the tools that are there print
// them.
type FirewallFacts struct {
	NFT       string // nft -j list ruleset
	IPTables  string // iptables-save
	IP6Tables string // ip6tables-save
	// Unread is how many chains the kernel has that no tool here could print.
	Unread int
}

const (
	protoTCP  = unix.IPPROTO_TCP
	maxProbes = 512 // of services and servers
)

// firewall follows what must pass through the machine's own rules.
func (e *examination) firewall() {
	if n := e.f.Firewall.Unread; n > 0 {
		e.unknown("firewall.read", fmt.Sprintf("the kernel has %d firewall chains, and neither nft nor iptables-save is here to print them", n), e.nftPackage())
		return
	}
	if e.f.failed("firewall.read") {
		return
	}
	clear := true
	try := func(p probe, f Finding) {
		if c := e.rules().ask(p); c != nil {
			clear = false
			e.add(c.opens(p, f))
		} else if e.unplaced(p) {
			clear = false
		}
	}
	for k := range e.cfg.Instances {
		i := &e.cfg.Instances[k]
		try(vrrpIn(i, peerOf(i, e.f.Segments[i.Interface])), Finding{ID: "firewall.vrrp_in", Severity: Critical,
			What:        "the firewall drops adverts (IP protocol 112) that come in by " + i.Interface,
			Consequence: "this node does not hear the master, and makes itself a second one"})
		for _, p := range vrrpOut(i) {
			try(p, Finding{ID: "firewall.vrrp_out", Severity: Critical,
				What:        "the firewall drops adverts (IP protocol 112) that leave by " + i.Interface,
				Consequence: "the peer does not hear this node, and makes itself a second master"})
		}
	}
	left := maxProbes
	for _, vs := range e.cfg.Services {
		in, _ := e.ingress(vs)
		for _, k := range vs.Keys {
			if left--; left < 0 || k.FWMark != 0 || in == "" {
				continue
			}
			by := in
			if i, a := e.holder(k.Address); i != nil {
				by = i.AddressDevice(a) // a VMAC takes its frames from its parent
			}
			p := serviceIn(k, by)
			if by != in {
				p.under = in
			}
			try(p, Finding{ID: "firewall.service", Severity: Critical,
				What:        fmt.Sprintf("the firewall drops what comes in by %s for %s", by, k),
				Consequence: "IPVS takes packets in the input hook: what is dropped there is never balanced"})
		}
		for _, rs := range vs.Servers {
			r := e.f.Routes[rs.Server.Key.Address]
			if rs.Server.Forward != ipvs.NAT || r.Local || r.Interface == "" || in == "" || left < 0 {
				continue
			}
			left--
			try(answer(vs.Keys[0], rs.Server.Key, r.Interface, in), Finding{ID: "firewall.forward", Severity: Critical,
				What:        fmt.Sprintf("the firewall does not forward what %s answers, from %s to %s", rs.Server.Key, r.Interface, in),
				Consequence: "with NAT answers pass the director: clients get none"})
		}
	}
	if e.firewallOut() && clear {
		e.ok("firewall.rules", "no rule of the firewall drops VRRP or what is for the services")
	}
}

// unplaced says of a packet whose fate hangs on the interface of a chain.
func (e *examination) unplaced(p probe) bool {
	c := e.rules().unplaced(p)
	if c == nil {
		return false
	}
	e.unknown("firewall.read", fmt.Sprintf("chain %s of table %s %s drops what must pass if it is on %s, and this nft does not tell its interface in JSON",
		c.name, c.family, c.table, cmp.Or(p.under, p.in, p.out)), fmt.Sprintf("nft list chain %s %s %s", c.family, c.table, c.name))
	return true
}

// rules are parsed once.
func (e *examination) rules() ruleset {
	if e.parsed == nil {
		e.parsed = ruleset{}
		if f := e.f.Firewall; f.NFT != "" {
			if err := e.parsed.parseNFT([]byte(f.NFT)); err != nil {
				e.unknown("firewall.read", err.Error(), "nft -j list ruleset")
			}
		}
		e.parsed.parseIPTables(e.f.Firewall.IPTables, "ip")
		e.parsed.parseIPTables(e.f.Firewall.IP6Tables, "ip6")
	}
	return e.parsed
}

// vrrpIn is an advert of a peer.
func vrrpIn(i *vrrp.Config, from netip.Addr) probe {
	p := probe{hook: "input", in: i.Interface, six: i.Family() == vrrp.IPv6, proto: vrrp.Protocol, src: from, state: "new"}
	if len(i.Peers) == 0 {
		p.dst = i.Endpoint().Group
	}
	return p
}

// vrrpOut are this node's adverts: to the group, or one to each peer.
func vrrpOut(i *vrrp.Config) []probe {
	p := probe{hook: "output", out: i.Interface, six: i.Family() == vrrp.IPv6, proto: vrrp.Protocol, dst: i.Endpoint().Group, src: i.Source, state: "new"}
	if len(i.Peers) == 0 {
		return []probe{p}
	}
	var out []probe
	for _, peer := range i.Peers {
		p.dst = peer
		out = append(out, p)
	}
	return out
}

// peerOf is a director that adverts come from, if one is known.
func peerOf(i *vrrp.Config, seg Segment) netip.Addr {
	if len(i.Peers) > 0 {
		return i.Peers[0]
	}
	if r := rivals(i, seg); len(r) > 0 {
		return r[0].Source
	}
	return netip.Addr{}
}

// serviceIn is a client's first packet to a service.
func serviceIn(k ipvs.ServiceKey, in string) probe {
	return probe{hook: "input", in: in, six: k.Address.Is6(), proto: protocolOf(k.Protocol), dst: k.Address, dport: k.Port, state: "new"}
}

func protocolOf(p ipvs.Protocol) int {
	return map[ipvs.Protocol]int{ipvs.TCP: protoTCP, ipvs.UDP: unix.IPPROTO_UDP, ipvs.SCTP: unix.IPPROTO_SCTP}[p]
}

// answer is what a real server of NAT sends back.
func answer(k ipvs.ServiceKey, s ipvs.ServerKey, in, out string) probe {
	return probe{hook: "forward", in: in, out: out, six: s.Address.Is6(), proto: cmp.Or(protocolOf(k.Protocol), protoTCP), src: s.Address, sport: s.Port}
}

// icmpOut is the message that a packet is too large.
func icmpOut(out string, six bool) probe {
	if six {
		return probe{hook: "output", out: out, six: true, proto: unix.IPPROTO_ICMPV6, icmpType: 2}
	}
	return probe{hook: "output", out: out, proto: unix.IPPROTO_ICMP, icmpType: 3}
}

// opens adds the command that lets a packet through the chain that drops it.
func (c *chain) opens(p probe, f Finding) Finding {
	if c.iptables {
		f.Mend = "iptables"
		if p.six {
			f.Mend = "ip6tables"
		}
		if c.table != "filter" {
			f.Mend += " -t " + c.table
		}
		f.Mend += " -I " + c.name + option(" -i ", p.in) + option(" -o ", p.out) + fmt.Sprintf(" -p %d", p.proto)
		if portOf(p.proto) {
			f.Mend += address(" -s ", p.src, p.sport != 0) + address(" -d ", p.dst, true) + port(" --dport ", p.dport) + port(" --sport ", p.sport)
		}
		f.Mend += " -j ACCEPT"
		f.Consequence += fmt.Sprintf(" (chain %s of iptables)", c.name)
		return f
	}
	if c.devices != nil {
		p.in = "" // the chain is on it, or on the one below
	}
	f.Mend = fmt.Sprintf("nft insert rule %s %s %s", c.family, c.table, c.name) + option(" iifname ", p.in) + option(" oifname ", p.out)
	if portOf(p.proto) {
		family := map[bool]string{false: "ip", true: "ip6"}[p.six]
		name := map[int]string{protoTCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp"}[p.proto]
		f.Mend += address(" "+family+" saddr ", p.src, p.sport != 0) + address(" "+family+" daddr ", p.dst, true)
		if p.dport != 0 || p.sport != 0 {
			f.Mend += port(" "+name+" dport ", p.dport) + port(" "+name+" sport ", p.sport)
		} else {
			f.Mend += fmt.Sprintf(" meta l4proto %d", p.proto)
		}
	} else {
		f.Mend += fmt.Sprintf(" meta l4proto %d", p.proto)
	}
	f.Mend += " accept"
	f.Consequence += fmt.Sprintf(" (chain %s of table %s %s)", c.name, c.family, c.table)
	return f
}

func option(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

func address(name string, a netip.Addr, wanted bool) string {
	if !a.IsValid() || !wanted {
		return ""
	}
	return name + a.String()
}

func port(name string, n uint16) string {
	if n == 0 {
		return ""
	}
	return name + fmt.Sprint(n)
}

// opens adds the command for what was seen to be dropped; where no rule is known
// to do it, the way to find the one that does.
func (e *examination) opens(p probe, f Finding) Finding {
	if c := e.rules().ask(p); c != nil {
		return c.opens(p, f)
	}
	f.Mend = "nft list ruleset | grep -n 'drop\\|reject'"
	f.Consequence += "; no rule that surely does it was found: look for one, and for rp_filter"
	return f
}
