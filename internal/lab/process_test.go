package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestStatOfOddlyNamedProcess(t *testing.T) {
	rest := " S 12 34 56 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"
	for _, name := range []string{"sh", "a b", "x) S 1 (", "(())", ""} {
		st, err := parseStat("77 (" + name + ")" + rest)
		if err != nil || st != (procStat{pid: 77, parent: 12, session: 56, state: 'S', start: 987654}) {
			t.Errorf("%q: %+v, %v", name, st, err)
		}
	}
	for _, bad := range []string{"", "77", "77 (sh", "77 (sh) S 1", "x (sh)" + rest, ")77(" + rest} {
		if st, err := parseStat(bad); err == nil {
			t.Errorf("%q gave %+v", bad, st)
		}
	}
}

func TestOwnProcessIsAliveAndItsPIDAloneIsNot(t *testing.T) {
	st, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p := (process{PID: st.pid, Start: st.start}); !p.alive() {
		t.Error("our own process is not alive")
	}
	if p := (process{PID: st.pid, Start: st.start + 1}); p.alive() {
		t.Error("another process with our pid is alive")
	}
	if (process{}).alive() {
		t.Error("no process is alive")
	}
}

func TestFamilyIsDescendantsAndSession(t *testing.T) {
	all := []procStat{
		{pid: 1, session: 1},
		{pid: 30, parent: 20, session: 30}, // grandchild, listed before its parent, of another session
		{pid: 10, parent: 1, session: 10},
		{pid: 20, parent: 10, session: 10},
		{pid: 40, parent: 1, session: 10}, // its parent is gone, the session remains
		{pid: 50, parent: 1, session: 50},
		{pid: 60, parent: 10, session: 10, state: 'Z'},
	}
	var got []int
	for _, st := range descendants(all, 10) {
		got = append(got, st.pid)
	}
	if got[0] != 10 {
		t.Errorf("%d comes first", got[0])
	}
	slices.Sort(got)
	if !slices.Equal(got, []int{10, 20, 30, 40}) {
		t.Errorf("family is %v", got)
	}
}

func TestAwaitSaysWhatIsMissing(t *testing.T) {
	err := await(t.Context(), time.Nanosecond, func() (string, error) { return "the sky is grey", nil })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the sky is grey") {
		t.Errorf("%v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "l")
	unlock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "another command") {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestLabIsNotBuiltOverSomethingElse(t *testing.T) {
	dir := t.TempDir()
	o := Options{Name: "no-such-lab", Dir: dir}
	if err := checkAbsent(o); err != nil {
		t.Errorf("empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := checkAbsent(o); err == nil || errors.Is(err, ErrUp) {
		t.Errorf("directory with files: %v", err)
	}
	l := &Lab{opts: o, state: newState(o)}
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	if err := checkAbsent(o); !errors.Is(err, ErrUp) || !strings.Contains(err.Error(), "half built") {
		t.Errorf("half built lab: %v", err)
	}
	l.state.Phase = phaseUp
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	if err := checkAbsent(o); !errors.Is(err, ErrUp) || !strings.Contains(err.Error(), "since") {
		t.Errorf("lab that is up: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := checkAbsent(o); err == nil || !strings.Contains(err.Error(), "lab down") {
		t.Errorf("damaged state: %v", err)
	}
}
