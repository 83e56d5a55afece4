package track

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// watchFile reads a file at every interval.
func (s *Scheduler) watchFile(ctx context.Context, sp File) {
	var last State
	told := false
	unreadable := ""
	every(ctx, func() time.Duration {
		raw, err := s.opts.ReadFile(sp.Path)
		var n int
		if err == nil {
			n, err = parseNumber(raw)
		}
		st := State{Up: true, Value: n}
		why := ""
		if err != nil {
			why = fmt.Sprintf("%s counts as 0: %v", sp.Path, reasonOf(err))
			st.Reason = why
		} else {
			st.Reason = fmt.Sprintf("%s holds %d", sp.Path, n)
		}
		if why != unreadable && why != "" {
			s.trouble(ctx, Trouble{Key: sp.Key(), Kind: Unreadable, Reason: why})
		}
		unreadable = why
		if !told || st.Value != last.Value {
			told, last = true, st
			s.changed(ctx, sp.Key(), st)
		}
		return sp.Interval
	})
}

// MaxFile is how much of a file is looked at, in bytes: it holds one number.
const MaxFile = 64

// MaxValue bounds the number in a file, in both directions. Times the greatest
// weight, 254, it still fits into 32 bits.
const MaxValue = 1 << 20

// parseNumber reads the one decimal number that a file holds, white space
// around it set aside.
func parseNumber(raw []byte) (int, error) {
	text := strings.TrimSpace(string(raw))
	if len(raw) > MaxFile {
		return 0, fmt.Errorf("it is longer than %d bytes", MaxFile)
	}
	n, err := strconv.Atoi(text)
	switch {
	case text == "":
		return 0, errors.New("it is empty")
	case err != nil:
		return 0, fmt.Errorf("%q is not a number", text)
	case n > MaxValue || n < -MaxValue:
		return 0, fmt.Errorf("%d is not between -%d and %d", n, MaxValue, MaxValue)
	}
	return n, nil
}

// readFile reads at most a little more than MaxFile. A file that is none, such
// as a named pipe without a writer, must not hold up the watch.
func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

func reasonOf(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
