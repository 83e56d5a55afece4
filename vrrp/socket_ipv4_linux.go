package vrrp

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// wire4 speaks IPv4. The destination of what is sent may be the group or a
// peer; source and TTL come from control messages (ip(7)), because instances
// that differ in them share the socket.
type wire4 struct {
	fd      int
	to      unix.SockaddrInet4
	control *control
	info    *unix.Inet4Pktinfo
	ttl     *int32
}

func newWire4(o *options, index int, group netip.Addr) *wire4 {
	mreq := unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(index)}
	// Without it every socket gets what any process on this host has joined,
	// on every interface.
	o.set("IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	o.add("IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(o.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &mreq))
	o.add("IP_MULTICAST_IF", unix.SetsockoptIPMreqn(o.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}))
	o.set("IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0)
	o.set("IP_TOS", unix.IPPROTO_IP, unix.IP_TOS, internetworkControl)

	w := &wire4{fd: o.fd, control: newControl(unix.SizeofInet4Pktinfo, 4)}
	w.info = (*unix.Inet4Pktinfo)(w.control.add(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo))
	w.info.Ifindex = int32(index)
	w.ttl = (*int32)(w.control.add(unix.IPPROTO_IP, unix.IP_TTL, 4))
	return w
}

func (w *wire4) send(message []byte, d Delivery, flags int) error {
	w.to.Addr = d.Destination.As4()
	w.info.Spec_dst = d.Source.As4()
	*w.ttl = int32(d.TTL)
	_, err := unix.SendmsgN(w.fd, message, w.control.buf, &w.to, unix.MSG_DONTWAIT|flags)
	return err
}

// receive reads a packet. A raw IPv4 socket delivers the IP header, which has
// all that Meta needs, and IP options that are no part of the message.
func (w *wire4) receive(buf []byte) ([]byte, Meta, error) {
	n, err := unix.Read(w.fd, buf)
	if err != nil {
		return nil, Meta{}, err
	}
	message, meta := splitIPv4(buf[:n])
	return message, meta, nil
}

// splitIPv4 returns the payload of an IPv4 packet and what its header says. A
// packet that is not complete has no payload.
func splitIPv4(packet []byte) ([]byte, Meta) {
	if len(packet) < ipv4HeaderLen {
		return nil, Meta{}
	}
	meta := Meta{
		Source:      netip.AddrFrom4([4]byte(packet[12:])),
		Destination: netip.AddrFrom4([4]byte(packet[16:])),
		TTL:         packet[8],
	}
	header := int(packet[0]&0x0f) * 4
	total := min(int(binary.BigEndian.Uint16(packet[2:])), len(packet))
	if header < ipv4HeaderLen || header > total {
		return nil, meta
	}
	return packet[header:total], meta
}
