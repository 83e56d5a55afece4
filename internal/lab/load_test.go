package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startServer runs a real server on a free port of the loopback and returns
// its URL and what sets its mode.
func startServer(t *testing.T, name string) (string, *realServer) {
	t.Helper()
	s := newRealServer(name, "127.0.0.1:0")
	if err := s.setMode(Answer); err != nil {
		t.Fatal(err)
	}
	s.listen = s.listener.Addr().String() // the same port after a refusal
	t.Cleanup(s.close)
	return "http://" + s.listen + "/", s
}

func fetchOnce(t *testing.T, url string, timeout time.Duration) outcome {
	t.Helper()
	c, err := newClient(LoadOptions{Target: url, Timeout: timeout}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c.fetch()
}

func TestClientTellsHowAServerTreatsIt(t *testing.T) {
	url, s := startServer(t, "rs9")
	for _, c := range []struct {
		mode    Mode
		timeout time.Duration
		want    Failure
	}{
		{Answer, time.Minute, ""},
		{Refuse, time.Minute, Refused},
		{Broken, time.Minute, BadStatus},
		{Hang, 50 * time.Millisecond, TimedOut},
		{Answer, time.Minute, ""},
	} {
		if err := s.setMode(c.mode); err != nil {
			t.Fatal(err)
		}
		o := fetchOnce(t, url, c.timeout)
		if o.failure != c.want || (o.answer == "rs9") != (c.want == "") {
			t.Errorf("%s: %q, failure %q", c.mode, o.answer, o.failure)
		}
		if c.mode == Hang && o.ended.Sub(o.begun) < c.timeout {
			t.Errorf("hang: gave up after %s", o.ended.Sub(o.begun))
		}
	}
}

func TestHangingRequestIsNeverAnsweredLater(t *testing.T) {
	url, s := startServer(t, "rs9")
	if err := s.setMode(Hang); err != nil {
		t.Fatal(err)
	}
	done := make(chan outcome)
	go func() { done <- fetchOnce(t, url, time.Minute) }()
	<-s.hung // it has the request
	if err := s.setMode(Answer); err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.failure != Cut && o.failure != WasReset {
		t.Errorf("%q, failure %q", o.answer, o.failure)
	}
}

func TestClientTellsWhatEndsAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		linger int // -1 ends with FIN, 0 with RST
		want   Failure
	}{
		"nothing":         {"", -1, Cut},
		"half a header":   {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", -1, Cut},
		"half a body":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrs", -1, Cut},
		"reset":           {"", 0, WasReset},
		"no HTTP":         {"SSH-2.0-x\r\n\r\n", -1, OtherError},
		"an endless head": {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 4000), -1, Cut},
		"whole":           {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nrs1", -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.(*net.TCPConn).SetLinger(c.linger)
				_ = conn.Close()
			}()
			if o := fetchOnce(t, "http://"+l.Addr().String(), time.Minute); o.failure != c.want {
				t.Errorf("failure is %q, want %q", o.failure, c.want)
			}
		})
	}
}

func TestBeatDoesNotWaitForAnswers(t *testing.T) {
	url, s := startServer(t, "rs9")
	if err := s.setMode(Hang); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c, err := newClient(LoadOptions{Target: url, Interval: time.Millisecond, Timeout: time.Minute, InFlight: 7}, start)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, start)
	}()
	for range 7 {
		<-s.hung // seven are under way although none was answered
	}
	if err := await(ctx, time.Minute, func() (string, error) {
		if c.rec.report().Missed == 0 {
			return "no beat was missed", nil
		}
		return "", nil
	}); err != nil {
		t.Error(err)
	}
	if len(s.hung) > 0 {
		t.Error("more than seven were in flight")
	}
	cancel()
	s.close()
	<-done
	if r := c.rec.report(); r.Failures[Cut] != 7 {
		t.Errorf("failures %v: want the seven that hung", r.Failures)
	}
}

func TestBeatsThatPassedAreNotMadeUpFor(t *testing.T) {
	url, s := startServer(t, "rs9")
	if err := s.setMode(Hang); err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-time.Hour) // an hour in which nobody let us run
	c, err := newClient(LoadOptions{Target: url, Interval: time.Minute, Timeout: time.Minute}, start)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, start)
	}()
	<-s.hung // one request, on the beat that is now
	cancel()
	s.close()
	<-done
	if r := c.rec.report(); r.Requests != 1 || r.Missed != 60 {
		t.Errorf("%d requests, %d beats missed; want 1 and 60", r.Requests, r.Missed)
	}
}

func TestLoadProcessObeysOrders(t *testing.T) {
	url, _ := startServer(t, "rs9")
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Hidden(t.Context(), []string{"load", url, "1ms", "1m", "10"}, inR, outW)
		outW.Close()
	}()
	lines := json.NewDecoder(outR)
	next := func() message {
		var m message
		if err := lines.Decode(&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for next().Report.Answers["rs9"] == 0 {
	}
	fmt.Fprintln(inW, "mark second")
	for next().Obeyed != "mark second" {
	}
	for {
		if p, _ := next().Report.Phase("second"); p.Answered() > 0 {
			break
		}
	}
	fmt.Fprintln(inW, "restart")
	m := next()
	for m.Obeyed != "restart" {
		m = next()
	}
	if m.Report.Requests > 0 || len(m.Report.Phases) > 0 {
		t.Errorf("after the restart the report is %+v", m.Report)
	}
	inW.Close() // whoever asked for the load is gone
	for !m.Final {
		m = next()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if m.Report.End.IsZero() || m.Report.Failed() > 0 || len(m.Report.Phases) != 0 {
		t.Errorf("final report is %+v", m.Report)
	}
}

func TestHiddenRefusesStrangers(t *testing.T) {
	for _, args := range [][]string{nil, {"load"}, {"load", "x", "1ms", "1s", "1"}, {"load", "http://127.0.0.1/", "soon", "1s", "1"}, {"real-server", "a"}} {
		if err := Hidden(t.Context(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q was run", args)
		}
	}
}

func TestServerModeIsSetOverItsSocket(t *testing.T) {
	dir := t.TempDir()
	l := &Lab{opts: Options{Dir: dir}}
	socket := l.Paths(RS1).Socket
	mkdir(t, filepath.Dir(socket))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeRealServer(ctx, RS1, "127.0.0.1:0", socket) }()
	err := await(ctx, time.Minute, func() (string, error) {
		if _, err := l.ServerMode(ctx, RS1); err != nil {
			return err.Error(), nil
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Mode{Refuse, Hang, Slow, Broken, Answer} {
		if err := l.SetServer(ctx, RS1, m); err != nil {
			t.Fatal(err)
		}
		if got, err := l.ServerMode(ctx, RS1); err != nil || got != m {
			t.Errorf("mode is %q, %v; want %q", got, err, m)
		}
	}
	if err := l.SetServer(ctx, RS1, "nonsense"); err == nil || !strings.Contains(err.Error(), "refuse") {
		t.Errorf("nonsense mode: %v", err)
	}
	if err := l.SetServer(ctx, LVSA, Refuse); err == nil {
		t.Error("a director took a real server's mode")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
