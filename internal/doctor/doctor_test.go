package doctor

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/netif"
	"baton/internal/realserver"
	"baton/internal/settings"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	pair = `[global]
router_id = "lvs-a"
[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
priority = 150
virtual_ipaddress = ["192.168.16.200/24"]
[[virtual_server]]
address = "192.168.16.200:80"
lb_algo = "wrr"
lb_kind = "KIND"
[virtual_server.tcp_check]
[[virtual_server.real_server]]
address = "192.168.16.103:80"
`
	pair6 = `[global]
router_id = "lvs-a"
[[vrrp_instance]]
name = "VI_6"
interface = "eth0"
virtual_router_id = 51
priority = 150
virtual_ipaddress = ["fe80::200/64", "2001:db8::200/128"]
[[virtual_server]]
address = "[2001:db8::200]:80"
lb_algo = "rr"
lb_kind = "KIND"
[virtual_server.tcp_check]
[[virtual_server.real_server]]
address = "[2001:db8::103]:80"
`
)

// vmac and secondLink are more of a configuration: vmac goes into its instance.
const (
	vmac       = "use_vmac = true"
	secondLink = `[[vrrp_instance]]
name = "VI_7"
interface = "eth1"
virtual_router_id = 52
priority = 150
virtual_ipaddress = ["fe80::200/64"]
`
)

// otherServer is one more of pair's service, reached as the first one is.
const otherServer = `[[virtual_server.real_server]]
address = "192.168.16.104:80"
`

// closedOut is a machine that lets out what it needs itself, and no more.
func closedOut(f *Facts) {
	f.Routes[ip("192.168.16.104")] = f.Routes[ip("192.168.16.103")]
	f.Firewall.IPTables = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p vrrp -j ACCEPT\n-A OUTPUT -d 192.168.16.12/32 -j ACCEPT\n-A OUTPUT -o lo -j ACCEPT\n-A OUTPUT -p icmp -j ACCEPT\nCOMMIT\n"
}

func configured(t *testing.T, text, kind, more string) *conf.Config {
	t.Helper()
	if more == vmac {
		text, more = strings.Replace(text, "priority", vmac+"\npriority", 1), ""
	}
	cfg, err := conf.Parse("baton.toml", []byte(strings.Replace(text, "KIND", kind, 1)+more), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

const allCaps = 1<<41 - 1

// healthy is a director that nothing is wrong with.
func healthy() Facts {
	return Facts{
		Packager: "apt-get",
		Kernel:   KernelFacts{Release: "6.1.0", Modules: map[string]ModuleState{"ip_vs": Loaded, "ip_vs_wrr": Loaded, "ip_vs_rr": Loadable}},
		Sysctls:  map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/vs/pmtu_disc": "1", "net/ipv6/conf/eth0/disable_ipv6": "0", "net/ipv6/conf/all/forwarding": "1"},
		Links: map[string]Link{
			"eth0": {Up: true, Admin: true, MTU: 1500, MAC: "02:00:00:00:00:11", Primary: ip("192.168.16.11"), LinkLocal: ip("fe80::11")},
			"eth1": {Up: true, Admin: true, MTU: 1600, MAC: "02:00:00:00:01:11", Primary: ip("192.168.18.11")},
		},
		Routes: map[netip.Addr]Route{
			ip("192.168.16.103"): {Interface: "eth0", Source: ip("192.168.16.11"), MAC: "02:00:00:00:00:03"},
			ip("2001:db8::103"):  {Interface: "eth0", MAC: "02:00:00:00:00:03"},
		},
		Default:   map[string]Route{"ipv4": {Interface: "eth0", Gateway: ip("192.168.16.1")}},
		Places:    map[netip.Addr][]netif.Place{},
		Segments:  map[string]Segment{"eth0": {Listened: 3 * time.Second, Routers: []Heard{peer()}, Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:12"}}}},
		Clock:     ClockFacts{Synchronised: true},
		Self:      ProcessFacts{PID: 1, Caps: allCaps},
		Processes: map[string]ProcessFacts{},
	}
}

// peer is the other director, as master.
func peer() Heard {
	return Heard{Source: ip("192.168.16.12"), MAC: "02:00:00:00:00:12", VRID: 51, Version: 3, Priority: 200, Interval: time.Second,
		Addresses: []netip.Addr{ip("192.168.16.200")}, Count: 3, Delivered: 3}
}

// running adds a director that runs as master.
func running(f *Facts) {
	f.Status = &control.Status{PID: 100, Config: control.Config{LastOK: true},
		Children:  []control.Child{{Name: "speaker", PID: 101}, {Name: "prober", PID: 102}},
		Instances: []control.Instance{{Name: "VI_1", State: "MASTER"}}}
	f.Processes = map[string]ProcessFacts{
		"director": {PID: 100, Caps: allCaps}, "speaker": {PID: 101, Caps: allCaps, Policy: policyRR, Locked: 9000}, "prober": {PID: 102, NoFile: 1024},
	}
	f.Segments["eth0"] = Segment{Listened: 3 * time.Second}
	f.Places[ip("192.168.16.200")] = []netif.Place{{Interface: "eth0", Prefix: netip.MustParsePrefix("192.168.16.200/24"), Ours: true}}
}

// sick is one thing that is wrong, or several.
type sick struct {
	name, text, kind, more string
	harm                   func(*Facts)
}

func heard(change func(*Heard)) func(*Facts) {
	return func(f *Facts) {
		h := peer()
		change(&h)
		f.Segments["eth0"] = Segment{Listened: time.Second, Routers: []Heard{h}}
	}
}

func places(prefix, iface string) func(*Facts) {
	return func(f *Facts) {
		p := netip.MustParsePrefix(prefix)
		f.Places[p.Addr()] = append(f.Places[p.Addr()], netif.Place{Interface: iface, Prefix: p})
	}
}

func both(fs ...func(*Facts)) func(*Facts) {
	return func(f *Facts) {
		for _, h := range fs {
			h(f)
		}
	}
}

func weight(n int) *int { return &n }

var directors = []sick{
	{name: "healthy", harm: func(*Facts) {}},
	{name: "healthy master", harm: running},
	{name: "healthy NAT", kind: "NAT", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/conf/all/send_redirects"], f.Sysctls["net/ipv4/conf/eth0/send_redirects"] = "0", "0"
	}},
	{name: "no IPVS", harm: func(f *Facts) { f.Kernel.NoIPVS, f.Kernel.Modules["ip_vs"] = true, Loadable }},
	{name: "no IPVS in a container", harm: func(f *Facts) { f.Kernel.NoIPVS, f.Kernel.Modules["ip_vs"] = true, Unlisted }},
	{name: "no IPVS, and no modules are loaded", harm: func(f *Facts) {
		f.Kernel.NoIPVS, f.Kernel.Modules["ip_vs"], f.Kernel.NoLoading = true, Loadable, true
	}},
	{name: "no IPVS installed", harm: func(f *Facts) { f.Kernel.NoIPVS, f.Kernel.Modules["ip_vs"] = true, Missing }},
	{name: "no IPVS installed on a system of rpm packages", harm: func(f *Facts) {
		f.Kernel.NoIPVS, f.Kernel.Modules["ip_vs"], f.Packager, f.Firewall.Unread = true, Missing, "dnf", 3
	}},
	{name: "no IPv6 on a system of rpm packages", text: pair6, harm: func(f *Facts) {
		f.Kernel.NoIPv6, f.Packager = true, "dnf"
		delete(f.Sysctls, "net/ipv6/conf/eth0/disable_ipv6")
	}},
	{name: "no scheduler", harm: func(f *Facts) { f.Kernel.Modules["ip_vs_wrr"] = Missing }},
	{name: "unlisted scheduler", harm: func(f *Facts) { f.Kernel.Modules["ip_vs_wrr"] = Unlisted }},
	{name: "NAT with wrong sysctls", kind: "NAT", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/ip_forward"] = "0"
		f.Sysctls["net/ipv4/conf/all/send_redirects"] = "1"
	}},
	{name: "NAT over IPv6", text: pair6, kind: "NAT", harm: func(f *Facts) { f.Sysctls["net/ipv6/conf/all/forwarding"] = "0" }},
	{name: "NAT over IPv6, with a default route by router advertisements", text: pair6, kind: "NAT", harm: func(f *Facts) {
		f.Sysctls["net/ipv6/conf/all/forwarding"], f.Sysctls["net/ipv6/conf/eth0.7/accept_ra"] = "0", "1"
		f.Default["ipv6"] = Route{Interface: "eth0.7", Gateway: ip("fe80::1")}
	}},
	{name: "IPv6 switched off", text: pair6, harm: func(f *Facts) {
		f.Sysctls["net/ipv6/conf/eth0/disable_ipv6"] = "1"
		l := f.Links["eth0"]
		l.LinkLocal = netip.Addr{}
		f.Links["eth0"] = l
	}},
	{name: "no IPv6", text: pair6, harm: func(f *Facts) {
		f.Kernel.NoIPv6 = true
		delete(f.Sysctls, "net/ipv6/conf/eth0/disable_ipv6")
	}},
	{name: "read-only /proc/sys", kind: "NAT", harm: func(f *Facts) {
		f.Kernel.ReadOnly = true
		f.Sysctls["net/ipv4/ip_forward"] = "0"
		f.Sysctls["net/ipv4/conf/all/send_redirects"], f.Sysctls["net/ipv4/conf/eth0/send_redirects"] = "0", "0"
	}},
	{name: "strict reverse path filter", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/conf/all/rp_filter"] = "1"
		f.Default["ipv4"] = Route{Interface: "eth1", Gateway: ip("192.168.18.1")}
	}},
	{name: "healthy, with a VMAC beside a strict reverse path filter", more: vmac, harm: func(f *Facts) {
		f.Sysctls["net/ipv4/conf/all/rp_filter"] = "1"
		f.Default["ipv4"] = Route{Interface: "eth1", Gateway: ip("192.168.18.1")}
	}},
	{name: "healthy, with a link-local VIP on each of two links", text: pair6, more: secondLink, harm: both(
		places("fe80::200/64", "eth0"), places("fe80::200/64", "eth1"), places("2001:db8::200/128", "eth0"),
		func(f *Facts) {
			running(f)
			f.Status.Instances = []control.Instance{{Name: "VI_6", State: "MASTER"}, {Name: "VI_7", State: "MASTER"}}
			f.Sysctls["net/ipv6/conf/eth1/disable_ipv6"] = "0"
			l := f.Links["eth1"]
			l.LinkLocal = ip("fe80::111")
			f.Links["eth1"], f.Segments["eth1"] = l, Segment{}
		})},
	{name: "link-local VIP on the VMAC's parent", text: pair6, more: vmac, harm: places("fe80::200/64", "eth0")},
	{name: "firewall that does not know the VMAC", more: vmac, harm: func(f *Facts) {
		f.Firewall.IPTables = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i eth0 -j ACCEPT\nCOMMIT\n"
	}},
	{name: "connection tracking nearly full", harm: func(f *Facts) {
		f.Sysctls["net/netfilter/nf_conntrack_max"], f.Sysctls["net/netfilter/nf_conntrack_count"] = "65536", "60000"
	}},
	{name: "settings that drift", harm: both(running, func(f *Facts) {
		f.Settings = &settings.Outcome{
			Ops:     []settings.Op{{Kind: settings.SetSysctl, Sysctl: conf.Sysctl{Name: "expire_nodest_conn", Value: "1"}, From: "0"}},
			Blocked: []string{"debug_level: the kernel has no parameter net.ipv4.vs.debug_level: it was built without CONFIG_IP_VS_DEBUG"},
			Foreign: []string{"sync daemon backup on eth9, syncid 7"},
		}
	})},
	{name: "no interface", harm: func(f *Facts) { delete(f.Links, "eth0"); delete(f.Segments, "eth0") }},
	{name: "interface down", harm: func(f *Facts) { f.Links["eth0"] = Link{}; delete(f.Segments, "eth0") }},
	{name: "no carrier", harm: func(f *Facts) { f.Links["eth0"] = Link{Admin: true}; delete(f.Segments, "eth0") }},
	{name: "no address of its own", harm: func(f *Facts) { f.Links["eth0"] = Link{Up: true, Admin: true, MTU: 1500} }},
	{name: "VIP on lo", harm: places("192.168.16.200/32", "lo")},
	{name: "VIP on lo of a director that is a real server", harm: both(places("192.168.16.200/32", "lo"), func(f *Facts) {
		f.Routes[ip("192.168.16.103")] = Route{Interface: "lo", Local: true}
	})},
	{name: "VIP on another interface", harm: places("192.168.16.200/24", "eth1")},
	{name: "VIP without a director", harm: both(places("192.168.16.200/24", "eth0"), func(f *Facts) { f.Segments["eth0"] = Segment{} })},
	{name: "VIP on a backup", harm: both(running, func(f *Facts) { f.Status.Instances[0].State = "BACKUP" })},
	{name: "master without its address", harm: both(running, func(f *Facts) { clear(f.Places) })},
	{name: "deaf doctor", harm: func(f *Facts) {
		f.Segments["eth0"] = Segment{Failed: "open packet socket: operation not permitted"}
		f.Self.Caps = 0
	}},
	{name: "VRID of somebody else", harm: heard(func(h *Heard) { h.Addresses = []netip.Addr{ip("10.9.9.9")} })},
	{name: "other version", harm: heard(func(h *Heard) { h.Version, h.Drop = 2, "version" })},
	{name: "other list of addresses", harm: heard(func(h *Heard) { h.Addresses = append(h.Addresses, ip("192.168.16.201")) })},
	{name: "two masters", harm: both(running, heard(func(*Heard) {}))},
	{name: "another virtual router", harm: heard(func(h *Heard) { h.VRID = 7 })},
	{name: "adverts that are not handed over", harm: heard(func(h *Heard) { h.Delivered = 0 })},
	{name: "stranger with the VIP", harm: both(running, func(f *Facts) {
		f.Segments["eth0"] = Segment{Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:66"}}}
	})},
	{name: "both directors hold the VIP", harm: both(running, func(f *Facts) {
		f.Segments["eth0"] = Segment{Routers: []Heard{peer()}, Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:12"}}}
	})},
	{name: "VIP without adverts", harm: func(f *Facts) {
		f.Segments["eth0"] = Segment{Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:66"}}}
	}},
	{name: "two masters answer", harm: func(f *Facts) {
		other := peer()
		other.Source, other.MAC = ip("192.168.16.13"), "02:00:00:00:00:13"
		f.Segments["eth0"] = Segment{Routers: []Heard{peer(), other},
			Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:12"}, {ip("192.168.16.200"), "02:00:00:00:00:13"}}}
	}},
	{name: "real server that answers", harm: func(f *Facts) {
		f.Segments["eth0"] = Segment{Routers: []Heard{peer()}, Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:03"}}}
	}},
	{name: "real server of TUN that answers", kind: "TUN", harm: func(f *Facts) {
		f.Segments["eth0"] = Segment{Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:03"}}}
		l := f.Links["eth0"]
		l.MTU = 0
		f.Links["eth0"] = l
	}},
	{name: "TUN without room", kind: "TUN", harm: func(f *Facts) { f.Sysctls["net/ipv4/vs/pmtu_disc"] = "0" }},
	{name: "TUN whose ICMP is dropped", kind: "TUN", harm: func(f *Facts) {
		f.Firewall.IPTables = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p icmp -j DROP\nCOMMIT\n"
	}},
	{name: "TUN over IPv6 without room", text: pair6, kind: "TUN", harm: func(f *Facts) {
		f.Routes[ip("2001:db8::103")] = Route{Interface: "eth0", MTU: 1300}
	}},
	{name: "TUN over IPv6, whose ICMP is dropped and pmtu_disc is for IPv4", text: pair6, kind: "TUN", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/vs/pmtu_disc"] = "0"
		f.Firewall.IP6Tables = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p ipv6-icmp -j DROP\nCOMMIT\n"
	}},
	{name: "TUN with room", kind: "TUN", harm: func(f *Facts) { f.Routes[ip("192.168.16.103")] = Route{Interface: "eth1"} }},
	{name: "TUN without a route", kind: "TUN", harm: func(f *Facts) { delete(f.Routes, ip("192.168.16.103")) }},
	{name: "firewall", kind: "NAT", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/conf/all/send_redirects"], f.Sysctls["net/ipv4/conf/eth0/send_redirects"] = "0", "0"
		f.Firewall.NFT = `{"nftables": [{"chain": {"family": "inet", "table": "f", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
			{"chain": {"family": "inet", "table": "f", "name": "out", "type": "filter", "hook": "output", "prio": 0, "policy": "drop"}},
			{"chain": {"family": "inet", "table": "f", "name": "fwd", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}]}`
	}},
	{name: "firewall that lets nothing out", more: otherServer, harm: closedOut},
	{name: "firewall that lets nothing out with NAT", kind: "NAT", more: otherServer, harm: both(closedOut, func(f *Facts) {
		f.Sysctls["net/ipv4/conf/all/send_redirects"], f.Sysctls["net/ipv4/conf/eth0/send_redirects"] = "0", "0"
	})},
	{name: "firewall that lets nothing out with TUN", kind: "TUN", more: otherServer, harm: closedOut},
	{name: "firewall that lets nothing out with GUE", kind: "TUN\"\ntun_type = \"gue\"\ntun_port = 5555\n#\"", harm: closedOut},
	{name: "firewall that lets nothing out with GRE over IPv6", text: pair6, kind: "TUN\"\ntun_type = \"gre\"\n#\"", harm: func(f *Facts) {
		f.Firewall.NFT = `{"nftables": [{"chain": {"family": "inet", "table": "f", "name": "out", "type": "filter", "hook": "output", "prio": 0, "policy": "accept"}},
			{"rule": {"family": "inet", "table": "f", "chain": "out", "expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "gre"}}, {"drop": null}]}}]}`
	}},
	{name: "healthy, with a firewall that lets out what IPVS sends", harm: func(f *Facts) {
		f.Firewall.IPTables = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p vrrp -j ACCEPT\n-A OUTPUT -d 192.168.16.200/32 -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n"
	}},
	{name: "firewall that lets out what is tracked", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/vs/conntrack"] = "0"
		f.Firewall.IPTables = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p vrrp -j ACCEPT\n-A OUTPUT -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
	}},
	{name: "healthy, with a firewall that lets out what is tracked, and IPVS has it tracked", harm: func(f *Facts) {
		f.Sysctls["net/ipv4/vs/conntrack"] = "1"
		f.Firewall.IPTables = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p vrrp -j ACCEPT\n-A OUTPUT -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
	}},
	{name: "firewall on the interface below a VMAC", more: vmac, harm: func(f *Facts) {
		f.Firewall.NFT = `{"nftables": [{"chain": {"family": "netdev", "table": "f", "name": "in", "dev": "eth0", "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}},
			{"rule": {"family": "netdev", "table": "f", "chain": "in", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.168.16.200"}}, {"drop": null}]}}]}`
	}},
	{name: "firewall on an interface that nft does not tell", harm: func(f *Facts) {
		f.Firewall.NFT = `{"nftables": [{"chain": {"family": "netdev", "table": "f", "name": "in", "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}},
			{"rule": {"family": "netdev", "table": "f", "chain": "in", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.168.16.200"}}, {"drop": null}]}}]}`
	}},
	{name: "firewall that cannot be read", harm: func(f *Facts) { f.Firewall.Unread = 3 }},
	{name: "clock", harm: func(f *Facts) { f.Clock = ClockFacts{} }},
	{name: "clock that cannot be read", harm: func(f *Facts) { f.Clock = ClockFacts{Failed: "operation not permitted"} }},
	{name: "director without privileges", harm: both(running, func(f *Facts) {
		f.Processes["director"] = ProcessFacts{PID: 100, Caps: 1 << 12}
		f.Processes["speaker"] = ProcessFacts{PID: 101, Caps: allCaps}
		f.Processes["prober"] = ProcessFacts{PID: 102, NoFile: 64}
	})},
	{name: "keepalived beside", harm: func(f *Facts) { f.Others = []ProcessFacts{{PID: 7, Name: "keepalived"}, {PID: 8, Name: "kube-proxy"}} }},
	{name: "kube-proxy in ipvs mode", harm: func(f *Facts) { f.Others, f.KubeIPVS = []ProcessFacts{{PID: 8, Name: "kube-proxy"}}, true }},
	{name: "leftover of kube-proxy", harm: func(f *Facts) { f.KubeIPVS = true }},
	{name: "foreign services", harm: func(f *Facts) {
		f.Foreign = []string{"tcp 10.0.0.1:80", "tcp 192.168.16.200:443", "udp 10.0.0.1:53", "fwmark 7"}
	}},
	{name: "director that does not answer", harm: func(f *Facts) { f.StatusErr = "no answer in time from /run/baton/control.sock" }},
	{name: "sick director", harm: both(running, func(f *Facts) {
		f.Status.Children[0].PID = 0
		f.Status.Config = control.Config{File: "baton.toml", LastReload: time.Unix(1, 0)}
		f.Status.Instances = append(f.Status.Instances, control.Instance{Name: "VI_2", State: "FAULT", Reason: "link down"})
		f.Status.Services = []control.Service{{Name: "tcp 192.168.16.200:80", Servers: []control.Server{{Address: "192.168.16.103:80", Kernel: weight(1),
			Path: &control.Path{State: "broken", Reason: "no-answer", Detail: "the server does not answer", Mend: "baton realserver up 192.168.16.200"}}}}}
	})},
	{name: "changed file", harm: both(running, func(f *Facts) { f.Status.Config = control.Config{File: "baton.toml", Hash: "of another", LastOK: true} })},
	{name: "what could not be read", harm: func(f *Facts) {
		f.Failures = []Failure{{"firewall.read", "nft: operation not permitted", "sudo nft -j list ruleset"}, {"ipvs.table", "read ipvs table: operation not permitted", "sudo baton doctor"},
			{"wire.delivery", "open VRRP socket on eth0: operation not permitted", "sudo baton doctor"}, {"limit.read", "the prober (pid 3) could not be looked at", "sudo baton doctor"}}
	}},
}

var wants = []realserver.Want{{VIP: ip("192.168.16.200"), Mode: realserver.DR, Interface: "lo"}}

func healthyServer() Facts {
	return Facts{
		Packager:   "apt-get",
		Kernel:     KernelFacts{Release: "6.1.0", Modules: map[string]ModuleState{"ipip": Loaded}},
		Default:    map[string]Route{"ipv4": {Interface: "eth0", Gateway: ip("192.168.16.1"), MAC: "02:00:00:00:00:01"}},
		Segments:   map[string]Segment{"eth0": {Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:11"}}, Asked: true}},
		RealServer: []realserver.Finding{{OK: true, About: realserver.AboutAddress, What: "192.168.16.200/32 is on lo"}},
		Clock:      ClockFacts{Synchronised: true},
	}
}

var realServers = []struct {
	name  string
	wants []realserver.Want
	harm  func(*Facts)
}{
	{"healthy", wants, func(*Facts) {}},
	{"what realserver says", wants, func(f *Facts) {
		f.RealServer = []realserver.Finding{
			{About: realserver.AboutAddress, What: "192.168.16.200/32 is not on lo", Consequence: "the server drops what the director sends it", Mend: "baton realserver up 192.168.16.200"},
			{About: realserver.AboutSilence, What: "arp_ignore is 0 on eth0", Consequence: "the server answers ARP", Sysctl: "net/ipv4/conf/all/arp_ignore", Value: "1"},
			{About: realserver.AboutTunnel, What: "interface tunl0 is not up", Consequence: "nothing comes out", Mend: "baton realserver up 192.168.16.200 --mode tun"},
			{About: realserver.AboutRPFilter, What: "rp_filter is strict on tunl0", Consequence: "dropped", Sysctl: "net/ipv4/conf/tunl0/rp_filter", Value: "2"},
		}
	}},
	{"gateway is the director", wants, func(f *Facts) {
		f.Default["ipv4"] = Route{Interface: "eth0", Gateway: ip("192.168.16.11"), MAC: "02:00:00:00:00:11"}
	}},
	{"two answer", wants, func(f *Facts) {
		f.Segments["eth0"] = Segment{Claims: []Claim{{ip("192.168.16.200"), "02:00:00:00:00:11"}, {ip("192.168.16.200"), "02:00:00:00:00:04"}}}
	}},
	{"answers itself", wants, func(f *Facts) {
		f.Segments["eth0"] = Segment{Asked: true, Self: []netip.Addr{ip("192.168.16.200")}}
	}},
	{"strict reverse path filter", wants, func(f *Facts) {
		f.Sysctls = map[string]string{"net/ipv4/conf/all/rp_filter": "1"}
		f.Default["ipv4"] = Route{Interface: "eth1", Gateway: ip("192.168.18.1")}
	}},
	{"deaf", wants, func(f *Facts) { f.Segments["eth0"] = Segment{Failed: "open packet socket: operation not permitted"} }},
	{"modules of tunnels", []realserver.Want{{VIP: ip("192.168.16.200"), Mode: realserver.TUN, Interface: "tunl0"}, {VIP: ip("192.168.16.201"), Mode: realserver.TUN, Interface: "gre0"}},
		func(f *Facts) { f.Kernel.Modules = map[string]ModuleState{"ipip": Loadable, "ip_gre": Missing} }},
	{"firewall", []realserver.Want{wants[0], {VIP: ip("192.168.16.201"), Mode: realserver.TUN, Interface: "tunl0"}}, func(f *Facts) {
		f.Firewall.IPTables = "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 192.168.16.0/24 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
	}},
	{"firewall of a tunnel's inside, and of one over IPv6", []realserver.Want{{VIP: ip("192.168.16.201"), Mode: realserver.TUN, Interface: "tunl0"},
		{VIP: ip("2001:db8::200"), Mode: realserver.TUN, Interface: "ip6tnl0"}}, func(f *Facts) {
		f.Kernel.Modules["ip6_tunnel"] = Loaded
		f.Firewall.IPTables = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i eth0 -j ACCEPT\nCOMMIT\n"
		f.Firewall.IP6Tables = "*filter\n:INPUT DROP [0:0]\n-A INPUT -i ip6tnl0 -j ACCEPT\nCOMMIT\n"
	}},
	{"healthy, with an address that nobody can ask about", append(slices.Clone(wants), realserver.Want{VIP: ip("2001:db8::200"), Mode: realserver.DR, Interface: "lo"}), func(*Facts) {}},
	{"firewall that cannot be read", wants, func(f *Facts) { f.Firewall.Unread = 3 }},
}

// told is a report as the golden file has it.
func told(name string, r Report, all bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s: exit %d\n", name, r.Code())
	for _, f := range r.Findings {
		if f.Severity == OK && !all {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.ID, f.What)
		for _, l := range [][2]string{{"so", f.Consequence}, {"on", f.On}, {"mend", f.Mend}, {"keep", f.Persist}} {
			if l[1] != "" {
				fmt.Fprintf(&b, "    %s: %s\n", l[0], l[1])
			}
		}
		if f.Fix != nil {
			fmt.Fprintf(&b, "    fix: %+v\n", *f.Fix)
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewritten by -update:\n%s", name, diff)
	}
}

func TestJudge(t *testing.T) {
	got := ""
	for _, s := range directors {
		if s.text == "" {
			s.text = pair
		}
		if s.kind == "" {
			s.kind = "DR"
		}
		f := healthy()
		s.harm(&f)
		got += told(s.name, Judge(configured(t, s.text, s.kind, s.more), f), strings.HasPrefix(s.name, "healthy"))
	}
	golden(t, "director.txt", got)
}

func TestJudgeServer(t *testing.T) {
	got := ""
	for _, s := range realServers {
		f := healthyServer()
		s.harm(&f)
		got += told(s.name, JudgeServer(s.wants, f), strings.HasPrefix(s.name, "healthy"))
	}
	golden(t, "real-server.txt", got)
}

// What is not OK says what follows, and what to do; what is OK offers nothing.
func TestEveryFindingIsWhole(t *testing.T) {
	check := func(name string, r Report) {
		for _, f := range r.Findings {
			if f.Severity == OK && f.Fix != nil || f.Severity != OK && f.Consequence == "" || f.Severity == Critical && f.Mend == "" || f.Fix != nil && f.Mend == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	for _, s := range directors {
		f := healthy()
		s.harm(&f)
		check(s.name, Judge(configured(t, pair, "NAT", ""), f))
	}
	for _, s := range realServers {
		f := healthyServer()
		s.harm(&f)
		check(s.name, JudgeServer(s.wants, f))
	}
}

// The identifiers of the code are those of the document, and each that can be
// wrong has been seen to be.
func TestDocument(t *testing.T) {
	id := regexp.MustCompile(`"((?:kernel|sysctl|ipvs|address|wire|firewall|tunnel|clock|capability|limit|beside|director|realserver)\.[a-z0-9_]+)"`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	for _, a := range []realserver.Aspect{realserver.AboutAddress, realserver.AboutSilence, realserver.AboutTunnel, realserver.AboutRPFilter} {
		code = append(code, "realserver."+string(a))
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range id.FindAllSubmatch(src, -1) {
			code = append(code, string(m[1]))
		}
	}
	slices.Sort(code)
	code = slices.Compact(code)
	doc, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^### `([^`]+)`$").FindAllSubmatch(doc, -1) {
		told = append(told, string(m[1]))
	}
	slices.Sort(told)
	if diff := cmp.Diff(code, told); diff != "" {
		t.Errorf("docs/doctor.md (-code +document):\n%s", diff)
	}
	seen := ""
	for _, name := range []string{"director.txt", "real-server.txt"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		seen += string(b)
	}
	for _, c := range code {
		if !regexp.MustCompile(`(?m)^(critical|warning|unknown) `+regexp.QuoteMeta(c)+`: `).MatchString(seen) && !slices.Contains([]string{"wire.adverts", "wire.others", "firewall.rules"}, c) {
			t.Errorf("no test shows %s when it is wrong", c)
		}
	}
}

func TestCode(t *testing.T) {
	for want, list := range map[int][]Severity{0: {OK, OK}, 1: {OK, Unknown, Warning}, 2: {Warning, Critical, Unknown}, 3: {OK, Unknown}} {
		var r Report
		for _, s := range list {
			r.Findings = append(r.Findings, Finding{Severity: s})
		}
		if got := r.Code(); got != want {
			t.Errorf("%v: exit code %d, want %d", list, got, want)
		}
	}
}
