package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"baton/internal/event"
)

// readBack returns the last events of the files, oldest first and at most
// o.Count. Lines that are no events are passed over: a crash may have cut one
// short. Beside an error stands what could be read.
func readBack(o Options) ([]event.Event, error) {
	var newest []event.Event // newest first
	var errs []error
	for n := 0; n < o.Files && len(newest) < o.Count; n++ {
		raw, err := tail(numbered(o.Dir, n), o.MaxBytes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lines := bytes.Split(raw, []byte{'\n'})
		for _, line := range slices.Backward(lines) {
			if len(newest) == o.Count {
				break
			}
			if e, ok := decode(line); ok {
				newest = append(newest, e)
			}
		}
	}
	slices.Reverse(newest)
	return newest, errors.Join(errs...)
}

// decode reads a line; one that is no event is none.
func decode(line []byte) (event.Event, bool) {
	var e event.Event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Name != ""
}

// tail returns the last bytes of a file.
func tail(name string, most int64) ([]byte, error) {
	f, size, err := openRegular(name)
	if f == nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.NewSectionReader(f, max(0, size-most), most))
	if err != nil {
		return raw, fmt.Errorf("read journal %s: %w", name, err)
	}
	return raw, nil
}

// openRegular opens a regular file and returns its size. One that is missing is
// nil without an error, and so is what is no file: to read a pipe would be to
// wait for its writer.
func openRegular(name string) (*os.File, int64, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil // renamed just now
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	if st, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	return f, st.Size(), nil
}
