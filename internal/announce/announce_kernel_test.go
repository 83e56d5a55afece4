//go:build linux && kernel

package announce

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"baton/internal/nstest"
)

// An announcement makes a neighbour that has the address at another station
// change its mind at once.
func TestAnnouncementMovesNeighbours(t *testing.T) {
	for _, tt := range []struct {
		vip    string
		router bool
	}{{"192.0.2.200", false}, {"2001:db8::200", false}, {"2001:db8::201", true}, {"fe80::200", true}} {
		t.Run(tt.vip, func(t *testing.T) {
			vip := netip.MustParseAddr(tt.vip)
			a, b := nstest.New(t), nstest.New(t)
			a.Cable("eth0", b, "eth0")
			bits := "/24"
			if vip.Is6() {
				bits = "/64"
			}
			b.Address("eth0", vip.Next().String()+bits)
			index := b.Link("eth0").Attrs().Index
			other := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
			err := b.Netlink().NeighSet(&netlink.Neigh{LinkIndex: index, IP: vip.AsSlice(), HardwareAddr: other, State: netlink.NUD_STALE})
			if err != nil {
				t.Fatal(err)
			}
			a.Must(func() error {
				an, err := New("eth0")
				if err != nil {
					return err
				}
				defer an.Close()
				if vip.Is4() {
					return an.GARP(vip, nil)
				}
				return an.NA(vip, nil, tt.router)
			})
			want := a.Link("eth0").Attrs().HardwareAddr
			nstest.Eventually(t, "the neighbour believes it", func() bool {
				list, err := b.Netlink().NeighList(index, netlink.FAMILY_ALL)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range list {
					if n.IP.Equal(vip.AsSlice()) && n.HardwareAddr.String() == want.String() {
						if router := n.Flags&netlink.NTF_ROUTER != 0; vip.Is6() && router != tt.router {
							t.Errorf("the neighbour takes it for a router: %v, want %v", router, tt.router)
						}
						return true
					}
				}
				return false
			})
		})
	}
}

// Frames of a VLAN pass the interface below it: who has the address there, as
// fe80::1 is had in many networks, claims nothing of this one. A priority alone
// (VLAN 0) makes no other network.
func TestClaimsOfAnotherVLAN(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.200")
	a, b := nstest.New(t), nstest.New(t)
	a.Cable("eth0", b, "eth0")
	heard := make(chan string, 8)
	a.Must(func() error {
		w, err := WatchAll("eth0", func(net.HardwareAddr) bool { return false }, func(c Conflict) { heard <- c.MAC.String() })
		if err != nil {
			return err
		}
		t.Cleanup(func() { w.Close() })
		return w.Set([]netip.Addr{vip})
	})
	claim := func(tag string, last byte) (mac net.HardwareAddr) {
		t.Helper()
		mac = net.HardwareAddr{2, 0, 0, 0, 0, last}
		b.Must(func() error {
			frames, err := garpFrames(vip, mac)
			if err != nil {
				return err
			}
			s, err := openPacket("eth0")
			if err != nil {
				return err
			}
			defer s.close()
			return s.send(slices.Concat(frames[0][:etherTypeAt], []byte(tag), frames[0][etherTypeAt:]))
		})
		return mac
	}
	claim("\x81\x00\x00\x64", 1) // VLAN 100
	for _, want := range []net.HardwareAddr{claim("\x81\x00\xe0\x00", 2), claim("", 3)} {
		select {
		case got := <-heard:
			if got != want.String() {
				t.Errorf("heard %s, want %s", got, want)
			}
		case <-time.After(nstest.Patience):
			t.Fatalf("never heard %s", want)
		}
	}
}
