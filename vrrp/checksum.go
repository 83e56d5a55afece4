package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// checksumForm returns the form in which message's checksum is right. Version 2
// has one form only: the whole message with its authentication data, without a
// pseudo-header (RFC 3768 section 5.3.8). So has IPv6: with the pseudo-header
// (RFC 9568 section 5.2.8), which says nothing about what a sender prefers over
// IPv4 and is ChecksumAuto here.
func checksumForm(message []byte, v Version, source, destination netip.Addr) (ChecksumMode, bool) {
	sum := sum16(0, message)
	plain := fold(sum) == 0xffff
	if v == V2 {
		return ChecksumRFC, plain
	}
	pseudo := fold(sum+pseudoHeader(source, destination, len(message))) == 0xffff
	switch {
	case destination.Is6():
		return ChecksumAuto, pseudo
	case plain && pseudo:
		return ChecksumAuto, true // the pseudo-header of this source adds up to zero
	case plain:
		return ChecksumRFC, true
	case pseudo:
		return ChecksumPseudo, true
	}
	return "", false
}

// sum16 adds the 16-bit words of b to sum. The longest message has too few of
// them to overflow 32 bits.
func sum16(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// pseudoHeader returns the sum of the pseudo-header for VRRP: that of IPv4
// (RFC 9293 section 3.1) or of IPv6 (RFC 8200 section 8.1), which differ in
// nothing but the addresses once they are added up. The zero address counts as
// zero.
func pseudoHeader(source, destination netip.Addr, length int) uint32 {
	sum := uint32(Protocol) + uint32(length)
	for _, a := range [2]netip.Addr{source, destination} {
		switch {
		case a.Is4():
			b := a.As4()
			sum = sum16(sum, b[:])
		case a.Is6():
			b := a.As16()
			sum = sum16(sum, b[:])
		}
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
