package vm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// here runs one command as on a running kernel with IPVS.
func here(t *testing.T, c Command) (Exit, string) {
	t.Helper()
	var out bytes.Buffer
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	e, err := runChild(context.Background(), c, Job{Stdout: &out, Stderr: &out}, os.Getenv("PATH"), guestVariables("/somewhere"))
	if err != nil {
		t.Fatal(err)
	}
	return e, out.String()
}

func TestExitCodesAreAShells(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		if e, _ := here(t, Command{Args: []string{"sh", "-c", script}}); e.Code != want {
			t.Errorf("%s: code is %d, want %d", script, e.Code, want)
		}
	}
	if e, out := here(t, Command{Args: []string{"no-such-program"}}); e.Code != 127 || !strings.Contains(out, "no-such-program") {
		t.Errorf("missing program: code is %d, output %q", e.Code, out)
	}
	e, _ := here(t, Command{Args: []string{"sleep", "1000"}, Timeout: 10 * time.Millisecond})
	if e.Code != 124 || !e.TimedOut {
		t.Errorf("time-out: %+v", e)
	}
}

func TestProgramsAreToldWhereTheyAre(t *testing.T) {
	t.Setenv("CI", "true")
	dir := t.TempDir()
	_, out := here(t, Command{Args: []string{"sh", "-c", "echo $BATON_KERNEL $BATON_OUT $CI $EXTRA; pwd"}, Dir: dir, Env: []string{"EXTRA=x"}})
	if want := "1 /somewhere true x\n" + dir + "\n"; out != want {
		t.Errorf("output is %q, want %q", out, want)
	}
}

func TestProgramsAreFoundInTheJobsPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "baton"), []byte("#!/bin/sh\necho $0 $*; command -v baton\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	path := dir + ":" + os.Getenv("PATH")
	c := Command{Args: []string{"baton", "drill"}, Timeout: time.Minute}
	e, err := runChild(context.Background(), c, Job{Stdout: &out, Stderr: &out}, path, nil)
	if want := dir + "/baton drill\n" + dir + "/baton\n"; err != nil || e.Code != 0 || out.String() != want {
		t.Errorf("exit %d, %v, output %q, want %q", e.Code, err, &out, want)
	}
}

func TestFindProgramWantsAnExecutable(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"usr/sbin/tool": 0o644, "bin/tool": 0o755} {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := findProgram("tool", t.TempDir(), root); err != nil || p != filepath.Join(root, "bin/tool") {
		t.Errorf("found %s, %v", p, err)
	}
	if _, err := findProgram("other", root); err == nil || !strings.Contains(err.Error(), "find program other") {
		t.Errorf("error is %v", err)
	}
}
