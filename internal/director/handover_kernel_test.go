//go:build linux && kernel

package director

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"baton/vrrp"
)

// lingers says whether TCP to the virtual address still comes to IPVS here.
func lingers(t *testing.T) bool {
	t.Helper()
	routes, rules := run(t, "ip", "route", "show", "table", "112000"), run(t, "ip", "rule")
	return strings.Contains(routes, "local 192.168.16.200 dev lo") && strings.Contains(rules, "iif eth0 ipproto") && strings.Contains(rules, "lookup 112000")
}

// An instance that a reload renames is another one: the old name hands over,
// the new one comes back and may be handed over itself, all within seconds.
// Each of the two lingers, and the end of one is not that of the other.
func TestRenamedInstanceLingers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	s := newMouth(t)
	was := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32"), HandoverLinger: time.Second}
	is := was
	is.Name, is.HandoverLinger = "VI_new", time.Hour
	peer := vrrp.Handover{Successor: netip.MustParseAddr("192.168.16.112")}
	set := func(c vrrp.Config, present bool, h vrrp.Handover) {
		t.Helper()
		if err := s.addrs.Set(c, present, h); err != nil {
			t.Fatal(err)
		}
	}
	apply := func(c vrrp.Config) {
		s.apply(speakerState{Instances: []vrrp.Config{c}, Ports: map[string][]uint16{c.Name: {80}}})
	}
	apply(was)
	set(was, true, vrrp.Handover{})
	apply(is) // the speaker is told first, and hands over then
	set(was, false, peer)
	if !lingers(t) {
		t.Error("the instance that the reload has renamed does not linger")
	}
	set(is, true, vrrp.Handover{})
	set(is, false, peer)
	s.eventually(t, "the end of the first linger", func() bool {
		s.addrs.mu.Lock()
		defer s.addrs.mu.Unlock()
		return s.addrs.fading["VI_1/linger"] == nil && s.addrs.fading["VI_new/linger"] != nil
	})
	if !lingers(t) {
		t.Error("the first linger's end was the second's")
	}
	set(is, true, vrrp.Handover{}) // ends it
	if lingers(t) {
		t.Error("it lingers as a master")
	}
	apply(is)
	if _, kept := s.addrs.ports["VI_1"]; kept {
		t.Error("the ports of a name that is gone are kept for good")
	}
	if n := s.count("failed"); n > 0 {
		t.Errorf("%d failures: %q", n, s.said)
	}
}
