//go:build linux && kernel

package netif

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"baton/internal/nstest"
)

func route(dst, via, dev string) Route {
	r := Route{Destination: netip.MustParsePrefix(dst), Device: dev}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

// routes prints what the kernel has of ours, as ip(8) does.
func (n *host) routes() []string {
	var out []string
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(n.Run("ip", family, "route", "show", "table", "all", "proto", "113")) {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

func TestVirtualRoutes(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	h.Run("ip", "-6", "address", "add", "2001:db8::102/64", "dev", "eth0", "nodad")
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("192.168.16.200/32", "2001:db8::200/128"), nil)
	full := route("203.0.113.0/24", "192.168.16.1", "eth0")
	full.Source, full.Table, full.Metric, full.MTU = netip.MustParseAddr("192.168.16.200"), 100, 7, 1400
	list := []Route{
		full,
		route("0.0.0.0/0", "192.168.16.1", ""),
		route("198.51.100.7/24", "", "eth0"), // host bits are as ip(8) has them: not the kernel's matter
		route("::/0", "fe80::1", "eth0"),
		{Destination: netip.MustParsePrefix("2001:db8:1::/48"), Via: netip.MustParseAddr("2001:db8::1"), Source: netip.MustParseAddr("2001:db8::200"), Table: 100},
	}
	for round, want := range []bool{true, false} {
		for _, r := range list {
			if added, err := m.AddRoute(r); err != nil || added != want {
				t.Errorf("round %d: add %s: %v, %v, want %v", round, r, added, err, want)
			}
		}
	}
	// ip(8) leaves out the protocol that was asked for.
	want := []string{
		"203.0.113.0/24 via 192.168.16.1 dev eth0 table 100 src 192.168.16.200 metric 7 mtu 1400",
		"default via 192.168.16.1 dev eth0",
		"198.51.100.0/24 dev eth0 scope link",
		"2001:db8:1::/48 via 2001:db8::1 dev eth0 table 100 src 2001:db8::200 metric 1024 pref medium",
		"default via fe80::1 dev eth0 metric 1024 pref medium",
	}
	if diff := cmp.Diff(want, h.routes()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}

	// The gateway changes while the destination stays.
	moved := list[1]
	moved.Via = netip.MustParseAddr("192.168.16.9")
	if added, err := m.AddRoute(moved); err != nil || !added {
		t.Errorf("replace: %v, %v", added, err)
	}
	// Another run knows them for ours and removes those that nobody wants.
	m = h.manager(Options{})
	gone, err := m.RemoveStrayRoutes([]Route{full, moved})
	if err != nil || len(gone) != 3 {
		t.Errorf("strays %v, %v, want three", gone, err)
	}
	if left := h.routes(); len(left) != 2 || !strings.Contains(strings.Join(left, "\n"), "default via 192.168.16.9") {
		t.Errorf("left %q", left)
	}
	for round, want := range []bool{true, false} {
		for _, r := range []Route{full, moved} {
			if removed, err := m.RemoveRoute(r); err != nil || removed != want {
				t.Errorf("round %d: remove %s: %v, %v, want %v", round, r, removed, err, want)
			}
		}
	}
	if left := h.routes(); left != nil {
		t.Errorf("left %q", left)
	}
}

func TestVirtualRouteLeavesForeign(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	h.Run("ip", "route", "add", "203.0.113.0/24", "via", "192.168.16.1")
	m := h.manager(Options{})
	r := route("203.0.113.0/24", "192.168.16.2", "")
	if _, err := m.AddRoute(r); err == nil || !strings.Contains(err.Error(), "somebody else's (protocol boot) with the same destination and metric") {
		t.Errorf("error %v", err)
	}
	r.Via = netip.MustParseAddr("192.168.16.1") // the very same
	if removed, err := m.RemoveRoute(r); removed || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	r.Via = netip.MustParseAddr("172.16.0.1")
	r.Destination = netip.MustParsePrefix("198.51.100.0/24")
	if _, err := m.AddRoute(r); err == nil || !strings.Contains(err.Error(), "via must be on a network") {
		t.Errorf("error %v", err)
	}
}

func TestVirtualRules(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	list := []Rule{
		{From: netip.MustParsePrefix("192.168.16.200/32"), Priority: 1000, Table: 100},
		{From: netip.MustParsePrefix("192.168.16.0/24"), To: netip.MustParsePrefix("203.0.113.0/24"), IIF: "eth0", Mark: 5, Priority: 1000, Table: 100},
		{IPv6: true, From: netip.MustParsePrefix("2001:db8::200/128"), OIF: "eth0", Priority: 1001, Table: 101},
	}
	h.Run("ip", "rule", "add", "priority", "1000", "from", "192.168.16.7", "table", "100") // the administrator's
	for round, want := range []bool{true, false} {
		for _, r := range list {
			if added, err := m.AddRule(r); err != nil || added != want {
				t.Errorf("round %d: add %s: %v, %v, want %v", round, r, added, err, want)
			}
		}
	}
	m = h.manager(Options{})
	if gone, err := m.RemoveStrayRules(list[1:]); err != nil || len(gone) != 1 {
		t.Errorf("strays %v, %v, want one", gone, err)
	}
	for round, want := range []bool{true, false} {
		for _, r := range list[1:] {
			if removed, err := m.RemoveRule(r); err != nil || removed != want {
				t.Errorf("round %d: remove %s: %v, %v, want %v", round, r, removed, err, want)
			}
		}
	}
	rules := h.Run("ip", "rule", "show") + h.Run("ip", "-6", "rule", "show")
	if strings.Count(rules, "100") != 2 || !strings.Contains(rules, "1000:\tfrom 192.168.16.7 lookup 100") {
		t.Errorf("left\n%s", rules)
	}
}

// subscribed says whether somebody in the namespace is subscribed to what the
// kernel tells by rtnetlink: sockets of protocol 0 that have groups.
func (n *host) subscribed() bool {
	var raw []byte
	n.Must(func() (err error) { raw, err = os.ReadFile("/proc/thread-self/net/netlink"); return err })
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line) // sk, Eth, Pid, Groups, …
		if len(f) > 3 && f[1] == "0" && strings.Trim(f[3], "0") != "" {
			return true
		}
	}
	return false
}

// What others do with their routes does not wake us.
func TestWatchRoutes(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	m := h.manager(Options{})
	var reports atomic.Int32
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Do(func() error { return m.WatchRoutes(ctx, func() { reports.Add(1) }) }) }()
	eventually := func(what string, want int32) {
		t.Helper()
		nstest.Eventually(t, what, func() bool { return reports.Load() == want },
			func() string { return fmt.Sprintf("%d reports, want %d", reports.Load(), want) })
	}
	nstest.Eventually(t, "the subscription", h.subscribed)
	for range 20 {
		h.Run("ip", "route", "add", "198.51.100.0/24", "via", "192.168.16.1")
		h.Run("ip", "route", "del", "198.51.100.0/24")
	}
	for n, r := range []Route{route("203.0.113.0/24", "192.168.16.1", "eth0"), route("2001:db8:1::/48", "fe80::1", "eth0")} {
		if _, err := m.AddRoute(r); err != nil {
			t.Fatal(err)
		}
		h.Run("ip", "route", "del", r.Destination.String(), "proto", "113")
		eventually(r.String(), int32(n+1))
	}
	if _, err := m.AddRule(Rule{From: netip.MustParsePrefix("192.168.16.200/32"), Priority: 1000, Table: 100}); err != nil {
		t.Fatal(err)
	}
	h.Run("ip", "rule", "del", "priority", "1000")
	eventually("the rule", 3)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
