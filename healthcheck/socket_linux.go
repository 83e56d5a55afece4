package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// open returns a socket on its way to the dialog's target. A stream is reset
// when it is closed: ten thousand checks leave no TIME_WAIT behind. It waits, until
// ctx ends at most, where the dialog has a marker and else for nothing.
func open(ctx context.Context, d *dialog) (fd int, done bool, err error) {
	to := rawAddress(d.target)
	fd, err = d.socket()
	if err != nil {
		return -1, false, err
	}
	if err := d.prepare(ctx, fd); err != nil {
		unix.Close(fd)
		return -1, false, err
	}
	switch err := rawConnect(fd, &to); {
	case err == nil:
		return fd, true, nil
	case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR):
		return fd, false, nil
	default:
		unix.Close(fd)
		return -1, false, fmt.Errorf("connect to %s: %w", d.peer(), err)
	}
}

// socket returns a socket of the dialog's family and transport.
func (d *dialog) socket() (int, error) {
	family, typ, proto := unix.AF_INET6, unix.SOCK_STREAM, 0
	if d.target.Addr().Is4() {
		family = unix.AF_INET
	}
	if d.transport != stream {
		typ = unix.SOCK_DGRAM
	}
	if d.transport == echo {
		proto = unix.IPPROTO_ICMPV6
		if family == unix.AF_INET {
			proto = unix.IPPROTO_ICMP
		}
	}
	fd, err := rawSocket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	switch {
	case err == nil:
		return fd, nil
	case d.transport == echo && errors.Is(err, unix.EACCES):
		return -1, errPingForbidden()
	default:
		return -1, fmt.Errorf("open socket: %w", err)
	}
}

// pingGroups is who may send echo requests without a privilege.
const pingGroups = "/proc/sys/net/ipv4/ping_group_range"

func errPingForbidden() error {
	raw, err := os.ReadFile(pingGroups)
	if err != nil {
		raw = []byte("?")
	}
	return failure(Config, "this machine lets group %d send no echo requests (net.ipv4.ping_group_range is %q): sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"",
		os.Getegid(), strings.Join(strings.Fields(string(raw)), " "))
}

// prepare sets what a SocketSpec asks for. What this machine refuses says
// nothing about the server.
func (d *dialog) prepare(ctx context.Context, fd int) error {
	if d.transport == stream {
		if err := rawReset(fd); err != nil {
			return failure(Resources, "set SO_LINGER: %v", err)
		}
	}
	if err := d.hear(fd); err != nil {
		return err
	}
	if d.from == nil {
		return nil
	}
	if err := d.mark(ctx, fd); err != nil {
		return err
	}
	if name := d.from.BindIf; name != "" {
		if err := unix.BindToDevice(fd, name); err != nil {
			return failure(Config, "bind to interface %s: %v", name, err)
		}
	}
	addr := d.from.BindTo
	if !addr.IsValid() {
		if d.from.BindPort == 0 {
			return nil
		}
		addr = netip.IPv6Unspecified()
		if d.target.Addr().Is4() {
			addr = netip.IPv4Unspecified()
		}
	}
	if addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" {
		zone := d.from.BindIf
		if zone == "" {
			zone = d.target.Addr().Zone()
		}
		addr = addr.WithZone(zone)
	}
	if d.from.BindPort != 0 {
		// The attempt before this one may not be quite gone.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return failure(Resources, "set SO_REUSEADDR: %v", err)
		}
	}
	from := netip.AddrPortFrom(addr, d.from.BindPort)
	switch err := unix.Bind(fd, sockaddr(from)); {
	case errors.Is(err, unix.EADDRINUSE):
		return failure(Resources, "bind to %s: %v", from, err)
	case err != nil:
		return failure(Config, "bind to %s: %v", from, err)
	}
	return nil
}

// hear has a socket without connections told of every ICMP error. By itself it
// hears that a port is closed, and not that there is no way to its host: a dead
// server that need not answer would pass.
func (d *dialog) hear(fd int) error {
	level, option := unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	switch {
	case d.transport == stream: // it gives up by itself, while it connects
		return nil
	case d.target.Addr().Is4():
		level, option = unix.IPPROTO_IP, unix.IP_RECVERR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return failure(Resources, "ask for ICMP errors: %v", err)
	}
	return nil
}

// mark gives the socket its firewall mark. Whoever does it for this process has
// half of the attempt's time, so that what is left is enough to judge the server.
func (d *dialog) mark(ctx context.Context, fd int) error {
	m := d.from.FWMark
	if m == 0 {
		return nil
	}
	set := d.marker
	if set == nil {
		set = func(_ context.Context, fd int, m uint32) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(m))
		}
	}
	if until, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(until)/2)
		defer cancel()
	}
	err := set(ctx, fd, m)
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return failure(Config, "mark packets with %d: CAP_NET_ADMIN is missing", m)
	case errors.As(err, &errno):
		return failure(Config, "mark packets with %d: %v", m, err)
	default:
		return failure(Resources, "mark packets with %d: the director is busy: %v", m, err)
	}
}

// dial is open for whoever can wait: it returns when the socket is connected.
func dial(ctx context.Context, d *dialog) (net.Conn, error) {
	fd, done, err := open(ctx, d)
	if err != nil {
		return nil, err
	}
	c := newSocket(fd, d.target)
	if done {
		return c, nil
	}
	if err := c.established(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to %s: %w", d.target, err)
	}
	return c, nil
}

// established waits until the socket is connected.
func (s socket) established(ctx context.Context) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return failure(Resources, "watch socket: %v", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.SetDeadline(deadline); err != nil {
			return failure(Resources, "set deadline: %v", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	var outcome error
	// The function says false to be called again when the socket becomes
	// writable: it must look, for it may have become so before the first call.
	err = raw.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll(fds, 0)
		}
		if err == nil && n == 0 {
			return false
		}
		outcome = pending(int(fd))
		return true
	})
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return outcome
}

// pending takes the error that the kernel holds for fd.
func pending(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case n != 0:
		return unix.Errno(n)
	default:
		return nil
	}
}

// socket is a connected descriptor as a net.Conn. An os.File registers it with
// the runtime as it is; net.FileConn would duplicate it first.
type socket struct {
	*os.File
	target netip.AddrPort
}

func newSocket(fd int, target netip.AddrPort) socket {
	return socket{os.NewFile(uintptr(fd), "socket"), target}
}

// LocalAddr is for net.Conn; nothing here asks for it.
func (s socket) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is the target.
func (s socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.target) }

func sockaddr(t netip.AddrPort) unix.Sockaddr {
	if t.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(t.Port()), Addr: t.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(t.Port()), Addr: t.Addr().As16(), ZoneId: scope(t.Addr().Zone())}
}

// scope is the index of an address's interface, which may change; 0: there is none.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}
