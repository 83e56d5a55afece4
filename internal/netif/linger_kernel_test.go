//go:build linux && kernel

package netif

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"

	"baton/internal/announce"
)

// listenARP opens a packet socket for ARP in the namespace.
func (n *host) listenARP(iface string) *packet.Conn {
	n.t.Helper()
	var c *packet.Conn
	n.Must(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		c, err = packet.Listen(ifi, packet.Raw, int(ethernet.EtherTypeARP), nil)
		return err
	})
	n.t.Cleanup(func() { c.Close() })
	return c
}

// nextARP returns the next ARP packet that match accepts, nil if there is none
// within the time.
func nextARP(t *testing.T, c *packet.Conn, within time.Duration, match func(*arp.Packet) bool) *arp.Packet {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		var f ethernet.Frame
		p := new(arp.Packet)
		if f.UnmarshalBinary(buf[:n]) != nil || p.UnmarshalBinary(f.Payload) != nil {
			continue
		}
		if match(p) {
			return p
		}
	}
}

func TestGARPOnTheWire(t *testing.T) {
	h, other := alone(t)
	wire := other.listenARP("eth0")
	garp, err := announce.New("eth0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { garp.Close() })
	for _, round := range []string{"first", "after the interface was made anew"} {
		if round != "first" {
			if err := h.h.LinkDel(h.Link("eth0")); err != nil {
				t.Fatal(err)
			}
			h.Cable("eth0", other.Host, "eth0")
			wire = other.listenARP("eth0")
		}
		mac := h.Link("eth0").Attrs().HardwareAddr
		h.Must(func() error { return garp.GARP(vip, nil) })
		for _, op := range []arp.Operation{arp.OperationRequest, arp.OperationReply} {
			p := nextARP(t, wire, patience, func(p *arp.Packet) bool { return p.SenderIP == vip })
			if p == nil {
				t.Fatalf("%s: no gratuitous %v", round, op)
			}
			if p.Operation != op || p.TargetIP != vip || p.SenderHardwareAddr.String() != mac.String() {
				t.Errorf("%s: got %+v, want a gratuitous %v from %s", round, p, op, mac)
			}
		}
	}
}

// A lingering director takes TCP for the VIP but does not say that it has it.
func TestLingerDoesNotAnswerARP(t *testing.T) {
	h, other := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	other.Address("eth0", "192.168.16.101/24")
	m := h.manager(Options{})
	wire := other.listenARP("eth0")
	mac := other.Link("eth0").Attrs().HardwareAddr
	asks := func() bool {
		t.Helper()
		p, err := arp.NewPacket(arp.OperationRequest, mac, netip.MustParseAddr("192.168.16.101"), make(net.HardwareAddr, 6), vip)
		if err != nil {
			t.Fatal(err)
		}
		body, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		f := ethernet.Frame{Destination: ethernet.Broadcast, Source: mac, EtherType: ethernet.EtherTypeARP, Payload: body}
		b, err := f.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.WriteTo(b, &packet.Addr{HardwareAddr: ethernet.Broadcast}); err != nil {
			t.Fatal(err)
		}
		return nextARP(t, wire, 300*time.Millisecond, func(p *arp.Packet) bool {
			return p.Operation == arp.OperationReply && p.SenderIP == vip
		}) != nil
	}
	h.set(m, "eth0", vipAddr, nil)
	if !asks() {
		t.Fatal("the master does not answer ARP for its address")
	}
	h.Must(func() error { return m.InstallLinger(Linger{VIPs: []netip.Addr{vip}, Interfaces: []string{"eth0"}}) })
	h.set(m, "eth0", nil, nil)
	if asks() {
		t.Error("the lingering director answers ARP")
	}
	// TCP arrives: the segment is counted as delivered, which a forwarded or
	// unroutable one is not.
	if err := other.h.NeighSet(&netlink.Neigh{LinkIndex: other.Link("eth0").Attrs().Index, IP: vip.AsSlice(),
		HardwareAddr: h.Link("eth0").Attrs().HardwareAddr, State: netlink.NUD_PERMANENT}); err != nil {
		t.Fatal(err)
	}
	dial := func() int {
		before := h.tcp("InSegs")
		err := other.Do(func() error {
			_, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).Dial("tcp4", vip.String()+":80")
			return err
		})
		if err == nil {
			t.Error("connected to a director without the address")
		}
		return h.tcp("InSegs") - before
	}
	if dial() == 0 {
		t.Error("TCP to the VIP does not reach the lingering director")
	}
	h.Must(func() error { return m.RemoveLinger([]netip.Addr{vip}) })
	if n := dial(); n != 0 {
		t.Errorf("%d segments to the VIP reach the director after the linger's end", n)
	}
}

// tcp reads one of the namespace's TCP counters (RFC 4022).
func (n *host) tcp(name string) int {
	n.t.Helper()
	var value int
	n.Must(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var names, values []string
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); f[0] == "Tcp:" {
				names, values = values, f
			}
		}
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("no %s in %q", name, b)
		}
		_, err = fmt.Sscan(values[i], &value)
		return err
	})
	return value
}

func TestLingersAreIndependent(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	v1, v2 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	install := func(v netip.Addr, iface string) {
		t.Helper()
		for range 2 { // twice is as good as once
			h.Must(func() error { return m.InstallLinger(Linger{VIPs: []netip.Addr{v}, Interfaces: []string{iface}}) })
		}
	}
	count := func(wantRules, wantRoutes int) {
		t.Helper()
		rules, err := m.lingerRules()
		if err != nil {
			t.Fatal(err)
		}
		routes, err := m.lingerRoutes()
		if err != nil {
			t.Fatal(err)
		}
		if len(rules) != wantRules || len(routes) != wantRoutes {
			t.Errorf("%d rules and %d routes, want %d and %d", len(rules), len(routes), wantRules, wantRoutes)
		}
	}
	install(v1, "eth0")
	install(v2, "eth1") // an interface that is not there yet
	count(2, 2)
	for range 2 {
		h.Must(func() error { return m.RemoveLinger([]netip.Addr{v1}) })
		count(2, 1)
	}
	h.Must(func() error { return m.RemoveLinger([]netip.Addr{v2}) })
	count(0, 0)
}

func TestCleanLeftovers(t *testing.T) {
	h, other := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	killed := h.manager(Options{})
	h.Must(func() error {
		if err := killed.InstallLinger(Linger{VIPs: []netip.Addr{vip}, Interfaces: []string{"eth0"}}); err != nil {
			return err
		}
		_, err := killed.SetAddresses(context.Background(), "eth0", vipAddr, nil)
		return err
	})
	h.installRelay(killed, other, "VI_1")
	h.installRelay(killed, other, "a name with spaces")
	// Somebody else's rule, route and table stay.
	foreign := netlink.NewRule()
	foreign.Priority, foreign.Table, foreign.IifName = 1, 100, "eth0"
	if err := h.h.RuleAdd(foreign); err != nil {
		t.Fatal(err)
	}
	before, err := h.h.RuleList(netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	own, err := killed.ownRules()
	if err != nil {
		t.Fatal(err)
	}
	ours := len(own)

	killed.Close() // what runs in user space ends with the process
	m := h.manager(Options{})
	if h.leftovers(m) < 2 {
		t.Fatal("too little is there before for the test to mean anything")
	}
	var gone []string
	clean := func() (err error) { gone, err = m.CleanLeftovers(); return err }
	h.Must(clean)
	if len(gone) < 2 {
		t.Errorf("says that it removed %q", gone)
	}
	if n := h.leftovers(m); n != 0 {
		t.Errorf("%d rules and relays left", n)
	}
	if routes, err := m.lingerRoutes(); err != nil || len(routes) != 0 {
		t.Errorf("routes %v, %v left", routes, err)
	}
	after, err := h.h.RuleList(netlink.FAMILY_V4)
	if err != nil || len(before)-len(after) != ours {
		t.Errorf("%d rules after %d: somebody else's are gone too", len(after), len(before))
	}
	h.wantPrefixes("eth0", "192.168.16.102/24", "192.168.16.200/24")
	if h.Must(clean); len(gone) > 0 {
		t.Errorf("removed again: %q", gone)
	}
}

func (n *host) installRelay(m *Manager, old *host, name string) {
	n.t.Helper()
	n.Must(func() error {
		return m.InstallRelay(Relay{Name: name, VIPs: []netip.Addr{vip}, Interface: "eth0",
			OldMaster: netip.MustParseAddr("192.168.16.112"), OldMAC: old.Link("eth0").Attrs().HardwareAddr})
	})
}

// leftovers counts our rules and relays.
func (n *host) leftovers(m *Manager) int {
	n.t.Helper()
	var tables []string
	n.Must(func() (err error) { tables, err = m.relayTables(); return err })
	rules, err := m.ownRules()
	if err != nil {
		n.t.Fatal(err)
	}
	return len(tables) + len(rules)
}
