package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

// tap hands on the IPv4 packets that pass an interface and a filter, in either
// direction, with the kernel's time of them. It is for a great many: the kernel
// drops all else, and cuts off what the filter says.
type tap struct {
	fd   int
	stop chan struct{}
	done chan struct{}
	err  error
}

// start begins on an interface of a node; heard is called from one goroutine
// until end, with the packet from its IP header on.
func (p *tap) start(t testing.TB, l *lab.Lab, node, iface string, filter []bpf.Instruction, heard func(time.Time, []byte) error) {
	t.Helper()
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	if err := l.In(node, func() error { return p.open(iface, filter) }); err != nil {
		t.Fatalf("record packets on %s of %s: %v", iface, node, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.run(heard)
	}()
}

func (p *tap) open(iface string, instructions []bpf.Instruction) error {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	// Bound to the protocol only when the filter stands.
	if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, ins := range raw {
		filter[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return errors.Join(
		unix.SetsockoptSockFprog(p.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}), Ifindex: ifi.Index}),
	)
}

func (p *tap) run(heard func(time.Time, []byte) error) error {
	buf, control := make([]byte, 64), make([]byte, 128)
	for {
		n, oobn, _, _, err := unix.Recvmsg(p.fd, buf, control, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			select {
			case <-p.stop:
				return nil
			default:
				continue
			}
		case err != nil:
			return err
		}
		msgs, err := unix.ParseSocketControlMessage(control[:oobn])
		if err != nil || n < 20 || len(msgs) == 0 || len(msgs[0].Data) < 16 {
			return fmt.Errorf("a packet of %d bytes without time stamp or header: %w", n, err)
		}
		d := msgs[0].Data
		at := time.Unix(int64(binary.NativeEndian.Uint64(d)), int64(binary.NativeEndian.Uint64(d[8:])))
		if err := heard(at, buf[:n]); err != nil {
			return err
		}
		select {
		case <-p.stop:
			return nil
		default:
		}
	}
}

// end stops. It fails the test when the kernel had to drop packets.
func (p *tap) end(t testing.TB) {
	t.Helper()
	close(p.stop)
	<-p.done
	stats, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err := errors.Join(p.err, err, unix.Close(p.fd)); err != nil {
		t.Fatalf("record packets: %v", err)
	}
	if stats.Drops > 0 {
		t.Fatalf("record packets: the kernel dropped %d", stats.Drops)
	}
}
