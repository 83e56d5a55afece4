package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Reading serves the read-only part at an address that a reload may change. Its
// methods may be called from any goroutine; Run once.
type Reading struct {
	o       ReadOptions
	changed chan struct{} // next is another one

	mu    sync.Mutex
	at    netip.AddrPort // in force, or about to be
	next  *Opening       // that Run has not seen
	ended bool           // Run has returned
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
	was := r.at
	r.mu.Unlock()
	o := &Opening{of: r, at: at, same: at == was}
	if o.same || !at.IsValid() {
		return o, nil
	}
	var err error
	if o.l, err = listenTCP(ctx, at); err != nil {
		if was.IsValid() && was.Port() == at.Port() && (was.Addr().IsUnspecified() || at.Addr().IsUnspecified()) {
			err = fmt.Errorf("%w; the one in force, %s, may be in the way: reload without control_listen first", err, was)
		}
		return nil, err
	}
	return o, nil
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
	r.at, r.next = o.at, o
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
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return again(ctx)
	}
	return s
}
