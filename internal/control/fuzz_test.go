package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
)

// FuzzRequest sends what parses as a request to the handlers. Whatever it is,
// the answer is bounded and well formed, and nothing is done that a method,
// path and body of the documentation do not ask for.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		request("GET", "/v1/status", ""),
		request("HEAD", "/v1/drain", ""),
		request("GET", "/metrics", ""),
		request("GET", "/v1/events?since=1h&follow=0", ""),
		request("GET", "/v1/events?follow=1&since=2026-01-02T03:04:05Z", ""),
		request("GET", "/v1/explain?name=192.168.16.103%3A80", ""),
		request("POST", "/v1/reload", ""),
		request("POST", "/v1/failover", `{"instance":"VI_1"}`),
		request("GET", "/v1/log", ""),
		request("POST", "/v1/log", `{"levels":{"vrrp":"debug","checks":"default"},"for":"10m"}`),
		request("PUT", "/v1/failover", `[]`),
		request("GET", "/v1/drain?server=192.168.16.103&service=fwmark+7", ""),
		request("POST", "/v1/drain", `{"server":"192.168.16.103:80","service":"tcp 192.168.16.200:80","timeout":"90s"}`),
		request("POST", "/v1/undrain", `{"server":"192.168.16.103"}`),
		request("POST", "/v1/weight", `{"server":"192.168.16.103","weight":null}`),
		request("POST", "/v1/weight", `{"server":"192.168.16.103","weight":65536}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		b := &backend{reload: Reload{OK: true}, failover: Failover{OK: true}, past: list(0, 2), metrics: []string{"up 1\n"}}
		b.follow = func(ctx context.Context) <-chan event.Event {
			ch := make(chan event.Event)
			close(ch)
			return ch
		}
		s := NewServer(ServerOptions{Backend: b, Notify: func(err error) { t.Error(err) }})
		rec := httptest.NewRecorder()
		s.handler(t.Context()).ServeHTTP(rec, req)

		body := rec.Body.Bytes()
		if len(body) > 4096 {
			t.Errorf("answer of %d bytes", len(body))
		}
		switch rec.Code {
		case http.StatusOK:
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
			var e Error
			if err := json.Unmarshal(body, &e); err != nil || e.Message == "" || e.Remedy == "" {
				t.Errorf("status %d with %q: %v", rec.Code, body, err)
			}
			if len(b.asked) > 0 {
				t.Errorf("refused with %d, and yet done: %v", rec.Code, b.asked)
			}
		default:
			t.Errorf("status %d with %q", rec.Code, body)
		}
		if len(b.asked) > 1 {
			t.Errorf("done: %v", b.asked)
		}
		for _, a := range b.asked {
			verb, _, _ := strings.Cut(a, " ")
			reads, path := false, "/v1/"+verb
			switch verb {
			case "status", "explain":
				reads = true
			case "levels":
				reads, path = true, "/v1/log"
			case "drains":
				reads, path = true, "/v1/drain"
			case "metrics":
				reads, path = true, "/metrics"
			}
			if reads != (req.Method == http.MethodGet || req.Method == http.MethodHead) || req.URL.Path != path {
				t.Errorf("%s %s has done %s", req.Method, req.URL.Path, a)
			}
		}

		// The same request to the read-only listener changes nothing, whatever it is.
		if req, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			t.Fatal(err)
		}
		b.asked = nil
		rec = httptest.NewRecorder()
		NewReadServer(ReadOptions{Reader: b, Notify: func(err error) { t.Error(err) }}).handler(t.Context()).ServeHTTP(rec, req)
		for _, a := range b.asked {
			if verb, _, _ := strings.Cut(a, " "); !slices.Contains([]string{"status", "explain", "drains", "levels", "metrics"}, verb) {
				t.Errorf("%s %s of the read-only listener has done %s", req.Method, req.URL.Path, a)
			}
		}
		if rec.Code == http.StatusForbidden && !strings.Contains(rec.Body.String(), "control socket") {
			t.Errorf("refused with %q", rec.Body)
		}
	})
}

// FuzzParseSince: a moment is never after the present unless it is written out
// as a time.
func FuzzParseSince(f *testing.F) {
	for _, seed := range []string{"", "1h30m", "-1h", "2006-01-02T15:04:05Z", "9223372036854775807ns", "now"} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseSince(s, now)
		if err != nil {
			if !strings.Contains(err.Error(), "since ") || !at.IsZero() {
				t.Errorf("%q: %v, %v", s, at, err)
			}
			return
		}
		if _, notDuration := time.ParseDuration(s); notDuration == nil && at.After(now) {
			t.Errorf("%q is %v", s, at)
		}
	})
}
