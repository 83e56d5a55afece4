package mark

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// records returns two ends of a socket of records.
func records(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "records")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		out[i] = c.(*net.UnixConn)
	}
	return out[0], out[1]
}

func open(t *testing.T, family, typ int) int {
	t.Helper()
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestMark passes sockets to the kernel itself: it marks ours, or says that this
// process may not, as the director's would.
func TestMark(t *testing.T) {
	mine, theirs := records(t)
	served := make(chan error, 1)
	go func() { served <- Serve(theirs, func(m uint32) bool { return m == 7 || m == 1<<32-1 }) }()
	c := NewClient(mine)

	tcp := open(t, unix.AF_INET, unix.SOCK_STREAM)
	may := unix.SetsockoptInt(open(t, unix.AF_INET, unix.SOCK_STREAM), unix.SOL_SOCKET, unix.SO_MARK, 1)
	for _, m := range []uint32{7, 1<<32 - 1} {
		if err := c.Mark(t.Context(), tcp, m); !errors.Is(err, may) {
			t.Errorf("mark %d: %v, want %v", m, err, may)
		}
		if got, err := unix.GetsockoptInt(tcp, unix.SOL_SOCKET, unix.SO_MARK); may == nil && (err != nil || uint32(got) != m) {
			t.Errorf("the socket's mark is %d, %v; want %d", got, err, m)
		}
	}
	if err := c.Mark(t.Context(), tcp, 8); !errors.Is(err, unix.EACCES) {
		t.Errorf("a mark that is not allowed: %v", err)
	}
	if err := c.Mark(t.Context(), open(t, unix.AF_UNIX, unix.SOCK_STREAM), 7); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("a unix socket: %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := c.Mark(t.Context(), int(null.Fd()), 7); !errors.Is(err, unix.ENOTSOCK) {
		t.Errorf("a file: %v", err)
	}

	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if err := c.Mark(t.Context(), tcp, 8); !errors.Is(err, unix.EACCES) {
				t.Errorf("one of many: %v", err)
			}
		})
	}
	group.Wait()
	mine.Close()
	if err := <-served; err != nil {
		t.Errorf("the other end closed: %v", err)
	}
}

// TestNoAnswer: whoever waits for a server that does nothing, or waits behind
// one who does, waits no longer than he may; the late answer is nobody else's.
func TestNoAnswer(t *testing.T) {
	mine, theirs := records(t)
	c := NewClient(mine)
	fd := open(t, unix.AF_INET, unix.SOCK_STREAM)
	noErrno := func(what string, err error) {
		t.Helper()
		var errno unix.Errno
		if err == nil || errors.As(err, &errno) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want one about %q without an errno", err, what)
		}
	}
	c.turn <- struct{}{} // somebody has it
	behind, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	noErrno("wait behind other sockets", c.Mark(behind, fd, 2))
	<-c.turn
	short, end := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() { // gives up as soon as it has been asked
		raw, err := theirs.SyscallConn()
		if err == nil {
			err = raw.Read(func(fd uintptr) bool {
				_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
				return err != unix.EAGAIN
			})
		}
		end()
		asked <- err
	}()
	noErrno("wait for the mark", c.Mark(short, fd, 3))
	if err := <-asked; err != nil {
		t.Fatal(err)
	}

	// Only now somebody serves, what was given up as well.
	var served atomic.Int32 // an answer over a socket orders nothing for the race detector
	go serve(theirs, func(_ int, m uint32) error {
		served.Add(1)
		if m == 4 {
			return nil
		}
		return unix.EACCES
	})
	if err := c.Mark(t.Context(), fd, 4); err != nil {
		t.Errorf("after requests that were given up: %v", err)
	}
	if n := served.Load(); n < 2 {
		t.Errorf("%d were served", n)
	}
	theirs.Close()
	err := c.Mark(t.Context(), fd, 5)
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) {
		t.Errorf("nobody serves: %v", err)
	}
}

// TestGivenUpEndsNoOther: the end of a context that comes together with its deadline does
// not end the waiting of the next one.
func TestGivenUpEndsNoOther(t *testing.T) {
	mine, theirs := records(t)
	c := NewClient(mine)
	fd := open(t, unix.AF_INET, unix.SOCK_STREAM)
	release := make(chan struct{}, 1)
	go serve(theirs, func(_ int, m uint32) error {
		if m == 3 {
			<-release
		}
		return nil
	})
	for range 300 {
		short, end := context.WithTimeout(t.Context(), time.Millisecond)
		if err := c.Mark(short, fd, 3); err == nil || strings.Contains(err.Error(), "wait for the mark") { // it has been asked
			release <- struct{}{}
		}
		end()
		if err := c.Mark(t.Context(), fd, 4); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoRequest: what is none ends the service, and no descriptor is kept.
func TestNoRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes []byte
		files int
	}{
		"too short": {make([]byte, 7), 1}, "too long": {make([]byte, 9), 1},
		"no descriptor": {make([]byte, 8), 0}, "two descriptors": {make([]byte, 8), 2},
	} {
		mine, theirs := records(t)
		fds := []int{}
		var ends []*os.File
		for range tc.files {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			fds, ends = append(fds, int(w.Fd())), append(ends, r, w)
		}
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		if _, _, err := mine.WriteMsgUnix(tc.bytes, oob, nil); err != nil {
			t.Fatal(err)
		}
		if err := serve(theirs, func(int, uint32) error { return nil }); err == nil {
			t.Errorf("%s: served", name)
		}
		// A pipe whose writing end is closed everywhere ends.
		for i := 0; i < len(ends); i += 2 {
			ends[i+1].Close()
			ends[i].SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := ends[i].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: descriptor %d is still open", name, i/2)
			}
			ends[i].Close()
		}
	}
}
