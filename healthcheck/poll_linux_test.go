package healthcheck

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPollerWaits: for as long as it is told to, whatever it waited for before.
func TestPollerWaits(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, wait := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 3 * time.Millisecond, time.Hour, 20 * time.Millisecond, time.Hour} {
		bell := wait == time.Hour
		if bell {
			go p.wake()
		}
		begun := time.Now()
		ready, full, err := p.wait(wait)
		if took := time.Since(begun); len(ready) != 0 || full || err != nil || took < wait && !bell {
			t.Errorf("wait %v: %v, %v, %v after %v", wait, ready, full, err, took)
		}
	}
}

// TestPollerTellsOfAll: of more than one look finds at once, each once.
func TestPollerTellsOfAll(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	const n = 300
	want := map[int]bool{}
	for range n {
		fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := p.watch(fd, false, false); err != nil {
			t.Fatal(err)
		}
		want[fd] = true
	}
	for len(want) > 0 {
		ready, full, err := p.wait(time.Hour)
		if err != nil || full != (len(want) == n) || len(ready) == 0 {
			t.Fatalf("%d descriptors, full %v, %v: %d were left", len(ready), full, err, len(want))
		}
		for _, r := range ready {
			if !want[r.fd] || r.failed {
				t.Errorf("descriptor %d: failed %v, told before: %v", r.fd, r.failed, !want[r.fd])
			}
			delete(want, r.fd)
		}
	}
	if ready, _, err := p.wait(0); len(ready) > 0 || err != nil {
		t.Errorf("then %v, %v", ready, err)
	}
}

// TestRawAddress holds what the kernel is given against what the library gives it.
func TestRawAddress(t *testing.T) {
	for _, target := range []string{"127.0.0.1:258", "[::1]:65535", "[fe80::1%lo]:80"} {
		to := netip.MustParseAddrPort(target)
		family := unix.AF_INET6
		if to.Addr().Is4() {
			family = unix.AF_INET
		}
		peers := make([]string, 2)
		for i, connect := range []func(fd int) error{
			func(fd int) error { a := rawAddress(to); return rawConnect(fd, &a) },
			func(fd int) error { return unix.Connect(fd, sockaddr(to)) },
		} {
			fd, err := rawSocket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer rawClose(fd)
			if err := connect(fd); err != nil {
				peers[i] = err.Error()
				continue
			}
			peer, err := unix.Getpeername(fd)
			if err != nil {
				t.Fatal(err)
			}
			switch sa := peer.(type) {
			case *unix.SockaddrInet4:
				peers[i] = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
			case *unix.SockaddrInet6:
				peers[i] = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
			}
		}
		if peers[0] != peers[1] {
			t.Errorf("%s: %s, want %s", target, peers[0], peers[1])
		}
		t.Log(peers)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if a := rawAddress(netip.MustParseAddrPort("[fe80::1%lo]:80")); int(a.raw.Scope_id) != lo.Index {
		t.Errorf("the scope of lo is %d, want %d", a.raw.Scope_id, lo.Index)
	}
	if _, err := rawSocket(-1, 0, 0); err != unix.EAFNOSUPPORT {
		t.Errorf("a socket of no family: %v", err)
	}
}
