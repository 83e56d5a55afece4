package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// device is a VMAC: adverts leave from it as whole packets, under its MAC
// address, with the source address of the interface below, which it need not
// have. An AF_PACKET socket asks for no route, no address and, over IPv6, no
// IPv6 on the macvlan.
//
// It also hears. While a macvlan in private mode is up, the kernel gives it
// every frame that comes from its own MAC address, and only it
// (macvlan_handle_frame in drivers/net/macvlan.c): the adverts of a master that
// uses the same VMAC would never reach the interface below.
type device struct {
	fd    int
	index int
	to    unix.SockaddrLinklayer
	frame [MaxPacket]byte
}

var errNotGroup = errors.New("a VMAC sends to a group only")

// openDevice opens a VMAC that exists.
func (s *socket) openDevice(index int) (*device, error) {
	ethertype := uint16(unix.ETH_P_IP)
	if s.at.Family == IPv6 {
		ethertype = unix.ETH_P_IPV6
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	d := &device{fd: fd, index: index}
	d.to = unix.SockaddrLinklayer{Protocol: networkOrder(ethertype), Ifindex: index, Halen: 6}
	o := options{fd: fd}
	o.set("SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl)
	o.receiveBuffer()
	// Bound to no protocol it receives nothing, but knows its interface's MAC
	// address: the filter is there before anything arrives.
	o.call("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}))
	self, err := unix.Getsockname(fd)
	o.call("getsockname", err)
	if mac, ok := self.(*unix.SockaddrLinklayer); ok {
		o.attach(onlyFrom([6]byte(mac.Addr[:]), s.at.Family))
	}
	o.call("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: d.to.Protocol, Ifindex: index}))
	o.call("epoll_ctl", unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
	if err := errors.Join(o.errs...); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Overhear makes sure that what a VMAC takes from the interface below is heard.
// It may be called at any time and costs two system calls when there is nothing
// to do. A VMAC that does not exist is no error: it is opened when it is sent
// from, or when Overhear is called again.
func (s *socket) Overhear(name string) error {
	_, err := s.device(name)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("listen on VMAC %s: %w", name, err)
	}
	return nil
}

// device returns the open VMAC of that name, and opens it where it was not yet
// or is another by now.
func (s *socket) device(name string) (*device, error) {
	index, err := indexOf(s.fd, name)
	d := s.devices[name]
	if d != nil && err == nil && d.index == index {
		return d, nil
	}
	if d != nil {
		s.closeDevice(name)
	}
	if err != nil {
		return nil, err
	}
	if d, err = s.openDevice(index); err != nil {
		return nil, err
	}
	if s.devices == nil {
		s.devices = map[string]*device{}
	}
	s.devices[name] = d
	return d, nil
}

func (s *socket) closeDevice(name string) {
	unix.Close(s.devices[name].fd) // which takes it out of epoll
	delete(s.devices, name)
	s.events = s.events[:0] // they may name it
}

// sendFrom sends from a VMAC. One that was deleted and made anew is another
// interface under the old name.
func (s *socket) sendFrom(message []byte, d Delivery) error {
	dev, err := s.devices[d.Device], error(nil)
	if dev == nil {
		if dev, err = s.device(d.Device); err != nil {
			return err
		}
	}
	err = dev.send(message, d)
	if err == unix.ENXIO || err == unix.ENODEV {
		if dev, err = s.device(d.Device); err == nil {
			err = dev.send(message, d)
		}
	}
	return err
}

func (v *device) send(message []byte, d Delivery) error {
	if !d.Destination.IsMulticast() || len(message) > MaxPacket-ipv6HeaderLen {
		return errNotGroup
	}
	var packet []byte
	if d.Destination.Is4() {
		packet = appendIPv4(v.frame[:0], message, &d)
		// RFC 1112 section 6.4: the low 23 bits of the group.
		g := d.Destination.As4()
		v.to.Addr = [8]byte{0x01, 0x00, 0x5e, g[1] & 0x7f, g[2], g[3]}
	} else {
		packet = appendIPv6(v.frame[:0], message, &d)
		// RFC 2464 section 7: the last four bytes.
		g := d.Destination.As16()
		v.to.Addr = [8]byte{0x33, 0x33, g[12], g[13], g[14], g[15]}
	}
	return unix.Sendto(v.fd, packet, unix.MSG_DONTWAIT, &v.to)
}

// receive reads a packet. ENETDOWN tells that the VMAC went down, once; when it
// comes up again it is heard again.
func (v *device) receive(buf []byte, family Family) ([]byte, Meta, error) {
	n, err := unix.Read(v.fd, buf)
	if err != nil {
		return nil, Meta{}, err
	}
	if family == IPv6 {
		message, meta := splitIPv6(buf[:n])
		return message, meta, nil
	}
	if !wholeIPv4(buf[:n]) {
		return nil, Meta{}, nil
	}
	message, meta := splitIPv4(buf[:n])
	return message, meta, nil
}

// appendIPv4 appends a packet with the message in it, as the kernel makes them
// for the raw socket. It is never fragmented, so it needs no identification
// (RFC 6864 section 4.1).
func appendIPv4(dst, message []byte, d *Delivery) []byte {
	start := len(dst)
	from, to := d.Source.As4(), d.Destination.As4()
	dst = append(dst, 0x45, internetworkControl)
	dst = binary.BigEndian.AppendUint16(dst, uint16(ipv4HeaderLen+len(message)))
	dst = append(dst, 0, 0, 0x40, 0, d.TTL, Protocol, 0, 0)
	dst = append(append(dst, from[:]...), to[:]...)
	header := dst[start:]
	binary.BigEndian.PutUint16(header[10:], ^fold(sum16(0, header)))
	return append(dst, message...)
}

func appendIPv6(dst, message []byte, d *Delivery) []byte {
	from, to := d.Source.As16(), d.Destination.As16()
	dst = append(dst, 0x60|internetworkControl>>4, internetworkControl<<4&0xff, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(message)))
	dst = append(dst, Protocol, d.TTL)
	dst = append(append(dst, from[:]...), to[:]...)
	return append(dst, message...)
}

// wholeIPv4 says whether the kernel would deliver the packet as it is: its
// header is not damaged and it is no fragment.
func wholeIPv4(packet []byte) bool {
	if len(packet) < ipv4HeaderLen {
		return false
	}
	header := int(packet[0]&0x0f) * 4
	if packet[0]>>4 != 4 || header < ipv4HeaderLen || header > len(packet) {
		return false
	}
	const moreOrOffset = 0x3fff
	return fold(sum16(0, packet[:header])) == 0xffff && binary.BigEndian.Uint16(packet[6:])&moreOrOffset == 0
}

// splitIPv6 returns the payload of an IPv6 packet without extension headers and
// what its header says.
func splitIPv6(packet []byte) ([]byte, Meta) {
	if len(packet) < ipv6HeaderLen || packet[0]>>4 != 6 {
		return nil, Meta{}
	}
	meta := Meta{
		Source:      netip.AddrFrom16([16]byte(packet[8:])),
		Destination: netip.AddrFrom16([16]byte(packet[24:])),
		TTL:         packet[7],
	}
	end := ipv6HeaderLen + int(binary.BigEndian.Uint16(packet[4:]))
	if packet[6] != Protocol || end > len(packet) {
		return nil, meta
	}
	return packet[ipv6HeaderLen:end], meta
}
