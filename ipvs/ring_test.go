//go:build linux

package ipvs

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is io_uring(7) as far as a benchmark needs it: requests that the kernel carries
// out one after another in a single system call. What that takes is the kernel's own
// work, whatever a system call costs on this machine.
type ring struct {
	fd             int
	head, tail     *uint32 // of the completions
	cqMask, sqMask uint32
	cqes, sqes     []byte
	sqTail         *uint32
	sq, cq         []byte // what is mapped
	entries        uint32
	queued         uint32
}

const (
	ringSend, ringReceive = 26, 27 // IORING_OP_SEND, IORING_OP_RECV
	ringLinked            = 1 << 2 // IOSQE_IO_LINK: the next one waits for this
	ringWait              = 1 << 0 // IORING_ENTER_GETEVENTS
	ringSQE, ringCQE      = 64, 16 // bytes
)

// newRing opens a ring of so many requests, a power of two.
func newRing(t testing.TB, entries uint32) *ring {
	t.Helper()
	var p [30]uint32 // struct io_uring_params; sq_off begins at 10, cq_off at 20
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		t.Fatalf("io_uring: %v; where it is switched off: sysctl kernel.io_uring_disabled=0", errno)
	}
	r := &ring{fd: int(fd), entries: p[0]}
	t.Cleanup(func() { _ = unix.Close(r.fd) })
	memory := func(offset int64, size uint32) []byte {
		b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(b) })
		return b
	}
	at := func(b []byte, offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[offset])) }
	r.sq = memory(0, p[16]+4*p[0])               // IORING_OFF_SQ_RING
	r.cq = memory(0x8000000, p[25]+ringCQE*p[1]) // IORING_OFF_CQ_RING
	r.sqes = memory(0x10000000, ringSQE*p[0])    // IORING_OFF_SQES
	r.sqTail, r.sqMask = at(r.sq, p[11]), *at(r.sq, p[12])
	r.head, r.tail, r.cqMask, r.cqes = at(r.cq, p[20]), at(r.cq, p[21]), *at(r.cq, p[22]), r.cq[p[25]:]
	for i := range p[0] {
		*at(r.sq, p[16]+4*i) = i
	}
	return r
}

// add queues a request on a socket.
func (r *ring) add(op byte, fd int, b []byte, last bool) {
	e := r.sqes[ringSQE*((*r.sqTail+r.queued)&r.sqMask):][:ringSQE]
	clear(e)
	e[0] = op
	if !last {
		e[1] = ringLinked
	}
	binary.NativeEndian.PutUint32(e[4:], uint32(fd))
	binary.NativeEndian.PutUint64(e[16:], uint64(uintptr(unsafe.Pointer(&b[0])))) // b is the caller's, who keeps it
	binary.NativeEndian.PutUint32(e[24:], uint32(len(b)))
	r.queued++
}

// do has what is queued carried out, and calls each for the result of every request.
func (r *ring) do(each func(result int32) error) error {
	n := r.queued
	atomic.StoreUint32(r.sqTail, *r.sqTail+n)
	r.queued = 0
	if done, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), uintptr(n), ringWait, 0, 0); errno != 0 || done != uintptr(n) {
		return fmt.Errorf("io_uring: %d of %d requests, %w", done, n, errno)
	}
	var failed error
	for i := range n {
		e := r.cqes[ringCQE*((*r.head+i)&r.cqMask):]
		if err := each(int32(binary.NativeEndian.Uint32(e[8:]))); err != nil && failed == nil {
			failed = err
		}
	}
	if there := atomic.LoadUint32(r.tail) - *r.head; there != n {
		return fmt.Errorf("io_uring: %d of %d answers", there, n)
	}
	atomic.StoreUint32(r.head, *r.head+n)
	return failed
}
