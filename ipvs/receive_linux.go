package ipvs

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveSize is what one datagram has room for. As much the kernel allocates for each
// piece of a dump from the second on (af_netlink.c, max_recvmsg_len), of which most
// services fill 2 KiB; and where memory is cleared when it is allocated (Debian), to clear
// more takes longer than all else. It is at least what the kernel begins with
// (NLMSG_GOODSIZE), and with 4 KiB pages leaves its administration a place in 8 KiB.
var receiveSize = func() int {
	if os.Getpagesize() > 4<<10 {
		return 8 << 10
	}
	return 8<<10 - 512
}()

const (
	// receiveLeast is how many datagrams one system call takes at least: a dump has two
	// or more, for its end comes in one of its own.
	receiveLeast = 2
	receiveMost  = 8
)

// receiver takes the datagrams of a netlink socket. What is ahead of the reader
// is handed out before the kernel is asked again.
type receiver struct {
	fd      int
	ahead   int // how many datagrams a system call takes
	buf     [receiveMost][]byte
	vec     [receiveMost]unix.Iovec
	from    [receiveMost]unix.RawSockaddrNetlink
	header  [receiveMost]mmsghdr
	next, n int // of those in header that are handed out next, and that are there
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// newReceiver must not be copied: the kernel is told addresses within it.
func newReceiver(fd int) *receiver {
	r := &receiver{fd: fd}
	r.expect(0)
	return r
}

// expect says how much the next answer will have, as far as that is known: one
// system call more than an answer needs costs as much as some servers in it.
func (r *receiver) expect(bytes int) {
	r.ahead = min(receiveLeast+bytes/receiveSize, receiveMost)
	for i := range r.ahead {
		if r.buf[i] == nil {
			r.buf[i] = make([]byte, receiveSize)
			r.vec[i].Base = &r.buf[i][0]
			r.vec[i].SetLen(receiveSize)
		}
	}
}

// receive returns the kernel's next datagram, valid until the next call. flags are
// 0, or MSG_DONTWAIT; the error is ErrHung when none came in the socket's time.
func (r *receiver) receive(flags int) ([]byte, error) {
	for {
		if r.next == r.n {
			if err := r.fill(flags); err != nil {
				return nil, err
			}
		}
		i := r.next
		r.next++
		switch h := &r.header[i]; {
		case h.Flags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("receive from netlink: message of more than %d bytes", receiveSize)
		case h.Namelen >= unix.SizeofSockaddrNetlink && r.from[i].Pid == nl.PidKernel:
			return r.buf[i][:h.length], nil
		}
		// Any local process may send to this socket.
	}
}

// fill waits for one datagram, and takes what has come besides.
func (r *receiver) fill(flags int) error {
	r.next, r.n = 0, 0
	for {
		for i := range r.ahead {
			r.from[i] = unix.RawSockaddrNetlink{}
			r.header[i] = mmsghdr{Msghdr: unix.Msghdr{Name: (*byte)(unsafe.Pointer(&r.from[i])), Namelen: unix.SizeofSockaddrNetlink, Iov: &r.vec[i]}}
			r.header[i].SetIovlen(1)
		}
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.header[0])), uintptr(r.ahead), uintptr(flags|unix.MSG_WAITFORONE), 0, 0)
		switch {
		case errno == 0:
			r.n = int(n)
			return nil
		case errors.Is(errno, unix.EINTR):
			continue
		case errors.Is(errno, unix.EAGAIN):
			return fmt.Errorf("receive from netlink: %w", ErrHung)
		}
		return errno
	}
}
