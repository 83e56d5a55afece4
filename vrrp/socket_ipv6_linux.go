package vrrp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire6 speaks IPv6. A raw IPv6 socket delivers no IP header: destination and
// hop limit come as control messages (RFC 3542 section 6), the source as the
// sender's address.
//
// The checksum is computed and checked by AppendAdvert and Parse, as over IPv4:
// the kernel could do it (IPV6_CHECKSUM), but it drops a packet with a wrong
// one in silence, and who it came from is what an operator wants to know.
type wire6 struct {
	fd    int
	index uint32

	to      unix.SockaddrInet6
	control *control
	info    *unix.Inet6Pktinfo
	hops    *int32

	// What recvmsg fills in. The calls of x/sys allocate the sender's address.
	head unix.Msghdr
	iov  unix.Iovec
	from unix.RawSockaddrInet6
	got  [16]uint64 // control messages, aligned as their headers must be
}

func newWire6(o *options, index int, group netip.Addr) *wire6 {
	mreq := unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)}
	o.attach(onlyGroup6(group))
	o.add("IPV6_JOIN_GROUP", unix.SetsockoptIPv6Mreq(o.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &mreq))
	o.set("IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
	o.set("IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0)
	o.set("IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, internetworkControl)
	o.set("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	o.set("IPV6_RECVHOPLIMIT", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	o.set("IPV6_CHECKSUM", unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, -1)

	w := &wire6{fd: o.fd, index: uint32(index), control: newControl(unix.SizeofInet6Pktinfo, 4)}
	w.info = (*unix.Inet6Pktinfo)(w.control.add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo))
	w.info.Ifindex = uint32(index)
	w.hops = (*int32)(w.control.add(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, 4))
	return w
}

func (w *wire6) send(message []byte, d Delivery, flags int) error {
	w.to.Addr = d.Destination.As16()
	w.to.ZoneId = 0
	if d.Destination.IsLinkLocalUnicast() || d.Destination.IsLinkLocalMulticast() {
		w.to.ZoneId = w.index
	}
	w.info.Addr = d.Source.As16()
	*w.hops = int32(d.TTL)
	_, err := unix.SendmsgN(w.fd, message, w.control.buf, &w.to, unix.MSG_DONTWAIT|flags)
	return err
}

func (w *wire6) receive(buf []byte) ([]byte, Meta, error) {
	w.iov.Base = unsafe.SliceData(buf)
	w.iov.SetLen(len(buf))
	w.head = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&w.from)), Namelen: unix.SizeofSockaddrInet6, Iov: &w.iov, Control: (*byte)(unsafe.Pointer(&w.got[0]))}
	w.head.SetIovlen(1)
	w.head.SetControllen(int(unsafe.Sizeof(w.got)))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.head)), unix.MSG_DONTWAIT)
	w.iov.Base = nil // buf is the caller's again
	if errno != 0 {
		return nil, Meta{}, errno
	}
	meta := Meta{Source: netip.AddrFrom16(w.from.Addr)}
	meta.readControl(unsafe.Slice((*byte)(unsafe.Pointer(&w.got[0])), w.head.Controllen))
	return buf[:n], meta, nil
}

// readControl takes destination and hop limit out of control messages. What is
// missing or cut stays zero and fails Parse's checks.
func (m *Meta) readControl(b []byte) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return
		}
		if data := b[min(unix.CmsgLen(0), n):n]; h.Level == unix.IPPROTO_IPV6 {
			switch {
			case h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
				m.Destination = netip.AddrFrom16([16]byte(data))
			case h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
				m.TTL = uint8(*(*int32)(unsafe.Pointer(&data[0])))
			}
		}
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
}
