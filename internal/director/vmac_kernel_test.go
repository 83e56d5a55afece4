//go:build linux && kernel

package director

import (
	"net/netip"
	"os/exec"
	"testing"

	"baton/internal/netif"
	"baton/vrrp"
)

func virtual(list ...string) []vrrp.Address {
	var out []vrrp.Address
	for _, s := range list {
		out = append(out, vrrp.Address{Prefix: netip.MustParsePrefix(s)})
	}
	return out
}

func TestVMACComesAndGoes(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	s := newMouth(t)
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, VMAC: &vrrp.VMAC{Name: "vrrp.51"},
		Addresses: virtual("192.168.16.200/32"), Excluded: virtual("2001:db8::200/128")}
	held := func() bool { return on("vrrp.51", "192.168.16.200/32") && on("vrrp.51", "2001:db8::200/128") }

	s.apply(speakerState{Instances: []vrrp.Config{c}})
	if s.count("vmac.created", "instance=VI_1", "interface=vrrp.51", "mac=00:00:5e:00:01:33") != 1 {
		t.Fatalf("said %q", s.said)
	}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil || !held() {
		t.Fatalf("set: %v, there: %v", err, held())
	}
	if on("eth0", "192.168.16.200/32") {
		t.Error("the address is on the interface below as well")
	}
	if err := s.addrs.Announce(c); err != nil {
		t.Error(err)
	}

	run(t, "ip", "link", "del", "vrrp.51")
	s.eventually(t, "made again, addresses as well", func() bool {
		return held() && s.count("vmac.created") == 2 && s.count("address.restored", "gone with its interface") == 2
	})
	run(t, "ip", "link", "set", "vrrp.51", "down")
	s.eventually(t, "up again", func() bool { return held() && s.count("address.restored", "2001:db8::200") == 2 })
	if n := s.count("failed"); n > 0 {
		t.Errorf("%d failures: %q", n, s.said)
	}

	run(t, "ip", "link", "del", "eth0") // the VMAC goes with it
	cable(t)
	s.eventually(t, "made on the new interface", held)

	// A reload gives the instance another one while it is master.
	next := c
	next.VMAC = &vrrp.VMAC{Name: "vrrp.new"}
	s.apply(speakerState{Instances: []vrrp.Config{next}})
	if !held() {
		t.Error("the VMAC of a master is gone before it has let go")
	}
	if err := s.addrs.Set(c, false, vrrp.Handover{}); err != nil {
		t.Error(err)
	}
	s.eventually(t, "the old one is removed", func() bool { return s.count("vmac.removed", "interface=vrrp.51") == 1 })
	if s.count("address.removed", "2001:db8::200") != 1 {
		t.Errorf("the removal of the ipv6 address was not told: %q", s.said)
	}

	// What a run before left is removed where nobody wants it.
	if _, err := s.netif.EnsureVMAC(netif.VMAC{Name: "stray", Parent: "eth0", MAC: netif.VirtualMAC(false, 99)}); err != nil {
		t.Fatal(err)
	}
	s.apply(speakerState{Instances: []vrrp.Config{next}})
	if exec.Command("ip", "link", "show", "stray").Run() == nil {
		t.Error("the stray is still there")
	}
	s.addrs.wait()
	s.addrs.vmacs.want(nil)
	s.addrs.reconcileVMACs()
	if names, err := s.netif.VMACs(); err != nil || len(names) > 0 {
		t.Errorf("left at the end: %v, %v", names, err)
	}
}

func TestVMACFailureIsToldOnce(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	run(t, "ip", "link", "add", "vrrp.51", "type", "dummy")
	s := newMouth(t)
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, VMAC: &vrrp.VMAC{Name: "vrrp.51"}, Addresses: virtual("192.168.16.200/32")}
	for range 3 {
		s.apply(speakerState{Instances: []vrrp.Config{c}})
	}
	if n := s.count("vmac.failed", "is not ours"); n != 1 {
		t.Errorf("told %d times: %q", n, s.said)
	}
	run(t, "ip", "link", "del", "vrrp.51")
	s.eventually(t, "made when the name is free", func() bool { return s.count("vmac.created") == 1 })
}

// A reload takes addresses out, or from one instance to another.
func TestReloadMovesAddresses(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	s := newMouth(t)
	one := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32", "192.168.16.201/32", "192.168.16.202/32")}
	two := vrrp.Config{Name: "VI_2", Interface: "eth0", VRID: 52, Addresses: virtual("192.168.16.210/32")}
	set := func(c vrrp.Config) {
		t.Helper()
		if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil {
			t.Fatal(err)
		}
	}
	set(one)
	set(two)
	two.Addresses = virtual("192.168.16.210/32", "192.168.16.201/32")
	set(two)
	one.Addresses = virtual("192.168.16.200/32")
	set(one)
	for prefix, want := range map[string]bool{"192.168.16.200/32": true, "192.168.16.201/32": true, "192.168.16.202/32": false, "192.168.16.210/32": true} {
		if got := on("eth0", prefix); got != want {
			t.Errorf("%s there: %v, want %v", prefix, got, want)
		}
	}
	if s.count("address.removed", "192.168.16.201/32") > 0 {
		t.Error("the address that moved to another instance was gone for a moment")
	}
}
