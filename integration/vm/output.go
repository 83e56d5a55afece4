package vm

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// receiver unpacks the archive of the guest's output directory.
type receiver struct {
	w    *io.PipeWriter
	done chan error
}

func newReceiver(dir string) *receiver {
	r, w := io.Pipe()
	rc := &receiver{w: w, done: make(chan error, 1)}
	go func() {
		err := unpack(r, dir)
		_, drained := io.Copy(io.Discard, r)
		rc.done <- errors.Join(err, drained)
	}()
	return rc
}

func (r *receiver) write(p []byte) error {
	_, err := r.w.Write(p)
	return err
}

func (r *receiver) close() error {
	r.w.Close()
	return <-r.done
}

// maxOutput bounds what a guest can write to the host's disk.
const maxOutput = 1 << 30

func unpack(r io.Reader, dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create output directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open output directory: %w", err)
	}
	defer root.Close()
	t := tar.NewReader(io.LimitReader(r, maxOutput))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read guest's output files: %w", err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case tar.TypeReg:
			err = unpackFile(root, h, t)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func unpackFile(root *os.Root, h *tar.Header, r io.Reader) error {
	f, err := root.Create(filepath.Clean(h.Name))
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
