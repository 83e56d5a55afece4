package director

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names lists what is below a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path) // both begin with dir
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A start that is refused leaves nothing of its own, and all that was there.
func TestRefusedStartLeavesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		had  []string // files
		held bool     // another director runs
		want string   // in the error
		left []string
	}{
		{"nothing was there", nil, false, "look up control_group", nil},
		{"an earlier run's", []string{"a/run/addresses.json", "a/run/baton.pid"}, false, "look up control_group", []string{"a", "a/run", "a/run/addresses.json", "a/run/baton.pid"}},
		{"another's in one of the directories", []string{"b/notes"}, false, "look up control_group", []string{"b", "b/notes"}},
		{"another director runs", []string{"a/run/control.sock"}, true, "baton runs already with pid", []string{"a", "a/run", "a/run/baton.pid", "a/run/control.sock"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tt.had {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tt.held {
				lock, err := lockRuntime(filepath.Join(dir, "a", "run"), runsAlready)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Close()
			}
			text := "[global]\ncontrol_group = \"baton-no-such-group\"\nruntime_dir = \"" + dir + "/a/run\"\nstate_dir = \"" + dir + "/b/lib\"\n"
			file := filepath.Join(t.TempDir(), "baton.toml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Run(t.Context(), Options{ConfigFile: file, Node: "lvs-a", Log: os.Stderr})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the start: %v, want %q", err, tt.want)
			}
			if left := names(t, dir); !slices.Equal(left, tt.left) {
				t.Errorf("left are %q, want %q", left, tt.left)
			}
		})
	}
}

// A lock of a file that somebody takes away meanwhile is taken again, of the
// file that has the name then.
func TestLockOfAFileThatIsGone(t *testing.T) {
	name := filepath.Join(t.TempDir(), directorLock)
	first, err := lockFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan *os.File)
	go func() {
		f, err := lockFile(name, true)
		if err != nil {
			t.Error(err)
		}
		second <- f
	}()
	if err := os.Remove(name); err != nil {
		t.Error(err)
	}
	first.Close()
	f := <-second
	defer f.Close()
	if _, err := lockFile(name, false); err == nil {
		t.Error("two have the lock")
	}
}
