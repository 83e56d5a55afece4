package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxFrames bounds a capture: frames beyond it are counted, not kept.
const maxFrames = 200_000

// Capture records the VRRP and ARP frames that pass an interface, in both
// directions, with the kernel's time stamps.
type Capture struct {
	conn *packet.Conn
	done chan struct{}

	mu     sync.Mutex
	frames []Frame
	lost   int
	closed bool
	err    error
	news   chan struct{}
}

// Capture starts to record on an interface of a node. On the switch the ports
// bear the names of the nodes: lab.Capture(SwitchNode, LVSA) sees what lvs-a
// really sends and receives, whatever lvs-a believes.
func (l *Lab) Capture(node, iface string) (*Capture, error) {
	return l.capture(node, iface, captureFilter)
}

func (l *Lab) capture(node, iface string, filter func() ([]bpf.RawInstruction, error)) (*Capture, error) {
	c := &Capture{done: make(chan struct{}), news: make(chan struct{})}
	err := l.In(node, func() error { return c.open(iface, filter) })
	if err != nil {
		return nil, fmt.Errorf("capture on %s in %s: %w", iface, node, err)
	}
	go c.run()
	return c, nil
}

func (c *Capture) open(iface string, assemble func() ([]bpf.RawInstruction, error)) error {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return fmt.Errorf("find interface: %w", err)
	}
	filter, err := assemble()
	if err != nil {
		return err
	}
	if c.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter}); err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	if err := c.prepare(); err != nil {
		c.conn.Close()
		return err
	}
	return nil
}

func (c *Capture) prepare() error {
	if err := c.conn.SetPromiscuous(true); err != nil {
		return fmt.Errorf("set promiscuous: %w", err)
	}
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
		)
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("set socket options: %w", err)
	}
	return nil
}

// captureFilter passes ARP, and IPv4 and IPv6 packets of protocol 112: a
// client's load on the same wire must not reach us.
func captureFilter() ([]bpf.RawInstruction, error) {
	prog, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: 5},
		bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
		bpf.Jump{Skip: 1},
		bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolVRRP, SkipTrue: 1},
		bpf.RetConstant{Val: 2048},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	return prog, nil
}

// openingsFilter passes ARP and, of the TCP segments of one IPv4 service, those
// that open a connection: SYN and SYN-ACK.
func openingsFilter(service netip.AddrPort) func() ([]bpf.RawInstruction, error) {
	address, port := binary.BigEndian.Uint32(service.Addr().AsSlice()), uint32(service.Port())
	return func() ([]bpf.RawInstruction, error) {
		const ip, reject = 14, 19 // where the packet begins; where the last instruction stands
		program := []bpf.Instruction{
			bpf.LoadAbsolute{Off: 12, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 16},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: reject - 3},
			bpf.LoadAbsolute{Off: ip + 9, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolTCP, SkipTrue: reject - 5},
			bpf.LoadMemShift{Off: ip}, // X is the length of the IPv4 header
			bpf.LoadIndirect{Off: ip + tcpFlags, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: tcpSYN, SkipTrue: reject - 8},
			bpf.LoadAbsolute{Off: ip + 12, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: address, SkipTrue: 3},
			bpf.LoadIndirect{Off: ip, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: port, SkipTrue: 6},
			bpf.Jump{Skip: reject - 13},
			bpf.LoadAbsolute{Off: ip + 16, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: address, SkipTrue: reject - 15},
			bpf.LoadIndirect{Off: ip + 2, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: port, SkipTrue: 1},
			bpf.Jump{Skip: reject - 18},
			bpf.RetConstant{Val: 128},
			bpf.RetConstant{Val: 0},
		}
		raw, err := bpf.Assemble(program)
		if err != nil {
			return nil, fmt.Errorf("assemble filter: %w", err)
		}
		return raw, nil
	}
}

func (c *Capture) run() {
	defer close(c.done)
	raw, err := c.conn.SyscallConn()
	buf, control := make([]byte, 2048), make([]byte, 256)
	for err == nil {
		var n, oobn int
		var from unix.Sockaddr
		var inner error
		err = raw.Read(func(fd uintptr) bool {
			n, oobn, _, from, inner = unix.Recvmsg(int(fd), buf, control, unix.MSG_DONTWAIT)
			return !errors.Is(inner, unix.EAGAIN)
		})
		if err == nil {
			err = inner
		}
		if err != nil {
			break
		}
		f, ok := decodeFrame(buf[:n])
		if !ok {
			continue
		}
		f.Time = stampOf(control[:oobn])
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			f.Sent = ll.Pkttype == unix.PACKET_OUTGOING
		}
		c.keep(f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.err = fmt.Errorf("read packet socket: %w", err)
	}
	close(c.news)
}

// stampOf is the kernel's time stamp, now if there is none.
func stampOf(control []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

func (c *Capture) keep(f Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) >= maxFrames {
		c.lost++
		return
	}
	c.frames = append(c.frames, f)
	close(c.news)
	c.news = make(chan struct{})
}

// Frames returns what was recorded so far, oldest first.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Await returns the first recorded frame, past or coming, for which match is
// true.
func (c *Capture) Await(ctx context.Context, match func(Frame) bool) (Frame, error) {
	for seen := 0; ; {
		c.mu.Lock()
		fresh, err, news := c.frames[seen:], c.err, c.news
		c.mu.Unlock()
		for _, f := range fresh {
			if match(f) {
				return f, nil
			}
		}
		seen += len(fresh)
		if err != nil {
			return Frame{}, err
		}
		select {
		case <-c.done:
			return Frame{}, errors.New("await frame: the capture is closed")
		case <-news:
		case <-ctx.Done():
			return Frame{}, fmt.Errorf("await frame: none of %d matches: %w", seen, ctx.Err())
		}
	}
}

// Close ends the recording; Frames stays readable. It returns an error when
// frames were lost or the recording ended by itself.
func (c *Capture) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	stats, statErr := c.conn.Stats()
	err := c.conn.Close()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if statErr == nil {
		c.lost += int(stats.Drops)
	}
	if c.lost > 0 {
		err = errors.Join(err, fmt.Errorf("capture: %d frames were lost", c.lost))
	}
	return errors.Join(err, c.err)
}
