package control

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"baton/internal/event"
)

// overlap is how far the end of the past and the beginning of what is
// followed can overlap: more than a follower's backlog.
const overlap = 1024

// events writes the past and, with follow=1, what comes. Each event is one
// line of JSON. Whoever follows is cut off when running ends: the others have
// their answers to get first.
func (s *HTTPServer) events(running context.Context, w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "since", "follow", "level", "event", "instance", "server")
	if err != nil {
		return err
	}
	filter := Filter{Level: q.Get("level"), Event: q.Get("event"), Instance: q.Get("instance"), Server: q.Get("server")}
	if err := filter.Check(); err != nil {
		return err
	}
	follow, err := boolean(q.Get("follow"))
	if err != nil {
		return err
	}
	follow = follow && r.Method != http.MethodHead // nothing would ever come
	now := time.Now()
	since, err := ParseSince(q.Get("since"), now)
	if err != nil {
		return err
	}
	stream := &stream{w: w, rc: http.NewResponseController(w), within: s.writeWithin}
	var next <-chan event.Event
	if follow {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			return &Error{
				Status:  http.StatusServiceUnavailable,
				Message: fmt.Sprintf("%d clients follow the events, that is the limit", cap(s.streams)),
				Remedy:  "end some of them (ss -xtp shows them) and try again",
			}
		}
		// Before the past is read, so that nothing falls between the two.
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(running, cancel)()
		next = s.reader.Follow(ctx)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	var last recent
	if !follow || !since.IsZero() {
		for e := range s.reader.Events(since) {
			if !filter.Shows(e) {
				continue
			}
			line := encode(e)
			if follow {
				last.add(line)
			}
			if !stream.line(line, false) {
				return nil
			}
		}
	}
	if !stream.flush() || !follow {
		return nil
	}
	told := last.set()
	for e := range next {
		if !filter.Shows(e) {
			continue
		}
		line := encode(e)
		if _, twice := told[string(line)]; twice {
			delete(told, string(line))
			continue
		}
		if !stream.line(line, true) {
			return nil
		}
	}
	return nil
}

// recent are the last lines of the past, as many as can come once more.
type recent struct {
	lines []string // oldest at next once it is full
	next  int
}

func (r *recent) add(line []byte) {
	if len(r.lines) < overlap {
		r.lines = append(r.lines, string(line))
		return
	}
	r.lines[r.next] = string(line)
	r.next = (r.next + 1) % overlap
}

func (r *recent) set() map[string]struct{} {
	out := make(map[string]struct{}, len(r.lines))
	for _, line := range r.lines {
		out[line] = struct{}{}
	}
	return out
}

// stream writes lines, each within its time. Its methods say whether the
// reader is still there.
type stream struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	within time.Duration
}

func (s *stream) line(b []byte, flush bool) bool {
	if s.rc.SetWriteDeadline(time.Now().Add(s.within)) != nil {
		return false
	}
	if _, err := s.w.Write(b); err != nil {
		return false
	}
	return !flush || s.flush()
}

func (s *stream) flush() bool {
	return s.rc.SetWriteDeadline(time.Now().Add(s.within)) == nil && s.rc.Flush() == nil
}

func boolean(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("follow %q is neither true nor false", clip(s)), Remedy: "write follow=1"}
	}
	return b, nil
}
