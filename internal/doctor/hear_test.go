package doctor

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"baton/vrrp"
)

// onWire is an advert in its frame.
func onWire(source netip.Addr, a vrrp.Advert, addrs ...string) []byte {
	var list []vrrp.Address
	for _, s := range addrs {
		list = append(list, vrrp.Address{Prefix: netip.MustParsePrefix(s)})
	}
	group, frame := vrrp.Group, append(make([]byte, 6), 2, 0, 0, 0, 0, 0x12)
	if source.Is6() {
		group = vrrp.Group6
	}
	a.Checksum = vrrp.ChecksumPseudo
	message := vrrp.AppendAdvert(nil, a, source, group, list)
	src, dst := source.AsSlice(), group.AsSlice()
	if source.Is6() {
		head := []byte{0x60, 0, 0, 0, 0, byte(len(message)), vrrp.Protocol, 255}
		return append(append(append(append(append(frame, 0x86, 0xdd), head...), src...), dst...), message...)
	}
	head := []byte{0x45, 0, 0, byte(20 + len(message)), 0, 0, 0x40, 0, 255, vrrp.Protocol, 0, 0}
	return append(append(append(append(append(frame, 8, 0), head...), src...), dst...), message...)
}

func TestHeard(t *testing.T) {
	inst := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Version: vrrp.V3, AdvertInterval: time.Second,
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("192.168.16.200/24")}}}
	inst6 := inst
	inst6.Addresses = []vrrp.Address{{Prefix: netip.MustParsePrefix("fe80::200/64")}}
	l := &listener{own: []netip.Addr{ip("192.168.16.11")}, instances: []*vrrp.Config{&inst, &inst6},
		source: func(*vrrp.Config) netip.Addr { return ip("192.168.16.11") }}
	hear := func(frame []byte) {
		t.Helper()
		message, meta, mac, ok := parseFrame(append(frame, 0, 0, 0)) // Ethernet pads
		if !ok {
			t.Fatal("no advert in the frame")
		}
		l.message(message, meta, mac)
		l.delivered(message, meta)
	}
	v3 := vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: 100, Interval: time.Second}
	v2, other, ours := v3, v3, v3
	v2.Version, other.VRID = vrrp.V2, 7
	hear(onWire(ip("192.168.16.12"), v3, "192.168.16.200/24"))
	v3.Priority = 150
	hear(onWire(ip("192.168.16.12"), v3, "192.168.16.200/24"))
	hear(onWire(ip("192.168.16.13"), v2, "192.168.16.200/24"))
	hear(onWire(ip("192.168.16.14"), other, "10.0.0.1/24", "10.0.0.2/24"))
	hear(onWire(ip("fe80::12"), v3, "fe80::200/64"))
	hear(onWire(ip("192.168.16.11"), ours, "192.168.16.200/24")) // not a stranger's
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x12}.String()
	want := []Heard{
		{Source: ip("192.168.16.12"), MAC: mac, VRID: 51, Version: 3, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{ip("192.168.16.200")}, Count: 2, Delivered: 2},
		{Source: ip("192.168.16.13"), MAC: mac, VRID: 51, Version: 2, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{ip("192.168.16.200")}, Count: 1, Delivered: 1, Drop: vrrp.DropVersion.String()},
		{Source: ip("192.168.16.14"), MAC: mac, VRID: 7, Version: 3, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{ip("10.0.0.1"), ip("10.0.0.2")}, Count: 1, Delivered: 1},
		{Source: ip("fe80::12"), MAC: mac, VRID: 51, Version: 3, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{ip("fe80::200")}, Count: 1, Delivered: 1},
	}
	if diff := cmp.Diff(want, l.heard, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	for range 2 * maxHeard {
		other.VRID++
		other.Priority++
		hear(onWire(ip("192.168.16.14"), other, "10.0.0.1/24"))
		hear(onWire(ip("192.168.16.15"), other, "10.0.0.1/24"))
	}
	if len(l.heard) != maxHeard {
		t.Errorf("%d routers are remembered, want %d", len(l.heard), maxHeard)
	}
}

func FuzzParseFrame(f *testing.F) {
	a := vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: 100, Interval: time.Second}
	f.Add(onWire(ip("192.168.16.12"), a, "192.168.16.200/24"))
	f.Add(onWire(ip("fe80::12"), a, "fe80::200/64"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		message, meta, mac, ok := parseFrame(frame)
		if !ok {
			return
		}
		if len(mac) != 6 || meta.Source.Is4() != meta.Destination.Is4() || len(message) > len(frame) {
			t.Errorf("took %x for an advert from %v to %v", message, meta.Source, meta.Destination)
		}
		l := &listener{instances: []*vrrp.Config{{VRID: 51, Version: vrrp.V3, Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("192.168.16.200/24")}}}},
			source: func(*vrrp.Config) netip.Addr { return netip.Addr{} }}
		l.message(message, meta, mac)
		l.delivered(message, meta)
	})
}
