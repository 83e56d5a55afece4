package vrrp

import (
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	headerLen = 8
	authLen   = 8 // v2: authentication data

	typeAdvertisement = 1
	authNone          = 0
	authPassword      = 1      // RFC 2338 section 5.3.6
	maxIntervalMask   = 0x0fff // v3: four reserved bits stand before the interval
)

// Advert is one VRRP advertisement.
type Advert struct {
	Version  Version
	VRID     uint8
	Priority uint8         // 0: the master resigns
	Interval time.Duration // v2: whole seconds; v3: centiseconds
	Checksum ChecksumMode  // the form its checksum has: ChecksumRFC, ChecksumPseudo, or ChecksumAuto where they are the same
	Password string        // v2: sent with it, at most 8 bytes; "": none. Parse leaves it empty

	addresses []byte // a view of the packet
	six       bool   // they are IPv6
}

// size is the length of one of its addresses.
func (a *Advert) size() int {
	if a.six {
		return 16
	}
	return 4
}

// Len returns the number of virtual addresses.
func (a *Advert) Len() int { return len(a.addresses) / a.size() }

// Address returns a virtual address. It is only valid as long as the buffer
// that the advert was parsed from is not written to.
func (a *Advert) Address(i int) netip.Addr {
	if a.six {
		return netip.AddrFrom16([16]byte(a.addresses[16*i:]))
	}
	return netip.AddrFrom4([4]byte(a.addresses[4*i:]))
}

// Want is what an instance accepts.
type Want struct {
	Version  Version
	VRID     uint8
	Interval time.Duration // v2: the interval that adverts must have
	Source   netip.Addr    // our own address: adverts from it are ours
	Group    netip.Addr    // that adverts are sent to; zero: Group or Group6
	Password string        // v2: that adverts must carry, at most 8 bytes; "": they must carry none

	Unicast   bool         // adverts are sent to ourselves, not to a group
	Peers     []netip.Addr // Unicast: who may send them
	AnySource bool         // Unicast: anybody may
	TTLMin    uint8        // Unicast: least TTL or hop limit; 0: 255
}

// misdirected checks what the network layer says of a packet.
func (w *Want) misdirected(meta *Meta) DropReason {
	if w.Unicast {
		least := w.TTLMin
		if least == 0 {
			least = TTL
		}
		switch {
		case meta.TTL < least:
			return DropTTL
		case meta.Destination.IsMulticast() || meta.Destination == broadcast:
			return DropDestination
		case !w.AnySource && meta.Source != w.Source && !contains(w.Peers, meta.Source):
			return DropNotPeer
		}
		return DropNone
	}
	group := w.Group
	if !group.IsValid() {
		group = groupOf(meta.Destination.Is6())
	}
	switch {
	case meta.TTL != TTL:
		return DropTTL
	case meta.Destination != group:
		return DropDestination
	}
	return DropNone
}

// broadcast reaches a socket as unicast does; that of a network cannot be told
// from an address here.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// contains is slices.Contains, which copies each element to compare it.
func contains(list []netip.Addr, a netip.Addr) bool {
	for i := range list {
		if list[i] == a {
			return true
		}
	}
	return false
}

// Parse checks a VRRP message in the order of RFC 9568 section 7.1 and RFC 3768
// section 7.1, and returns the advert or the first check that failed. The
// family is that of meta's addresses. The advert's addresses refer to message.
// It does not allocate.
func Parse(message []byte, meta Meta, want *Want) (Advert, DropReason) {
	if len(message) < headerLen {
		return Advert{}, DropTooShort
	}
	version := Version(message[0] >> 4)
	count := int(message[3])
	a := Advert{Version: version, VRID: message[1], Priority: message[2], six: meta.Destination.Is6()}
	end := headerLen + a.size()*count
	length := end
	if version == V2 {
		length += authLen
	}
	if len(message) < length {
		return Advert{}, DropTooShort
	}
	message = message[:length] // what follows is padding
	a.addresses = message[headerLen:end]
	if drop := want.misdirected(&meta); drop != DropNone {
		return a, drop
	}
	switch {
	case version != want.Version, version == V2 && a.six:
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
		if drop := want.authentication(message[4], message[end:]); drop != DropNone {
			return a, drop
		}
		switch {
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

// authentication checks the authentication type and data of version 2. Without
// a password the data is not looked at (RFC 3768 section 5.3.10).
func (w *Want) authentication(kind uint8, data []byte) DropReason {
	if w.Password == "" {
		if kind != authNone {
			return DropAuthType
		}
		return DropNone
	}
	var password [authLen]byte
	copy(password[:], w.Password)
	switch {
	case kind != authPassword:
		return DropAuthType
	case subtle.ConstantTimeCompare(data, password[:]) != 1:
		return DropAuthData
	}
	return DropNone
}

// AppendAdvert appends the message for a to dst, as it is sent from source to
// destination with the given virtual addresses, all of the family of
// destination and at most MaxAddresses. Over IPv4 a.Checksum is ChecksumRFC or
// ChecksumPseudo, over IPv6 there is one form and it is ignored. It allocates
// only to make dst grow.
func AppendAdvert(dst []byte, a Advert, source, destination netip.Addr, addresses []Address) []byte {
	start := len(dst)
	dst = append(dst, uint8(a.Version)<<4|typeAdvertisement, a.VRID, a.Priority, uint8(len(addresses)))
	switch {
	case a.Version != V2:
		dst = binary.BigEndian.AppendUint16(dst, uint16(a.Interval/centisecond)&maxIntervalMask)
	case a.Password != "":
		dst = append(dst, authPassword, uint8(a.Interval/time.Second))
	default:
		dst = append(dst, authNone, uint8(a.Interval/time.Second))
	}
	dst = append(dst, 0, 0)
	dst = appendAddresses(dst, addresses)
	if a.Version == V2 {
		var data [authLen]byte
		copy(data[:], a.Password)
		dst = append(dst, data[:]...)
	}
	message := dst[start:]
	sum := sum16(0, message)
	if a.Version == V3 && (a.Checksum != ChecksumRFC || destination.Is6()) {
		sum += pseudoHeader(source, destination, len(message))
	}
	binary.BigEndian.PutUint16(message[6:], ^fold(sum))
	return dst
}

// appendAddresses appends the addresses as adverts carry them.
func appendAddresses(dst []byte, addresses []Address) []byte {
	for i := range addresses {
		ip := addresses[i].Prefix.Addr()
		if ip.Is4() {
			b := ip.As4()
			dst = append(dst, b[:]...)
		} else {
			b := ip.As16()
			dst = append(dst, b[:]...)
		}
	}
	return dst
}
