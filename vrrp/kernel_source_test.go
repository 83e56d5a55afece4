//go:build linux && kernel

package vrrp

import (
	"net/netip"
	"os"
	"testing"
)

// The kernel says whether an advert could come from an address, also where
// sockets may be bound to any, and nothing is sent for that.
func TestKernelSource(t *testing.T) {
	a, b := cable(t)
	listen := func(h *host, at Endpoint) (conn Conn) {
		h.in(func() {
			var err error
			if conn, err = Listen(at); err != nil {
				t.Fatal(err)
			}
		})
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	none4, none6 := netip.MustParseAddr("192.168.16.99"), netip.MustParseAddr("fe80::99")
	for at, is := range map[Endpoint]map[netip.Addr]bool{
		{Interface: "eth0", Family: IPv4, Group: Group}:  {addrA: true, addrB: false, none4: false},
		{Interface: "eth0", Family: IPv6, Group: Group6}: {linkA: true, wideA: true, linkB: false, none6: false},
	} {
		conn, other := listen(a, at), listen(b, at)
		for _, anywhere := range []string{"0", "1"} {
			a.in(func() {
				if err := os.WriteFile("/proc/sys/net/ipv4/ip_nonlocal_bind", []byte(anywhere), 0); err != nil {
					t.Fatal(err)
				}
			})
			for source, want := range is {
				if got := conn.(sourcer).HasSource(source); got != want {
					t.Errorf("%v with ip_nonlocal_bind %s: %v", source, anywhere, got)
				}
			}
		}
		if message, meta, err := other.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
			t.Errorf("the question is heard: %x %+v %v", message, meta, err)
		}
	}
}
