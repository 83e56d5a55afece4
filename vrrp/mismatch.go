package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// mismatch is what a dropped packet says and what was wanted, as numbers: it is
// taken of each packet of a flood, and put into words only when it is told.
type mismatch struct {
	drop      DropReason
	got, want uint32
	other     uint32     // checksum over IPv4, version 3: want with the pseudo-header
	to, group netip.Addr // destination
}

// mismatch compares a packet that Parse has dropped with what w wants.
func (w *Want) mismatch(drop DropReason, message []byte, meta *Meta) mismatch {
	m := mismatch{drop: drop}
	switch drop {
	case DropTooShort:
		m.got, m.want = uint32(len(message)), headerLen
		if len(message) >= headerLen {
			m.want = messageLen(message, meta)
		}
	case DropTTL:
		m.got, m.want = uint32(meta.TTL), TTL
		if w.Unicast && w.TTLMin != 0 {
			m.want = uint32(w.TTLMin)
		}
	case DropDestination:
		m.to, m.group = meta.Destination, w.Group
		if !w.Unicast && !m.group.IsValid() {
			m.group = groupOf(meta.Destination.Is6())
		}
		if w.Unicast {
			m.group = netip.Addr{}
		}
	case DropVersion:
		m.got, m.want = uint32(message[0]>>4), uint32(w.Version)
	case DropType:
		m.got, m.want = uint32(message[0]&0x0f), typeAdvertisement
	case DropChecksum:
		message = message[:messageLen(message, meta)]
		has := binary.BigEndian.Uint16(message[6:])
		rest := sum16(0, message) - uint32(has)
		pseudo := rest + pseudoHeader(meta.Source, meta.Destination, len(message))
		m.got, m.want = uint32(has), uint32(^fold(rest))
		switch {
		case meta.Destination.Is6():
			m.want = uint32(^fold(pseudo))
		case w.Version != V2:
			m.other = uint32(^fold(pseudo))
		}
	case DropAuthType:
		m.got = uint32(message[4])
		if w.Password != "" {
			m.want = authPassword
		}
	case DropIntervalMismatch:
		m.got, m.want = uint32(message[5]), uint32(w.Interval/time.Second)
	}
	return m
}

// messageLen is how long a message with a whole header says that it is.
func messageLen(message []byte, meta *Meta) uint32 {
	a := Advert{six: meta.Destination.Is6()}
	n := headerLen + a.size()*int(message[3])
	if Version(message[0]>>4) == V2 {
		n += authLen
	}
	return uint32(n)
}

// String is for the operator, "" where the reason says all there is.
func (m mismatch) String() string {
	switch m.drop {
	case DropTooShort:
		return fmt.Sprintf("%d of %d bytes", m.got, m.want)
	case DropTTL:
		return fmt.Sprintf("TTL or hop limit %d, must be %s%d", m.got, map[bool]string{true: "at least "}[m.want < TTL], m.want)
	case DropDestination:
		if m.group.IsValid() {
			return fmt.Sprintf("sent to %v, ours is %v", m.to, m.group)
		}
		return fmt.Sprintf("sent to %v, must be sent to this node", m.to)
	case DropVersion:
		return fmt.Sprintf("version %d, ours is %d", m.got, m.want)
	case DropType:
		return fmt.Sprintf("type %d, an advertisement is %d", m.got, m.want)
	case DropChecksum:
		if m.other != 0 {
			return fmt.Sprintf("%#04x, must be %#04x, or %#04x with the pseudo-header", m.got, m.want, m.other)
		}
		return fmt.Sprintf("%#04x, must be %#04x", m.got, m.want)
	case DropAuthType:
		return fmt.Sprintf("type %s, ours is %s", authName(m.got), authName(m.want))
	case DropIntervalMismatch:
		return fmt.Sprintf("advert_int %v, ours is %v", time.Duration(m.got)*time.Second, time.Duration(m.want)*time.Second)
	}
	return ""
}

func authName(kind uint32) string {
	switch kind {
	case authNone:
		return "0 (none)"
	case authPassword:
		return "1 (PASS)"
	}
	return fmt.Sprint(kind)
}
