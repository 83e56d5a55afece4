package healthcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// epoll is the poller on Linux. Every descriptor is armed for one event
// (EPOLLONESHOT), so that one handed on to a goroutine needs no call to be
// taken out.
type epoll struct {
	fd     int
	bell   int // eventfd
	rung   atomic.Bool
	events [256]unix.EpollEvent
	ready  [256]readiness
}

func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(bell)}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, bell, &ev); err != nil {
		unix.Close(bell)
		unix.Close(fd)
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return &epoll{fd: fd, bell: bell}, nil
}

func (*epoll) dials() bool { return true }

func (p *epoll) connect(d *dialog) (int, bool, error) {
	sa, ok := d.native.(unix.Sockaddr)
	if !ok {
		sa = sockaddr(d.target)
		if d.target.Addr().Zone() == "" { // an interface's index may change
			d.native = sa
		}
	}
	family := unix.AF_INET6
	if d.target.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, fmt.Errorf("open socket: %w", err)
	}
	// Closing resets: ten thousand checks leave no TIME_WAIT behind.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		unix.Close(fd)
		return -1, false, failure(Resources, "set SO_LINGER: %v", err)
	}
	switch err := unix.Connect(fd, sa); {
	case err == nil:
		return fd, true, nil
	case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR):
		return fd, false, nil
	default:
		unix.Close(fd)
		return -1, false, fmt.Errorf("connect to %s: %w", d.target, err)
	}
}

func (p *epoll) watch(fd int, writable, again bool) error {
	op, ev := unix.EPOLL_CTL_ADD, unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
	if writable {
		ev.Events = unix.EPOLLOUT | unix.EPOLLONESHOT
	}
	if again {
		op = unix.EPOLL_CTL_MOD
	}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return failure(Resources, "watch socket: %v", err)
	}
	return nil
}

func (p *epoll) failure(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case n != 0:
		return unix.Errno(n)
	default:
		return nil
	}
}

func (p *epoll) send(fd int, b []byte) error {
	n, err := unix.Write(fd, b)
	switch {
	case err != nil:
		return fmt.Errorf("send request: %w", err)
	case n < len(b):
		return failure(Resources, "send request: the socket took %d of %d bytes", n, len(b))
	default:
		return nil
	}
}

func (p *epoll) closeFD(fd int) { unix.Close(fd) }

func (p *epoll) wait(timeout time.Duration) ([]readiness, bool, error) {
	// Rounding up gathers what is due within a millisecond in one wake-up.
	ms := min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
	n, err := unix.EpollWait(p.fd, p.events[:], int(max(ms, 0)))
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("wait for sockets: %w", err)
	}
	ready := p.ready[:0]
	for _, ev := range p.events[:n] {
		if int(ev.Fd) == p.bell {
			var b [8]byte
			if _, err := unix.Read(p.bell, b[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
				return nil, false, fmt.Errorf("read eventfd: %w", err)
			}
			// After the read: a ring before this is heard, one after it writes.
			p.rung.Store(false)
			continue
		}
		ready = append(ready, readiness{int(ev.Fd), ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0})
	}
	return ready, n == len(p.events), nil
}

func (p *epoll) wake() {
	if p.rung.Swap(true) {
		return
	}
	b := binary.NativeEndian.AppendUint64(nil, 1)
	// It fails only when the counter is full, and then the loop wakes anyway.
	_, _ = unix.Write(p.bell, b)
}

func (p *epoll) close() {
	unix.Close(p.bell)
	unix.Close(p.fd)
}

func sockaddr(t netip.AddrPort) unix.Sockaddr {
	if t.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(t.Port()), Addr: t.Addr().As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(t.Port()), Addr: t.Addr().As16()}
	if zone := t.Addr().Zone(); zone != "" {
		if ifi, err := net.InterfaceByName(zone); err == nil {
			sa.ZoneId = uint32(ifi.Index)
		}
	}
	return sa
}

// socket is a connected descriptor as a net.Conn. An os.File registers it with
// the runtime as it is; net.FileConn would duplicate it first.
type socket struct {
	*os.File
	target netip.AddrPort
}

func (p *epoll) conn(fd int, d *dialog) net.Conn {
	return socket{os.NewFile(uintptr(fd), "socket"), d.target}
}

// LocalAddr is for net.Conn; nothing here asks for it.
func (s socket) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is the target.
func (s socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.target) }

// defaultDescriptors is RLIMIT_NOFILE's soft limit, which the runtime has
// raised to the hard one, less the reserve.
func defaultDescriptors() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024 - reservedDescriptors
	}
	return max(1, int(min(r.Cur, 1<<20))-reservedDescriptors)
}
