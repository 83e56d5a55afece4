package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// dialog is the checker of every kind that begins with a TCP connection. As
// data rather than code it lets the event loop do all the waiting for a server
// that does not answer, which then costs a descriptor and no goroutine.
type dialog struct {
	target  netip.AddrPort
	opening []byte               // sent as soon as the connection stands; at most MaxRequest, so that it fits the socket's buffer
	await   bool                 // nothing is to be done before the server's first byte
	talk    func(net.Conn) error // the rest, within the connection's deadline; nil: the connection itself is the answer
	native  any                  // the target as the poller wants it
}

// Check makes the attempt with blocking calls, for whoever has no event loop.
func (d *dialog) Check(ctx context.Context) error {
	nd := net.Dialer{KeepAlive: -1}
	nc, err := nd.DialContext(ctx, "tcp", d.target.String())
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno // without the dialer's own words around it
		}
		return fmt.Errorf("connect to %s: %w", d.target, err)
	}
	defer nc.Close()
	if tc, ok := nc.(*net.TCPConn); ok {
		if err := tc.SetLinger(0); err != nil {
			return failure(Resources, "set linger: %v", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return failure(Resources, "set deadline: %v", err)
		}
	}
	if len(d.opening) > 0 {
		if _, err := nc.Write(d.opening); err != nil {
			return fmt.Errorf("send request: %w", err)
		}
	}
	if d.talk == nil {
		return nil
	}
	return d.talk(nc)
}

// timedOut describes an attempt whose time ran out in phase p.
func (d *dialog) timedOut(p phase, timeout time.Duration) error {
	switch {
	case p == connecting:
		return failure(Timeout, "no connection to %s within %v", d.target, timeout)
	case p == awaiting:
		return failure(Timeout, "connected to %s, not a byte of an answer within %v", d.target, timeout)
	default:
		return os.ErrDeadlineExceeded
	}
}
