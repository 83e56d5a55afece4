package director

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Several directors may hold a namespace, each is seen until it has ended, and a
// name that is too long is cut.
func TestHoldNamespace(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	seen := func(dir string) bool {
		t.Helper()
		all, err := namespaceHolders()
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(h nsHolder) bool { return h.pid == os.Getpid() && strings.HasPrefix(dir, h.runtimeDir) })
	}
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), long}
	var held []net.Listener
	for _, dir := range dirs {
		if seen(dir) {
			t.Errorf("%s is held by nobody", dir)
		}
		l, err := holdNamespace(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		held = append(held, l)
		if !seen(dir) {
			t.Errorf("who holds %s is not seen", dir)
		}
	}
	again, err := holdNamespace(dirs[0]) // of another container, with the same pid
	if err != nil {
		t.Fatal(err)
	}
	held[0].Close()
	if !seen(dirs[0]) {
		t.Errorf("with the first the second is gone")
	}
	again.Close()
	for i, dir := range dirs {
		held[i].Close()
		if seen(dir) {
			t.Errorf("%s is held by one that has ended", dir)
		}
	}
}
