package director

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// holder is a process that has the director's lock.
func holder(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(dir, directorLock)
	f, err := lockFile(file, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.ExtraFiles = []*os.File{f} // the lock goes with it
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is ready
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestStop(t *testing.T) {
	dir := t.TempDir()
	if pid, err := Stop(t.Context(), dir); pid != 0 || err != nil {
		t.Errorf("without a director: %d, %v", pid, err)
	}
	cmd := holder(t, dir, "sh", "-c", "echo ready; exec sleep 3600")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	pid, err := Stop(t.Context(), dir)
	if pid != cmd.Process.Pid || err != nil {
		t.Errorf("pid %d, %v, want %d", pid, err, cmd.Process.Pid)
	}
	if err := <-ended; err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v", err)
	}
	if pid, err := Stop(t.Context(), dir); pid != 0 || err != nil {
		t.Errorf("after it has ended: %d, %v", pid, err)
	}

	deaf := holder(t, dir, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	go func() { _ = deaf.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Stop(ctx, dir); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "has not ended yet") {
		t.Errorf("of one that does not listen: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, directorLock), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Stop(t.Context(), dir); err == nil || !strings.Contains(err.Error(), `says "1" in place of a pid`) {
		t.Errorf("of a pid that cannot be: %v", err)
	}
}
