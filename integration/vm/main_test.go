package vm

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFlagsForTheGuest(t *testing.T) {
	guest, outputs, timeout := testFlags([]string{
		"-test.paniconexit0", "-test.timeout=10m0s", "-test.testlogfile=/tmp/go-build1/testlog.txt", "-test.v=test2json",
		"-test.coverprofile=/tmp/go-build1/_cover_.out", "-test.run=^TestX$", "--test.cpuprofile=cpu.out", "-test.outputdir=/home/x",
	})
	want := []string{"-test.paniconexit0", "-test.timeout=10m0s", "-test.v=test2json",
		"-test.coverprofile=/out/_cover_.out", "-test.run=^TestX$", "-test.cpuprofile=/out/cpu.out"}
	if !slices.Equal(guest, want) {
		t.Errorf("flags are %q, want %q", guest, want)
	}
	if !maps.Equal(outputs, map[string]string{"_cover_.out": "/tmp/go-build1/_cover_.out", "cpu.out": "cpu.out"}) {
		t.Errorf("outputs are %v", outputs)
	}
	if timeout != 11*time.Minute {
		t.Errorf("time-out is %s, want a minute more than the tests' own", timeout)
	}
}

func TestModuleRoot(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "integration", "vm")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ModuleRoot(deep); err == nil || !strings.Contains(err.Error(), "find go.mod") {
		t.Errorf("no go.mod: error is %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if root, err := ModuleRoot(deep); err != nil || root != dir {
		t.Errorf("root is %s, %v", root, err)
	}
}
