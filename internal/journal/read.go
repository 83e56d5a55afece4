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
			var e event.Event
			if json.Unmarshal(line, &e) == nil && e.Name != "" {
				newest = append(newest, e)
			}
		}
	}
	slices.Reverse(newest)
	return newest, errors.Join(errs...)
}

// tail returns the last bytes of a regular file, nothing of any other: to read
// a pipe would be to wait for its writer.
func tail(name string, most int64) ([]byte, error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	from := max(0, st.Size()-most)
	raw, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return raw, fmt.Errorf("read journal %s: %w", name, err)
	}
	return raw, nil
}
