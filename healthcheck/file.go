package healthcheck

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxNumber bounds what is read of a file check's file, in bytes.
const maxNumber = 64

// number is the checker of kind file.
type number struct {
	spec FileSpec
	last *int // weight, of the last pass
}

// newFile returns the checker of kind file.
func newFile(b *builder) Checker {
	f := b.spec.File
	if f == nil || f.Path == "" {
		b.problem("File.Path", "name a file by its absolute path", "is empty")
		return nil
	}
	if !filepath.IsAbs(f.Path) || strings.ContainsRune(f.Path, 0) {
		b.problem("File.Path", "begin it with /", "%.60q is not an absolute path", f.Path)
	}
	if f.Multiplier <= math.MinInt32 || f.Multiplier > math.MaxInt32 {
		b.problem("File.Multiplier", "use -2147483647 to 2147483647", "%d is out of range", f.Multiplier)
	}
	if f.Weight < 0 || f.Weight > MaxWeight {
		b.problem("File.Weight", "use 0 to 65535", "%d is out of range", f.Weight)
	}
	if f.Multiplier != 0 && !f.Dynamic {
		b.problem("File.Multiplier", "set Dynamic, or leave it out", "has no effect on a number that is not a weight")
	}
	return &number{spec: *f}
}

// Check reads the file.
func (n *number) Check(context.Context) error {
	raw, err := readNumber(n.spec.Path)
	if err != nil {
		return failure(Config, "%v", err)
	}
	weight, err := n.spec.judge(raw)
	if err == nil {
		n.last = weight
	}
	return err
}

// weight is what the last pass said.
func (n *number) weight() *int { return n.last }

// readNumber returns the beginning of a file, "0" of one that is missing. It
// does not wait for the writer of a pipe.
func readNumber(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("0"), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	return io.ReadAll(io.LimitReader(f, maxNumber+1))
}

// judge decides about a file's content.
func (f *FileSpec) judge(raw []byte) (weight *int, err error) {
	text := strings.TrimSpace(string(raw))
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || len(raw) > maxNumber {
		return nil, failure(Config, "%s has %.60q, which is no decimal number from -2147483648 to 2147483647", f.Path, text)
	}
	if !f.Dynamic {
		if v != 0 {
			return nil, failure(FileValue, "%s has %d, wanted 0", f.Path, v)
		}
		return nil, nil
	}
	m := int64(f.Multiplier)
	if m == 0 {
		m = 1
	}
	// Both factors fit 32 bits and a sign: their product fits 64.
	w := int64(f.Weight) + v*m
	if w < 0 {
		return nil, failure(FileValue, "%s has %d, which makes a weight of %d", f.Path, v, w)
	}
	out := int(min(w, MaxWeight))
	return &out, nil
}
