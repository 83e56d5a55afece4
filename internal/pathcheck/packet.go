package pathcheck

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

const (
	ip4Len = 20
	ip6Len = 40
	tcpLen = 20

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10

	// onlyLink is the hop limit of a question: a server that does not hold the
	// address and forwards would send it on to the master, and its servers'
	// answer would be taken for its own.
	onlyLink = 1
	tunnelHL = 64  // of what goes through a network
	ndHL     = 255 // RFC 4861 §7.1.1
)

// segment is a TCP segment without data in its IP packet. A SYN has an option
// with the segment size, without which some firewalls take it for a scan.
func segment(from, to netip.AddrPort, seq uint32, flags byte) []byte {
	tcp := make([]byte, tcpLen, tcpLen+4)
	binary.BigEndian.PutUint16(tcp[0:], from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	if flags&flagSYN != 0 {
		size := uint16(1460)
		if from.Addr().Is6() {
			size = 1440
		}
		tcp = binary.BigEndian.AppendUint16(append(tcp, 2, 4), size)
		binary.BigEndian.PutUint16(tcp[14:], 64240)
	}
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, flags
	binary.BigEndian.PutUint16(tcp[16:], transportSum(from.Addr(), to.Addr(), unix.IPPROTO_TCP, tcp))
	return ipPacket(from.Addr(), to.Addr(), unix.IPPROTO_TCP, onlyLink, tcp)
}

// ipPacket puts an IP header before a payload (RFC 791 §3.1, RFC 8200 §3).
func ipPacket(from, to netip.Addr, proto, hops byte, payload []byte) []byte {
	if from.Is4() {
		b := make([]byte, ip4Len, ip4Len+len(payload))
		b[0] = 4<<4 | ip4Len/4
		binary.BigEndian.PutUint16(b[2:], uint16(ip4Len+len(payload)))
		b[6] = 0x40 // do not fragment
		b[8], b[9] = hops, proto
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b)))
		return append(b, payload...)
	}
	b := make([]byte, ip6Len, ip6Len+len(payload))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6], b[7] = proto, hops
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	return append(b, payload...)
}

// encapsulate packs a packet as IPVS does for a server behind a tunnel. port is
// the source port of GUE.
func (t Tunnel) encapsulate(from, to netip.Addr, port uint16, inner []byte) []byte {
	proto, ether := byte(unix.IPPROTO_IPIP), uint16(unix.ETH_P_IP)
	if inner[0]>>4 == 6 {
		proto, ether = unix.IPPROTO_IPV6, unix.ETH_P_IPV6
	}
	switch t.Encapsulation {
	case GRE:
		head := []byte{0, 0, byte(ether >> 8), byte(ether)}
		if t.Checksum {
			head[0] = 0x80 // RFC 2784 §2.1
			head = append(head, 0, 0, 0, 0)
			binary.BigEndian.PutUint16(head[4:], ^fold(sum(sum(0, head), inner)))
		}
		return ipPacket(from, to, unix.IPPROTO_GRE, tunnelHL, append(head, inner...))
	case GUE:
		udp := make([]byte, 12, 12+len(inner))
		binary.BigEndian.PutUint16(udp[0:], port)
		binary.BigEndian.PutUint16(udp[2:], t.Port)
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)+len(inner)))
		udp[9] = proto // of a header without options
		udp = append(udp, inner...)
		if t.Checksum {
			binary.BigEndian.PutUint16(udp[6:], transportSum(from, to, unix.IPPROTO_UDP, udp))
		}
		return ipPacket(from, to, unix.IPPROTO_UDP, tunnelHL, udp)
	}
	return ipPacket(from, to, proto, tunnelHL, inner)
}

// whoHas asks one station whether it has an address. Over IPv4 the question has
// no sender (RFC 5227 §1.1), so nobody learns anything from it; over IPv6 a
// question without one would be answered to all (RFC 4861 §7.2.4).
func whoHas(vip, own netip.Addr, mac, station net.HardwareAddr) ([]byte, error) {
	if vip.Is4() {
		p, err := arp.NewPacket(arp.OperationRequest, mac, netip.IPv4Unspecified(), make(net.HardwareAddr, 6), vip)
		if err != nil {
			return nil, fmt.Errorf("build arp request: %w", err)
		}
		body, err := p.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("build arp request: %w", err)
		}
		return frame(station, mac, ethernet.EtherTypeARP, body)
	}
	group, err := ndp.SolicitedNodeMulticast(vip)
	if err != nil {
		return nil, fmt.Errorf("build neighbour solicitation: %w", err)
	}
	body, err := ndp.MarshalMessageChecksum(&ndp.NeighborSolicitation{TargetAddress: vip,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac}}}, own, group)
	if err != nil {
		return nil, fmt.Errorf("build neighbour solicitation: %w", err)
	}
	return frame(station, mac, ethernet.EtherTypeIPv6, ipPacket(own, group, unix.IPPROTO_ICMPV6, ndHL, body))
}

// inFrame puts an IP packet into a frame.
func inFrame(to, from net.HardwareAddr, ip []byte) ([]byte, error) {
	if ip[0]>>4 == 6 {
		return frame(to, from, ethernet.EtherTypeIPv6, ip)
	}
	return frame(to, from, ethernet.EtherTypeIPv4, ip)
}

func frame(to, from net.HardwareAddr, kind ethernet.EtherType, body []byte) ([]byte, error) {
	b, err := (&ethernet.Frame{Destination: to, Source: from, EtherType: kind, Payload: body}).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("build ethernet frame: %w", err)
	}
	return b, nil
}

// transportSum is the checksum with the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
func transportSum(from, to netip.Addr, proto byte, b []byte) uint16 {
	s := sum(sum(0, from.AsSlice()), to.AsSlice()) + uint32(proto) + uint32(len(b))
	c := ^fold(sum(s, b))
	if c == 0 && proto == unix.IPPROTO_UDP {
		return 0xffff // RFC 768: 0 is none
	}
	return c
}

// sum adds 16-bit words (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
