package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/internal/event"
)

func numbered(n int) event.Event {
	e := event.New("director", event.ConfigApplied, event.F(event.Count, n))
	e.Time = time.Now().Add(-time.Hour).Add(time.Duration(n) * time.Second)
	return e
}

func list(from, to int) []event.Event {
	var out []event.Event
	for n := from; n <= to; n++ {
		out = append(out, numbered(n))
	}
	return out
}

// collect returns the numbers of the events of a query, as "1 2 3".
func collect(ctx context.Context, c *Client, q EventsQuery, enough int) (string, error) {
	var got []string
	done := errors.New("enough")
	err := c.Events(ctx, q, func(e event.Event) error {
		if got = append(got, e.Get(event.Count)); len(got) == enough {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	return strings.Join(got, " "), err
}

func TestPastEvents(t *testing.T) {
	b := &backend{past: list(0, 4)}
	c := client(t, serve(t, b))
	for since, want := range map[string]string{
		"":   "0 1 2 3 4",
		"2h": "0 1 2 3 4",
		"1m": "",
		b.past[3].Time.Add(-time.Millisecond).UTC().Format(time.RFC3339Nano): "3 4",
		b.past[3].Time.Add(-time.Millisecond).Format(time.RFC3339Nano):       "3 4",
	} {
		got, err := collect(t.Context(), c, EventsQuery{Since: since}, -1)
		if err != nil || got != want {
			t.Errorf("since %q: %q, %v, want %q", since, got, err, want)
		}
	}
	if _, err := collect(t.Context(), c, EventsQuery{Since: "bogus"}, -1); err == nil || !strings.Contains(err.Error(), "1h30m") {
		t.Errorf("bogus since: %v", err)
	}
}

// following sends events and stays open until ctx ends.
func following(events ...event.Event) func(context.Context) <-chan event.Event {
	return func(ctx context.Context) <-chan event.Event {
		ch := make(chan event.Event, len(events))
		for _, e := range events {
			ch <- e
		}
		context.AfterFunc(ctx, func() { close(ch) })
		return ch
	}
}

// TestFollowJoinsPastAndFuture: what falls between the reading of the past and
// the subscription comes once, whichever side it is seen from.
func TestFollowJoinsPastAndFuture(t *testing.T) {
	past := list(0, 5)
	b := &backend{past: past, follow: following(append(past[4:6:6], list(6, 8)...)...)}
	c := client(t, serve(t, b))
	got, err := collect(t.Context(), c, EventsQuery{Since: "2h", Follow: true}, 9)
	if err != nil || got != "0 1 2 3 4 5 6 7 8" {
		t.Errorf("%q, %v", got, err)
	}
	got, err = collect(t.Context(), c, EventsQuery{Follow: true}, 5)
	if err != nil || got != "4 5 6 7 8" {
		t.Errorf("without since: %q, %v", got, err)
	}
}

// TestFollowJoinsALongPast: only the end of it can come once more, and is kept.
func TestFollowJoinsALongPast(t *testing.T) {
	const last = 2*overlap + 10
	past := list(0, last)
	b := &backend{past: past, follow: following(append(past[last-1:last+1:last+1], numbered(last+1))...)}
	got, err := collect(t.Context(), client(t, serve(t, b)), EventsQuery{Since: "2h", Follow: true}, last+2)
	if want := fmt.Sprintf(" %d %d %d", last-1, last, last+1); err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("it ends with %q, %v, want %q", got[len(got)-len(want):], err, want)
	}
	var r recent
	for n := range last {
		r.add(fmt.Append(nil, n))
	}
	if kept := r.set(); len(kept) != overlap {
		t.Errorf("%d lines are kept", len(kept))
	}
}

func TestFollowerThatEndsIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	b := &backend{follow: func(sctx context.Context) <-chan event.Event {
		context.AfterFunc(sctx, func() { close(ended) })
		return following(numbered(1))(sctx)
	}}
	err := client(t, serve(t, b)).Events(ctx, EventsQuery{Follow: true}, func(event.Event) error {
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	<-ended // the director is not left with the subscription
}

func TestServerThatStopsEndsItsFollowers(t *testing.T) {
	b := &backend{follow: following(numbered(1))}
	socket := t.TempDir() + "/c.sock"
	stop := serveAt(t, socket, b)
	begun := time.Now()
	err := client(t, socket).Events(t.Context(), EventsQuery{Follow: true}, func(event.Event) error {
		go stop()
		return nil
	})
	var e *Error
	if !errors.As(err, &e) || e.Remedy == "" {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(begun); took > stopWithin {
		t.Errorf("it took %v", took)
	}
}

// TestSlowReader: a client that follows and does not read is cut off in the
// time of one write, and holds up nobody. Fault 34.
func TestSlowReader(t *testing.T) {
	gone := make(chan struct{})
	long := event.New("director", event.ConfigApplied, event.F(event.Detail, strings.Repeat("x", 10_000)))
	b := &backend{follow: func(ctx context.Context) <-chan event.Event {
		context.AfterFunc(ctx, func() { close(gone) })
		ch := make(chan event.Event)
		go func() {
			defer close(ch)
			for {
				select {
				case ch <- long:
				case <-ctx.Done():
					return
				}
			}
		}()
		return ch
	}}
	socket := serve(t, b, func(s *HTTPServer) { s.writeWithin = 50 * time.Millisecond })
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request("GET", "/v1/events?follow=1", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, socket).Status(t.Context()); err != nil {
		t.Errorf("another client: %v", err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the reader that does not read is still there")
	}
}

// deadlines is a connection that remembers when it must have been written.
type deadlines struct {
	http.ResponseWriter
	set    time.Time
	writes int
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = t; return nil }
func (d *deadlines) FlushError() error                  { return nil }

func (d *deadlines) Write(p []byte) (int, error) {
	if d.writes++; !d.set.Equal(time.Now().Add(time.Minute)) {
		return 0, fmt.Errorf("write %d has deadline %v", d.writes, d.set)
	}
	return len(p), nil
}

// TestEveryLineHasItsDeadline: of the past too, which is not flushed line by
// line.
func TestEveryLineHasItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{}
		s := &stream{w: d, rc: http.NewResponseController(d), within: time.Minute}
		for range 3 {
			if !s.line([]byte("x"), false) {
				t.Error("a line failed")
			}
			<-time.After(time.Second)
		}
		if !s.flush() || !d.set.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("flush has deadline %v", d.set)
		}
	})
}

// TestSilentClient: a client that sends nothing, or half of a request, does
// not keep its connection.
func TestSilentClient(t *testing.T) {
	socket := serve(t, &backend{}, func(s *HTTPServer) { s.readWithin = 50 * time.Millisecond })
	for _, half := range []string{"", "GET /v1/st", "POST /v1/failover HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\n{"} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, half); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("after %q: %v", half, err)
		}
	}
}

// TestFollowersAreBounded: they never take the last connections.
func TestFollowersAreBounded(t *testing.T) {
	b := &backend{follow: following(numbered(1))}
	socket := serve(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, maxStreams)
	for range maxStreams {
		up := make(chan struct{})
		go func() {
			ended <- client(t, socket).Events(ctx, EventsQuery{Follow: true}, func(event.Event) error {
				close(up)
				return nil
			})
		}()
		<-up
	}
	err := client(t, socket).Events(ctx, EventsQuery{Follow: true}, func(event.Event) error { return nil })
	var e *Error
	if !errors.As(err, &e) || e.Status != 503 || !strings.Contains(e.Message, fmt.Sprint(maxStreams)) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := client(t, socket).Status(ctx); err != nil {
		t.Errorf("status beside them: %v", err)
	}
	cancel()
	for range maxStreams {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
