package healthcheck

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// blackHole is a listener of loopback that takes no further connection: its
// backlog is full, so the kernel drops every SYN.
func blackHole(t testing.TB) netip.AddrPort {
	t.Helper()
	l := tcpSocket(t)
	if err := unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(l, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	for range 16 {
		c := tcpSocket(t)
		if err := unix.Connect(c, sa); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		fds := []unix.PollFd{{Fd: int32(c), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int((100 * time.Millisecond).Milliseconds()))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return target // this one hangs: so will all that follow
		}
	}
	t.Fatal("a listener without a backlog took 16 connections")
	return target
}

func tcpSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// noRoute is an address that TCP has no way to: the broadcast of loopback.
func noRoute(testing.TB) netip.AddrPort { return netip.MustParseAddrPort("127.255.255.255:9") }
