package control

import (
	"context"
	"net/http"
	"time"
)

// MetricsType is the content type of a scrape: Prometheus's text format.
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// inTurn bounds how many such answers are made or written at a time: each may
// hold something of all servers.
func (s *HTTPServer) inTurn(h handlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		wait, cancel := context.WithTimeout(r.Context(), s.writeWithin)
		defer cancel()
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
			return h(w, r)
		case <-wait.Done():
			return &Error{Status: http.StatusServiceUnavailable, Message: "other clients are still being answered", Remedy: "ask less often, or from fewer places"}
		}
	}
}

// metrics answers a scrape, within the time that Prometheus gives it: a client
// that does not read is cut off.
func (s *HTTPServer) metrics(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.writeWithin)
	defer cancel()
	// A connection without deadlines does not exist.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.writeWithin))
	out := &scrape{w: w}
	err := s.reader.Metrics(ctx, out)
	if err != nil && out.begun {
		// Half of an answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
	return err
}

// scrape sends the header with the first byte: until then an error may still be
// answered.
type scrape struct {
	w     http.ResponseWriter
	begun bool
}

// Write implements io.Writer.
func (s *scrape) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", MetricsType)
	}
	return s.w.Write(b)
}
