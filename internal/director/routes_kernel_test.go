//go:build linux && kernel

package director

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"baton/internal/netif"
	"baton/vrrp"
)

func ownRoutes(t *testing.T) string {
	t.Helper()
	return run(t, "ip", "route", "show", "table", "all", "proto", "113") + run(t, "ip", "rule", "show", "priority", "1000")
}

func TestRoutesComeAndGoWithTheAddresses(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	s := newMouth(t)
	go func() { _ = s.netif.WatchRoutes(t.Context(), s.addrs.pathsVanished) }()
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32"),
		Routes: []vrrp.Route{
			{Destination: netip.MustParsePrefix("203.0.113.0/24"), Via: netip.MustParseAddr("192.168.16.1"), Source: netip.MustParseAddr("192.168.16.200"), Table: 100},
			{Destination: netip.MustParsePrefix("198.51.100.0/24")},
		},
		Rules: []vrrp.Rule{{Family: vrrp.IPv4, From: netip.MustParsePrefix("192.168.16.200/32"), Priority: 1000, Table: 100}}}
	there := func() bool {
		out := ownRoutes(t)
		return strings.Contains(out, "203.0.113.0/24 via 192.168.16.1 dev eth0 table 100 src 192.168.16.200") &&
			strings.Contains(out, "198.51.100.0/24 dev eth0") && strings.Contains(out, "from 192.168.16.200 lookup 100")
	}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil || !there() {
		t.Fatalf("set: %v\n%s", err, ownRoutes(t))
	}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil || s.count("route.added") != 3 {
		t.Errorf("set again: %v, %q", err, s.said)
	}
	// The watcher's subscription is not told of, so the first is repeated.
	s.eventually(t, "a rule put back", func() bool {
		_ = exec.Command("ip", "rule", "del", "priority", "1000").Run()
		return s.count("route.restored", "rule priority 1000 from 192.168.16.200/32 table 100", "somebody else") > 0
	})
	s.eventually(t, "all there", there)
	run(t, "ip", "route", "del", "198.51.100.0/24")
	s.eventually(t, "a route put back", there)
	run(t, "ip", "link", "set", "eth0", "down")
	run(t, "ip", "link", "set", "eth0", "up")
	s.eventually(t, "back with the interface", there)
	run(t, "ip", "address", "del", "192.168.16.200/32", "dev", "eth0") // its source goes with it
	s.eventually(t, "back with the address", there)

	// A reload takes one out.
	next := c
	next.Routes = c.Routes[:1]
	if err := s.addrs.Set(next, true, vrrp.Handover{}); err != nil {
		t.Error(err)
	}
	if out := ownRoutes(t); strings.Contains(out, "198.51.100.0/24") || !strings.Contains(out, "203.0.113.0/24") {
		t.Errorf("after the reload\n%s", out)
	}
	if err := s.addrs.Set(next, false, vrrp.Handover{}); err != nil {
		t.Error(err)
	}
	if out := ownRoutes(t); out != "" {
		t.Errorf("left\n%s", out)
	}
	if n := s.count("failed"); n > 0 {
		t.Errorf("%d failures: %q", n, s.said)
	}
}

// A run that was killed leaves things behind; of an instance that is gone
// from the configuration nobody else would take them away.
func TestStraysOfAnEarlierRun(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	killed := newMouth(t)
	kept := vrrp.Config{Name: "VI_1", Interface: "eth0", Addresses: virtual("192.168.16.200/32"),
		Routes: []vrrp.Route{{Destination: netip.MustParsePrefix("198.51.100.0/24")}}}
	dropped := vrrp.Config{Name: "VI_2", Interface: "eth0", Addresses: virtual("192.168.16.201/32"),
		Routes: []vrrp.Route{{Destination: netip.MustParsePrefix("203.0.113.0/24")}},
		Rules:  []vrrp.Rule{{Family: vrrp.IPv4, Priority: 1000, Table: 100}}}
	for _, c := range []vrrp.Config{kept, dropped} {
		if err := killed.addrs.Set(c, true, vrrp.Handover{}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := netif.New(netif.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	newAddresses(m, killed.hear).cleanStrays([]vrrp.Config{kept})
	killed.addrs.mu.Lock()
	clear(killed.addrs.held) // it does not put anything back any more
	killed.addrs.mu.Unlock()
	newAddresses(m, killed.hear).cleanStrays([]vrrp.Config{kept})
	out := ownRoutes(t)
	if !on("eth0", "192.168.16.200/32") || !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("what belongs to an instance is gone\n%s", out)
	}
	if on("eth0", "192.168.16.201/32") || strings.Contains(out, "203.0.113.0/24") || strings.Contains(out, "1000:") {
		t.Errorf("what belongs to none is left\n%s", out)
	}
	if !on("eth0", "192.168.16.102/24") {
		t.Error("the interface's own address is gone")
	}
}
