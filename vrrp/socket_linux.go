package vrrp

import (
	"cmp"
	"errors"
	"fmt"
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
	// msgProbe is MSG_PROBE of linux/socket.h: all but the sending.
	msgProbe = 0x10
)

// socket is a raw socket for protocol 112 on one interface, and what is open of
// the VMACs on it.
type socket struct {
	wire
	at      Endpoint
	fd      int
	devices map[string]*device

	// Wait waits for all of them at once: epoll is a file that is readable
	// when one of those in it is.
	epoll int // file's, for calls that must not wait for Wait's
	file  *os.File
	raw   syscall.RawConn
	poll  [1]unix.PollFd
	ready func(fd uintptr) bool

	// What epoll said is readable: one packet of each before it is asked
	// again, so that a flood on one does not drown the others.
	space  [16]unix.EpollEvent
	events []unix.EpollEvent
}

// wire is what a socket does differently in each family. receive's error is
// the bare errno.
type wire interface {
	send(message []byte, d Delivery, flags int) error
	receive(buf []byte) ([]byte, Meta, error)
}

// Listen opens a socket for adverts of one family on an interface, a member of
// the group; what is sent to this node alone comes there as well. It needs
// CAP_NET_RAW, and CAP_NET_ADMIN for its priority.
func Listen(at Endpoint) (Conn, error) {
	conn, err := listen(at)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("open VRRP socket on %s: %w (needs CAP_NET_RAW and CAP_NET_ADMIN)", at.Interface, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s: %w", at.Interface, err)
	}
	return conn, nil
}

func listen(at Endpoint) (*socket, error) {
	if at.Family == IPv6 != at.Group.Is6() || !at.Group.IsMulticast() {
		return nil, fmt.Errorf("%v is no IPv%d multicast group", at.Group, at.Family)
	}
	domain := unix.AF_INET
	if at.Family == IPv6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{at: at, fd: fd}
	if err := s.configure(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := s.watch(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// watch makes s.file.
func (s *socket) watch() (err error) {
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	o := options{}
	o.call("epoll_ctl", unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}))
	o.call("fcntl", unix.SetNonblock(s.epoll, true))
	s.file = os.NewFile(uintptr(s.epoll), "vrrp "+s.at.Interface)
	s.raw, err = s.file.SyscallConn()
	if err = errors.Join(append(o.errs, err)...); err != nil {
		s.file.Close()
		return err
	}
	s.ready = s.isReady
	return nil
}

func (s *socket) configure() error {
	index, err := indexOf(s.fd, s.at.Interface)
	if err != nil {
		return err
	}
	o := options{fd: s.fd}
	o.add("SO_BINDTODEVICE", unix.BindToDevice(s.fd, s.at.Interface))
	if s.at.Family == IPv6 {
		s.wire = newWire6(&o, index, s.at.Group)
	} else {
		s.wire = newWire4(&o, index, s.at.Group)
	}
	// IP_TOS also sets the priority: SO_PRIORITY comes after it.
	o.set("SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl)
	o.receiveBuffer()
	return errors.Join(o.errs...)
}

// indexOf asks for one interface by any socket. net.InterfaceByName lists them
// all, which with a VMAC for each of a thousand instances is a long list.
func indexOf(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("find %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("find %q: %w", name, err)
	}
	return int(int32(req.Uint32())), nil
}

// options sets socket options and gathers what has failed.
type options struct {
	fd   int
	errs []error
}

func (o *options) add(name string, err error) { o.call("setsockopt "+name, err) }

func (o *options) set(name string, level, opt, value int) {
	o.add(name, unix.SetsockoptInt(o.fd, level, opt, value))
}

func (o *options) call(name string, err error) {
	if err != nil {
		o.errs = append(o.errs, os.NewSyscallError(name, err))
	}
}

func (o *options) receiveBuffer() {
	if unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		o.set("SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
}

// control is a buffer of control messages, made once and filled in for each
// packet.
type control struct {
	buf []byte
	n   int
}

func newControl(sizes ...int) *control {
	n := 0
	for _, size := range sizes {
		n += unix.CmsgSpace(size)
	}
	return &control{buf: make([]byte, n)}
}

// add appends a control message and returns the place of its data.
func (c *control) add(level, kind int32, size int) unsafe.Pointer {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.buf[c.n]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	data := unsafe.Pointer(&c.buf[c.n+unix.CmsgLen(0)])
	c.n += unix.CmsgSpace(size)
	return data
}

// Send implements Conn. The kernel refuses a source that the host does not
// have, except from a VMAC.
func (s *socket) Send(message []byte, d Delivery) error {
	for {
		var err error
		if d.Device == "" {
			err = s.send(message, d, 0)
		} else {
			err = s.sendFrom(message, d)
		}
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("send advert on %s from %s to %s: %w", cmp.Or(d.Device, s.at.Interface), d.Source, d.Destination, err)
		}
	}
}

// HasSource asks the kernel for all of Send but the sending. It refuses a source
// that the host does not have with EINVAL or, for it then has no route to the group
// over IPv4, with ENETUNREACH, whatever ip_nonlocal_bind says. Nothing else speaks
// against the address.
func (s *socket) HasSource(a netip.Addr) bool {
	err := s.send(nil, Delivery{Source: a, Destination: s.at.Group, TTL: TTL}, msgProbe)
	return err != unix.EINVAL && (err != unix.ENETUNREACH || a.Is6())
}

// Receive implements Conn.
func (s *socket) Receive(buf []byte) ([]byte, Meta, error) {
	for {
		message, meta, err := s.receiveAny(buf)
		switch err {
		case nil:
			return message, meta, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return nil, Meta{}, ErrEmpty
		default:
			return nil, Meta{}, fmt.Errorf("receive adverts on %s: %w", s.at.Interface, err)
		}
	}
}

// receiveAny reads from whatever has something; EINTR asks to be called again.
func (s *socket) receiveAny(buf []byte) ([]byte, Meta, error) {
	if len(s.devices) == 0 {
		return s.receive(buf)
	}
	if len(s.events) == 0 {
		n, err := unix.EpollWait(s.epoll, s.space[:], 0)
		if err != nil {
			return nil, Meta{}, err
		}
		if n == 0 {
			return nil, Meta{}, unix.EAGAIN
		}
		s.events = s.space[:n]
	}
	fd := int(s.events[0].Fd)
	s.events = s.events[1:]
	if fd == s.fd {
		return againIfEmpty(s.receive(buf))
	}
	for name, d := range s.devices {
		if d.fd != fd {
			continue
		}
		message, meta, err := d.receive(buf, s.at.Family)
		if err == nil || err == unix.EAGAIN || err == unix.EINTR {
			return againIfEmpty(message, meta, err)
		}
		// It went down or away. What comes in its place is opened by Send and
		// Overhear.
		if index, gone := indexOf(s.fd, name); gone != nil || index != d.index {
			s.closeDevice(name)
		}
		break
	}
	return nil, Meta{}, unix.EINTR
}

// againIfEmpty: there was nothing here, but there may be elsewhere.
func againIfEmpty(message []byte, meta Meta, err error) ([]byte, Meta, error) {
	if err == unix.EAGAIN {
		err = unix.EINTR
	}
	return message, meta, err
}

// Wait implements Conn.
func (s *socket) Wait() error {
	if err := s.raw.Read(s.ready); err != nil {
		return fmt.Errorf("wait for adverts on %s: %w", s.at.Interface, err)
	}
	return nil
}

func (s *socket) isReady(fd uintptr) bool {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(s.poll[:], 0)
	return n > 0 || err != nil && err != unix.EINTR && err != unix.EAGAIN
}

// Close implements Conn.
func (s *socket) Close() error {
	err := s.file.Close()
	for name := range s.devices {
		s.closeDevice(name)
	}
	return errors.Join(err, unix.Close(s.fd))
}
