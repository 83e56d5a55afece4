package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Commands and attributes of linux/ip_vs.h that are used beside moby/ipvs.
const (
	genlVersion = 1 // IPVS_GENL_VERSION

	cmdNewService = 1 // IPVS_CMD_*
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
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

// conn is a generic netlink socket for what moby/ipvs does not do. It reads
// all: moby/ipvs cuts weights to 16 bits and drops the persistence engine,
// the tunnel and the 64-bit counters. And it performs many operations at once,
// where moby/ipvs waits for the answer to each.
type conn struct {
	fd     int
	family uint16
	pid    uint32
	seq    uint32
	enc    encoder
	*receiver

	servers []Server // of the service that is being read
	stats   []ServerStats
}

func dial(family uint16) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &conn{fd: fd, family: family, receiver: newReceiver(fd)}
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
	// Without the refused message in it an answer is small. Kernels before
	// 4.3 do not know the option and send it.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
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
// the answer, valid until each returns. fill appends its attributes.
func (c *conn) request(cmd uint8, flags int, fill func(*encoder), each func(payload []byte) error) error {
	c.seq++
	c.enc.b = c.enc.b[:0]
	c.enc.message(c.family, cmd, flags, c.seq, func() {
		if fill != nil {
			fill(&c.enc)
		}
	})
	if err := c.send(); err != nil {
		return err
	}
	var failed error
	for {
		datagram, err := c.receive(0)
		if err != nil {
			return fmt.Errorf("%w: %w", errOutOfStep, err)
		}
		done := false
		err = splitMessages(datagram, c.pid, func(m reply) error {
			switch {
			case m.seq != c.seq || done: // the rest of an answer that was given up
			case m.kind == unix.NLMSG_DONE:
				done = true
			case m.kind == unix.NLMSG_ERROR:
				done = true
				return m.errno()
			case failed == nil && each != nil:
				failed = each(m.payload)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if done {
			return failed
		}
	}
}

// batchSize is how many requests go into one system call. The kernel answers
// those that it refuses, with less than 1 KiB each, and this many fit into any
// receive buffer.
const batchSize = 128

// batch performs operations, batchSize at the most, with one system call: the
// kernel carries them out in order before it returns, and acknowledges, beside
// those that it refuses, only the last. There is an answer to every operation
// unless the error, which is then of the transport, is not nil.
func (c *conn) batch(ops []Op) ([]error, error) {
	answers := make([]error, len(ops))
	first, last := c.seq+1, -1 // last: where the message of the last operation begins
	c.enc.b = c.enc.b[:0]
	for i, op := range ops {
		c.seq++
		begin := len(c.enc.b)
		c.enc.message(c.family, opCommands[op.Kind], 0, c.seq, func() { answers[i] = c.enc.op(op) })
		if answers[i] != nil {
			c.enc.b = c.enc.b[:begin]
			continue
		}
		last = begin
	}
	if last < 0 {
		return answers, nil
	}
	acknowledged(c.enc.b[last:])
	ends := binary.NativeEndian.Uint32(c.enc.b[last+8:])
	if err := c.send(); err != nil {
		return answers, err
	}
	done := false
	take := func(m reply) error {
		if i := int(m.seq - first); m.kind == unix.NLMSG_ERROR && i < len(ops) {
			answers[i] = m.errno()
			done = done || m.seq == ends
		}
		return nil
	}
	for !done {
		datagram, err := c.receive(0)
		if errors.Is(err, unix.ENOBUFS) {
			return c.overrun(answers, take)
		}
		if err == nil {
			err = splitMessages(datagram, c.pid, take)
		}
		if err != nil {
			return answers, fmt.Errorf("%w: %w", errOutOfStep, err)
		}
	}
	return answers, nil
}

// overrun takes what there is when the kernel had no room for some answer,
// nobody knows which: an operation that it did not refuse may or may not have
// been done. As long as something is left to read the kernel would drop further
// answers without a word.
func (c *conn) overrun(answers []error, take func(reply) error) ([]error, error) {
	for {
		datagram, err := c.receive(unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, ErrHung): // nothing more
			for i := range answers {
				if answers[i] == nil {
					answers[i] = unix.ENOBUFS
				}
			}
			return answers, nil
		case errors.Is(err, unix.ENOBUFS):
			continue
		case err == nil:
			err = splitMessages(datagram, c.pid, take)
		}
		if err != nil {
			return answers, fmt.Errorf("%w: %w", errOutOfStep, err)
		}
	}
}

func (c *conn) send() error {
	return unix.Sendto(c.fd, c.enc.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

var (
	errMalformed = errors.New("malformed netlink message")
	// errOutOfStep: what comes next on the socket may belong to an earlier request.
	errOutOfStep = errors.New("netlink socket out of step")
)

// reply is one message of the kernel.
type reply struct {
	kind    uint16
	seq     uint32
	payload []byte
}

// errno is the answer of an NLMSG_ERROR, nil of one that acknowledges.
func (m reply) errno() error {
	if len(m.payload) < 4 {
		return errMalformed
	}
	if errno := -int32(binary.NativeEndian.Uint32(m.payload)); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// splitMessages calls each for every message to pid in a datagram, until one fails.
func splitMessages(b []byte, pid uint32, each func(reply) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		length := binary.NativeEndian.Uint32(b)
		if length < unix.SizeofNlMsghdr || uint64(length) > uint64(len(b)) {
			return errMalformed
		}
		m := reply{kind: binary.NativeEndian.Uint16(b[4:]), seq: binary.NativeEndian.Uint32(b[8:]), payload: b[unix.SizeofNlMsghdr:length]}
		ours := binary.NativeEndian.Uint32(b[12:]) == pid
		b = b[min(align(int(length)), len(b)):]
		if !ours {
			continue
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func addrOf(b []byte, f Family) (netip.Addr, error) {
	n := f.bits() / 8
	if len(b) < n {
		return netip.Addr{}, errMalformed
	}
	a, _ := netip.AddrFromSlice(b[:n])
	return a, nil
}
