package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"baton/internal/lab"
)

// pairing is one way in which a pair can be configured: an instance that Baton
// has on lvs-a and keepalived on lvs-b.
type pairing struct {
	name               string
	vrid               int
	version            int
	six, unicast, vmac bool
	password           string
	ours               bool // Baton is preferred
}

// pairings are all that both sides can do. Version 2 has no IPv6, version 3 no
// authentication. keepalived refuses use_vmac with unicast_peer unless adverts
// leave from the base interface (vmac_xmit_base), so both are told to.
func pairings() []pairing {
	out := []pairing{{name: "VI_1", vrid: 51, version: 3, ours: true}} // the lab's own
	add := func(p pairing) {
		n := len(out)
		p.name, p.vrid = fmt.Sprintf("X_%d", n), 60+n
		out = append(out, p)
	}
	preferred := false
	for _, vmac := range []bool{false, true} {
		for _, unicast := range []bool{false, true} {
			// Next to each other, so that each setting meets both.
			for _, p := range []pairing{{version: 2}, {version: 2, password: "s3cret"}, {version: 3}, {version: 3, six: true}} {
				p.unicast, p.vmac, p.ours = unicast, vmac, preferred
				preferred = !preferred
				add(p)
			}
			preferred = !preferred
		}
	}
	return out
}

func (p pairing) String() string {
	return fmt.Sprintf("%s (v%d, IPv6 %v, unicast %v, VMAC %v, password %v)", p.name, p.version, p.six, p.unicast, p.vmac, p.password != "")
}

// addresses of the virtual router; the first is in the adverts over either
// family.
func (p pairing) addresses() []string {
	switch {
	case p.vrid == 51:
		return []string{lab.VIP.String() + "/24"}
	case p.six:
		return []string{fmt.Sprintf("fe80::5:%d/64", p.vrid), fmt.Sprintf("fd00:16::%d/64", p.vrid)}
	}
	return []string{fmt.Sprintf("192.168.16.%d/24", 150+p.vrid-60)}
}

func (p pairing) priority(node string) int {
	if (node == lab.LVSA) == p.ours {
		return 150
	}
	return 100
}

// source is where a node's adverts of this pairing come from.
func (p pairing) source(node string) netip.Addr {
	if !p.six {
		return lab.Address(node)
	}
	return linkLocal(node)
}

// linkLocal is RFC 4291's address of a node's interface, from its MAC.
func linkLocal(node string) netip.Addr {
	m := lab.HardwareAddress(node)
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// ttl is that of a node's adverts. keepalived 2.2.7 does not set the hop limit
// of unicast over IPv6: they leave with the kernel's, and Baton must be told.
func (p pairing) ttl(node string) int {
	if p.six && p.unicast && node == lab.LVSB {
		return 64
	}
	return 255
}

// mac is where a node's adverts of this pairing come from on the wire.
func (p pairing) mac(node string) string {
	if !p.vmac || p.unicast {
		return lab.HardwareAddress(node).String()
	}
	family := byte(1)
	if p.six {
		family = 2
	}
	return net.HardwareAddr{0, 0, 0x5e, 0, family, byte(p.vrid)}.String()
}

// toml is the pairing in Baton's words.
func (p pairing) toml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[[vrrp_instance]]\nname = %q\ninterface = %q\nvirtual_router_id = %d\nversion = %d", p.name, lab.LANInterface, p.vrid, p.version)
	line("priority = %d\nadvert_int = \"1s\"\nhandover_linger = \"3s\"", p.priority(lab.LVSA))
	line("virtual_ipaddress = [%s]", `"`+strings.Join(p.addresses(), `", "`)+`"`)
	if p.unicast {
		a, b := p.source(lab.LVSA), p.source(lab.LVSB)
		line("unicast_src_ip = { lvs-a = %q, lvs-b = %q }\nunicast_peer = { lvs-a = [%q], lvs-b = [%q] }", a, b, b, a)
	}
	if p.ttl(lab.LVSB) < 255 {
		line("unicast_ttl_min = %d", p.ttl(lab.LVSB))
	}
	if p.vmac {
		line("use_vmac = true\nvmac_xmit_base = %v", p.unicast)
	}
	if p.password != "" {
		line("[vrrp_instance.authentication]\nauth_type = \"PASS\"\nauth_pass = %q", p.password)
	}
	return b.String()
}

// conf is the pairing in keepalived's words.
func (p pairing) conf() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("vrrp_instance %s {\n state BACKUP\n interface %s\n virtual_router_id %d\n version %d", p.name, lab.LANInterface, p.vrid, p.version)
	line(" priority %d\n advert_int 1", p.priority(lab.LVSB))
	line(" virtual_ipaddress {\n  %s\n }", strings.Join(p.addresses(), "\n  "))
	if p.unicast {
		line(" unicast_src_ip %s\n unicast_peer {\n  %s\n }", p.source(lab.LVSB), p.source(lab.LVSA))
	}
	if p.vmac {
		line(" use_vmac")
		if p.unicast {
			line(" vmac_xmit_base")
		}
	}
	if p.password != "" {
		line(" authentication {\n  auth_type PASS\n  auth_pass %s\n }", p.password)
	}
	line("}")
	return b.String()
}

// TestKeepalivedAsPeer is fault 16: Baton on lvs-a, keepalived on lvs-b, in
// every way of configuring a pair that both know, all at once; each side as
// master, take-over both ways. It is judged by who has the addresses and by
// what is on the wire.
func TestKeepalivedAsPeer(t *testing.T) {
	all := pairings()
	var ours, theirs strings.Builder
	for _, p := range all {
		if p.vrid != 51 {
			ours.WriteString(p.toml() + "\n")
		}
		theirs.WriteString(p.conf())
	}
	l := start(t, lab.Options{Directors: []string{lab.LVSA}, ExtraTOML: ours.String(), InstanceTOML: `handover_linger = "3s"`})
	stop := load(t, l)
	k := startKeepalivedWith(t, l, lab.LVSB, theirs.String())
	preferred := func(p pairing) string {
		if p.ours {
			return lab.LVSA
		}
		return lab.LVSB
	}
	always := func(node string) func(pairing) string { return func(pairing) string { return node } }

	masters(t, l, "both run", all, preferred)
	if err := l.StopDirector(t.Context(), lab.LVSA); err != nil {
		t.Fatal(err)
	}
	masters(t, l, "Baton has left", all, always(lab.LVSB))
	if err := l.StartDirector(t.Context(), lab.LVSA); err != nil {
		t.Fatal(err)
	}
	masters(t, l, "Baton is back", all, preferred)
	k.stop(t)
	masters(t, l, "keepalived has left", all, always(lab.LVSA))
	startKeepalivedWith(t, l, lab.LVSB, theirs.String())
	masters(t, l, "keepalived is back", all, preferred)

	r := stop()
	if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
		t.Errorf("answers came from %v", r.Answers)
	}
	// Told only: keepalived answers connections in flight with a reset.
	t.Logf("%d of %d requests failed, longest gap %v", r.Failed(), r.Requests, r.LongestGap)
}

// masters waits until of every pairing the wanted node alone has the addresses
// and sends adverts, and Baton knows it.
func masters(t *testing.T, l *lab.Lab, when string, all []pairing, want func(pairing) string) {
	t.Helper()
	within(t, when+": masters as they should be", func() string {
		st, err := l.DirectorStatus(t.Context(), lab.LVSA)
		state := map[string]string{}
		if err == nil { // it may have been stopped
			for _, i := range st.Instances {
				state[i.Name] = i.State
			}
		}
		have := map[string]map[netip.Addr]bool{}
		for _, node := range []string{lab.LVSA, lab.LVSB} {
			have[node] = held(t, l, node)
		}
		var wrong []string
		for _, p := range all {
			for _, node := range []string{lab.LVSA, lab.LVSB} {
				for _, a := range p.addresses() {
					if should := want(p) == node; have[node][netip.MustParsePrefix(a).Addr()] != should {
						wrong = append(wrong, fmt.Sprintf("%s: %s on %s is %v", p, a, node, !should))
					}
				}
			}
			if s := state[p.name]; err == nil && s != map[bool]string{true: "MASTER", false: "BACKUP"}[want(p) == lab.LVSA] {
				wrong = append(wrong, fmt.Sprintf("%s: Baton says %s", p, s))
			}
		}
		return strings.Join(wrong, "\n")
	})
	speakers(t, l, when, all, want)
}

// held are the addresses of a node, on whichever interface. One that the kernel
// has found to be somebody else's is none.
func held(t *testing.T, l *lab.Lab, node string) map[netip.Addr]bool {
	t.Helper()
	out := map[netip.Addr]bool{}
	for line := range strings.Lines(run(t, l, node, "ip", "-oneline", "address", "show")) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.Contains(line, "dadfailed") {
			continue
		}
		if p, err := netip.ParsePrefix(fields[3]); err == nil {
			out[p.Addr()] = true
		}
	}
	return out
}

// speakers reads the wire until an advert of every pairing has passed.
func speakers(t *testing.T, l *lab.Lab, when string, all []pairing, want func(pairing) string) {
	t.Helper()
	c, err := l.Capture(lab.SwitchNode, lab.LVSB)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, p := range all {
		node := want(p)
		f, err := c.Await(ctx, func(f lab.Frame) bool { return f.Advert != nil && int(f.Advert.VRID) == p.vrid })
		if err != nil {
			t.Fatalf("%s: %s: %v", when, p, err)
		}
		a := f.Advert
		if a.Version != p.version || a.TTL != p.ttl(node) || f.Source.String() != p.mac(node) || a.Source.Is6() != p.six ||
			f.Sent != (node == lab.LVSA) || a.Destination.IsMulticast() == p.unicast || int(a.Priority) != p.priority(node) {
			t.Errorf("%s: %s: %s speaks so, from %s, TTL %d, on the port of lvs-b sent %v: want %s, priority %d, from %s",
				when, p, f, f.Source, a.TTL, f.Sent, node, p.priority(node), p.mac(node))
		}
		// A VMAC without an address of its own speaks from one of its choice.
		if from := p.source(node); !p.vmac && a.Source != from {
			t.Errorf("%s: %s: adverts come from %s, want %s", when, p, a.Source, from)
		}
		first := netip.MustParsePrefix(p.addresses()[0]).Addr()
		if len(a.Addresses) == 0 || a.Addresses[0] != first {
			t.Errorf("%s: %s: adverts carry %v", when, p, a.Addresses)
		}
		if p.password != "" && !bytes.HasSuffix(a.Payload, append([]byte(p.password), make([]byte, 8-len(p.password))...)) {
			t.Errorf("%s: %s: adverts end with %x", when, p, a.Payload)
		}
	}
}
