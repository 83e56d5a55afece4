package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reading serves the read-only part at an address that a reload may change. Its
// methods may be called from any goroutine; Run once.
type Reading struct {
	o       ReadOptions
	changed chan struct{} // next is another one

	mu        sync.Mutex
	at        netip.AddrPort // in force, or about to be
	next      *Opening       // that Run has not seen
	listening net.Listener   // the last that was opened for at; nil: none yet
	ended     bool           // Run has returned
}

// Opening is an address that can be had, until Use or Close is called; what is
// called after that does nothing. Nil is one that changes nothing.
type Opening struct {
	of   *Reading
	at   netip.AddrPort
	l    net.Listener // nil: none is needed, or Keep is to try
	same bool
	over bool // Use or Close was called
}

// NewReading returns one that listens at o.Address, zero: nowhere. An address
// that cannot be had at the start is tried again, see [HTTPServer.Keep].
func NewReading(o ReadOptions) *Reading {
	r := &Reading{o: o, changed: make(chan struct{}, 1), at: o.Address}
	r.next = &Opening{of: r, at: o.Address}
	r.changed <- struct{}{}
	return r
}

// Open listens at another address without serving it yet. What is in force stays
// so, whether that works or not.
func (r *Reading) Open(ctx context.Context, at netip.AddrPort) (*Opening, error) {
	r.mu.Lock()
	was, old := r.at, r.listening
	r.mu.Unlock()
	o := &Opening{of: r, at: at, same: at == was}
	if o.same || !at.IsValid() {
		return o, nil
	}
	var err error
	o.l, err = listenTCP(ctx, at)
	if errors.Is(err, unix.EADDRINUSE) && old != nil && was.Port() == at.Port() {
		o.l, err = listenBeside(ctx, old, at)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// listenBeside listens at another address of a port where one of the two stands
// for all addresses. The kernel lets both have it if each allows that
// (SO_REUSEPORT), which concerns sockets of one user alone.
func listenBeside(ctx context.Context, old net.Listener, at netip.AddrPort) (net.Listener, error) {
	t, ok := old.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("share the port of %s: it is no socket", old.Addr())
	}
	c, err := t.SyscallConn()
	if err == nil {
		err = sharePort(c)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) { // a closed one is not in the way
		return nil, fmt.Errorf("share the port of %s: %w", old.Addr(), err)
	}
	return listenWith(ctx, net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return sharePort(c) }}, at)
}

func sharePort(c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}

// Use makes it the address in force.
func (o *Opening) Use() {
	if o == nil || o.same {
		return
	}
	r := o.of
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.over {
		return
	}
	o.over = true
	if r.ended {
		o.close()
		return
	}
	if r.next != nil {
		r.next.close()
	}
	r.at, r.next, r.listening = o.at, o, o.l
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Close gives the address up.
func (o *Opening) Close() {
	if o == nil {
		return
	}
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	if !o.over {
		o.over = true
		o.close()
	}
}

func (o *Opening) close() {
	if o.l != nil {
		_ = o.l.Close() // nobody was answered
	}
}

// Run serves until ctx ends. A new address is served before the old one is
// given up; requests that run there get their time to end.
func (r *Reading) Run(ctx context.Context) {
	var servers sync.WaitGroup
	stop := context.CancelFunc(func() {})
	defer func() {
		stop()
		servers.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
		if r.next != nil {
			r.next.close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		}
		r.mu.Lock()
		o := r.next
		r.next = nil
		r.mu.Unlock()
		if o == nil {
			continue
		}
		before := stop
		serving, cancel := context.WithCancel(ctx)
		stop = cancel
		if o.at.IsValid() {
			servers.Go(func() { o.server().Keep(serving) })
		}
		before()
	}
}

// server serves what was opened.
func (o *Opening) server() *HTTPServer {
	options := o.of.o
	options.Address = o.at
	s := NewReadServer(options)
	again, first := s.listen, o.l
	s.listen = func(ctx context.Context) (net.Listener, error) {
		l, err := first, error(nil)
		if first = nil; l == nil {
			l, err = again(ctx)
		}
		if err == nil {
			o.of.opened(o.at, l)
		}
		return l, err
	}
	return s
}

// opened learns what listens at an address.
func (r *Reading) opened(at netip.AddrPort, l net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == at {
		r.listening = l
	}
}
