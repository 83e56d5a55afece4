package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The bounds of what a client may do to the director.
const (
	maxBody      = 64 << 10
	maxHeader    = 16 << 10
	readWithin   = 10 * time.Second // a whole request
	idleWithin   = time.Minute      // between two requests
	writeWithin  = 10 * time.Second // one answer, or one line of a stream; Prometheus's own scrape_timeout
	statusWithin = 10 * time.Second
	reloadWithin = time.Minute
	// A handover ends within four advertisement intervals, of 40.95 s at most.
	failoverWithin = 3 * time.Minute
	stopWithin     = 2 * time.Second
)

// ServerOptions say where the server listens and whom it asks.
type ServerOptions struct {
	// Socket is the absolute path of the unix socket. Its directory must exist.
	Socket string
	// GID is the group that may connect, -1 the process's own.
	GID int
	// Backend answers.
	Backend Backend
	// Notify hears of faults that belong to no request: a failed accept, a
	// panic in a handler. May be nil.
	Notify func(error)
}

// HTTPServer serves the control interface: HTTP/1.1 and JSON on a unix socket.
// docs/control-api.md has the whole, routes has the paths.
//
// Everything else is answered with the JSON form of Error. Requests are
// bounded in size and time, connections in number.
type HTTPServer struct {
	name   string // of the listener, for messages
	socket string // the control socket that a read-only server points to
	listen func(context.Context) (net.Listener, error)
	reader Reader
	writer Backend // nil: this server is read-only
	notify func(error)
	bounds bounds

	reloads chan struct{} // one at a time
	streams chan struct{} // followers
	turns   chan struct{} // answers about all servers that are being made or written

	readWithin, writeWithin time.Duration // shorter in tests
}

// bounds are how many of each kind a server has at a time.
type bounds struct{ connections, streams, turns int }

// NewServer returns a server of the whole interface that Run starts.
func NewServer(o ServerOptions) *HTTPServer {
	s := newServer("control socket "+o.Socket, o.Backend, o.Notify, bounds{maxConnections, maxStreams, 2})
	s.writer = o.Backend
	s.listen = func(ctx context.Context) (net.Listener, error) { return listen(ctx, o.Socket, o.GID) }
	return s
}

func newServer(name string, r Reader, notify func(error), b bounds) *HTTPServer {
	if notify == nil {
		notify = func(error) {}
	}
	return &HTTPServer{
		name: name, reader: r, notify: notify, bounds: b,
		reloads: make(chan struct{}, 1), streams: make(chan struct{}, b.streams), turns: make(chan struct{}, b.turns),
		readWithin: readWithin, writeWithin: writeWithin,
	}
}

// Run listens and serves until ctx ends; then it stops listening, gives
// running requests two seconds, and returns nil. An error before that names
// the listener and what is wrong with it.
func (s *HTTPServer) Run(ctx context.Context) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, l)
}

func (s *HTTPServer) serve(ctx context.Context, l net.Listener) error {
	limit := newLimited(l, s.bounds.connections, s.notify)
	srv := &http.Server{
		Handler:                      s.handler(ctx),
		MaxHeaderBytes:               maxHeader,
		ReadHeaderTimeout:            s.readWithin,
		ReadTimeout:                  s.readWithin,
		IdleTimeout:                  idleWithin,
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(limit) }()
	select {
	case err := <-served:
		err = fmt.Errorf("serve %s: %w", s.name, err)
		return errors.Join(err, l.Close())
	case <-ctx.Done():
	}
	var err error
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		err = srv.Close()
	}
	<-served
	limit.wg.Wait()
	return err
}

// route is one method of one path. GET stands for HEAD as well.
type route struct {
	method, path string
	answer       handlerFunc
}

// reads are the routes that only look. Those who may change things, too, are
// trusted not to ask for everything a hundred times at once.
func (s *HTTPServer) reads(running context.Context) []route {
	bounded := func(h handlerFunc) handlerFunc { return h }
	if s.writer == nil {
		bounded = s.inTurn
	}
	return []route{
		{http.MethodGet, "/metrics", s.inTurn(s.metrics)},
		{http.MethodGet, "/v1/status", bounded(s.status)},
		{http.MethodGet, "/v1/explain", bounded(s.explain)}, // 404 when nothing is called so
		{http.MethodGet, "/v1/events", func(w http.ResponseWriter, r *http.Request) error { return s.events(running, w, r) }},
		{http.MethodGet, "/v1/drain", bounded(s.drains)}, // how far it is
		{http.MethodGet, "/v1/log", s.log},
	}
}

// writes are the routes that change something.
func (s *HTTPServer) writes() []route {
	return []route{
		{http.MethodPost, "/v1/reload", s.reload},     // 422 when it is refused
		{http.MethodPost, "/v1/failover", s.failover}, // 409 when it is refused
		{http.MethodPost, "/v1/drain", order(s, Backend.Drain)},
		{http.MethodPost, "/v1/undrain", order(s, Backend.Undrain)},
		{http.MethodPost, "/v1/weight", order(s, Backend.Weight)},
		{http.MethodPost, "/v1/log", s.setLog},
	}
}

// handler looks paths up by itself: http.ServeMux would answer those that are
// not clean with a redirect and a page of HTML.
func (s *HTTPServer) handler(running context.Context) http.Handler {
	endpoints := map[string]endpoint{}
	add := func(routes []route) {
		for _, r := range routes {
			e, there := endpoints[r.path]
			if !there {
				e = endpoint{path: r.path, methods: map[string]handlerFunc{}}
				endpoints[r.path] = e
			}
			e.methods[r.method] = r.answer
			if r.method == http.MethodGet {
				e.methods[http.MethodHead] = r.answer
			}
		}
	}
	add(s.reads(running))
	known := slices.Sorted(maps.Keys(endpoints))
	refused := func(*http.Request) bool { return false }
	if s.writer != nil {
		add(s.writes())
		known = slices.Sorted(maps.Keys(endpoints))
	} else {
		refused = s.changes(endpoints)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		if refused(r) {
			fail(w, s.readOnly(r))
			return
		}
		e, ok := endpoints[r.URL.Path]
		if !ok {
			fail(w, &Error{
				Status:  http.StatusNotFound,
				Message: fmt.Sprintf("there is no %q", clip(r.URL.Path)),
				Remedy:  "paths are " + strings.Join(known, ", "),
			})
			return
		}
		e.ServeHTTP(w, r)
	})
}

// recovered ends a request whose handler has panicked: the director and its
// other clients go on, and what happened is told with its stack.
func (s *HTTPServer) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.notify(fmt.Errorf("answer %s %s: panic: %v\n%s", r.Method, clip(r.URL.Path), p, debug.Stack()))
	fail(w, &Error{Status: http.StatusInternalServerError, Message: "the director failed to answer", Remedy: "this is a defect of baton: its log has the stack"})
}
