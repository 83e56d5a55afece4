//go:build linux && kernel

package realserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two network namespaces that share a runtime directory: what was changed in one
// cannot be undone in the other, and is not forgotten there either.
func TestKernelRecordOfAnotherNamespace(t *testing.T) {
	a, b, w := newServer(t), newServer(t), want(t, vip4, DR)
	b.opts = a.opts
	before, beforeB := a.state(), b.state()
	a.up(w)
	name := filepath.Join(a.opts.RuntimeDir, "realserver.json")
	record, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for verb, f := range map[string]func(*Manager) error{
		"up":   func(m *Manager) error { return m.Up([]Want{w}) },
		"down": func(m *Manager) error { return m.Down(vips([]Want{w})) },
	} {
		err := b.with(f)
		if err == nil || !strings.Contains(err.Error(), "another network namespace") || !strings.Contains(err.Error(), "--runtime-dir") {
			t.Errorf("%s in another namespace: %v", verb, err)
		}
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != string(record) {
		t.Errorf("the record is\n%s, %v, and was\n%s", now, err, record)
	}
	a.down(w)
	if after := a.state(); after != before {
		t.Errorf("down leaves\n%s\nbefore it was\n%s", after, before)
	}
	// An empty record is nobody's.
	b.up(w)
	b.down(w)
	if after := b.state(); after != beforeB {
		t.Errorf("in the other namespace down leaves\n%s\nbefore it was\n%s", after, beforeB)
	}
	// One of an earlier version does not say whose it is, and is taken.
	a.up(w)
	record, err = os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(record), "\n")
	old := ""
	for _, l := range lines {
		if !strings.Contains(l, `"netns"`) {
			old += l
		}
	}
	if old == string(record) {
		t.Error("the record does not say whose it is")
	}
	if err := os.WriteFile(name, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	a.down(w)
	if after := a.state(); after != before {
		t.Errorf("with an old record down leaves\n%s\nbefore it was\n%s", after, before)
	}
}
