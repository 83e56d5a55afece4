//go:build linux && kernel

package vrrp

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// receive waits for a packet, at most for d.
func receive(t *testing.T, conn Conn, d time.Duration) ([]byte, Meta) {
	t.Helper()
	arrived := make(chan error, 1)
	go func() { arrived <- conn.Wait() }()
	select {
	case err := <-arrived:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(d):
		t.Fatalf("nothing has arrived in %v", d)
	}
	buf := make([]byte, MaxPacket)
	message, meta, err := conn.Receive(buf)
	if err != nil {
		t.Fatal(err)
	}
	return message, meta
}

// sniffed returns the next frame with an advert that sniff's socket sees, and
// the IP packet in it.
func sniffed(t *testing.T, fd int) (frame, ip []byte) {
	t.Helper()
	buf := make([]byte, MaxPacket+14)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatalf("no advert on the wire: %v", err)
		}
		frame, ip = buf[:n], buf[14:n]
		switch binary.BigEndian.Uint16(frame[12:]) {
		case unix.ETH_P_IP:
			if ip[9] == Protocol {
				return frame, ip
			}
		case unix.ETH_P_IPV6:
			if ip[6] == Protocol {
				return frame, ip
			}
		}
	}
}

func TestKernelAdvertOnTheWire(t *testing.T) {
	a, b := cable(t)
	// The virtual address comes first on the interface, so that the kernel by
	// itself would send from it.
	a.in(func() {
		own, err := netlink.ParseAddr(addrA.String() + "/24")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrDel(a.link("eth0"), own); err != nil {
			t.Fatal(err)
		}
		a.add("192.168.16.200/24")
		a.add(addrA.String() + "/24")
	})
	fd := b.sniff()
	conn := a.listen()
	defer conn.Close()
	for _, mode := range []struct {
		version Version
		form    ChecksumMode
	}{{V2, ChecksumRFC}, {V3, ChecksumRFC}, {V3, ChecksumPseudo}} {
		advert := Advert{Version: mode.version, VRID: 51, Priority: 150, Interval: time.Second, Checksum: mode.form}
		sent := AppendAdvert(nil, advert, addrA, Group, vip)
		if err := conn.Send(sent, Delivery{Source: addrA, Destination: Group, TTL: TTL}); err != nil {
			t.Fatal(err)
		}
		frame, ip := sniffed(t, fd)
		if got := net.HardwareAddr(frame[:6]).String(); got != "01:00:5e:00:00:12" {
			t.Errorf("sent to %s", got)
		}
		if ip[1] != 0xc0 || ip[8] != 255 {
			t.Errorf("TOS is %#x, TTL is %d", ip[1], ip[8])
		}
		if sum := fold(sum16(0, ip[:20])); sum != 0xffff {
			t.Errorf("the header adds up to %#x", sum)
		}
		message, meta := splitIPv4(ip)
		if meta.Source != addrA || meta.Destination != Group {
			t.Errorf("from %v to %v", meta.Source, meta.Destination)
		}
		got, drop := Parse(message, meta, &Want{Version: mode.version, VRID: 51, Interval: time.Second, Source: addrB})
		if drop != DropNone || got.Checksum != mode.form || got.Priority != 150 || got.Address(0) != vip[0].Prefix.Addr() {
			t.Errorf("v%d %s is read as %+v (%v)", mode.version, mode.form, got, drop)
		}
	}
	if message, _, err := conn.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
		t.Errorf("it hears itself: %x, %v", message, err)
	}
	if err := conn.Send([]byte{1}, Delivery{Source: addrC, Destination: Group, TTL: TTL}); err == nil {
		t.Error("sends from an address that the host does not have")
	}
}

func TestKernelSocketOptions(t *testing.T) {
	a, _ := cable(t)
	conn := a.listen()
	defer conn.Close()
	fd := conn.(*socket).fd
	for _, o := range []struct {
		name         string
		level, opt   int
		want, atMost int
	}{
		{"IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0, 0},
		{"IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0, 0},
		{"IP_TOS", unix.IPPROTO_IP, unix.IP_TOS, 0xc0, 0xc0},
		{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, 7, 7},
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer, 2 * receiveBuffer},
	} {
		got, err := unix.GetsockoptInt(fd, o.level, o.opt)
		if err != nil || got < o.want || got > o.atMost {
			t.Errorf("%s is %d, %v, want %d to %d", o.name, got, err, o.want, o.atMost)
		}
	}
}

func TestKernelReceive(t *testing.T) {
	a, b := cable(t)
	ca, cb := a.listen(), b.listen()
	defer ca.Close()
	want := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrA}
	sent := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 100, Interval: time.Second, Checksum: ChecksumPseudo}, addrB, Group, vip)

	t.Run("from a peer", func(t *testing.T) {
		if err := cb.Send(sent, Delivery{Source: addrB, Destination: Group, TTL: TTL}); err != nil {
			t.Fatal(err)
		}
		message, meta := receive(t, ca, 5*time.Second)
		if meta != (Meta{Source: addrB, Destination: Group, TTL: 255}) {
			t.Errorf("meta %+v", meta)
		}
		if _, drop := Parse(message, meta, &want); drop != DropNone {
			t.Errorf("dropped for %v", drop)
		}
		if _, _, err := ca.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
			t.Errorf("then there is %v", err)
		}
	})
	for _, tt := range []struct {
		name string
		to   netip.Addr
		opts func(fd int) error
		drop DropReason
	}{
		{"with IP options", Group, func(fd int) error {
			return unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, "\x94\x04\x00\x00")
		}, DropNone},
		{"through a router", Group, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 64)
		}, DropTTL},
		{"unicast", addrA, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255)
		}, DropDestination},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.in(func() {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, Protocol)
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fd)
				mreq := &unix.IPMreqn{Ifindex: int32(b.link("eth0").Attrs().Index)}
				err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255),
					unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreq), tt.opts(fd))
				if err != nil {
					t.Fatal(err)
				}
				if err := unix.Sendto(fd, sent, 0, &unix.SockaddrInet4{Addr: tt.to.As4()}); err != nil {
					t.Fatal(err)
				}
			})
			message, meta := receive(t, ca, 5*time.Second)
			if _, drop := Parse(message, meta, &want); drop != tt.drop {
				t.Errorf("dropped for %q, want %q (%+v)", drop, tt.drop, meta)
			}
		})
	}
	t.Run("Close ends Wait", func(t *testing.T) {
		ended := make(chan error, 1)
		go func() { ended <- cb.Wait() }()
		if err := cb.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("Wait returned nil")
			}
		case <-time.After(5 * time.Second):
			t.Error("Wait goes on")
		}
	})
}

func TestKernelSocketDoesNotAllocate(t *testing.T) {
	a, b := cable(t)
	ca, cb := a.listen(), b.listen()
	defer ca.Close()
	defer cb.Close()
	message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, addrA, Group, vip)
	measure(t, ca, cb, message, Delivery{Source: addrA, Destination: Group, TTL: TTL})
}

func TestKernelPair(t *testing.T) {
	a, b := cable(t)
	quick := instanceConfig(150)
	// A busy machine does not hold an advert up for so long that b becomes master of
	// itself: a would let go when it heard that, and so would it if b came first.
	quick.AdvertInterval = 300 * time.Millisecond
	ea, ra, _ := a.engine(quick)
	_, na := ra.await(t, 0, "BACKUP>MASTER", 5*time.Second)
	slow := quick
	slow.Priority = 100
	eb, rb, _ := b.engine(slow)
	defer func() {
		if t.Failed() {
			t.Logf("a: %s\nb: %s", ra.all(), rb.all())
		}
	}()

	_, nb := rb.await(t, 0, "peer_found", 5*time.Second)
	if err := ea.Failover("VI_1"); err != nil {
		t.Fatal(err)
	}
	begun, na := ra.await(t, na, "handover_begun", 5*time.Second)
	took, nb := rb.await(t, nb, "BACKUP>MASTER: master resigned", 5*time.Second)
	left, _ := ra.await(t, na, "MASTER>BACKUP: failover", 5*time.Second)
	if d := took.Time.Sub(begun.Time); d < 150*time.Millisecond {
		t.Errorf("the successor took over after %v, its skew time is 183ms", d)
	}
	if left.Time.Before(took.Time) {
		t.Error("let go before the successor had it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := eb.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	rb.await(t, nb, "handover_done 192.168.16.102", time.Second)
	if s := ea.Status(); s[0].Role != Master || len(s[0].Dropped) != 0 {
		t.Errorf("at the end a is %s, has dropped %v", s[0].Role, s[0].Dropped)
	}
}

// Adverts every 10 ms, as far as the machine has real time (an emulated one has
// not): nothing moves without cause, and a cut cable is noticed by timing alone.
func TestKernelQuickAdverts(t *testing.T) {
	realtime(t)
	worst := slowness()
	interval := 10 * time.Millisecond * max(1, worst/(2500*time.Microsecond))
	a, b := cable(t)
	cfg := instanceConfig(150)
	cfg.AdvertInterval = interval
	ea, ra, _ := a.engine(cfg)
	ra.await(t, 0, "BACKUP>MASTER", 10*time.Second)
	cfg.Priority = 100
	eb, rb, _ := b.engine(cfg)
	_, n := rb.await(t, 0, "peer_found", 10*time.Second)
	begin, sent := time.Now(), ea.Status()[0].Sent
	time.Sleep(2 * time.Second)
	sent = ea.Status()[0].Sent - sent
	want := uint64(time.Since(begin) / interval)
	if s := eb.Status()[0]; s.Role != Backup || s.Transitions != 1 {
		t.Logf("a: %s", ra.all())
		t.Logf("b: %s", rb.all())
		t.Fatalf("adverts every %v, the machine is at most %v late: b is %s after %d transitions", interval, worst, s.Role, s.Transitions)
	}
	cut := time.Now()
	a.in(func() {
		if err := netlink.LinkSetDown(a.link("eth0")); err != nil {
			t.Fatal(err)
		}
	})
	took, _ := rb.await(t, n, "BACKUP>MASTER: no advert", 10*time.Second)
	d := took.Time.Sub(cut)
	down := 3*interval + skewTime(V3, 100, interval)
	t.Logf("adverts every %v, the machine is at most %v late: %d of %d adverts; takeover %v after the cut, by arithmetic at most %v",
		interval, worst, sent, want, d, down)
	if sent+sent/10 < want || sent > want+2 {
		t.Errorf("%d adverts, want %d", sent, want)
	}
	if d > down+50*time.Millisecond+2*worst {
		t.Errorf("takeover took %v, by arithmetic at most %v", d, down)
	}
}

// floodFor is how long TestKernelFlood lasts; the fault itself is 30 s.
var floodFor = flag.Duration("flood", 3*time.Second, "how long TestKernelFlood sends invalid packets")

// TestKernelFlood is fault 15: 20,000 invalid packets a second, or as many as one
// socket sends here, do not silence a master for as long as would make it look
// dead, and nothing grows.
func TestKernelFlood(t *testing.T) {
	const perSecond = 20_000
	realtime(t)
	a, b := cable(t)
	cfg := instanceConfig(150)
	cfg.AdvertInterval = 100 * time.Millisecond
	e, r, _ := a.engine(cfg)
	r.await(t, 0, "BACKUP>MASTER", 5*time.Second)
	conn := b.listen()
	defer conn.Close()
	bad := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 200, Interval: time.Second, Checksum: ChecksumRFC}, addrB, Group, vip)
	binary.BigEndian.PutUint16(bad[6:], 0xbad0)

	before := e.Status()[0]
	var was, is runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&was)
	begin := time.Now()
	last, worst := begin, time.Duration(0)
	buf := make([]byte, MaxPacket)
	sent := 0
	for time.Since(begin) < *floodFor {
		due := int(time.Since(begin).Seconds() * perSecond)
		for range min(due-sent, 200) { // what was missed is made up for in parts
			sent++
			if err := conn.Send(bad, Delivery{Source: addrB, Destination: Group, TTL: TTL}); err != nil && !errors.Is(err, unix.ENOBUFS) {
				t.Fatal(err)
			}
		}
		for {
			if _, _, err := conn.Receive(buf); err != nil {
				break
			}
			now := time.Now()
			worst, last = max(worst, now.Sub(last)), now
		}
		time.Sleep(time.Millisecond)
	}
	after := e.Status()[0]
	dropped := after.Dropped["checksum"]
	runtime.GC()
	runtime.ReadMemStats(&is)
	t.Logf("%d of %d invalid packets dropped in %v, %d adverts sent, the longest gap between two was %v, heap %d and then %d KiB",
		dropped, sent, *floodFor, after.Sent-before.Sent, worst, was.HeapAlloc>>10, is.HeapAlloc>>10)
	if is.HeapAlloc > was.HeapAlloc+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", was.HeapAlloc, is.HeapAlloc)
	}
	if dropped < 1000 {
		t.Errorf("%d packets arrived: no flood", dropped)
	}
	if down := 3 * cfg.AdvertInterval; worst >= down {
		t.Errorf("it was silent for %v, a backup takes over after %v", worst, down)
	}
	if after.Role != Master || after.Transitions != before.Transitions {
		t.Errorf("it is %s after %d transitions", after.Role, after.Transitions-before.Transitions)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	told := 0
	for _, n := range r.notices {
		if n.Kind == NoticeAdvertDropped {
			told++
		}
	}
	if most := 1 + int(*floodFor/quiet); told < 1 || told > most {
		t.Errorf("told %d times, want 1 to %d: once in %v", told, most, quiet)
	}
}
