package control

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	maxConnections = 128
	maxStreams     = 64 // of them, so that followers never lock out a failover
	maxRefusals    = 32 // connections at once that are being told so
	refuseWithin   = time.Second
	retryAccept    = 100 * time.Millisecond
)

// limited hands out at most so many connections at once. One more is
// not left waiting in the backlog, where it would look like a dead daemon: it
// is answered 503 and closed.
type limited struct {
	net.Listener
	notify   func(error)
	closed   chan struct{}
	close    func()
	slots    chan struct{}
	refusals chan struct{}
	wg       sync.WaitGroup
}

func newLimited(l net.Listener, most int, notify func(error)) *limited {
	closed := make(chan struct{})
	return &limited{
		Listener: l, notify: notify, closed: closed, close: sync.OnceFunc(func() { close(closed) }),
		slots: make(chan struct{}, most), refusals: make(chan struct{}, maxRefusals),
	}
}

// Close stops listening.
func (l *limited) Close() error {
	l.close()
	return l.Listener.Close()
}

// next waits for a connection. Running out of descriptors passes: it is told
// once and tried again.
func (l *limited) next() (net.Conn, error) {
	for told := false; ; told = true {
		c, err := l.Listener.Accept()
		if !slices.ContainsFunc(passing, func(e error) bool { return errors.Is(err, e) }) {
			return c, err
		}
		if !told {
			l.notify(fmt.Errorf("accept control client: %w", err))
		}
		select {
		case <-time.After(retryAccept):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

var passing = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}

// Accept returns the next connection that there is a slot for.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.next()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
		}
		select {
		case l.refusals <- struct{}{}:
			l.wg.Go(func() {
				refuse(c, cap(l.slots))
				<-l.refusals
			})
		default:
			c.Close()
		}
	}
}

// refuse answers once the request has arrived: what is written before it is
// thrown away by the client together with the broken request.
func refuse(c net.Conn, most int) {
	defer c.Close()
	if c.SetDeadline(time.Now().Add(refuseWithin)) != nil {
		return
	}
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		return
	}
	body := encode(&Error{
		Message: fmt.Sprintf("%d clients are connected, that is the limit", most),
		Remedy:  "end some of them (ss -xtp shows them) and try again",
	})
	// Whoever has gone away meanwhile needs no answer.
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
}

// slotted gives its slot back when it is closed.
type slotted struct {
	net.Conn
	free func()
}

// Close closes the connection.
func (c *slotted) Close() error {
	c.free()
	return c.Conn.Close()
}
