package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// tailBuffer keeps the last of what is written to it, at most maxTail bytes.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 1 << 20

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if over := len(b.buf) - maxTail; over > 0 {
		b.buf = append(b.buf[:0], b.buf[over:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf)
}

// lastLines returns the end of a file, for an error about what wrote it.
func lastLines(path string, n int) string {
	const most = 16 << 10
	f, err := os.Open(path)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, err = f.Seek(max(0, size-most), io.SeekStart)
		if err != nil {
			return fmt.Sprintf("(no log: %v)", err)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	lines := bytes.Split(bytes.TrimRight(raw, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
