package vm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// Initramfs writes the guest's root file system: a cpio archive in which each
// path stands once, the first that was added wins, and every directory stands
// before what is in it.
type Initramfs struct {
	w      *cpio.Writer
	buf    *bufio.Writer
	linker Linker
	done   map[string]bool
}

// merged are the directories that are links into /usr, as on any Debian since
// bookworm.
var merged = []string{"bin", "sbin", "lib", "lib64"}

// NewInitramfs starts an archive on w whose programs bring their libraries
// from the linker's roots.
func NewInitramfs(w io.Writer, linker Linker) (*Initramfs, error) {
	buf := bufio.NewWriterSize(w, 1<<20)
	a := &Initramfs{w: cpio.NewWriter(buf), buf: buf, linker: linker, done: map[string]bool{"/": true}}
	for _, d := range merged {
		if err := a.Dir("/usr/"+d, 0o755); err != nil {
			return nil, err
		}
		if err := a.Link("/"+d, "usr/"+d); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// canonical is the path behind the links of merged.
func canonical(p string) string {
	p = path.Clean("/" + p)
	for _, d := range merged {
		if strings.HasPrefix(p, "/"+d+"/") {
			return "/usr" + p
		}
	}
	return p
}

// claim makes the parents of p and says whether p is still free.
func (a *Initramfs) claim(p string) (string, bool, error) {
	p = canonical(p)
	if a.done[p] {
		return p, false, nil
	}
	if parent := path.Dir(p); !a.done[parent] {
		if err := a.Dir(parent, 0o755); err != nil {
			return p, false, err
		}
	}
	a.done[p] = true
	return p, true, nil
}

// Dir adds a directory and those above it.
func (a *Initramfs) Dir(p string, perm fs.FileMode) error {
	p, free, err := a.claim(p)
	if err != nil || !free {
		return err
	}
	return a.header(p, cpio.TypeDir|cpio.FileMode(perm.Perm())|sticky(perm), 0, "")
}

func sticky(perm fs.FileMode) cpio.FileMode {
	if perm&fs.ModeSticky != 0 {
		return 0o1000
	}
	return 0
}

// Link adds a symbolic link.
func (a *Initramfs) Link(p, target string) error {
	p, free, err := a.claim(p)
	if err != nil || !free {
		return err
	}
	return a.header(p, cpio.TypeSymlink|0o777, int64(len(target)), target)
}

// Data adds a file of the given content.
func (a *Initramfs) Data(p string, perm fs.FileMode, content string) error {
	p, free, err := a.claim(p)
	if err != nil || !free {
		return err
	}
	return a.header(p, cpio.TypeReg|cpio.FileMode(perm.Perm()), int64(len(content)), content)
}

func (a *Initramfs) header(p string, mode cpio.FileMode, size int64, body string) error {
	h := &cpio.Header{Name: strings.TrimPrefix(p, "/"), Mode: mode, Size: size, Links: 1}
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("add %s: %w", p, err)
	}
	if _, err := io.WriteString(a.w, body); err != nil {
		return fmt.Errorf("add %s: %w", p, err)
	}
	return nil
}

// Add adds a file or a tree of the host, and for programs their libraries.
func (a *Initramfs) Add(f File) error {
	fi, err := os.Stat(f.Host)
	if err != nil {
		return fmt.Errorf("add to initramfs: %w", err)
	}
	if !fi.IsDir() {
		return a.file(f.Host, f.Guest, fi)
	}
	return filepath.WalkDir(f.Host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("add to initramfs: %w", err)
		}
		if p != f.Host && f.Skip != nil && f.Skip(p, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(f.Host, p)
		if err != nil {
			return err
		}
		return a.entry(p, path.Join(f.Guest, filepath.ToSlash(rel)), d)
	})
}

func (a *Initramfs) entry(host, guest string, d fs.DirEntry) error {
	fi, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since the directory was read
	}
	if err != nil {
		return err
	}
	switch {
	case fi.IsDir():
		return a.Dir(guest, fi.Mode())
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		return a.Link(guest, target)
	case fi.Mode().IsRegular():
		return a.file(host, guest, fi)
	}
	return nil
}

func (a *Initramfs) file(host, guest string, fi fs.FileInfo) error {
	if fi.Mode()&0o111 != 0 {
		closure, err := a.linker.Closure(host)
		if err != nil {
			return err
		}
		for guest, lib := range closure {
			if err := a.copy(lib, guest); err != nil {
				return err
			}
		}
	}
	return a.copy(host, guest)
}

func (a *Initramfs) copy(host, guest string) error {
	p, free, err := a.claim(guest)
	if err != nil || !free {
		return err
	}
	f, err := os.Open(host)
	if err != nil {
		return fmt.Errorf("add to initramfs: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("add to initramfs: %w", err)
	}
	if err := a.header(p, cpio.TypeReg|cpio.FileMode(fi.Mode().Perm()), fi.Size(), ""); err != nil {
		return err
	}
	if n, err := io.CopyN(a.w, f, fi.Size()); err != nil {
		return fmt.Errorf("add %s: after %d of %d bytes: %w", host, n, fi.Size(), err)
	}
	return nil
}

// Close completes the archive.
func (a *Initramfs) Close() error {
	if err := a.w.Close(); err != nil {
		return fmt.Errorf("complete initramfs: %w", err)
	}
	return a.buf.Flush()
}
