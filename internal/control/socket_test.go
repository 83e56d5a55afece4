package control

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stale leaves a socket file that nobody serves.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSocketHasItsModeAndGroup(t *testing.T) {
	// Whatever the umask is, nobody else may connect at any moment.
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "c.sock")
	gid := os.Getegid()
	if os.Geteuid() == 0 {
		gid = 12345 // only root may give it to a group that it is not in
	}
	s, err := listen(t.Context(), path, gid)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != fs.ModeSocket|0o660 || int(st.Sys().(*syscall.Stat_t).Gid) != gid {
		t.Errorf("mode %v, gid %d, want 0660 and %d", st.Mode(), st.Sys().(*syscall.Stat_t).Gid, gid)
	}
}

// TestSocketIsBornClosed: between bind(2) and chmod(2) too.
func TestSocketIsBornClosed(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := bind(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	stale(t, path)
	stop := serveAt(t, path, &backend{status: Status{Node: "lvs-a"}})
	if st, err := client(t, path).Status(t.Context()); err != nil || st.Node != "lvs-a" {
		t.Errorf("%+v, %v", st, err)
	}
	stop()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

func TestLiveSocketIsLeftAlone(t *testing.T) {
	path := serve(t, &backend{status: Status{Node: "first"}})
	err := NewServer(ServerOptions{Socket: path, GID: -1, Backend: &backend{}}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("second server: %v", err)
	}
	if st, err := client(t, path).Status(t.Context()); err != nil || st.Node != "first" {
		t.Errorf("first server: %+v, %v", st, err)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := listen(t.Context(), path, -1)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "no socket (") {
		t.Errorf("%v", err)
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "precious" {
		t.Errorf("file is %q, %v", raw, err)
	}
}

func TestMissingDirectoryIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := listen(t.Context(), filepath.Join(dir, "c.sock"), -1)
	if err == nil || !strings.Contains(err.Error(), "mkdir -p "+dir) {
		t.Errorf("%v", err)
	}
}

// TestSuccessorKeepsItsSocket: a server that ends late does not remove the
// file of the one that came after it.
func TestSuccessorKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	first, err := listen(t.Context(), path, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := listen(t.Context(), path, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// TestBindingIsExclusive: nobody probes and removes while another does.
func TestBindingIsExclusive(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.sock")
	unlock, err := lockDirectory(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := listen(ctx, path, -1); err == nil || !strings.Contains(err.Error(), "lock directory "+dir) {
		t.Errorf("while another binds: %v", err)
	}
	unlock()
	s, err := listen(t.Context(), path, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestOneOfManyWins: daemons that start at once over a stale socket do not
// remove one another's.
func TestOneOfManyWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	for range 20 {
		stale(t, path)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []*socket
		for range 8 {
			wg.Go(func() {
				s, err := listen(context.Background(), path, -1)
				if err == nil {
					mu.Lock()
					won = append(won, s)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for _, s := range won {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d of them listen", len(won))
		}
	}
}
