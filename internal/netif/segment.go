package netif

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// relayTTL is what a segment relayed in user space carries. One that arrives
// with no more is not relayed again, so that two directors that both relay
// cannot pass it to and fro. The old master's IPVS needs at least 2.
const relayTTL = 8

// Sizes and offsets of what stands before the IP packet in a frame that goes
// out through a packet socket with PACKET_VNET_HDR.
const (
	vnetLen  = 10 // struct virtio_net_hdr, linux/virtio_net.h
	etherLen = 14
	frontLen = vnetLen + etherLen
)

// segments decides which TCP segments are relayed and frames them.
type segments struct {
	vips  []netip.Addr
	ports []uint16
	front [etherLen]byte // destination, source, type
	mtu   int
}

// frame makes the frame in buf, which holds an IPv4 packet as a raw socket
// delivers it from frontLen on, ready to be sent to the old master. It returns
// nil for what is not to be relayed.
func (s *segments) frame(buf []byte) []byte {
	if len(buf) < frontLen+20 {
		return nil
	}
	ip := buf[frontLen:]
	head, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || head < 20 || ip[9] != 6 || total > len(ip) || total < head+20 {
		return nil
	}
	ip = ip[:total]
	tcp := ip[head:]
	offset := int(tcp[12]>>4) * 4
	if offset < 20 || offset > len(tcp) {
		return nil
	}
	const syn = 0x02
	if tcp[13]&syn != 0 || ip[8] <= relayTTL ||
		!slices.Contains(s.vips, netip.AddrFrom4([4]byte(ip[16:20]))) ||
		len(s.ports) > 0 && !slices.Contains(s.ports, binary.BigEndian.Uint16(tcp[2:])) {
		return nil
	}
	pseudo := fold(sum(ip[12:20], 6+uint32(len(tcp))))
	// The kernel hands over what it has not verified, and what it verified
	// or made itself with the pseudo-header's sum alone (CHECKSUM_PARTIAL).
	// Anything else was damaged on the way: framed anew it would pass for whole.
	if binary.BigEndian.Uint16(tcp[16:]) != pseudo && fold(sum(tcp, uint32(pseudo))) != 0xffff {
		return nil
	}
	binary.BigEndian.PutUint16(tcp[16:], pseudo)
	ip[8] = relayTTL
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:head], 0)))

	copy(buf[vnetLen:], s.front[:])
	vnet := buf[:vnetLen]
	clear(vnet)
	vnet[0] = 1                                                    // VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.NativeEndian.PutUint16(vnet[6:], uint16(etherLen+head)) // csum_start
	binary.NativeEndian.PutUint16(vnet[8:], 16)                    // csum_offset
	if total > s.mtu {
		// Received segments merged into one (GRO): the kernel divides it.
		vnet[1] = 1                                                           // VIRTIO_NET_HDR_GSO_TCPV4
		binary.NativeEndian.PutUint16(vnet[2:], uint16(etherLen+head+offset)) // hdr_len
		binary.NativeEndian.PutUint16(vnet[4:], uint16(s.mtu-head-offset))    // gso_size
	}
	return buf[:frontLen+total]
}

// sum adds up the 16-bit words of b (RFC 1071).
func sum(b []byte, acc uint32) uint32 {
	n := len(b) &^ 1
	for i := 0; i < n; i += 2 {
		acc += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if n < len(b) {
		acc += uint32(b[n]) << 8
	}
	return acc
}

// fold makes 16 bits of a sum of at most 65535 words.
func fold(acc uint32) uint16 {
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}
