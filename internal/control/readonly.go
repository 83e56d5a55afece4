package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// The bounds of a listener that whoever reaches its address can talk to.
const (
	maxReaders       = 32 // connections
	maxReaderStreams = 8
	relistenEvery    = 5 * time.Second
)

// ReadOptions say where a read-only server listens and whom it asks.
type ReadOptions struct {
	// Address is where it listens, over TCP.
	Address netip.AddrPort
	// Socket is the control socket that a client is pointed to who wants more.
	Socket string
	// Reader answers.
	Reader Reader
	// Notify is as in ServerOptions.
	Notify func(error)
}

// NewReadServer returns a server of what only looks, and of /metrics, over
// plain TCP. It has nothing that changes anything to call: a request for that
// is refused with status 403.
func NewReadServer(o ReadOptions) *HTTPServer {
	s := newServer("control_listen "+o.Address.String(), o.Reader, o.Notify, bounds{maxReaders, maxReaderStreams, 2})
	s.socket = o.Socket
	s.listen = func(ctx context.Context) (net.Listener, error) { return listenTCP(ctx, o.Address) }
	return s
}

func listenTCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	return listenWith(ctx, net.ListenConfig{}, at)
}

func listenWith(ctx context.Context, config net.ListenConfig, at netip.AddrPort) (net.Listener, error) {
	l, err := config.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen on control_listen: %w (ss -ltnp shows who has the port; the address must be one of this machine)", err)
	}
	return l, nil
}

// Keep runs the server until ctx ends, also where its address cannot be had:
// that is tried again, and told once until it has worked. For an address that
// comes up after the daemon, or a port that another process still has.
func (s *HTTPServer) Keep(ctx context.Context) {
	for told := ""; ; {
		l, err := s.listen(ctx)
		if err == nil {
			told = ""
			err = s.serve(ctx, l)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			s.notify(err)
		}
		select {
		case <-time.After(relistenEvery):
		case <-ctx.Done():
			return
		}
	}
}

// changes says of a request to a read-only server whether it asks for a change.
func (s *HTTPServer) changes(reads map[string]endpoint) func(*http.Request) bool {
	writes := map[string]bool{}
	for _, r := range s.writes() {
		writes[r.path] = true
	}
	return func(r *http.Request) bool {
		if !writes[r.URL.Path] {
			return false
		}
		_, also := reads[r.URL.Path].methods[r.Method]
		return !also
	}
}

func (s *HTTPServer) readOnly(r *http.Request) error {
	return &Error{
		Status:  http.StatusForbidden,
		Message: fmt.Sprintf("%s %s changes something, and this address is for reading only", clip(r.Method), r.URL.Path),
		Remedy:  "ask on the director's own machine, through its control socket " + s.socket,
	}
}
