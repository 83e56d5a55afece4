package director

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The files whose locks say which process lives; each holds its pid.
const (
	directorLock = "baton.pid"
	speakerLock  = "speaker.pid"
)

// errHeld is why a lock was not taken.
type errHeld struct{ pid, file string }

func (e *errHeld) Error() string { return fmt.Sprintf("%s is held by pid %s", e.file, e.pid) }

// lockRuntime makes the runtime directory and takes its lock, which lives as
// long as the returned file. Where a director has it, refusal says why that is in
// the way.
func lockRuntime(dir string, refusal func(*errHeld) error) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make runtime directory: %w", err)
	}
	f, err := lockFile(filepath.Join(dir, directorLock), false)
	var held *errHeld
	if errors.As(err, &held) {
		return nil, refusal(held)
	}
	return f, err
}

// runsAlready refuses a second daemon.
func runsAlready(held *errHeld) error {
	return fmt.Errorf("start: baton runs already with pid %s (it holds %s); stop it, or choose another runtime_dir", held.pid, held.file)
}

// lockFile takes a lock and writes the pid into its file. If somebody else has
// it, that is an *errHeld, or it is waited for.
func lockFile(name string, wait bool) (*os.File, error) {
	f, err := lockNamed(name, wait)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return f, nil
}

// lockNamed locks the file that has the name. A start that is refused takes its
// own away: a lock of a file that is gone keeps nobody out.
func lockNamed(name string, wait bool) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("open pid file: %w", err)
		}
		if err := lock(f, wait); err != nil {
			f.Close()
			return nil, err
		}
		locked, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("look at pid file: %w", err)
		}
		if named, err := os.Stat(name); err == nil && os.SameFile(locked, named) {
			return f, nil
		}
		f.Close()
	}
}

func lock(f *os.File, wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	err := unix.Flock(int(f.Fd()), how)
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(int(f.Fd()), how)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		raw, _ := io.ReadAll(io.LimitReader(f, 32)) // an unreadable pid only makes the message poorer
		return &errHeld{pid: strings.TrimSpace(string(raw)), file: f.Name()}
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// lockHolder is the pid of the process that has a lock, 0 if none has.
func lockHolder(name string) (int, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open pid file: %w", err)
	}
	defer f.Close() // which gives the lock back
	err = lock(f, false)
	var held *errHeld
	if !errors.As(err, &held) {
		return 0, err
	}
	pid, err := strconv.Atoi(held.pid)
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("read pid file: %s is held, and says %q in place of a pid", name, held.pid)
	}
	return pid, nil
}
