//go:build linux && kernel

package vrrp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vmacCases are a VMAC of each family and what its adverts look like.
var vmacCases = []struct {
	at       Endpoint
	a, b     netip.Addr
	vips     []Address
	from, to string // MAC addresses
}{
	{eth0, addrA, addrB, vip, "00:00:5e:00:01:33", "01:00:5e:00:00:12"},
	{eth6, linkA, linkB, vip6, "00:00:5e:00:02:33", "33:33:00:00:00:12"},
}

func TestKernelVMAC(t *testing.T) {
	for _, tt := range vmacCases {
		t.Run(fmt.Sprintf("IPv%d", tt.at.Family), func(t *testing.T) {
			a, b := cable(t)
			a.t, b.t = t, t
			fd := b.sniff()
			ca, cb := inside{a.listenAt(tt.at), a}, b.listenAt(tt.at)
			defer ca.Close()
			defer cb.Close()
			message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, tt.a, tt.at.Group, tt.vips)
			d := Delivery{Source: tt.a, Destination: tt.at.Group, TTL: TTL, Device: "vrrp.51"}

			if err := ca.Send(message, d); !errors.Is(err, unix.ENODEV) {
				t.Errorf("without the VMAC: %v", err)
			}
			check := func(when string) {
				t.Helper()
				if err := ca.Send(message, d); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				frame, ip := sniffed(t, fd)
				if got := net.HardwareAddr(frame[6:12]).String(); got != tt.from {
					t.Errorf("%s: sent from %s", when, got)
				}
				if got := net.HardwareAddr(frame[:6]).String(); got != tt.to {
					t.Errorf("%s: sent to %s", when, got)
				}
				if tos := ip[0]<<4 | ip[1]>>4; tt.at.Family == IPv6 && tos != 0xc0 || tt.at.Family == IPv4 && ip[1] != 0xc0 {
					t.Errorf("%s: the header is %x", when, ip[:8])
				}
				got, meta := receive(t, cb, 5*time.Second)
				if meta != (Meta{Source: tt.a, Destination: tt.at.Group, TTL: 255}) {
					t.Errorf("%s: meta %+v", when, meta)
				}
				if _, drop := Parse(got, meta, &Want{Version: V3, VRID: 51, Source: tt.b}); drop != DropNone {
					t.Errorf("%s: dropped for %v", when, drop)
				}
				if own, _, err := ca.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
					t.Errorf("%s: it hears itself: %x, %v", when, own, err)
				}
			}
			a.vmac("vrrp.51", tt.at.Family)
			check("first")
			a.in(func() {
				if err := netlink.LinkDel(a.link("vrrp.51")); err != nil {
					t.Fatal(err)
				}
			})
			if err := ca.Send(message, d); err == nil {
				t.Error("the VMAC is gone, and nothing is said")
			}
			a.vmac("vrrp.51", tt.at.Family)
			check("made anew")
			a.in(func() {
				if err := errors.Join(netlink.LinkSetDown(a.link("vrrp.51"))); err != nil {
					t.Fatal(err)
				}
			})
			if err := ca.Send(message, d); !errors.Is(err, unix.ENETDOWN) {
				t.Errorf("from a VMAC that is down: %v", err)
			}
			if _, _, err := ca.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
				t.Errorf("it went down: %v", err)
			}
			a.in(func() {
				if err := netlink.LinkSetUp(a.link("vrrp.51")); err != nil {
					t.Fatal(err)
				}
			})
			check("up again")
			if got := len(ca.Conn.(*socket).devices); got != 1 {
				t.Errorf("%d VMACs are open", got)
			}
			measure(t, ca.Conn, cb, message, d)

			d.Destination = tt.b
			if err := ca.Send(message, d); err == nil {
				t.Error("unicast leaves from a VMAC")
			}
		})
	}
}

// Both sides have the same VMAC, as they have in service. The kernel takes what
// comes from that MAC address away from the interface below.
func TestKernelVMACOverhears(t *testing.T) {
	for _, tt := range vmacCases {
		t.Run(fmt.Sprintf("IPv%d", tt.at.Family), func(t *testing.T) {
			a, b := cable(t)
			a.t, b.t = t, t
			a.vmac("vrrp.51", tt.at.Family)
			b.vmac("vrrp.51", tt.at.Family)
			ca, cb := inside{a.listenAt(tt.at), a}, inside{b.listenAt(tt.at), b}
			defer ca.Close()
			defer cb.Close()
			send := func(priority uint8, device string) {
				t.Helper()
				message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: priority, Interval: time.Second, Checksum: ChecksumPseudo}, tt.b, tt.at.Group, tt.vips)
				if err := cb.Send(message, Delivery{Source: tt.b, Destination: tt.at.Group, TTL: TTL, Device: device}); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(priority uint8) {
				t.Helper()
				message, meta := receive(t, ca, 5*time.Second)
				a, drop := Parse(message, meta, &Want{Version: V3, VRID: 51, Source: tt.a})
				if drop != DropNone || a.Priority != priority || meta.Source != tt.b {
					t.Errorf("got %+v (%v) from %v, want priority %d", a, drop, meta.Source, priority)
				}
			}
			send(1, "vrrp.51")
			send(2, "")
			expect(2) // the one before it was taken away: this is what Overhear is for
			if err := ca.Overhear("vrrp.51"); err != nil {
				t.Fatal(err)
			}
			send(3, "vrrp.51")
			expect(3)
			send(4, "")
			expect(4)
			if message, _, err := ca.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
				t.Errorf("something came twice: %x, %v", message, err)
			}
			if err := ca.Overhear("no-such-vmac"); err != nil {
				t.Errorf("there is none of that name yet: %v", err)
			}

			// Replaced while we only listen.
			a.in(func() {
				if err := netlink.LinkDel(a.link("vrrp.51")); err != nil {
					t.Fatal(err)
				}
			})
			a.vmac("vrrp.51", tt.at.Family)
			if err := ca.Overhear("vrrp.51"); err != nil {
				t.Fatal(err)
			}
			send(5, "vrrp.51")
			expect(5)
			if got := len(ca.Conn.(*socket).devices); got != 1 {
				t.Errorf("%d VMACs are open", got)
			}
		})
	}
}

// A pair with VMACs, in each mix of sending from them and from the interface.
func TestKernelVMACPair(t *testing.T) {
	for _, base := range [][2]bool{{false, false}, {true, false}, {false, true}} {
		t.Run(fmt.Sprintf("xmit_base %v", base), func(t *testing.T) {
			a, b := cable(t)
			a.t, b.t = t, t
			pair := func(h *host, priority uint8, base bool) []Config {
				h.vmac("vrrp4.51", IPv4)
				h.vmac("vrrp6.51", IPv6)
				v4, v6 := instanceConfig(priority), instance6(priority)
				v6.Name = "VI_6"
				v4.VMAC, v6.VMAC = &VMAC{Name: "vrrp4.51", XmitBase: base}, &VMAC{Name: "vrrp6.51", XmitBase: base}
				v4.AdvertInterval, v6.AdvertInterval = 100*time.Millisecond, 100*time.Millisecond
				return []Config{v4, v6}
			}
			ea, ra, _ := a.engine(pair(a, 150, base[0])...)
			ra.await(t, 0, "VI_1 BACKUP>MASTER", 10*time.Second)
			ra.await(t, 0, "VI_6 BACKUP>MASTER", 10*time.Second)
			eb, rb, _ := b.engine(pair(b, 100, base[1])...)
			rb.await(t, 0, "VI_1 peer_found 192.168.16.102", 10*time.Second)
			rb.await(t, 0, "VI_6 peer_found fe80::a", 10*time.Second)
			for _, name := range []string{"VI_1", "VI_6"} {
				if err := ea.Failover(name); err != nil {
					t.Fatal(err)
				}
				rb.await(t, 0, name+" BACKUP>MASTER: master resigned", 10*time.Second)
				ra.await(t, 0, name+" MASTER>BACKUP: failover", 10*time.Second)
			}
			for _, s := range append(ea.Status(), eb.Status()...) {
				if len(s.Dropped)+len(s.InterfaceDropped) != 0 {
					t.Errorf("%s dropped %v %v", s.Config.Name, s.Dropped, s.InterfaceDropped)
				}
			}
		})
	}
}
