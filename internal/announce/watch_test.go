package announce

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
)

// claimFrames has what a network carries about two addresses, and whether it
// is a claim to them.
func claimFrames(t *testing.T) map[string]struct {
	frame []byte
	vip   netip.Addr
} {
	t.Helper()
	other4, other6 := netip.MustParseAddr("192.168.16.201"), netip.MustParseAddr("2001:db8::201")
	type entry = struct {
		frame []byte
		vip   netip.Addr
	}
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	arp4, err := garpFrames(vip, mac)
	if err != nil {
		t.Fatal(err)
	}
	foreign4, _ := garpFrames(other4, mac)
	na, _ := naFrames(vip6, mac, true)
	foreign6, _ := naFrames(other6, mac, true)
	asks := must(probe6(vip6, mac))
	asks[ip6Source] = 0x20 // a neighbour that resolves the address
	routed := append([]byte{}, na[0]...)
	routed[ip6Hop] = 254
	return map[string]entry{
		"gratuitous request":             {arp4[0], vip},
		"gratuitous reply":               {arp4[1], vip},
		"arp of another address":         {foreign4[0], netip.Addr{}},
		"arp probe":                      {must(probe4(vip, mac)), netip.Addr{}},
		"advertisement":                  {na[0], vip6},
		"detection":                      {must(probe6(vip6, mac)), vip6},
		"solicitation":                   {asks, netip.Addr{}},
		"advertisement of another":       {foreign6[0], netip.Addr{}},
		"detection of another":           {must(probe6(other6, mac)), netip.Addr{}},
		"advertisement through a router": {routed, netip.Addr{}},
	}
}

func TestFilterPassesClaimsOnly(t *testing.T) {
	many := []netip.Addr{}
	for a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8:1::1"); len(many) < 2*(maxFiltered-1); a, b = a.Next(), b.Next() {
		many = append(many, a, b)
	}
	for name, vips := range map[string][]netip.Addr{
		"two addresses":           {vip, vip6},
		"as many as are filtered": append(many, vip, vip6),
	} {
		prog := claimsOf(vips)
		if len(prog) > 4096 {
			t.Fatalf("%s: %d instructions, the kernel takes 4096", name, len(prog))
		}
		vm, err := bpf.NewVM(prog[aboutPacket:]) // it knows nothing of a packet but its bytes
		if err != nil {
			t.Fatal(err)
		}
		for what, f := range claimFrames(t) {
			n, err := vm.Run(f.frame)
			if err != nil {
				t.Fatal(err)
			}
			got, _, ok := parseClaim(f.frame)
			claimed := n > 0 && ok && (got == vip || got == vip6)
			if claimed != f.vip.IsValid() || claimed && got != f.vip {
				t.Errorf("%s, %s: passed %d, parsed %v %v, want %v", name, what, n, got, ok, f.vip)
			}
			if what != "advertisement through a router" && n > 0 != f.vip.IsValid() {
				t.Errorf("%s, %s: the kernel passes it: %v", name, what, n > 0)
			}
		}
	}
}

func TestFilterWithTooManyAddresses(t *testing.T) {
	var many []netip.Addr
	for a := netip.MustParseAddr("10.0.0.1"); len(many) <= maxFiltered; a = a.Next() {
		many = append(many, a)
	}
	vm, err := bpf.NewVM(claimsOf(append(many, vip))[aboutPacket:])
	if err != nil {
		t.Fatal(err)
	}
	frames := claimFrames(t)
	if n, _ := vm.Run(frames["gratuitous reply"].frame); n == 0 {
		t.Error("a claim is missed")
	}
}

func TestParseClaimStation(t *testing.T) {
	frames, err := naFrames(vip6, mac, true)
	if err != nil {
		t.Fatal(err)
	}
	proxied := append([]byte{}, frames[0]...)
	proxied[6+5] = 0x77 // the frame comes from a bridge
	for _, f := range [][]byte{frames[0], proxied} {
		if _, got, ok := parseClaim(f); !ok || net.HardwareAddr(got[:]).String() != mac.String() {
			t.Errorf("station %v, %v, want %v", got, ok, mac)
		}
	}
}

func FuzzParseClaim(f *testing.F) {
	arp4, _ := garpFrames(vip, mac)
	na, _ := naFrames(vip6, mac, true)
	ns, _ := probe6(vip6, mac)
	for _, b := range [][]byte{arp4[0], arp4[1], na[0], ns, na[0][:80], arp4[0][:31], {}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		vip, _, ok := parseClaim(b)
		if ok != vip.IsValid() {
			t.Errorf("address %v, ok %v", vip, ok)
		}
	})
}

// A flood is one report a second, which says how many there were.
func TestConflictReportsAreBounded(t *testing.T) {
	var got []Conflict
	w := &Watcher{iface: "eth0", every: conflictEvery, claims: map[netip.Addr]*claim{vip: {}}, report: func(c Conflict) { got = append(got, c) }}
	begun := time.Unix(1000, 0)
	for i := range 2500 {
		w.heard(begun.Add(time.Duration(i)*time.Millisecond), vip, [6]byte(mac))
	}
	w.heard(begun, vip6, [6]byte(mac)) // not ours (any more)
	var counts []int
	for _, c := range got {
		counts = append(counts, c.Count)
	}
	if diff := cmp.Diff([]int{1, 1000, 1000}, counts); diff != "" {
		t.Errorf("counts of the reports (-want +got):\n%s", diff)
	}
}
