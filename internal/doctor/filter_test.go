package doctor

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/vrrp"
)

// advert is one of a peer's, as the firewall sees it.
func advert(change func(*probe)) probe {
	p := probe{hook: "input", in: "eth0", proto: vrrp.Protocol, src: ip("192.168.16.12"), dst: vrrp.Group, state: "new"}
	if change != nil {
		change(&p)
	}
	return p
}

func web(change func(*probe)) probe {
	p := probe{hook: "input", in: "eth0", proto: 6, dst: ip("192.168.16.200"), dport: 80, state: "new"}
	if change != nil {
		change(&p)
	}
	return p
}

// chainOf makes a ruleset of one input chain with the expressions of its rules.
func chainOf(policy string, rules ...string) string {
	out := `{"nftables": [{"metainfo": {"version": "1.0.6"}},
		{"set": {"family": "inet", "name": "peers", "table": "f", "type": "ipv4_addr", "elem": ["192.168.16.12", {"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
		{"set": {"family": "inet", "name": "seen", "table": "f", "type": "ipv4_addr", "flags": ["dynamic"]}},
		{"set": {"family": "inet", "name": "nobody", "table": "f", "type": "ipv4_addr"}},
		{"chain": {"family": "inet", "table": "f", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "` + policy + `"}},
		{"chain": {"family": "inet", "table": "f", "name": "side", "handle": 2}},
		{"rule": {"family": "inet", "table": "f", "chain": "side", "expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "vrrp"}}, {"drop": null}]}}`
	for _, r := range rules {
		out += `, {"rule": {"family": "inet", "table": "f", "chain": "in", "expr": [` + r + `]}}`
	}
	return out + `]}`
}

func m(op, left, right string) string {
	return `{"match": {"op": "` + op + `", "left": ` + left + `, "right": ` + right + `}}`
}

const (
	l4proto = `{"meta": {"key": "l4proto"}}`
	iifname = `{"meta": {"key": "iifname"}}`
	saddr   = `{"payload": {"protocol": "ip", "field": "saddr"}}`
	daddr   = `{"payload": {"protocol": "ip", "field": "daddr"}}`
	saddr6  = `{"payload": {"protocol": "ip6", "field": "saddr"}}`
	tcpPort = `{"payload": {"protocol": "tcp", "field": "dport"}}`
	ctState = `{"ct": {"key": "state"}}`
	accept  = `, {"accept": null}`
	dropIt  = `, {"drop": null}`
)

// Each rule is one that is met in the field. What perhaps fits neither opens nor
// closes for sure.
func TestNFT(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		p           probe
		dropped     bool
	}{
		{"nothing", chainOf("accept"), advert(nil), false},
		{"policy", chainOf("drop"), advert(nil), true},
		{"policy, another hook", chainOf("drop"), advert(func(p *probe) { p.hook = "output" }), false},
		{"by number", chainOf("accept", m("==", l4proto, "112")+dropIt), advert(nil), true},
		{"by name", chainOf("accept", m("==", l4proto, `"vrrp"`)+dropIt), advert(nil), true},
		{"by ip protocol", chainOf("accept", m("==", `{"payload": {"protocol": "ip", "field": "protocol"}}`, "112")+dropIt), advert(nil), true},
		{"of the other family", chainOf("accept", m("==", `{"payload": {"protocol": "ip6", "field": "nexthdr"}}`, "112")+dropIt), advert(nil), false},
		{"another protocol", chainOf("accept", m("==", l4proto, `"tcp"`)+dropIt), advert(nil), false},
		{"not this protocol", chainOf("accept", m("!=", l4proto, `{"set": ["tcp", "udp", "icmp"]}`)+dropIt), advert(nil), true},
		{"opened before", chainOf("drop", m("==", l4proto, "112")+accept), advert(nil), false},
		{"counted, then dropped", chainOf("accept", m("==", l4proto, "112")+`, {"counter": {"packets": 1, "bytes": 2}}, {"log": {"prefix": "x"}}`+dropIt), advert(nil), true},
		{"rejected", chainOf("accept", m("==", l4proto, "112")+`, {"reject": {"type": "icmpx", "expr": "port-unreachable"}}`), advert(nil), true},
		{"a limited drop", chainOf("accept", m("==", l4proto, "112")+`, {"limit": {"rate": 5, "per": "second"}}`+dropIt), advert(nil), false},
		{"a limited accept", chainOf("drop", m("==", l4proto, "112")+`, {"limit": {"rate": 5, "per": "second"}}`+accept), advert(nil), false},
		{"interface", chainOf("drop", m("==", iifname, `"eth0"`)+accept), advert(nil), false},
		{"another interface", chainOf("drop", m("==", iifname, `"eth1"`)+accept), advert(nil), true},
		{"interfaces", chainOf("drop", m("==", iifname, `"eth*"`)+accept), advert(nil), false},
		{"source", chainOf("drop", m("==", saddr, `{"prefix": {"addr": "192.168.16.0", "len": 24}}`)+accept), advert(nil), false},
		{"another source", chainOf("drop", m("==", saddr, `"192.168.16.13"`)+accept), advert(nil), true},
		{"a source that is not known", chainOf("drop", m("==", saddr, `"192.168.16.13"`)+accept), advert(func(p *probe) { p.src = netip.Addr{} }), false},
		{"a range", chainOf("drop", m("==", saddr, `{"range": ["192.168.16.10", "192.168.16.20"]}`)+accept), advert(nil), false},
		{"a set", chainOf("drop", m("==", saddr, `"@peers"`)+accept), advert(nil), false},
		{"a set without it", chainOf("drop", m("==", saddr, `"@peers"`)+accept), advert(func(p *probe) { p.src = ip("192.168.16.14") }), true},
		{"an empty set", chainOf("drop", m("==", saddr, `"@nobody"`)+accept), advert(nil), true},
		{"a set that changes", chainOf("drop", m("==", saddr, `"@seen"`)+accept), advert(nil), false},
		{"IPv6", chainOf("drop", m("==", saddr6, `"fe80::12"`)+accept), advert(func(p *probe) { p.six, p.src = true, ip("fe80::12") }), false},
		{"jumped to", chainOf("accept", `{"jump": {"target": "side"}}`), advert(nil), true},
		{"jumped to and back", chainOf("drop", `{"jump": {"target": "side"}}`, m("==", daddr, `"192.168.16.200"`)+accept), web(nil), false},
		{"gone to", chainOf("drop", `{"goto": {"target": "side"}}`, m("==", tcpPort, "80")+accept), web(nil), true},
		{"returned", chainOf("drop", `{"return": null}`, m("==", tcpPort, "80")+accept), web(nil), true},
		{"port", chainOf("drop", m("==", tcpPort, `{"set": [22, 80]}`)+accept), web(nil), false},
		{"ports", chainOf("drop", m("==", tcpPort, `{"set": [22, {"range": [8000, 9000]}]}`)+accept), web(nil), true},
		{"port of something without", chainOf("drop", m("==", tcpPort, "80")+accept), advert(nil), true},
		{"state", chainOf("drop", m("in", ctState, `["established", "related"]`)+accept), web(nil), true},
		{"state by map", chainOf("accept", `{"vmap": {"key": `+ctState+`, "data": {"set": [["established", {"accept": null}], ["new", {"drop": null}]]}}}`), web(nil), true},
		{"state by map to a chain", chainOf("accept", `{"vmap": {"key": `+ctState+`, "data": {"set": [["new", {"jump": {"target": "side"}}]]}}}`), advert(nil), true},
		{"mark", chainOf("drop", m("==", `{"meta": {"key": "mark"}}`, "7")+accept), web(nil), false},
		{"an extension of iptables", chainOf("drop", `{"xt": {"type": "match", "name": "recent"}}`+accept), web(nil), false},
		{"our own", strings.ReplaceAll(chainOf("drop"), `"f"`, `"baton-noaccept-VI_1"`), web(nil), false},
	} {
		r := ruleset{}
		if err := r.parseNFT([]byte(tt.rules)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := r.ask(tt.p) != nil; got != tt.dropped {
			t.Errorf("%s: dropped %v, want %v", tt.name, got, tt.dropped)
		}
	}
}

// Chains of the ingress and egress hooks see what their interfaces carry, and a
// VMAC's frames come by the interface below it.
func TestNFTOnInterfaces(t *testing.T) {
	chains := func(family, hook, dev string) string {
		return `{"nftables": [{"chain": {"family": "` + family + `", "table": "f", "name": "c", "dev": ` + dev + `, "type": "filter", "hook": "` + hook + `", "prio": 0, "policy": "accept"}},
			{"rule": {"family": "` + family + `", "table": "f", "chain": "c", "expr": [` + m("==", daddr, `"192.168.16.200"`) + dropIt + `]}}]}`
	}
	out := func(p *probe) { p.hook, p.in, p.out = "output", "", "eth0" }
	for _, tt := range []struct {
		name, rules string
		p           probe
		dropped     bool
	}{
		{"netdev", chains("netdev", "ingress", `"eth0"`), web(nil), true},
		{"inet", chains("inet", "ingress", `"eth0"`), web(nil), true},
		{"several interfaces", chains("netdev", "ingress", `["eth7", "eth0"]`), web(nil), true},
		{"a pattern", chains("netdev", "ingress", `"eth*"`), web(nil), true},
		{"another interface", chains("netdev", "ingress", `"eth1"`), web(nil), false},
		{"below a VMAC", chains("netdev", "ingress", `"eth0"`), web(func(p *probe) { p.in, p.under = "vrrp.51", "eth0" }), true},
		{"a VMAC", chains("netdev", "ingress", `"vrrp.51"`), web(func(p *probe) { p.in, p.under = "vrrp.51", "eth0" }), true},
		{"ingress, of what leaves", chains("netdev", "ingress", `"eth0"`), web(out), false},
		{"egress", chains("netdev", "egress", `"eth0"`), web(out), true},
		{"egress by another interface", chains("netdev", "egress", `"eth1"`), web(out), false},
		{"egress, of what comes in", chains("netdev", "egress", `"eth0"`), web(nil), false},
		{"postrouting", chains("inet", "postrouting", "null"), web(out), true},
		{"postrouting, of what comes in", chains("inet", "postrouting", "null"), web(nil), false},
	} {
		r := ruleset{}
		if err := r.parseNFT([]byte(tt.rules)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		c := r.ask(tt.p)
		if got := c != nil; got != tt.dropped {
			t.Errorf("%s: dropped %v, want %v", tt.name, got, tt.dropped)
		}
		if c != nil && strings.Contains(c.opens(tt.p, Finding{}).Mend, "iifname") {
			t.Errorf("%s: opened for an interface that is not the chain's: %s", tt.name, c.opens(tt.p, Finding{}).Mend)
		}
	}
}

// What the program itself prints is read.
func TestNFTAsPrinted(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "ruleset.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := ruleset{}
	if err := r.parseNFT(data); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		p       probe
		dropped bool
	}{
		{advert(nil), true},
		{advert(func(p *probe) { p.in = "eth1" }), false},
		{web(nil), false},
		{web(func(p *probe) { p.dport = 81 }), true},
	} {
		if got := r.ask(tt.p) != nil; got != tt.dropped {
			t.Errorf("%+v: dropped %v, want %v", tt.p, got, tt.dropped)
		}
	}
}

func TestIPTables(t *testing.T) {
	save := func(policy string, rules ...string) string {
		return "# Generated by iptables-save v1.8.9\n*nat\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n*filter\n:INPUT " + policy +
			" [12:3456]\n:side - [0:0]\n-A side -p vrrp -j DROP\n" + strings.Join(rules, "\n") + "\nCOMMIT\n"
	}
	for _, tt := range []struct {
		name, rules string
		p           probe
		dropped     bool
	}{
		{"nothing", save("ACCEPT"), advert(nil), false},
		{"policy", save("DROP"), advert(nil), true},
		{"number", save("ACCEPT", "-A INPUT -p 112 -j DROP"), advert(nil), true},
		{"not the number", save("ACCEPT", "-A INPUT ! -p 112 -j DROP"), advert(nil), false},
		{"name", save("DROP", "-A INPUT -p vrrp -j ACCEPT"), advert(nil), false},
		{"interface", save("DROP", "-A INPUT -i eth+ -p vrrp -j ACCEPT"), advert(nil), false},
		{"source", save("DROP", "-A INPUT -s 192.168.16.0/24 -d 224.0.0.18/32 -p vrrp -j ACCEPT"), advert(nil), false},
		{"another source", save("DROP", "-A INPUT -s 192.168.16.13/32 -p vrrp -j ACCEPT"), advert(nil), true},
		{"chain", save("ACCEPT", "-A INPUT -j side"), advert(nil), true},
		{"chain and back", save("DROP", "-A INPUT -j side", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"), web(nil), false},
		{"ports", save("DROP", "-A INPUT -p tcp -m multiport --dports 22,80,8000:9000 -j ACCEPT"), web(nil), false},
		{"state", save("DROP", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"), web(nil), true},
		{"comment", save("DROP", `-A INPUT -p tcp -m comment --comment "let -j DROP in" -m tcp --dport 80 -j ACCEPT`), web(nil), false},
		{"reject", save("ACCEPT", "-A INPUT -j REJECT --reject-with icmp-host-prohibited"), web(nil), true},
		{"what is not known", save("DROP", "-A INPUT -m recent --rcheck --name x -j ACCEPT"), web(nil), false},
		{"log", save("ACCEPT", `-A INPUT -j LOG --log-prefix "in: "`), web(nil), false},
	} {
		r := ruleset{}
		r.parseIPTables(tt.rules, "ip")
		if got := r.ask(tt.p) != nil; got != tt.dropped {
			t.Errorf("%s: dropped %v, want %v", tt.name, got, tt.dropped)
		}
	}
}

// Chains that jump in circles end.
func TestJumpsInCircles(t *testing.T) {
	r := ruleset{}
	r.parseIPTables("*filter\n:INPUT DROP [0:0]\n:a - [0:0]\n:b - [0:0]\n-A INPUT -j a\n-A a -j b\n-A b -j a\nCOMMIT\n", "ip")
	if c := r.ask(web(nil)); c != nil {
		t.Errorf("%s surely drops", c.name)
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(chainOf("drop", m("==", saddr, `"@peers"`)+accept)), "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 192.168.16.0/24 -p tcp --dport 1:2 -j ACCEPT\n")
	f.Fuzz(func(t *testing.T, nft []byte, tables string) {
		r := ruleset{}
		if err := r.parseNFT(nft); err == nil && !json.Valid(nft) {
			t.Error("took what is no JSON")
		}
		r.parseIPTables(tables, "ip")
		for _, p := range []probe{advert(nil), web(nil)} {
			if c := r.ask(p); c != nil && c.opens(p, Finding{}).Mend == "" {
				t.Errorf("%s drops, and nothing opens it", c.key())
			}
		}
	})
}
