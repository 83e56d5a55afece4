// Package mark lets a process without privilege have its sockets marked
// (SO_MARK) by one that has CAP_NET_ADMIN. The first opens a socket and passes a
// copy over a unix socket; the second marks it, closes its copy and says how it
// went. Both copies are one socket, so the mark holds for the first's.
package mark

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// recordSize is the length of a request (number, mark) and of its answer
// (number, errno), in network order. The other end reads whole records.
const recordSize = 8

// Client asks for marks. It may be used by several goroutines: one request is
// under way at a time, which an idle server answers within some ten
// microseconds.
type Client struct {
	conn *net.UnixConn
	turn chan struct{}
	last uint32
}

// NewClient returns the client of a SOCK_SEQPACKET socket.
func NewClient(conn *net.UnixConn) *Client {
	return &Client{conn: conn, turn: make(chan struct{}, 1)}
}

// Mark has the socket fd marked, and waits until ctx ends at most. It returns
// the unix.Errno with which the server or its kernel refused: EACCES when the
// mark is not one that the server sets, EPERM when the server may set none. Any
// other error means that no answer came, and wraps no errno.
func (c *Client) Mark(ctx context.Context, fd int, mark uint32) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait behind other sockets: %w", ctx.Err())
	}
	until, _ := ctx.Deadline() // none: zero, which is none here as well
	if err := c.conn.SetDeadline(until); err != nil {
		return fmt.Errorf("set deadline: %v", err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		c.conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-ended // or it would end the next one's waiting
		}
	}()

	c.last++
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, c.last), mark)
	if _, _, err := c.conn.WriteMsgUnix(request, unix.UnixRights(fd), nil); err != nil {
		return fmt.Errorf("ask for the mark: %v", err)
	}
	for {
		var answer [recordSize]byte
		n, err := c.conn.Read(answer[:])
		if err != nil {
			return fmt.Errorf("wait for the mark: %v", err)
		}
		if n != recordSize || binary.BigEndian.Uint32(answer[:]) != c.last {
			continue // to a request that was given up
		}
		if e := binary.BigEndian.Uint32(answer[4:]); e != 0 {
			return unix.Errno(e)
		}
		return nil
	}
}

// Serve marks what comes, one socket after the other, until either end is closed,
// or what comes is no request, which it returns as an error. allowed says which
// marks may be set. It is called in the goroutine of Serve.
func Serve(conn *net.UnixConn, allowed func(mark uint32) bool) error {
	return serve(conn, func(fd int, mark uint32) error {
		if !allowed(mark) {
			return unix.EACCES
		}
		// Of a process that reads what strangers send nothing is believed.
		switch domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); {
		case err != nil:
			return err
		case domain != unix.AF_INET && domain != unix.AF_INET6:
			return unix.EAFNOSUPPORT
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark))
	})
}

func serve(conn *net.UnixConn, set func(fd int, mark uint32) error) error {
	request, rights := make([]byte, recordSize+1), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, flags, _, err := conn.ReadMsgUnix(request, rights)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read request for a mark: %w", err)
		}
		fds := received(rights[:oobn])
		if n != recordSize || len(fds) != 1 || flags&unix.MSG_CTRUNC != 0 {
			closeAll(fds)
			return fmt.Errorf("read request for a mark: %d bytes and %d descriptors, want %d and one", n, len(fds), recordSize)
		}
		var refused unix.Errno
		if err := set(fds[0], binary.BigEndian.Uint32(request[4:])); err != nil {
			refused = unix.EINVAL
			_ = errors.As(err, &refused) // a system call returns nothing else
		}
		closeAll(fds)
		answer := binary.BigEndian.AppendUint32(append([]byte(nil), request[:4]...), uint32(refused))
		if _, err := conn.Write(answer); err != nil {
			return fmt.Errorf("answer request for a mark: %w", err)
		}
	}
}

// received returns the descriptors of a control message, however many.
func received(rights []byte) []int {
	msgs, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	var all []int
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
