//go:build linux && kernel

package announce

import (
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"baton/internal/nstest"
)

// inNamespace runs f in a network namespace of its own, on one thread.
func inNamespace(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	var ns netns.NsHandle
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		var err error
		ns, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("make network namespace: %v (needs root)", err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(); ns.Close() })
	return ns, h
}

// pair joins two namespaces by a cable, eth0 on both ends.
func pair(t *testing.T) (a, b netns.NsHandle, ha, hb *netlink.Handle) {
	t.Helper()
	a, ha = newNamespace(t)
	b, hb = newNamespace(t)
	if err := ha.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b)}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*netlink.Handle{ha, hb} {
		if err := h.LinkSetUp(link(t, h, "eth0")); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []*netlink.Handle{ha, hb} {
		nstest.Eventually(t, "eth0 becomes operational", func() bool { return link(t, h, "eth0").Attrs().OperState == netlink.OperUp })
	}
	return a, b, ha, hb
}

func link(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// An announcement makes a neighbour that has the address at another station
// change its mind at once.
func TestAnnouncementMovesNeighbours(t *testing.T) {
	for _, tt := range []struct {
		vip    string
		router bool
	}{{"192.0.2.200", false}, {"2001:db8::200", false}, {"2001:db8::201", true}, {"fe80::200", true}} {
		t.Run(tt.vip, func(t *testing.T) {
			vip := netip.MustParseAddr(tt.vip)
			a, _, ha, hb := pair(t)
			bits := "/24"
			if vip.Is6() {
				bits = "/64"
			}
			own, err := netlink.ParseAddr(vip.Next().String() + bits)
			if err != nil {
				t.Fatal(err)
			}
			own.Flags = unix.IFA_F_NODAD
			if err := hb.AddrAdd(link(t, hb, "eth0"), own); err != nil {
				t.Fatal(err)
			}
			index := link(t, hb, "eth0").Attrs().Index
			other := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
			err = hb.NeighSet(&netlink.Neigh{LinkIndex: index, IP: vip.AsSlice(), HardwareAddr: other, State: netlink.NUD_STALE})
			if err != nil {
				t.Fatal(err)
			}
			inNamespace(t, a, func() {
				an, err := New("eth0")
				if err == nil {
					if vip.Is4() {
						err = an.GARP(vip, nil)
					} else {
						err = an.NA(vip, nil, tt.router)
					}
				}
				if err != nil {
					t.Error(err)
				}
				an.Close()
			})
			want := link(t, ha, "eth0").Attrs().HardwareAddr
			nstest.Eventually(t, "the neighbour believes it", func() bool {
				list, err := hb.NeighList(index, netlink.FAMILY_ALL)
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
