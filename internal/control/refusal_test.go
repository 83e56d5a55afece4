package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// exchange sends raw bytes and returns what came back until the end.
func exchange(t *testing.T, socket, raw string) string {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, c, raw)
}

// converse sends raw and returns all that comes until the other end closes.
func converse(t *testing.T, c net.Conn, raw string) string {
	t.Helper()
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		t.Logf("write: %v", err) // a refusal may come before the whole is sent
	}
	got, err := io.ReadAll(c)
	if err != nil && len(got) == 0 {
		t.Fatalf("no answer: %v", err)
	}
	return string(got)
}

func request(method, target, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: baton\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
}

// TestRefusals: whatever is wrong with a request is told with a remedy, and
// nothing is done.
func TestRefusals(t *testing.T) {
	b := &backend{}
	socket := serve(t, b)
	for name, c := range map[string]struct {
		raw     string
		status  int
		message string
	}{
		"unknown path":        {request("GET", "/v1/nothing", ""), 404, `there is no "/v1/nothing"`},
		"root":                {request("GET", "/", ""), 404, `there is no "/"`},
		"unclean path":        {request("GET", "//v1/status", ""), 404, `there is no "//v1/status"`},
		"path with control":   {request("GET", "/%1b%5b2J", ""), 404, `there is no "/\x1b[2J"`},
		"long path":           {request("GET", "/"+strings.Repeat("x", 2000), ""), 404, "xxx…"},
		"wrong method":        {request("POST", "/v1/status", ""), 405, "/v1/status does not take POST"},
		"get of an action":    {request("GET", "/v1/reload", ""), 405, "/v1/reload does not take GET"},
		"invented method":     {request("BREW", "/v1/status", ""), 405, "does not take BREW"},
		"options":             {request("OPTIONS", "*", ""), 404, "there is no"},
		"unknown parameter":   {request("GET", "/v1/status?verbose=1", ""), 400, `unknown parameter "verbose"`},
		"misspelt parameter":  {request("GET", "/v1/events?folow=1", ""), 400, `unknown parameter "folow"`},
		"parameter twice":     {request("GET", "/v1/events?since=1h&since=2h", ""), 400, `"since" is given twice`},
		"broken query":        {request("GET", "/v1/events?since=%zz", ""), 400, "query:"},
		"since":               {request("GET", "/v1/events?since=yesterday", ""), 400, `since "yesterday"`},
		"long since":          {request("GET", "/v1/events?since="+strings.Repeat("x", 2000), ""), 400, "xxx…"},
		"since in the future": {request("GET", "/v1/events?since=-1h", ""), 400, "lies in the future"},
		"follow":              {request("GET", "/v1/events?follow=maybe", ""), 400, `follow "maybe"`},
		"body no JSON":        {request("POST", "/v1/failover", "instance=VI_1"), 400, "request body:"},
		"body array":          {request("POST", "/v1/failover", "[]"), 400, "request body:"},
		"unknown member":      {request("POST", "/v1/failover", `{"instanec":"VI_1"}`), 400, "instanec"},
		"member of reload":    {request("POST", "/v1/reload", `{"force":true}`), 400, "force"},
		"two objects":         {request("POST", "/v1/failover", `{"instance":"VI_1"}{}`), 400, "something follows"},
		"garbage behind":      {request("POST", "/v1/failover", `{"instance":"VI_1"} x`), 400, "request body:"},
		"wrong type":          {request("POST", "/v1/failover", `{"instance":1}`), 400, "request body:"},
		"large body":          {request("POST", "/v1/failover", `{"instance":"`+strings.Repeat("x", maxBody)+`"}`), 413, "larger than 65536 bytes"},
		"large body of space": {request("POST", "/v1/reload", strings.Repeat(" ", maxBody+1)), 413, "larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(exchange(t, socket, c.raw))), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var e Error
			d := json.NewDecoder(answer.Body)
			d.DisallowUnknownFields()
			if err := d.Decode(&e); err != nil {
				t.Fatalf("status %d, body: %v", answer.StatusCode, err)
			}
			if answer.StatusCode != c.status || !strings.Contains(e.Message, c.message) || e.Remedy == "" {
				t.Errorf("status %d, error %q, remedy %q; want %d with %q", answer.StatusCode, e.Message, e.Remedy, c.status, c.message)
			}
			if len(e.Message) > 500 {
				t.Errorf("the error repeats %d bytes", len(e.Message))
			}
			if c.status == 405 && answer.Header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
	if len(b.asked) > 0 {
		t.Errorf("the director was asked: %v", b.asked)
	}
}

// TestNoHTTP: what is not HTTP is refused, and the server lives on. Fault 34.
func TestNoHTTP(t *testing.T) {
	socket := serve(t, &backend{})
	for name, c := range map[string]struct{ raw, status string }{
		"binary":          {"\x00\x01\x02\xff\xfe\r\n\r\n", "400"},
		"a sentence":      {"give me the status\r\n\r\n", "400"},
		"two lengths":     {"POST /v1/failover HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
		"large header":    {"GET /v1/status HTTP/1.1\r\nHost: b\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n", "431"},
		"large request":   {"GET /" + strings.Repeat("x", 2*maxHeader) + " HTTP/1.1\r\nHost: b\r\n\r\n", "431"},
		"future protocol": {"GET /v1/status HTTP/3.0\r\nHost: b\r\n\r\n", "505"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, _ := strings.Cut(exchange(t, socket, c.raw), "\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
				t.Errorf("answer is %q, want %s", got, c.status)
			}
		})
	}
	if _, err := client(t, socket).Status(t.Context()); err != nil {
		t.Error(err)
	}
}
