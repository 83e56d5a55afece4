package healthcheck

import (
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls that the event loop makes for each attempt. None of them waits, so
// the runtime is not told of them (syscall.RawSyscall): told of any it has a thread look
// every 20 µs whether that call lasts (runtime.sysmon), for as long as the loop is at
// work, and at a thousand checks a second that thread cost a fifth of what they did.

// address is a socket's address as the kernel has it: a RawSockaddrInet4 or RawSockaddrInet6.
type address struct {
	raw unix.RawSockaddrInet6 // the longer of the two
	len uint32
}

// rawAddress is sockaddr of the target, without an allocation.
func rawAddress(t netip.AddrPort) (a address) {
	if t.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		v4.Family, v4.Port, v4.Addr = unix.AF_INET, networkOrder(t.Port()), t.Addr().As4()
		a.len = unix.SizeofSockaddrInet4
		return a
	}
	a.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(t.Port()), Addr: t.Addr().As16(), Scope_id: scope(t.Addr().Zone())}
	a.len = unix.SizeofSockaddrInet6
	return a
}

// networkOrder is a port as it lies in memory.
func networkOrder(port uint16) (p uint16) {
	b := (*[2]byte)(unsafe.Pointer(&p))
	b[0], b[1] = byte(port>>8), byte(port)
	return p
}

func errnoOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func rawSocket(family, typ, protocol int) (int, error) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), uintptr(typ), uintptr(protocol))
	return int(fd), errnoOf(e)
}

// rawConnect is for a socket that does not block.
func rawConnect(fd int, to *address) error {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	return errnoOf(e)
}

// rawReset has the connection reset when it is closed, which does not wait either.
func rawReset(fd int) error {
	l := unix.Linger{Onoff: 1}
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&l)), unsafe.Sizeof(l), 0)
	return errnoOf(e)
}

func rawClose(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func rawEpollCtl(epoll, op, fd int, ev *unix.EpollEvent) error {
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	return errnoOf(e)
}

// rawEpollLook returns what is ready, and waits for nothing.
func rawEpollLook(epoll int, events []unix.EpollEvent) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
		if err := errnoOf(e); !errors.Is(err, unix.EINTR) {
			return int(n), err
		}
	}
}

// rawTimer has a timerfd go off once, so many nanoseconds from now, more than 0.
func rawTimer(fd int, ns int64) error {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(ns)}
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	return errnoOf(e)
}
