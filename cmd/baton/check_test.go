package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckTellsEveryMistake runs `baton check` on each of the broken files of
// package conf: exactly the expected lines on standard error, nothing on
// standard output, exit code 1. A running daemon refuses the same files with the
// same lines: integration.TestRefusedReloads.
func TestCheckTellsEveryMistake(t *testing.T) {
	atHome.Lock()
	defer atHome.Unlock()
	t.Chdir(filepath.Join("..", "..", "conf", "testdata", "invalid"))
	expected, err := filepath.Glob("*.txt")
	if err != nil || len(expected) < 25 {
		t.Fatalf("%d broken files: %v", len(expected), err)
	}
	for _, file := range expected {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run([]string{"check", "-c", strings.TrimSuffix(file, ".txt") + ".toml", "--node", "lvs-a"}, &out, &errs)
		if code != 1 || out.Len() > 0 || errs.String() != string(want) {
			t.Errorf("%s: exit code %d, printed %q and\n%s\nwant 1 and\n%s", file, code, out.String(), errs.String(), want)
		}
	}
}
