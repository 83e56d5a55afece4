package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// forwardBuffer holds what arrives while the forwarder is not running.
const forwardBuffer = 4 << 20

// forwarder is a relay in user space, for kernels whose nftables cannot do it.
// A raw socket sees what is delivered locally, and that is what IPVS did not
// take. The kernel's own answer, a reset, is kept in by a routing rule.
type forwarder struct {
	relay Relay
	in    *net.IPConn
	out   *packet.Conn
	done  chan struct{}
}

// startForwarder begins to relay; stop ends it.
func startForwarder(r Relay, link netlink.Link) (*forwarder, error) {
	in, err := net.ListenIP("ip4:tcp", nil)
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w%s", err, rawHint(err))
	}
	f := &forwarder{relay: r, in: in, done: make(chan struct{})}
	if err := f.prepare(link); err != nil {
		in.Close()
		return nil, err
	}
	s := &segments{vips: r.VIPs, ports: r.Ports, mtu: link.Attrs().MTU}
	copy(s.front[:], r.OldMAC)
	copy(s.front[6:], link.Attrs().HardwareAddr)
	copy(s.front[12:], []byte{0x08, 0x00}) // IPv4
	go f.run(s)
	return f, nil
}

func (f *forwarder) prepare(link netlink.Link) error {
	// A burst may exceed this; TCP sends again what was lost.
	if err := f.in.SetReadBuffer(forwardBuffer); err != nil {
		return fmt.Errorf("set buffer of raw socket: %w", err)
	}
	filter, err := bpf.Assemble(destinedTo(f.relay.VIPs))
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	if err := ipv4.NewPacketConn(f.in).SetBPF(filter); err != nil {
		return fmt.Errorf("set filter of raw socket: %w", err)
	}
	ifi := &net.Interface{Index: link.Attrs().Index, Name: link.Attrs().Name}
	f.out, err = packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return fmt.Errorf("open packet socket: %w%s", err, rawHint(err))
	}
	raw, err := f.out.SyscallConn()
	if err == nil {
		var optErr error
		err = raw.Control(func(fd uintptr) {
			optErr = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
		})
		err = errors.Join(err, optErr)
	}
	if err != nil {
		f.out.Close()
		return fmt.Errorf("set up packet socket: %w", err)
	}
	return nil
}

// destinedTo passes IPv4 packets to one of the addresses. What else the
// director itself receives need not come up here.
func destinedTo(vips []netip.Addr) []bpf.Instruction {
	prog := []bpf.Instruction{bpf.LoadAbsolute{Off: 16, Size: 4}}
	for _, v := range vips {
		b := v.As4()
		word := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		prog = append(prog,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word, SkipTrue: 1},
			bpf.RetConstant{Val: 1 << 18})
	}
	return append(prog, bpf.RetConstant{Val: 0})
}

// run ends when stop closes the sockets.
func (f *forwarder) run(s *segments) {
	defer close(f.done)
	raw, err := f.in.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, frontLen+1<<16)
	to := &packet.Addr{HardwareAddr: ethernet.Broadcast} // the frame says where; this is not looked at
	for {
		var n int
		var recvErr error
		// The net package's own read takes the IP header away.
		err := raw.Read(func(fd uintptr) bool {
			n, _, recvErr = unix.Recvfrom(int(fd), buf[frontLen:], 0)
			return recvErr != unix.EAGAIN
		})
		if err != nil {
			return
		}
		if recvErr != nil {
			continue
		}
		if frame := s.frame(buf[:frontLen+n]); frame != nil {
			// Not sent is lost, as on any link: TCP sends it again.
			if _, err := f.out.WriteTo(frame, to); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}

func (f *forwarder) stop() {
	f.in.Close()
	f.out.Close()
	<-f.done
}

// silence keeps the kernel from answering the relayed segments with a reset;
// on false it lets it again.
func (m *Manager) silence(r Relay, on bool) error {
	for _, rule := range silentRules(r) {
		var err error
		if on {
			err = m.h.RuleAdd(rule)
		} else {
			err = m.h.RuleDel(rule)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("change rule from %s ipproto tcp blackhole: %w%s", rule.Src, err, hint(err))
		}
	}
	return nil
}

func silentRules(r Relay) []*netlink.Rule {
	var rules []*netlink.Rule
	for _, vip := range r.VIPs {
		base := ownRule()
		base.Src = ipNet(netip.PrefixFrom(vip, vip.BitLen()))
		base.Type = unix.RTN_BLACKHOLE
		if len(r.Ports) == 0 {
			rules = append(rules, base)
		}
		for _, p := range r.Ports {
			rule := *base
			rule.Sport = netlink.NewRulePortRange(p, p)
			rules = append(rules, &rule)
		}
	}
	return rules
}

func rawHint(err error) string {
	if errors.Is(err, unix.EPERM) {
		return " (needs CAP_NET_RAW)"
	}
	return ""
}
