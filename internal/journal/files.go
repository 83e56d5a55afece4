package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"baton/internal/event"
)

// Files are the files of a journal as they were at one moment: what is written
// or rotated afterwards changes nothing of what they hold. A Files is read once,
// by one goroutine.
type Files struct {
	newest []part // newest first
	err    error  // why one of them is not among these
}

// part is what one file held.
type part struct {
	f    *os.File
	info os.FileInfo
	from int64
	to   int64
}

// Path is the current file of a journal that lies in dir.
func Path(dir string) string { return filepath.Join(dir, fileName) }

// OpenFiles opens the journal in a directory, whether or not a director writes
// to it. It fails when there is nothing that could be read.
func OpenFiles(dir string) (*Files, error) {
	o, err := Options{Dir: dir}.withDefaults()
	if err != nil {
		return nil, err
	}
	files := openFiles(o)
	switch {
	case len(files.newest) > 0:
		return files, nil
	case files.err != nil:
		return nil, files.err
	}
	return nil, fmt.Errorf("read journal %s: %w", Path(dir), fs.ErrNotExist)
}

// openFiles opens the files from the newest to the oldest. A rotation meanwhile
// moves them the same way: it may show a file twice, which is noticed, but hides
// none but the one that it removes.
func openFiles(o Options) *Files {
	out := &Files{}
	for n := range o.Files {
		f, size, err := openRegular(numbered(o.Dir, n))
		if err != nil && out.err == nil {
			out.err = err // the others fail for the same reason, as a rule
		}
		if f == nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			out.err = errors.Join(out.err, fmt.Errorf("read journal: %w", err))
			f.Close()
			continue
		}
		if slices.ContainsFunc(out.newest, func(p part) bool { return os.SameFile(p.info, info) }) {
			f.Close()
			continue
		}
		// A file that has grown beyond its bound is not this journal's work.
		out.newest = append(out.newest, part{f, info, max(0, size-o.MaxBytes), size})
	}
	return out
}

// Close closes the files.
func (f *Files) Close() {
	for _, p := range f.newest {
		p.f.Close()
	}
}

// Events reads the files from the oldest event to the newest, one line at a
// time. Lines that are no events are passed over. Err says afterwards what could
// not be read.
func (f *Files) Events() iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		for n := len(f.newest) - 1; n >= 0; n-- {
			p := f.newest[n]
			more, err := p.events(yield)
			if err != nil {
				f.err = errors.Join(f.err, fmt.Errorf("read journal %s: %w", p.f.Name(), err))
			}
			if !more {
				return
			}
		}
	}
}

// Err is what could not be read of the files, nil if all was.
func (f *Files) Err() error { return f.err }

// events says whether the reader wants more.
func (p part) events(yield func(event.Event) bool) (more bool, err error) {
	lines := bufio.NewReaderSize(io.NewSectionReader(p.f, p.from, p.to-p.from), maxLine+1)
	for whole := true; ; {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			whole = false // longer than any event: what follows belongs to it
			continue
		}
		if e, ok := decode(bytes.TrimSpace(line)); ok && whole && !yield(e) {
			return false, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return true, err
		}
		whole = true
	}
}
