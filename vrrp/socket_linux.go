package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// internetworkControl is the DSCP CS6 that routing protocols use.
	internetworkControl = 0xc0
	// priorityControl is the highest band of a queueing discipline:
	// TC_PRIO_CONTROL of linux/pkt_sched.h.
	priorityControl = 7
	// receiveBuffer holds the adverts that arrive while the process is kept
	// from reading.
	receiveBuffer = 1 << 20

	ipv4HeaderLen = 20
)

// socket is a raw IPv4 socket for protocol 112 on one interface.
type socket struct {
	iface string
	file  *os.File
	raw   syscall.RawConn
	fd    int // file's, for calls that must not wait for Wait's

	group   unix.SockaddrInet4
	control []byte // IP_PKTINFO with the source address of what is sent
	source  []byte // its place in control

	poll  [1]unix.PollFd
	ready func(fd uintptr) bool
}

// Listen opens a socket for adverts over IPv4 on the interface, a member of
// Group. It needs CAP_NET_RAW, and CAP_NET_ADMIN for its priority.
func Listen(at Endpoint) (Conn, error) {
	iface := at.Interface
	conn, err := listen(iface)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("open VRRP socket on %s: %w (needs CAP_NET_RAW and CAP_NET_ADMIN)", iface, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s: %w", iface, err)
	}
	return conn, nil
}

func listen(iface string) (*socket, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := configureSocket(fd, ifi); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s := &socket{iface: iface, file: os.NewFile(uintptr(fd), "vrrp "+iface), fd: fd}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	s.group = unix.SockaddrInet4{Addr: Group.As4()}
	s.control, s.source = pktinfo(ifi.Index)
	s.ready = s.isReady
	return s, nil
}

func configureSocket(fd int, ifi *net.Interface) error {
	var errs []error
	set := func(name string, err error) {
		if err != nil {
			errs = append(errs, os.NewSyscallError("setsockopt "+name, err))
		}
	}
	mreq := unix.IPMreqn{Multiaddr: Group.As4(), Ifindex: int32(ifi.Index)}
	// Without it every socket gets what any process on this host has joined,
	// on every interface.
	set("IP_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0))
	set("SO_BINDTODEVICE", unix.BindToDevice(fd, ifi.Name))
	set("IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &mreq))
	set("IP_MULTICAST_IF", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)}))
	set("IP_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0))
	set("IP_MULTICAST_TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, TTL))
	// IP_TOS also sets the priority: SO_PRIORITY comes after it.
	set("IP_TOS", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, internetworkControl))
	set("SO_PRIORITY", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl))
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		set("SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer))
	}
	return errors.Join(errs...)
}

// pktinfo returns a control message that chooses interface and source address
// of a packet, and the part of it that is the address (ip(7), IP_PKTINFO).
func pktinfo(ifindex int) (control, source []byte) {
	control = make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
	info.Ifindex = int32(ifindex)
	return control, info.Spec_dst[:]
}

// Send implements Conn. The kernel refuses a source that the host does not
// have.
func (s *socket) Send(message []byte, d Delivery) error {
	source := d.Source
	ip := source.As4()
	copy(s.source, ip[:])
	for {
		_, err := unix.SendmsgN(s.fd, message, s.control, &s.group, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("send advert on %s from %s: %w", s.iface, source, err)
		}
	}
}

// Receive implements Conn. A raw IPv4 socket delivers the IP header, which has
// all that Meta needs, and IP options that are no part of the message.
func (s *socket) Receive(buf []byte) ([]byte, Meta, error) {
	var n int
	for {
		var err error
		n, err = unix.Read(s.fd, buf)
		if err == nil {
			break
		}
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			return nil, Meta{}, ErrEmpty
		default:
			return nil, Meta{}, fmt.Errorf("receive adverts on %s: %w", s.iface, err)
		}
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

// Wait implements Conn.
func (s *socket) Wait() error {
	if err := s.raw.Read(s.ready); err != nil {
		return fmt.Errorf("wait for adverts on %s: %w", s.iface, err)
	}
	return nil
}

func (s *socket) isReady(fd uintptr) bool {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(s.poll[:], 0)
	return n > 0 || err != nil && err != unix.EINTR && err != unix.EAGAIN
}

// Close implements Conn.
func (s *socket) Close() error { return s.file.Close() }
