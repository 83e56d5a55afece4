package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// findIn returns the first of the names that exists below root. Debian moved
// its files from / to /usr, package by package.
func findIn(root string, names ...string) (string, error) {
	for _, n := range names {
		for _, merged := range []string{n, "usr/" + n} {
			p := filepath.Join(root, merged)
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("find %s: not in %s", strings.Join(names, " or "), root)
}

// programDirs are the directories of programs below a root.
var programDirs = []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

// findProgram looks for a program by name below the roots.
func findProgram(name string, roots ...string) (string, error) {
	for _, root := range roots {
		for _, d := range programDirs {
			p := filepath.Join(root, d, name)
			if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("find program %s: not in %s", name, strings.Join(roots, " or "))
}

// findFirst looks for a file or tree of a package below the roots.
func findFirst(name string, roots ...string) (string, error) {
	for _, root := range roots {
		if p, err := findIn(root, name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("find %s: not in %s", name, strings.Join(roots, " or "))
}

// libraryPath is the LD_LIBRARY_PATH with which a program of an unpacked root
// finds its libraries on the host.
func libraryPath(root string) string {
	var dirs []string
	for _, pattern := range []string{"lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // a constant pattern is a good one
		for _, d := range found {
			if libs, _ := filepath.Glob(filepath.Join(d, "*.so*")); len(libs) > 0 {
				dirs = append(dirs, d)
			}
		}
	}
	return strings.Join(dirs, ":")
}
