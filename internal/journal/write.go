package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"baton/internal/event"
)

// maxBatch bounds what one write carries. It is less where a file is small: a write goes
// into one file, and readers take no more of a file than it may have.
const maxBatch = 64 << 10

// file is the current journal file. It belongs to the writer's goroutine.
type file struct {
	opts Options
	f    *os.File
	size int64
	torn bool // the last line may be incomplete: begin a new one
}

// write is the goroutine that owns the files.
func (j *Journal) write() {
	defer close(j.written)
	f := &file{opts: j.opts}
	defer f.close()
	for {
		select {
		case e := <-j.queue:
			j.batch(f, e)
		case <-j.quit:
			for {
				select {
				case e := <-j.queue:
					j.batch(f, e)
				default:
					return
				}
			}
		}
	}
}

// batch writes an event together with what is queued behind it.
func (j *Journal) batch(f *file, e queued) {
	defer func() {
		j.mu.Lock()
		j.done = e.nth
		j.mu.Unlock()
	}()
	full := min(maxBatch, int(j.opts.MaxBytes/2))
	var buf []byte
	var lines uint64
	for tell := false; ; {
		line, err := json.Marshal(e.Event)
		if err == nil && len(line) > maxLine {
			err = fmt.Errorf("event %s has %d bytes", e.Name, len(line))
		}
		tell = tell || e.Name != event.JournalFailed
		if err != nil {
			j.dropped(1, fmt.Errorf("encode event: %w", err), tell)
		} else {
			buf = append(append(buf, line...), '\n')
			lines++
		}
		if len(buf) < full {
			select {
			case e = <-j.queue:
				continue
			default:
			}
		}
		if lines == 0 {
			return
		}
		rotated, err := f.append(buf)
		if err != nil {
			j.dropped(lines, err, tell)
			return
		}
		j.mu.Lock()
		j.stats.Written += lines
		if rotated {
			j.stats.Rotations++
		}
		j.mu.Unlock()
		return
	}
}

// append writes whole lines. After an error the file is opened anew the next
// time, so that the journal goes on when the cause is gone.
func (f *file) append(lines []byte) (rotated bool, err error) {
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if err := f.open(); err != nil {
		return false, err
	}
	if f.size > 0 && f.size+int64(len(lines)) > f.opts.MaxBytes {
		if err := f.rotate(); err != nil {
			return false, err
		}
		rotated = true
		if err := f.open(); err != nil {
			return rotated, err
		}
	}
	if f.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := f.f.Write(lines)
	f.size += int64(n)
	if err != nil {
		return rotated, fmt.Errorf("write journal: %w", err)
	}
	f.torn = false
	return rotated, nil
}

// open opens the current file unless it is open and still the one that has
// the name: somebody may have removed or renamed it.
func (f *file) open() error {
	name := filepath.Join(f.opts.Dir, fileName)
	if f.f != nil {
		here, err1 := f.f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(here, there) {
			return nil
		}
		f.close()
	}
	if err := os.MkdirAll(f.opts.Dir, 0o750); err != nil {
		return fmt.Errorf("make journal directory: %w", err)
	}
	g, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	st, err := g.Stat()
	if err != nil {
		g.Close()
		return fmt.Errorf("open journal: %w", err)
	}
	// Whether a crash or a full disk has cut the last line is cheaper to
	// assume than to find out; readers pass over an empty line.
	f.f, f.size, f.torn = g, st.Size(), st.Size() > 0
	return nil
}

// rotate renames events.jsonl to .1, .1 to .2 and so on; the oldest goes.
func (f *file) rotate() error {
	f.close()
	if f.opts.Files == 1 {
		if err := os.Remove(filepath.Join(f.opts.Dir, fileName)); err != nil {
			return fmt.Errorf("rotate journal: %w", err)
		}
		return nil
	}
	for n := f.opts.Files - 1; n >= 1; n-- {
		err := os.Rename(numbered(f.opts.Dir, n-1), numbered(f.opts.Dir, n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate journal: %w", err)
		}
	}
	return nil
}

func (f *file) close() {
	if f.f != nil {
		// Nothing is buffered here: a failed close loses nothing that a write
		// has not already reported.
		_ = f.f.Close()
		f.f = nil
	}
}

// numbered is the name of the n-th youngest file, 0 the current one.
func numbered(dir string, n int) string {
	name := filepath.Join(dir, fileName)
	if n == 0 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, n)
}
