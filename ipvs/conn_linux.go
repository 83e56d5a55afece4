package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Commands and attributes of linux/ip_vs.h that are used beside moby/ipvs.
const (
	genlVersion = 1 // IPVS_GENL_VERSION

	cmdGetService = 4 // IPVS_CMD_*
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8

	attrService = 1 // IPVS_CMD_ATTR_*
	attrDest    = 2

	svcAF        = 1 // IPVS_SVC_ATTR_*
	svcProtocol  = 2
	svcAddr      = 3
	svcPort      = 4
	svcFWMark    = 5
	svcSchedName = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9
	svcStats     = 10
	svcPEName    = 11
	svcStats64   = 12

	destAddr         = 1 // IPVS_DEST_ATTR_*
	destPort         = 2
	destFwdMethod    = 3
	destWeight       = 4
	destUThresh      = 5
	destLThresh      = 6
	destActiveConns  = 7
	destInactConns   = 8
	destPersistConns = 9
	destStats        = 10
	destAddrFamily   = 11
	destStats64      = 12
	destTunType      = 13
	destTunPort      = 14
	destTunFlags     = 15
)

// receiveSize is above the 32 KiB that the kernel puts into one piece of a dump.
const receiveSize = 64 << 10

// conn is a generic netlink socket for what moby/ipvs does not know. It reads
// all: moby/ipvs cuts weights to 16 bits and drops the persistence engine,
// the tunnel and the 64-bit counters.
type conn struct {
	fd     int
	family uint16
	pid    uint32
	seq    uint32
	buf    []byte
}

func dial(family uint16) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &conn{fd: fd, family: family, buf: make([]byte, receiveSize)}
	if err := c.setUp(); err != nil {
		c.close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return c, nil
}

func (c *conn) setUp() error {
	bound := unix.NsecToTimeval(int64(DefaultTimeout))
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, opt, &bound); err != nil {
			return err
		}
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return err
	}
	if at, ok := sa.(*unix.SockaddrNetlink); ok {
		c.pid = at.Pid
	}
	return nil
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// request sends a command and calls each for the payload of every message of
// the answer, valid until each returns.
func (c *conn) request(cmd uint8, flags int, attrs []*nl.RtAttr, each func(payload []byte) error) error {
	req := nl.NewNetlinkRequest(int(c.family), flags)
	c.seq++
	req.Seq = c.seq
	req.AddData(&nl.Genlmsg{Command: cmd, Version: genlVersion})
	for _, a := range attrs {
		req.AddData(a)
	}
	if err := unix.Sendto(c.fd, req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var failed error
	for {
		n, _, rf, from, err := unix.Recvmsg(c.fd, c.buf, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("receive from netlink: %w", ErrHung)
		case err != nil:
			return err
		case rf&unix.MSG_TRUNC != 0:
			return fmt.Errorf("receive from netlink: message of more than %d bytes", receiveSize)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != nl.PidKernel {
			continue // any local process may send to this socket
		}
		done, err := splitMessages(c.buf[:n], c.seq, c.pid, func(payload []byte) {
			if failed == nil && each != nil {
				failed = each(payload)
			}
		})
		if err != nil {
			return err
		}
		if done {
			return failed
		}
	}
}

var errMalformed = errors.New("malformed netlink message")

// splitMessages walks one datagram. It ends with done on NLMSG_DONE or a
// positive acknowledgement and with the kernel's errno on a negative one.
func splitMessages(b []byte, seq, pid uint32, each func(payload []byte)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := binary.NativeEndian.Uint32(b)
		kind := binary.NativeEndian.Uint16(b[4:])
		if length < unix.SizeofNlMsghdr || uint64(length) > uint64(len(b)) {
			return false, errMalformed
		}
		payload := b[unix.SizeofNlMsghdr:length]
		ours := binary.NativeEndian.Uint32(b[8:]) == seq && binary.NativeEndian.Uint32(b[12:]) == pid
		b = b[min(align(int(length)), len(b)):]
		if !ours {
			continue // the rest of an answer that was given up
		}
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(payload) < 4 {
				return false, errMalformed
			}
			if errno := -int32(binary.NativeEndian.Uint32(payload)); errno != 0 {
				return true, unix.Errno(errno)
			}
			return true, nil
		default:
			each(payload)
		}
	}
	return false, nil
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// read reads the whole table.
func (s *sockets) read(ctx context.Context, beat func()) (Table, error) {
	t := Table{}
	err := s.conn.request(cmdGetService, unix.NLM_F_DUMP, nil, func(payload []byte) error {
		e, err := parseService(payload)
		if err == nil {
			t[e.Service.Key] = e
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	for k, e := range t {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		beat()
		// A service that has vanished meanwhile answers with an empty list.
		err := s.conn.request(cmdGetDest, unix.NLM_F_DUMP, []*nl.RtAttr{serviceAttr(k)}, func(payload []byte) error {
			srv, err := parseServer(payload, k.AF())
			if err == nil {
				e.Servers[srv.Key] = srv
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list servers of %s: %w", k, err)
		}
	}
	return t, nil
}

// applyServer performs an operation on a server with every attribute.
func (c *conn) applyServer(op Op) error {
	cmd := map[OpKind]uint8{AddServer: cmdNewDest, UpdateServer: cmdSetDest, DeleteServer: cmdDelDest}[op.Kind]
	dest, err := destAttr(op.Server)
	if err != nil {
		return err
	}
	return c.request(cmd, unix.NLM_F_ACK, []*nl.RtAttr{serviceAttr(op.Service.Key), dest}, nil)
}

func serviceAttr(k ServiceKey) *nl.RtAttr {
	a := nl.NewRtAttr(attrService, nil)
	a.AddRtAttr(svcAF, nl.Uint16Attr(afNumber(k.AF())))
	if k.FWMark != 0 {
		a.AddRtAttr(svcFWMark, nl.Uint32Attr(k.FWMark))
		return a
	}
	a.AddRtAttr(svcProtocol, nl.Uint16Attr(protocolNumbers[k.Protocol]))
	a.AddRtAttr(svcAddr, k.Address.AsSlice())
	a.AddRtAttr(svcPort, nl.BEUint16Attr(k.Port))
	return a
}

func destAttr(s Server) (*nl.RtAttr, error) {
	bits, known := forwardBits[s.Forward]
	if !known && s.Forward != "" { // DeleteServer has only a key
		return nil, fmt.Errorf("unknown forwarding method %q", s.Forward)
	}
	a := nl.NewRtAttr(attrDest, nil)
	a.AddRtAttr(destAddrFamily, nl.Uint16Attr(afNumber(familyOf(s.Key.Address))))
	a.AddRtAttr(destAddr, s.Key.Address.AsSlice())
	a.AddRtAttr(destPort, nl.BEUint16Attr(s.Key.Port))
	a.AddRtAttr(destFwdMethod, nl.Uint32Attr(bits))
	a.AddRtAttr(destWeight, nl.Uint32Attr(uint32(s.Weight)))
	a.AddRtAttr(destUThresh, nl.Uint32Attr(s.UpperThreshold))
	a.AddRtAttr(destLThresh, nl.Uint32Attr(s.LowerThreshold))
	a.AddRtAttr(destTunType, nl.Uint8Attr(uint8(s.Tunnel.Type)))
	a.AddRtAttr(destTunPort, nl.BEUint16Attr(s.Tunnel.Port))
	a.AddRtAttr(destTunFlags, nl.Uint16Attr(uint16(s.Tunnel.Flags)))
	return a, nil
}

func addrOf(b []byte, f Family) (netip.Addr, error) {
	n := f.bits() / 8
	if len(b) < n {
		return netip.Addr{}, errMalformed
	}
	a, _ := netip.AddrFromSlice(b[:n])
	return a, nil
}
