package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Frame is what a Capture saw on a wire. Of ARP and Advert one is set at most;
// none is for the opening of a TCP connection.
type Frame struct {
	Time time.Time // the kernel's, when the frame passed the interface
	// Sent is true for a frame that left by the interface, false for one that
	// came in by it.
	Sent                bool
	Source, Destination net.HardwareAddr
	ARP                 *ARP
	Advert              *Advert
	tcp                 *segment
}

// ARP is an Ethernet and IPv4 ARP packet (RFC 826).
type ARP struct {
	Request  bool // operation 1; else reply, operation 2
	SenderHW net.HardwareAddr
	SenderIP netip.Addr
	TargetHW net.HardwareAddr
	TargetIP netip.Addr
}

// Gratuitous says whether the packet announces addr: sender and target are
// the same (RFC 5227 §3).
func (a *ARP) Gratuitous(addr netip.Addr) bool {
	return a != nil && a.SenderIP == addr && a.TargetIP == addr
}

// Advert is a VRRP advertisement as it stood on the wire, decoded apart from
// package vrrp so that it can judge it.
type Advert struct {
	Source, Destination netip.Addr
	TTL                 int // over IPv6 the hop limit
	Version, Type       int
	VRID, Priority      uint8
	Interval            time.Duration // version 2: seconds; 3: centiseconds
	Addresses           []netip.Addr
	Payload             []byte // the whole VRRP message
}

func (f Frame) String() string {
	switch {
	case f.Advert != nil:
		a := f.Advert
		return fmt.Sprintf("%s vrrp v%d %s > %s vrid %d priority %d interval %s %v",
			f.Time.Format("15:04:05.000000"), a.Version, a.Source, a.Destination, a.VRID, a.Priority, a.Interval, a.Addresses)
	case f.ARP != nil:
		op := "reply"
		if f.ARP.Request {
			op = "request"
		}
		return fmt.Sprintf("%s arp %s %s is %s, target %s, to %s",
			f.Time.Format("15:04:05.000000"), op, f.ARP.SenderIP, f.ARP.SenderHW, f.ARP.TargetIP, f.Destination)
	}
	return f.Time.Format("15:04:05.000000") + " empty frame"
}

// decodeFrame returns false for everything but whole ARP and VRRP frames and
// segments that open a TCP connection.
func decodeFrame(raw []byte) (Frame, bool) {
	var eth ethernet.Frame
	if err := eth.UnmarshalBinary(raw); err != nil {
		return Frame{}, false
	}
	f := Frame{Source: eth.Source, Destination: eth.Destination}
	switch eth.EtherType {
	case ethernet.EtherTypeARP:
		var p arp.Packet
		if err := p.UnmarshalBinary(eth.Payload); err != nil || p.ProtocolType != uint16(ethernet.EtherTypeIPv4) {
			return Frame{}, false
		}
		f.ARP = &ARP{
			Request: p.Operation == arp.OperationRequest, SenderHW: p.SenderHardwareAddr, SenderIP: p.SenderIP,
			TargetHW: p.TargetHardwareAddr, TargetIP: p.TargetIP,
		}
		return f, true
	case ethernet.EtherTypeIPv4:
		if s, ok := decodeSegment(eth.Payload); ok {
			f.tcp = s
			return f, true
		}
		a, ok := decodeIPv4(eth.Payload)
		f.Advert = a
		return f, ok
	case ethernet.EtherTypeIPv6:
		a, ok := decodeIPv6(eth.Payload)
		f.Advert = a
		return f, ok
	}
	return Frame{}, false
}

func decodeIPv4(b []byte) (*Advert, bool) {
	h, err := ipv4.ParseHeader(b)
	if err != nil || h.Version != 4 || h.Protocol != protocolVRRP || h.Len < ipv4.HeaderLen || h.TotalLen < h.Len || len(b) < h.TotalLen {
		return nil, false
	}
	src, ok1 := netip.AddrFromSlice(h.Src.To4())
	dst, ok2 := netip.AddrFromSlice(h.Dst.To4())
	if !ok1 || !ok2 {
		return nil, false
	}
	return decodeAdvert(src, dst, h.TTL, b[h.Len:h.TotalLen])
}

// decodeIPv6 knows no extension headers: VRRP has none.
func decodeIPv6(b []byte) (*Advert, bool) {
	h, err := ipv6.ParseHeader(b)
	if err != nil || h.Version != 6 || h.NextHeader != protocolVRRP || len(b) < ipv6.HeaderLen+h.PayloadLen {
		return nil, false
	}
	src, ok1 := netip.AddrFromSlice(h.Src)
	dst, ok2 := netip.AddrFromSlice(h.Dst)
	if !ok1 || !ok2 {
		return nil, false
	}
	return decodeAdvert(src, dst, h.HopLimit, b[ipv6.HeaderLen:ipv6.HeaderLen+h.PayloadLen])
}

// decodeAdvert reads a message of either version. RFC 9568 §5.1 and RFC 3768
// §5.1 share the first four bytes.
func decodeAdvert(src, dst netip.Addr, ttl int, msg []byte) (*Advert, bool) {
	if len(msg) < 8 {
		return nil, false
	}
	a := &Advert{
		Source: src, Destination: dst, TTL: ttl, Version: int(msg[0] >> 4), Type: int(msg[0] & 15),
		VRID: msg[1], Priority: msg[2], Payload: append([]byte(nil), msg...),
	}
	if a.Version == 2 {
		a.Interval = time.Duration(msg[5]) * time.Second
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(msg[4:])&0x0fff) * 10 * time.Millisecond
	}
	size := src.BitLen() / 8
	for i, rest := 0, msg[8:]; i < int(msg[3]) && len(rest) >= size; i, rest = i+1, rest[size:] {
		addr, _ := netip.AddrFromSlice(rest[:size]) // of 4 or 16 bytes, as src
		a.Addresses = append(a.Addresses, addr)
	}
	return a, true
}

// decodeSegment reads a SYN or a SYN-ACK over IPv4.
func decodeSegment(b []byte) (*segment, bool) {
	h, err := ipv4.ParseHeader(b)
	if err != nil || h.Version != 4 || h.Protocol != protocolTCP || h.Len < ipv4.HeaderLen || len(b) < h.Len+minTCP {
		return nil, false
	}
	src, ok1 := netip.AddrFromSlice(h.Src.To4())
	dst, ok2 := netip.AddrFromSlice(h.Dst.To4())
	tcp := b[h.Len:]
	if !ok1 || !ok2 || tcp[tcpFlags]&tcpSYN == 0 {
		return nil, false
	}
	return &segment{
		source:      netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		destination: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		sequence:    binary.BigEndian.Uint32(tcp[4:]),
		ack:         tcp[tcpFlags]&tcpACK != 0,
	}, true
}

const (
	protocolTCP  = 6
	protocolVRRP = 112

	// RFC 9293 §3.1.
	minTCP   = 20
	tcpFlags = 13
	tcpSYN   = 0x02
	tcpACK   = 0x10
)
