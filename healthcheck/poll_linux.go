package healthcheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
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

func (p *epoll) connect(d *dialog) (int, bool, error) { return open(context.Background(), d) }

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

func (p *epoll) failure(fd int) error { return pending(fd) }

func (p *epoll) send(fd int, b []byte) error {
	n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL)
	switch {
	case err != nil:
		return fmt.Errorf("send request: %w", err)
	case n < len(b):
		return failure(Resources, "send request: the socket took %d of %d bytes", n, len(b))
	default:
		return nil
	}
}

func (p *epoll) peek(fd int, b []byte) (int, error) {
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK)
	return n, err
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

func (p *epoll) conn(fd int, d *dialog) net.Conn { return newSocket(fd, d.target) }

// defaultDescriptors is RLIMIT_NOFILE's soft limit, which the runtime has
// raised to the hard one, less the reserve.
func defaultDescriptors() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024 - reservedDescriptors
	}
	return max(1, int(min(r.Cur, 1<<20))-reservedDescriptors)
}
