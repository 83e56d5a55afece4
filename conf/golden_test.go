package conf_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
)

var update = flag.Bool("update", false, "write what is found as what is expected")

// TestInvalid holds what is said about each broken file against the file
// beside it, as node lvs-a. Paths are relative to the directory: that is how
// the commands are run on the same files.
func TestInvalid(t *testing.T) {
	t.Chdir("testdata/invalid")
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d broken files: %v", len(files), err)
	}
	files = append(files, "absent.toml")
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".toml"), func(t *testing.T) {
			cfg, err := conf.Load(file, "lvs-a")
			var ps conf.Problems
			if cfg != nil || !errors.As(err, &ps) || len(ps.Errors()) == 0 {
				t.Fatalf("was accepted: error %v", err)
			}
			for _, p := range ps {
				if p.Remedy == "" {
					t.Errorf("%s: no remedy", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".txt", ps.Error()+"\n")
		})
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("got:\n%s\nwant (%s, rewritten by -update):\n%s", got, path, want)
	}
}
