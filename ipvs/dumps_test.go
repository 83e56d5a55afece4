//go:build linux

package ipvs

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"baton/internal/nstest"
)

// dumps are requests for dumps, of which each is answered with the same number of datagrams.
type dumps struct {
	c         *conn
	requests  [][]byte
	datagrams int
	bytes     int         // of all answers
	each      func(reply) // nil: none; called for each message of an answer
}

// byCalls makes all of them as a reading of the table does.
func (d *dumps) byCalls() error {
	d.bytes = 0
	for _, r := range d.requests {
		d.c.seq = binary.NativeEndian.Uint32(r[8:])
		d.c.enc.b = r
		if err := d.c.send(); err != nil {
			return err
		}
		d.datagrams = 0
		for done := false; !done; {
			datagram, err := d.c.receive(0)
			if err != nil {
				return err
			}
			d.datagrams++
			d.bytes += len(datagram)
			if err := splitMessages(datagram, d.c.pid, func(m reply) error {
				if m.kind == unix.NLMSG_ERROR {
					return m.errno()
				}
				if d.each != nil {
					d.each(m)
				}
				done = done || m.kind == unix.NLMSG_DONE
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// byRing makes all of them in few system calls. byCalls has been there before: as many
// datagrams come again.
func (d *dumps) byRing(r *ring, room []byte) error {
	got := 0
	count := func(result int32) error {
		if result <= 0 {
			return fmt.Errorf("a request of a dump: %w", unix.Errno(-result))
		}
		got += int(result)
		return nil
	}
	sent := 0
	for i, request := range d.requests {
		sent += len(request)
		last := i == len(d.requests)-1 || r.queued+2*uint32(1+d.datagrams) > r.entries
		r.add(ringSend, d.c.fd, request, false)
		for k := range d.datagrams {
			r.add(ringReceive, d.c.fd, room, last && k == d.datagrams-1)
		}
		if last {
			if err := r.do(count); err != nil {
				return err
			}
		}
	}
	if got != sent+d.bytes {
		return fmt.Errorf("%d bytes instead of %d", got-sent, d.bytes)
	}
	return nil
}

// run reports what doing something costs.
func (d *dumps) run(b *testing.B, once func() error) {
	begun := nstest.CPU(b)
	for b.Loop() {
		if err := once(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((nstest.CPU(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/op")
	b.ReportMetric(float64(d.bytes)/1e3, "kB/op")
}

// benchmark reports what all dumps cost, by system calls, and the kernel's part of it.
func (d *dumps) benchmark(b *testing.B) {
	b.Run("calls", func(b *testing.B) { d.run(b, d.byCalls) })
	b.Run("kernel", func(b *testing.B) {
		if err := d.byCalls(); err != nil {
			b.Fatal(err)
		}
		r, room := newRing(b, 4096), make([]byte, receiveSize)
		d.run(b, func() error { return d.byRing(r, room) })
	})
}

// BenchmarkDumps is what 2,500 of the shortest dumps cost that every kernel can make, the
// addresses of IPv4; and how much of it is the kernel's work, without the system calls.
func BenchmarkDumps(b *testing.B) {
	d := &dumps{c: socketOf(b, unix.NETLINK_ROUTE)}
	for i := range uint32(2500) {
		r := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfAddrmsg)
		binary.NativeEndian.PutUint32(r, uint32(len(r)))
		binary.NativeEndian.PutUint16(r[4:], unix.RTM_GETADDR)
		binary.NativeEndian.PutUint16(r[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		binary.NativeEndian.PutUint32(r[8:], i+1)
		r[unix.SizeofNlMsghdr] = unix.AF_INET
		d.requests = append(d.requests, r)
	}
	d.benchmark(b)
}
