package healthcheck

import (
	"net"
	"time"
)

// readiness is a descriptor of which the poller has news.
type readiness struct {
	fd     int
	failed bool // the kernel holds an error for it
}

// poller is the operating system's part of the event loop. Only wake may be
// called by another goroutine than the loop's.
type poller interface {
	// dials reports whether the next seven can be used.
	dials() bool
	// connect opens a socket that is reset when closed; done: it is connected.
	connect(d *dialog) (fd int, done bool, err error)
	// watch reports fd once, when it is writable or else readable.
	watch(fd int, writable, again bool) error
	// failure takes the error that the kernel holds for fd.
	failure(fd int) error
	send(fd int, b []byte) error
	// peek copies to b what has come for fd, which stays there to be read.
	peek(fd int, b []byte) (int, error)
	// conn makes a net.Conn of fd, which then belongs to it.
	conn(fd int, d *dialog) net.Conn
	closeFD(fd int)

	// wait returns after timeout, after wake, or with what is ready; full says
	// that there may be more.
	wait(timeout time.Duration) (ready []readiness, full bool, err error)
	wake()
	close()
}

// sleeper is the poller of a system without an event loop here: it only waits,
// and every kind runs through Checker.Check.
type sleeper struct {
	woken chan struct{}
}

func newSleeper() *sleeper { return &sleeper{woken: make(chan struct{}, 1)} }

func (*sleeper) dials() bool                              { return false }
func (*sleeper) connect(*dialog) (int, bool, error)       { return -1, false, Resources }
func (*sleeper) watch(fd int, writable, again bool) error { return Resources }
func (*sleeper) failure(int) error                        { return Resources }
func (*sleeper) send(int, []byte) error                   { return Resources }
func (*sleeper) conn(int, *dialog) net.Conn               { return nil }
func (*sleeper) peek(int, []byte) (int, error)            { return 0, Resources }
func (*sleeper) closeFD(int)                              {}
func (*sleeper) close()                                   {}

func (p *sleeper) wait(timeout time.Duration) ([]readiness, bool, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.woken:
	}
	return nil, false, nil
}

func (p *sleeper) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}
