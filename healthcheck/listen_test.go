package healthcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// listeners are judges of every part of an answer.
func listeners(t testing.TB) []*dialog {
	t.Helper()
	var out []*dialog
	for _, r := range []HTTPRequest{
		{Path: "/"}, {Path: "/", Method: "HEAD"}, {Path: "/", BodyContains: "ok"}, {Path: "/", BodyRegex: "o+k$"},
		{Path: "/", BodySHA256: "2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df"}, // of "ok"
	} {
		s := spec("http")
		s.Kind, s.HTTP = HTTP, &HTTPSpec{HTTPRequest: r}
		c, problems := build(s, means{})
		if err := errors.Join(problems...); err != nil {
			t.Fatal(err)
		}
		out = append(out, c.(*dialog))
	}
	return out
}

// FuzzListen: what is judged when only a part of an answer has come is what the
// whole answer says.
func FuzzListen(f *testing.F) {
	judges := listeners(f)
	f.Fuzz(func(t *testing.T, answer []byte, at uint16) {
		part := answer[:min(int(at), len(answer))]
		for i, d := range judges {
			early := d.listen(&come{b: part})
			if errors.Is(early, errMore) {
				continue
			}
			whole := d.talk(&stranger{in: iotest.OneByteReader(strings.NewReader(string(answer)))})
			if ReasonOf(early) != ReasonOf(whole) {
				t.Errorf("judge %d: %v of the first %d bytes, %v of all", i, early, len(part), whole)
			}
		}
	})
}

// TestListen: an answer is judged as soon as it is whole, and not before.
func TestListen(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for i, d := range listeners(t) {
		whole := len(answer)
		if i < 2 { // the body does not matter
			whole -= len("ok")
		}
		for n := range len(answer) + 1 {
			err := d.listen(&come{b: []byte(answer[:n])})
			if n < whole && !errors.Is(err, errMore) || n >= whole && err != nil {
				t.Errorf("judge %d: %v of the first %d bytes of %d", i, err, n, whole)
			}
		}
		if err := d.listen(&come{b: []byte(answer[:20]), end: true}); i == 0 && ReasonOf(err) != Protocol {
			t.Errorf("judge %d: %v of an answer that ends in its header", i, err)
		}
	}
}

// TestShortAnswersNeedNoGoroutine: they are judged while the only goroutine that
// may talk is with a server that goes on and on.
func TestShortAnswersNeedNoGoroutine(t *testing.T) {
	dripped := make(chan struct{}, 1)
	endless := Spec{ID: "endless", Kind: HTTP, Target: server(t, func(c net.Conn) {
		readRequest(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
				return
			}
			select {
			case dripped <- struct{}{}:
			default:
			}
			<-time.After(5 * ms)
		}
	}), Interval: time.Minute, Timeout: 20 * sec}
	short := Spec{ID: "short", Kind: HTTP, Target: server(t, func(c net.Conn) {
		readRequest(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}), Interval: time.Minute, Timeout: 10 * sec, HTTP: &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "ok"}}}
	verdicts := make(chan Verdict, 1)
	s := NewScheduler(Options{MaxConversations: 1, Notify: func(v Verdict) { verdicts <- v }, Random: func(time.Duration) time.Duration { return 0 }})
	if err := s.Apply([]Spec{endless}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*sec)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-dripped:
	case <-ctx.Done():
		t.Fatal("the endless server was not asked")
	}
	if err := s.Apply([]Spec{endless, short}); err != nil {
		t.Fatal(err)
	}
	select {
	case v := <-verdicts:
		if v.ID != "short" || !v.Up {
			t.Errorf("verdict %+v", v)
		}
	case <-ctx.Done():
		t.Error("no verdict")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
