package director

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockRuntime makes the runtime directory and takes its lock, which lives as
// long as the returned file. A second daemon is refused with the first's pid.
func lockRuntime(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make runtime directory: %w", err)
	}
	name := filepath.Join(dir, "baton.pid")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open pid file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		raw := make([]byte, 32)
		n, _ := f.Read(raw) // an unreadable pid only makes the message poorer
		f.Close()
		return nil, fmt.Errorf("start: baton runs already with pid %s (it holds %s); stop it, or choose another runtime_dir",
			strings.TrimSpace(string(raw[:n])), name)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return f, nil
}
