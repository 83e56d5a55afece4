//go:build linux && kernel

package vrrp

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eth6 is eth0 for adverts over IPv6.
var eth6 = Endpoint{Interface: "eth0", Family: IPv6, Group: Group6}

func TestKernelIPv6AdvertOnTheWire(t *testing.T) {
	a, b := cable(t)
	fd := b.sniff()
	conn := a.listenAt(eth6)
	defer conn.Close()
	sent := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second}, linkA, Group6, vip6)
	if err := conn.Send(sent, Delivery{Source: linkA, Destination: Group6, TTL: TTL}); err != nil {
		t.Fatal(err)
	}
	frame, ip := sniffed(t, fd)
	if got := net.HardwareAddr(frame[:6]).String(); got != "33:33:00:00:00:12" {
		t.Errorf("sent to %s", got)
	}
	// Version 6 and traffic class 0xc0; the length, protocol 112, hop limit 255.
	if ip[0] != 0x6c || ip[1]&0xf0 != 0 || !bytes.Equal(ip[4:8], []byte{0, 40, 112, 255}) {
		t.Errorf("its header is %x", ip[:8])
	}
	if !bytes.Equal(ip[8:24], linkA.AsSlice()) || !bytes.Equal(ip[24:40], Group6.AsSlice()) {
		t.Errorf("from %x to %x", ip[8:24], ip[24:40])
	}
	if got := hex.EncodeToString(ip[40:]); got != hex.EncodeToString(unhex(t, k3IPv6)) {
		t.Errorf("the message is %s, keepalived's is %s", got, k3IPv6)
	}
	if message, _, err := conn.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
		t.Errorf("it hears itself: %x, %v", message, err)
	}
	if err := conn.Send(sent, Delivery{Source: linkB, Destination: Group6, TTL: TTL}); err == nil {
		t.Error("sends from an address that the host does not have")
	}
}

func TestKernelIPv6SocketOptions(t *testing.T) {
	a, _ := cable(t)
	conn := a.listenAt(eth6)
	defer conn.Close()
	fd := conn.(*socket).fd
	for _, o := range []struct {
		name         string
		level, opt   int
		want, atMost int
	}{
		{"IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0, 0},
		{"IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xc0, 0xc0},
		{"IPV6_CHECKSUM", unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, -1, -1},
		{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, 7, 7},
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer, 2 * receiveBuffer},
	} {
		got, err := unix.GetsockoptInt(fd, o.level, o.opt)
		if err != nil || got < o.want || got > o.atMost {
			t.Errorf("%s is %d, %v, want %d to %d", o.name, got, err, o.want, o.atMost)
		}
	}
}

func TestKernelIPv6Receive(t *testing.T) {
	a, b := cable(t)
	ca, cb := a.listenAt(eth6), b.listenAt(eth6)
	defer ca.Close()
	defer cb.Close()
	want := Want{Version: V3, VRID: 51, Source: linkA}
	good := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 100, Interval: time.Second}, linkB, Group6, vip6)
	damaged := bytes.Clone(good)
	damaged[39] ^= 1
	many := make([]Address, MaxAddresses)
	for i := range many {
		many[i].Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)}), 64)
	}
	for _, tt := range []struct {
		name    string
		message []byte
		d       Delivery
		drop    DropReason
	}{
		{"from a peer", good, Delivery{Source: linkB, Destination: Group6, TTL: 255}, DropNone},
		{"through a router", good, Delivery{Source: linkB, Destination: Group6, TTL: 64}, DropTTL},
		{"to ourselves", good, Delivery{Source: linkB, Destination: linkA, TTL: 255}, DropDestination},
		{"to all nodes", good, Delivery{Source: linkB, Destination: netip.MustParseAddr("ff02::1"), TTL: 255}, DropDestination},
		{"damaged: the kernel leaves it to us", damaged, Delivery{Source: linkB, Destination: Group6, TTL: 255}, DropChecksum},
		{"in fragments", AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 100, Interval: time.Second}, linkB, Group6, many),
			Delivery{Source: linkB, Destination: Group6, TTL: 255}, DropNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := cb.Send(tt.message, tt.d); err != nil {
				t.Fatal(err)
			}
			if tt.d.Destination == netip.MustParseAddr("ff02::1") {
				// The host has joined it, but this socket has not: what is
				// sent after it comes first.
				if err := cb.Send(good, Delivery{Source: linkB, Destination: linkA, TTL: 255}); err != nil {
					t.Fatal(err)
				}
			}
			message, meta := receive(t, ca, 5*time.Second)
			if tt.drop != DropDestination && meta != (Meta{Source: linkB, Destination: tt.d.Destination, TTL: tt.d.TTL}) {
				t.Errorf("meta %+v", meta)
			}
			if tt.drop == DropDestination && meta.Destination != linkA {
				t.Errorf("what comes was sent to %v", meta.Destination)
			}
			if _, drop := Parse(message, meta, &want); drop != tt.drop {
				t.Errorf("dropped for %q, want %q", drop, tt.drop)
			}
			if _, _, err := ca.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
				t.Errorf("then there is %v", err)
			}
		})
	}
}

func TestKernelIPv6SocketDoesNotAllocate(t *testing.T) {
	a, b := cable(t)
	ca, cb := a.listenAt(eth6), b.listenAt(eth6)
	defer ca.Close()
	defer cb.Close()
	message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second}, linkA, Group6, vip6)
	measure(t, ca, cb, message, Delivery{Source: linkA, Destination: Group6, TTL: TTL})
}

// measure fails if an advert sent and received allocates.
func measure(t *testing.T, from, to Conn, message []byte, d Delivery) {
	t.Helper()
	buf := make([]byte, MaxPacket)
	received := 0
	n := testing.AllocsPerRun(200, func() {
		if err := from.Send(message, d); err != nil {
			t.Fatal(err)
		}
		// Another processor may still be carrying the packet across.
		for tries := 0; ; tries++ {
			_, _, err := to.Receive(buf)
			if err == nil {
				received++
				return
			}
			if err != ErrEmpty || tries > 1_000_000 {
				t.Fatalf("after %d tries: %v", tries, err)
			}
			runtime.Gosched()
		}
	})
	if n != 0 {
		t.Errorf("an advert sent and received costs %v allocations", n)
	}
	if received < 200 {
		t.Errorf("%d were received: not all was measured", received)
	}
}

// instance6 is instanceConfig over IPv6.
func instance6(priority uint8) Config {
	c := instanceConfig(priority)
	c.Addresses = vip6
	return c
}

// Both families of one VRID on one interface are two virtual routers.
func TestKernelBothFamilies(t *testing.T) {
	a, b := cable(t)
	pair := func(priority uint8) []Config {
		v4, v6 := instanceConfig(priority), instance6(priority)
		v6.Name = "VI_6"
		v4.AdvertInterval, v6.AdvertInterval = 100*time.Millisecond, 100*time.Millisecond
		return []Config{v4, v6}
	}
	ea, ra, _ := a.engine(pair(150)...)
	ra.await(t, 0, "VI_1 BACKUP>MASTER", 10*time.Second)
	ra.await(t, 0, "VI_6 BACKUP>MASTER", 10*time.Second)
	eb, rb, _ := b.engine(pair(100)...)
	_, n4 := rb.await(t, 0, "VI_1 peer_found 192.168.16.102", 10*time.Second)
	_, n6 := rb.await(t, 0, "VI_6 peer_found fe80::a", 10*time.Second)
	if err := ea.Failover("VI_6"); err != nil {
		t.Fatal(err)
	}
	rb.await(t, n6, "VI_6 BACKUP>MASTER: master resigned", 10*time.Second)
	ra.await(t, 0, "VI_6 handover_done fe80::b", 10*time.Second)
	if s := eb.Status(); s[0].Role != Backup || s[1].Role != Master {
		t.Errorf("b is %s over IPv4 and %s over IPv6: %s", s[0].Role, s[1].Role, rb.all())
	}
	if err := ea.Failover("VI_1"); err != nil {
		t.Fatal(err)
	}
	rb.await(t, n4, "VI_1 BACKUP>MASTER: master resigned", 10*time.Second)
	for _, s := range append(ea.Status(), eb.Status()...) {
		if len(s.Dropped)+len(s.InterfaceDropped) != 0 {
			t.Errorf("%s dropped %v %v", s.Config.Name, s.Dropped, s.InterfaceDropped)
		}
	}
}
