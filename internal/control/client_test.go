package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func wantRemedy(t *testing.T, err error, message, remedy string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, message) || !strings.Contains(e.Remedy, remedy) {
		t.Errorf("error is %q, want %q with remedy %q", err, message, remedy)
	}
}

func TestMissingSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	_, err := client(t, path).Status(t.Context())
	wantRemedy(t, err, "there is no "+path, "is baton running? systemctl status baton")
}

func TestDeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	stale(t, path)
	_, err := client(t, path).Reload(t.Context())
	wantRemedy(t, err, "nobody listens on "+path, "baton has died")
}

// TestForbiddenSocket asks as another user where this one is root.
func TestForbiddenSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "baton")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "c.sock")
	gid, remedy := -1, "control_group"
	ask := exec.Command("/proc/self/exe")
	if os.Geteuid() == 0 {
		gid, remedy = 12345, "usermod -aG 12345"
		ask.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stop := serveAt(t, path, &backend{}, func(s *HTTPServer) {
		s.listen = func(ctx context.Context) (net.Listener, error) { return listen(ctx, path, gid) }
	})
	defer stop()
	if gid < 0 {
		if os.Getegid() != 0 {
			remedy = "usermod -aG"
		}
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	ask.Env = append(os.Environ(), "BATON_TEST_ASK="+path)
	out, err := ask.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := string(out); !strings.Contains(got, "no permission to connect to "+path) || !strings.Contains(got, remedy) {
		t.Errorf("error is %q, want remedy %q", got, remedy)
	}
}

// strange listens and lets a function treat its connections.
func strange(t *testing.T, treat func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			treat(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			// The client may have gone: that is its business.
			_, _ = io.WriteString(c, text)
		}
	}
}

func TestStrangeAnswers(t *testing.T) {
	for name, c := range map[string]struct{ answer, message, remedy string }{
		"none":          {"", "closed without an answer", "systemctl status baton"},
		"half":          {"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "closed without an answer", "systemctl status baton"},
		"plain text":    {"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n", "400 Bad Request", "same version"},
		"another JSON":  {"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"detail\":\"\"}", "404 Not Found", "same version"},
		"of baton":      {"HTTP/1.1 503 X\r\nContent-Length: 29\r\n\r\n{\"error\":\"full\",\"remedy\":\"r\"}", "full", "r"},
		"not a success": {"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n", "302 Found", "same version"},
		"garbage":       {"SSH-2.0-OpenSSH_9.2\r\n", "malformed HTTP", "systemctl status baton"},
		"no JSON":       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "decode answer", "systemctl status baton"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, strange(t, answering(c.answer))).Status(t.Context())
			wantRemedy(t, err, c.message, c.remedy)
		})
	}
}

func TestNoAnswerInTime(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	path := strange(t, func(net.Conn) { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := client(t, path).Status(ctx)
	wantRemedy(t, err, "no answer in time from "+path, "hangs or the machine is overloaded")
}

// TestInterruptedIsNoMystery: Ctrl-C is not the director's fault.
func TestInterruptedIsNoMystery(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	path := strange(t, func(net.Conn) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client(t, path).Status(ctx)
	var e *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("error is %v", err)
	}
}
