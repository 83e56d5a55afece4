package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestHundredClientsAtOnce: they are answered side by side. Fault 34.
func TestHundredClientsAtOnce(t *testing.T) {
	const clients = 100
	var inside sync.WaitGroup
	inside.Add(clients)
	b := &backend{status: Status{Node: "lvs-a"}, block: func(context.Context) {
		inside.Done()
		inside.Wait() // nobody gets an answer before all have been let in
	}}
	socket := serve(t, b)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			st, err := client(t, socket).Status(t.Context())
			if err != nil || st.Node != "lvs-a" {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
	wg.Wait()
}

func TestOneClientTooManyIsToldSo(t *testing.T) {
	socket := serve(t, &backend{})
	var open []net.Conn
	for range maxConnections {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// An answered request proves that the connection has its slot.
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: b\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for range 3 {
		_, err := client(t, socket).Failover(t.Context(), "")
		var e *Error
		if !errors.As(err, &e) || e.Status != 503 || !strings.Contains(e.Message, "128") || e.Remedy == "" {
			t.Errorf("one too many: %v", err)
		}
	}
	open[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := client(t, socket).Status(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one has gone: %v", err)
		}
	}
}

// TestRefusalOfASilentClientEnds: who connects beyond the limit and says
// nothing costs a goroutine for a second, and only so many of them.
func TestRefusalOfASilentClientEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		begun := time.Now()
		refuse(here, 128)
		if took := time.Since(begun); took != refuseWithin {
			t.Errorf("it took %v", took)
		}
	})
}

// TestRefusalWaitsForTheRequest: an answer that comes first is taken for
// garbage by the client that has not asked yet.
func TestRefusalWaitsForTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		go refuse(here, 128)
		if _, err := io.WriteString(there, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err) // a pipe without a buffer: nobody reads
		}
		got, err := io.ReadAll(there)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") || !strings.Contains(string(got), `"remedy":`) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// failing fails to accept n times.
type failing struct {
	net.Listener
	err error
	n   int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.n > 0 {
		f.n--
		return nil, f.err
	}
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

func (f *failing) Close() error { return nil }

func TestAcceptOutlivesALackOfDescriptors(t *testing.T) {
	synctest.Test(t, testAccept)
}

func testAccept(t *testing.T) {
	told := 0
	notify := func(error) { told++ }
	l := newLimited(&failing{err: syscall.EMFILE, n: 3}, 1, notify)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	l = newLimited(&failing{err: syscall.EMFILE, n: 1 << 30}, 1, notify)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	l = newLimited(&failing{err: syscall.EBADF, n: 1}, 1, notify)
	if _, err := l.Accept(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("for good: %v", err)
	}
}
