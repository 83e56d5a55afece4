package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	writeWithin  = 10 * time.Second // one answer, or one line of a stream
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
//
//	GET  /v1/status
//	GET  /v1/explain?name=INSTANCE|ADDRESS[:PORT]     404 when nothing is called so
//	GET  /v1/events?since=RFC3339|DURATION&follow=1   one event a line
//	POST /v1/reload                                   422 when it is refused
//	POST /v1/failover {"instance": "NAME"}            409 when it is refused
//	POST /v1/drain    {"server": "ADDRESS[:PORT]", "service": "NAME", "timeout": "90s"}
//	GET  /v1/drain?server=ADDRESS[:PORT]&service=NAME how far it is
//	POST /v1/undrain  {"server": "ADDRESS[:PORT]", "service": "NAME"}
//	POST /v1/weight   {"server": "ADDRESS[:PORT]", "service": "NAME", "weight": NUMBER or null}
//
// docs/control-api.md has the whole. Everything else is answered with the JSON form of Error. Requests are
// bounded in size and time, connections in number: at most 128, of which 64
// may follow events.
type HTTPServer struct {
	opts    ServerOptions
	reloads chan struct{} // one at a time
	streams chan struct{} // followers

	readWithin, writeWithin time.Duration // shorter in tests
}

// NewServer returns a server that Run starts.
func NewServer(o ServerOptions) *HTTPServer {
	if o.Notify == nil {
		o.Notify = func(error) {}
	}
	return &HTTPServer{
		opts: o, reloads: make(chan struct{}, 1), streams: make(chan struct{}, maxStreams),
		readWithin: readWithin, writeWithin: writeWithin,
	}
}

// Run listens and serves until ctx ends; then it stops listening, gives
// running requests two seconds, and returns nil. An error before that names
// the socket and what is wrong with it.
func (s *HTTPServer) Run(ctx context.Context) error {
	l, err := listen(ctx, s.opts.Socket, s.opts.GID)
	if err != nil {
		return err
	}
	limit := newLimited(l, s.opts.Notify)
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
	case err = <-served:
		err = fmt.Errorf("serve control socket %s: %w", s.opts.Socket, err)
		return errors.Join(err, l.Close())
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		err = srv.Close()
	}
	<-served
	limit.wg.Wait()
	return err
}

// handler looks paths up by itself: http.ServeMux would answer those that are
// not clean with a redirect and a page of HTML.
func (s *HTTPServer) handler(running context.Context) http.Handler {
	endpoints := map[string]endpoint{}
	for path, methods := range map[string]map[string]handlerFunc{
		"/v1/status":   {http.MethodGet: s.status},
		"/v1/explain":  {http.MethodGet: s.explain},
		"/v1/events":   {http.MethodGet: func(w http.ResponseWriter, r *http.Request) error { return s.events(running, w, r) }},
		"/v1/reload":   {http.MethodPost: s.reload},
		"/v1/failover": {http.MethodPost: s.failover},
		"/v1/drain":    {http.MethodGet: s.drains, http.MethodPost: order(s.opts.Backend.Drain)},
		"/v1/undrain":  {http.MethodPost: order(s.opts.Backend.Undrain)},
		"/v1/weight":   {http.MethodPost: order(s.opts.Backend.Weight)},
	} {
		endpoints[path] = endpoint{path, methods}
	}
	known := strings.Join(slices.Sorted(maps.Keys(endpoints)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		e, ok := endpoints[r.URL.Path]
		if !ok {
			fail(w, &Error{
				Status:  http.StatusNotFound,
				Message: fmt.Sprintf("there is no %q", clip(r.URL.Path)),
				Remedy:  "paths are " + known,
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
	s.opts.Notify(fmt.Errorf("answer %s %s: panic: %v\n%s", r.Method, clip(r.URL.Path), p, debug.Stack()))
	fail(w, &Error{Status: http.StatusInternalServerError, Message: "the director failed to answer", Remedy: "this is a defect of baton: its log has the stack"})
}
