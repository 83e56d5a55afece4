//go:build linux && kernel

package ipvs

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkKernelDumps is what it costs to have the servers of a table told, in three
// shapes of 10,000. Beside BenchmarkDumps of the same kernel it says what IPVS adds.
func BenchmarkKernelDumps(b *testing.B) {
	for _, n := range []int{2500, 250, 100} {
		each := 10_000 / n
		b.Run(fmt.Sprintf("%dx%d", n, each), func(b *testing.B) { benchmarkKernelDumps(b, n, each) })
	}
}

func benchmarkKernelDumps(b *testing.B, services, each int) {
	k, err := OpenKernel()
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	var ops, undo []Op
	var keys []ServiceKey
	for i := range services {
		s := Service{Key: AddressKey(TCP, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1))), Scheduler: "rr"}
		keys = append(keys, s.Key)
		ops, undo = append(ops, Op{Kind: AddService, Service: s}), append(undo, Op{Kind: DeleteService, Service: s})
		for j := range each {
			at := netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)})
			ops = append(ops, Op{Kind: AddServer, Service: s, Server: Server{Key: ServerKey{Address: at, Port: 80}, Weight: 1, Forward: DR}})
		}
	}
	apply := func(ctx context.Context, ops []Op) {
		if i := slices.IndexFunc(k.Apply(ctx, ops), func(err error) bool { return err != nil }); i >= 0 {
			b.Fatalf("operation %d failed", i)
		}
	}
	apply(b.Context(), ops)
	defer apply(context.Background(), undo)
	d := &dumps{c: socketOf(b, unix.NETLINK_GENERIC)}
	request := func(cmd uint8, fill func(*encoder)) []byte {
		d.c.seq++
		var e encoder
		e.message(mobyFamily.id, cmd, unix.NLM_F_DUMP, d.c.seq, func() { fill(&e) })
		return e.b
	}
	b.Run("services", (&dumps{c: d.c, requests: [][]byte{request(cmdGetService, func(*encoder) {})}}).benchmark)
	for _, key := range keys {
		d.requests = append(d.requests, request(cmdGetDest, func(e *encoder) { e.serviceKey(key) }))
	}
	d.benchmark(b)
	b.Run("answers", func(b *testing.B) { benchmarkAnswers(b, d, keys) })
}

// benchmarkAnswers is what it costs to take the kernel's answers apart.
func benchmarkAnswers(b *testing.B, d *dumps, keys []ServiceKey) {
	answers, room := map[uint32][][]byte{}, make([]Servers, len(keys))
	d.each = func(m reply) {
		if m.kind != unix.NLMSG_DONE {
			answers[m.seq] = append(answers[m.seq], slices.Clone(m.payload))
		}
	}
	if err := d.byCalls(); err != nil {
		b.Fatal(err)
	}
	d.run(b, func() error {
		n := 0
		for i, r := range d.requests {
			d.c.servers, d.c.stats = d.c.servers[:0], d.c.stats[:0]
			for _, payload := range answers[binary.NativeEndian.Uint32(r[8:])] {
				if err := d.c.collect(payload, IPv4); err != nil {
					return err
				}
			}
			room[i] = d.c.collected(room[i])
			n += len(room[i])
		}
		if n != 10_000 {
			return fmt.Errorf("%d servers", n)
		}
		return nil
	})
}
