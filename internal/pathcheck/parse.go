package pathcheck

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// kind is what a captured frame says.
type kind uint8

const (
	synAck kind = iota + 1
	reset
	claim
)

// answer is a captured frame that may answer a question.
type answer struct {
	kind     kind
	vip      netip.AddrPort // of a claim without port
	local    netip.AddrPort // to whom; not of a claim
	seq, ack uint32
	mac      [6]byte // of a claim: who says so
}

const etherLen = 14

// parse reads a frame. It has passed the kernel's filter, and comes from
// anybody.
func parse(f []byte) (answer, bool) {
	if len(f) < etherLen {
		return answer{}, false
	}
	body := f[etherLen:]
	switch binary.BigEndian.Uint16(f[12:]) {
	case unix.ETH_P_ARP:
		// A reply of Ethernet and IPv4 (RFC 826).
		if len(body) < 28 || string(body[:8]) != "\x00\x01\x08\x00\x06\x04\x00\x02" {
			return answer{}, false
		}
		vip := netip.AddrFrom4([4]byte(body[14:]))
		return answer{kind: claim, vip: netip.AddrPortFrom(vip, 0), mac: [6]byte(body[8:])}, true
	case unix.ETH_P_IP:
		return parse4(body)
	case unix.ETH_P_IPV6:
		return parse6(f, body)
	}
	return answer{}, false
}

func parse4(b []byte) (answer, bool) {
	if len(b) < ip4Len || b[0]>>4 != 4 {
		return answer{}, false
	}
	head := int(b[0]&0xf) * 4
	fragment := binary.BigEndian.Uint16(b[6:]) & 0x1fff
	if head < ip4Len || len(b) < head || b[9] != unix.IPPROTO_TCP || fragment != 0 {
		return answer{}, false
	}
	return parseTCP(netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[head:])
}

func parse6(f, b []byte) (answer, bool) {
	if len(b) < ip6Len || b[0]>>4 != 6 {
		return answer{}, false
	}
	switch b[6] {
	case unix.IPPROTO_TCP:
		return parseTCP(netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[ip6Len:])
	case unix.IPPROTO_ICMPV6:
		const advertisement = 136 // RFC 4861 §4.4
		na := b[ip6Len:]
		if b[7] != ndHL || len(na) < 24 || na[0] != advertisement || na[1] != 0 {
			return answer{}, false
		}
		a := answer{kind: claim, vip: netip.AddrPortFrom(netip.AddrFrom16([16]byte(na[8:])), 0), mac: [6]byte(f[6:])}
		// The option names the station; the frame's source may be a bridge's.
		if len(na) >= 32 && na[24] == 2 && na[25] == 1 {
			a.mac = [6]byte(na[26:])
		}
		return a, true
	}
	return answer{}, false
}

func parseTCP(from, to netip.Addr, b []byte) (answer, bool) {
	if len(b) < tcpLen {
		return answer{}, false
	}
	a := answer{
		vip:   netip.AddrPortFrom(from, binary.BigEndian.Uint16(b[0:])),
		local: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
		seq:   binary.BigEndian.Uint32(b[4:]), ack: binary.BigEndian.Uint32(b[8:]),
	}
	switch b[13] & (flagSYN | flagRST | flagACK) {
	case flagSYN | flagACK:
		a.kind = synAck
	case flagRST | flagACK:
		a.kind = reset
	default:
		return answer{}, false
	}
	return a, true
}
