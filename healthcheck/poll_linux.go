package healthcheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// epoll is the poller on Linux. Every descriptor is armed for one event
// (EPOLLONESHOT), so that one handed on to a goroutine needs no call to be
// taken out.
//
// The loop waits as any goroutine does for a file: the runtime's own poller has the
// epoll descriptor among its files, and a timerfd in it ends the wait. In epoll_wait
// itself, or with a timer of the runtime's, it would wake a second thread each time
// (see raw_linux.go).
type epoll struct {
	fd     int
	file   *os.File        // fd
	news   syscall.RawConn // file's: its Read waits
	bell   int             // eventfd
	rung   atomic.Bool
	timer  int           // timerfd
	begun  time.Time     // of it
	alarm  time.Duration // since begun, when timer goes off
	events [256]unix.EpollEvent
	got    int // events of the last look
	err    error
	look   func(uintptr) bool // takes what there is: whether it is anything
	ready  [256]readiness
}

func newPoller() (_ poller, err error) {
	p := &epoll{fd: -1, bell: -1, timer: -1, begun: time.Now()}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	// Nothing ever waits in it; os.NewFile wants it to be known.
	if err := unix.SetNonblock(p.fd, true); err != nil {
		return nil, fmt.Errorf("set O_NONBLOCK on epoll: %w", err)
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	if p.news, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("create timerfd: %w", err)
	}
	if err := rawEpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.bell)}); err != nil {
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	// Told once each time it goes off, so that it need not be read.
	if err := rawEpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.timer, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(p.timer)}); err != nil {
		return nil, fmt.Errorf("watch timerfd: %w", err)
	}
	p.look = func(uintptr) bool {
		p.got, p.err = rawEpollLook(p.fd, p.events[:])
		return p.got != 0 || p.err != nil
	}
	return p, nil
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
	if err := rawEpollCtl(p.fd, op, fd, &ev); err != nil {
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

func (p *epoll) closeFD(fd int) { rawClose(fd) }

func (p *epoll) wait(timeout time.Duration) ([]readiness, bool, error) {
	err := p.await(timeout)
	if err == nil {
		err = p.err
	}
	if err != nil {
		return nil, false, fmt.Errorf("wait for sockets: %w", err)
	}
	ready := p.ready[:0]
	for _, ev := range p.events[:p.got] {
		if int(ev.Fd) == p.timer {
			continue
		}
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
	return ready, p.got == len(p.events), nil
}

// await looks until there is something or timeout is over. Rounding up gathers what is
// due within a millisecond in one wake-up.
func (p *epoll) await(timeout time.Duration) error {
	if p.look(0) || timeout <= 0 {
		return nil
	}
	now := time.Since(p.begun)
	at := (now + timeout + time.Millisecond - 1).Truncate(time.Millisecond)
	if at != p.alarm { // else it goes off then as it is
		p.alarm = at
		if err := rawTimer(p.timer, int64(at-now)); err != nil {
			return fmt.Errorf("set timerfd: %w", err)
		}
	}
	return p.news.Read(p.look)
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
	for _, fd := range []int{p.bell, p.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if p.file != nil {
		p.file.Close()
	} else if p.fd >= 0 {
		unix.Close(p.fd)
	}
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
