package director

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// traces are the files and directories that a start has made, in that order. One
// that is refused takes them away again: half of a runtime directory would look as
// if a director had run.
type traces []string

// makeDir is os.MkdirAll, and notes what was missing.
func (t *traces) makeDir(dir string, mode fs.FileMode) error {
	var missing []string
	for p := filepath.Clean(dir); ; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, p)
	}
	err := os.MkdirAll(dir, mode)
	slices.Reverse(missing)
	*t = append(*t, missing...) // on an error too: some may have been made
	return err
}

// lockRuntime makes the runtime directory and takes its lock. When that fails
// nothing of it is left.
func (t *traces) lockRuntime(dir string) (*os.File, error) {
	if err := t.makeDir(dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("make runtime directory: %w", err), t.remove())
	}
	pid := filepath.Join(dir, directorLock)
	_, before := os.Lstat(pid)
	f, err := lockRuntime(dir, runsAlready)
	if err != nil {
		return nil, errors.Join(err, t.remove()) // not the pid file: it is another's
	}
	if errors.Is(before, fs.ErrNotExist) {
		*t = append(*t, pid)
	}
	return f, nil
}

// remove takes away what was made, but for directories that others use by now.
func (t *traces) remove() error {
	var errs []error
	for _, name := range slices.Backward(*t) {
		err := os.Remove(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) { // ENOTEMPTY is ErrExist
			errs = append(errs, fmt.Errorf("take back what the start has made: %w", err))
		}
	}
	*t = nil
	return errors.Join(errs...)
}
