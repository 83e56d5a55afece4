package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// transport is what a dialog's socket carries.
type transport uint8

const (
	stream   transport = iota // TCP
	datagram                  // UDP
	echo                      // ICMP echo requests
)

// dialog is the checker of every kind that begins with a packet to the server.
// As data rather than code it lets the event loop do all the waiting for a
// server that does not answer, which then costs a descriptor and no goroutine.
type dialog struct {
	target    netip.AddrPort
	transport transport
	await     bool                  // nothing is to be done before the server's first byte
	silence   bool                  // the server need not answer
	from      *SocketSpec           // nil: nothing is said of the socket
	opening   []byte                // sent as soon as the socket is connected; at most MaxRequest, so that it fits the socket's buffer
	talk      func(net.Conn) error  // the rest, within the connection's deadline; nil: the connection itself is the answer
	listen    func(io.Reader) error // talk, of one that only listens to an answer; nil: it does more than that
	next      *dialog               // to be made when this one has passed
	marker    Marker                // marks the socket, and may wait; nil: there is nothing to wait for
}

// Check makes the attempt with blocking calls, for whoever has no event loop.
func (d *dialog) Check(ctx context.Context) error {
	for ; d != nil; d = d.next {
		if err := d.attempt(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *dialog) attempt(ctx context.Context) error {
	nc, err := dial(ctx, d)
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return failure(Resources, "set deadline: %v", err)
		}
	}
	if d.talk == nil {
		return nil
	}
	if d.opens() {
		if _, err := nc.Write(d.opening); err != nil {
			return fmt.Errorf("send request: %w", err)
		}
	}
	err = d.talk(nc)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return d.quiet(err)
}

// quiet makes a pass of silence where the server need not answer.
func (d *dialog) quiet(err error) error {
	if d.silence && ReasonOf(err) == Timeout {
		return nil
	}
	return err
}

// opens reports whether opening is to be sent: a datagram may be empty.
func (d *dialog) opens() bool { return len(d.opening) > 0 || d.transport != stream }

// timedOut describes an attempt whose time ran out in phase p.
func (d *dialog) timedOut(p phase, timeout time.Duration) error {
	switch {
	case p == awaiting && d.silence:
		return nil
	case p == connecting:
		return failure(Timeout, "no connection to %s within %v", d.target, timeout)
	case p == awaiting && d.transport == stream:
		return failure(Timeout, "connected to %s, not a byte of an answer within %v", d.target, timeout)
	case p == awaiting:
		return failure(Timeout, "no answer from %s within %v", d.peer(), timeout)
	default:
		return os.ErrDeadlineExceeded
	}
}

// peer is the target for people: an echo request has no port.
func (d *dialog) peer() string {
	if d.transport == echo {
		return d.target.Addr().String()
	}
	return d.target.String()
}
