package integration

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

// heardAdvert is what a recorder keeps of one.
type heardAdvert struct {
	at       time.Time // the kernel's, when it passed the interface
	source   netip.Addr
	vrid     uint8
	priority uint8
}

// recorder notes the adverts of some sources that pass an interface, in either
// direction. It is for
// a great many: the kernel drops all else, and nothing is decoded that is not
// needed.
type recorder struct {
	fd   int
	stop chan struct{}
	done chan struct{}
	seen []heardAdvert
	err  error
}

// record begins to note on an interface of a node. The returned recorder is
// stopped by adverts.
func record(t testing.TB, l *lab.Lab, node, iface string, sources ...netip.Addr) *recorder {
	t.Helper()
	r := &recorder{stop: make(chan struct{}), done: make(chan struct{})}
	if err := l.In(node, func() error { return r.open(iface, sources) }); err != nil {
		t.Fatalf("record adverts on %s of %s: %v", iface, node, err)
	}
	go r.run()
	return r
}

func (r *recorder) open(iface string, sources []netip.Addr) error {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	// Bound to the protocol only when the filter stands.
	if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	reject := uint8(len(sources))
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: reject + 3},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 112, SkipTrue: reject + 1},
		bpf.LoadAbsolute{Off: 12, Size: 4},
	}
	for i, s := range sources {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(s.AsSlice()), SkipTrue: uint8(len(sources) - i)})
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: 64}))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, ins := range raw {
		filter[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return errors.Join(
		unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}), Ifindex: ifi.Index}),
	)
}

func (r *recorder) run() {
	defer close(r.done)
	buf, control := make([]byte, 64), make([]byte, 128)
	for {
		n, oobn, _, _, err := unix.Recvmsg(r.fd, buf, control, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			select {
			case <-r.stop:
				return
			default:
				continue
			}
		case err != nil:
			r.err = err
			return
		}
		header := int(buf[0]&0x0f) * 4
		msgs, err := unix.ParseSocketControlMessage(control[:oobn])
		if err != nil || n < header+8 || len(msgs) == 0 || len(msgs[0].Data) < 16 {
			r.err = errors.New("a packet without time stamp or advert")
			return
		}
		d := msgs[0].Data
		r.seen = append(r.seen, heardAdvert{
			at:     time.Unix(int64(binary.NativeEndian.Uint64(d)), int64(binary.NativeEndian.Uint64(d[8:]))),
			source: netip.AddrFrom4([4]byte(buf[12:])), vrid: buf[header+1], priority: buf[header+2],
		})
		select {
		case <-r.stop:
			return
		default:
		}
	}
}

// adverts ends the recording and returns what was seen, oldest first. It fails
// the test when the kernel had to drop some.
func (r *recorder) adverts(t testing.TB) []heardAdvert {
	t.Helper()
	close(r.stop)
	<-r.done
	stats, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err := errors.Join(r.err, err, unix.Close(r.fd)); err != nil {
		t.Fatalf("record adverts: %v", err)
	}
	if stats.Drops > 0 {
		t.Fatalf("record adverts: the kernel dropped %d", stats.Drops)
	}
	return r.seen
}
