package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	headerLen = 8
	authLen   = 8 // v2: authentication data, zero

	typeAdvertisement = 1
	authNone          = 0
	maxIntervalMask   = 0x0fff // v3: four reserved bits stand before the interval
)

// Advert is one VRRP advertisement over IPv4.
type Advert struct {
	Version  Version
	VRID     uint8
	Priority uint8         // 0: the master resigns
	Interval time.Duration // v2: whole seconds; v3: centiseconds
	Checksum ChecksumMode  // the form its checksum has: ChecksumRFC, ChecksumPseudo, or ChecksumAuto where they are the same

	addresses []byte // a view of the packet
}

// Len returns the number of virtual addresses.
func (a *Advert) Len() int { return len(a.addresses) / 4 }

// Address returns a virtual address. It is only valid as long as the buffer
// that the advert was parsed from is not written to.
func (a *Advert) Address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(a.addresses[4*i:]))
}

// Want is what an instance accepts.
type Want struct {
	Version  Version
	VRID     uint8
	Interval time.Duration // v2: the interval that adverts must have
	Source   netip.Addr    // our own address: adverts from it are ours
}

// Parse checks a VRRP message that arrived over IPv4 in the order of RFC 9568
// section 7.1 and RFC 3768 section 7.1, and returns the advert or the first
// check that failed. The advert's addresses refer to message. It does not
// allocate.
func Parse(message []byte, meta Meta, want *Want) (Advert, DropReason) {
	if len(message) < headerLen {
		return Advert{}, DropTooShort
	}
	version := Version(message[0] >> 4)
	count := int(message[3])
	length := headerLen + 4*count
	if version == V2 {
		length += authLen
	}
	if len(message) < length {
		return Advert{}, DropTooShort
	}
	message = message[:length] // what follows is padding
	a := Advert{
		Version:   version,
		VRID:      message[1],
		Priority:  message[2],
		addresses: message[headerLen : headerLen+4*count],
	}
	switch {
	case meta.TTL != TTL:
		return a, DropTTL
	case meta.Destination != Group:
		return a, DropDestination
	case version != want.Version:
		return a, DropVersion
	case message[0]&0x0f != typeAdvertisement:
		return a, DropType
	}
	var ok bool
	if a.Checksum, ok = checksumForm(message, version, meta.Source, meta.Destination); !ok {
		return a, DropChecksum
	}
	if a.VRID != want.VRID {
		return a, DropVRID
	}
	if version == V2 {
		a.Interval = time.Duration(message[5]) * time.Second
		switch {
		case message[4] != authNone:
			return a, DropAuthType
		case count == 0:
			return a, DropAddressCount
		case a.Interval != want.Interval:
			return a, DropIntervalMismatch
		}
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(message[4:])&maxIntervalMask) * centisecond
		switch {
		case count == 0:
			return a, DropAddressCount
		case a.Interval == 0:
			return a, DropIntervalZero
		}
	}
	if meta.Source == want.Source {
		return a, DropOwnPacket
	}
	return a, DropNone
}

// AppendAdvert appends the message for a (its Checksum is ChecksumRFC or
// ChecksumPseudo) to dst, as it is sent from source to Group with the given
// virtual addresses, all IPv4 and at most MaxAddresses. It allocates only to
// make dst grow.
func AppendAdvert(dst []byte, a Advert, source netip.Addr, addresses []Address) []byte {
	start := len(dst)
	dst = append(dst, uint8(a.Version)<<4|typeAdvertisement, a.VRID, a.Priority, uint8(len(addresses)))
	if a.Version == V2 {
		dst = append(dst, authNone, uint8(a.Interval/time.Second))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(a.Interval/centisecond)&maxIntervalMask)
	}
	dst = append(dst, 0, 0)
	for _, v := range addresses {
		ip := v.Prefix.Addr().As4()
		dst = append(dst, ip[:]...)
	}
	if a.Version == V2 {
		dst = append(dst, make([]byte, authLen)...)
	}
	message := dst[start:]
	sum := sum16(0, message)
	if a.Version == V3 && a.Checksum != ChecksumRFC {
		sum += pseudoHeader(source, Group, len(message))
	}
	binary.BigEndian.PutUint16(message[6:], ^fold(sum))
	return dst
}
