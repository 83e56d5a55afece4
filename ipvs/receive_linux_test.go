package ipvs

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// socketOf is a netlink socket as dial sets it up, of a protocol that every
// kernel has.
func socketOf(t testing.TB, protocol int) *conn {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{fd: fd, receiver: newReceiver(fd)}
	t.Cleanup(c.close)
	if err := c.setUp(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReceiveDump: of a dump nothing is lost or told twice, whatever comes in one
// system call; and then there is nothing.
func TestReceiveDump(t *testing.T) {
	c := socketOf(t, unix.NETLINK_ROUTE)
	for round := range 3 {
		c.seq++
		request := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(request, uint32(len(request)))
		binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETLINK)
		binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		binary.NativeEndian.PutUint32(request[8:], c.seq)
		c.enc.b = request
		c.expect(round * 3 * receiveSize) // also more than any answer may have
		if err := c.send(); err != nil {
			t.Fatal(err)
		}
		links, ends := 0, 0
		for ends == 0 {
			datagram, err := c.receive(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := splitMessages(datagram, c.pid, func(m reply) error {
				switch {
				case m.seq != c.seq:
					t.Errorf("round %d: message %d of request %d", round, m.kind, m.seq)
				case m.kind == unix.NLMSG_DONE:
					ends++
				case m.kind == unix.RTM_NEWLINK:
					links++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if links == 0 {
			t.Errorf("round %d: no interface, and every namespace has lo", round)
		}
		if b, err := c.receive(unix.MSG_DONTWAIT); !errors.Is(err, ErrHung) {
			t.Errorf("round %d: after the end %x, error %v", round, b, err)
		}
	}
}

// TestReceiveFromTheKernelAlone: any process may send to a netlink socket, and is
// not heard.
func TestReceiveFromTheKernelAlone(t *testing.T) {
	c, intruder := socketOf(t, unix.NETLINK_USERSOCK), socketOf(t, unix.NETLINK_USERSOCK)
	for seq := range uint32(5) {
		if err := unix.Sendto(intruder.fd, message(unix.NLMSG_DONE, seq, c.pid, []byte{0, 0, 0, 0}), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: c.pid}); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := c.receive(unix.MSG_DONTWAIT); !errors.Is(err, ErrHung) {
		t.Errorf("received %x, error %v", b, err)
	}
}
