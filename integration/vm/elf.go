package vm

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Linker finds the shared libraries of ELF files below a list of roots, in
// each as the dynamic loader would do in a system whose / it is.
type Linker struct {
	Roots []string
}

// libraryDirs are where Debian's loader looks, then those of other systems.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib",
}

// Closure returns the interpreter and the libraries, the libraries' libraries
// and so on, that file needs, by their path in the guest. A file that is no ELF
// or is linked statically needs nothing.
func (l Linker) Closure(file string) (map[string]string, error) {
	found := map[string]string{}
	if err := l.add(file, nil, found); err != nil {
		return nil, err
	}
	return found, nil
}

func (l Linker) add(file string, inherited []string, found map[string]string) error {
	f, err := elf.Open(file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer f.Close()
	if in := interpreter(f); in != "" {
		if err := l.need(file, in, "", nil, found); err != nil {
			return err
		}
	}
	needed, err := f.DynString(elf.DT_NEEDED)
	if err != nil {
		return nil // no dynamic section: static
	}
	dirs := append(searchDirs(f, l.guestPath(file)), inherited...)
	for _, n := range needed {
		if err := l.need(file, "", n, dirs, found); err != nil {
			return err
		}
	}
	return nil
}

// need finds one library by its absolute path or by its name, and what it
// needs itself.
func (l Linker) need(by, path, name string, dirs []string, found map[string]string) error {
	candidates := []string{path}
	if path == "" {
		candidates = nil
		for _, d := range append(dirs, libraryDirs...) {
			candidates = append(candidates, filepath.Join(d, name))
		}
	}
	for _, c := range candidates {
		if _, ok := found[c]; ok {
			return nil
		}
	}
	for _, root := range l.Roots {
		for _, c := range candidates {
			host := filepath.Join(root, c)
			if fi, err := os.Stat(host); err != nil || !fi.Mode().IsRegular() {
				continue
			}
			found[c] = host
			return l.add(host, dirs[:min(len(dirs), 8)], found)
		}
	}
	return fmt.Errorf("find library %s%s of %s: not in %s", path, name, by, strings.Join(l.Roots, " or "))
}

func (l Linker) guestPath(host string) string {
	for _, r := range l.Roots {
		if rel, err := filepath.Rel(r, host); err == nil && !strings.HasPrefix(rel, "..") {
			return "/" + rel
		}
	}
	return host
}

// searchDirs is the file's RUNPATH or RPATH.
func searchDirs(f *elf.File, guest string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			continue
		}
		for _, v := range values {
			for d := range strings.SplitSeq(v, ":") {
				origin := filepath.Dir(guest)
				dirs = append(dirs, strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(d))
			}
		}
	}
	return dirs
}

func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, min(p.Filesz, 4096))
		if _, err := p.ReadAt(b, 0); err != nil {
			return ""
		}
		return strings.TrimRight(string(b), "\x00")
	}
	return ""
}
