package director

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/healthcheck"
	"baton/internal/script"
)

// program writes a shell script, and returns a run of it.
func program(t *testing.T, body string) healthcheck.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return healthcheck.Program{Args: []string{file, "one"}, Env: []string{"BATON_PORT=80"}, Timeout: 20 * time.Second}
}

// TestProgramsOfExecChecks: what a run's end means for a check.
func TestProgramsOfExecChecks(t *testing.T) {
	run := programs()
	for _, tc := range []struct {
		name, body string
		within     time.Duration
		want       healthcheck.Ended
	}{
		{"pass", `test "$1 $BATON_PORT" = "one 80"`, 20 * time.Second, healthcheck.Ended{Text: "exit status 0"}},
		{"weight", "exit 7", 20 * time.Second, healthcheck.Ended{Exit: 7, Text: "exit status 7"}},
		{"said why", "echo no disk; exit 1", 20 * time.Second, healthcheck.Ended{Exit: 1, Text: "exit status 1", Output: "no disk"}},
		{"hangs", "exec tail -f /dev/null", 300 * time.Millisecond, healthcheck.Ended{Exit: -1, TimedOut: true, Text: "timed out after"}},
		{"signal", "kill -9 $$", 20 * time.Second, healthcheck.Ended{Exit: -1, Text: "ended by signal 9"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), tc.within)
		got := run(ctx, program(t, tc.body))
		cancel()
		if got.Err != nil || got.Exit != tc.want.Exit || got.TimedOut != tc.want.TimedOut || !strings.HasPrefix(got.Text, tc.want.Text) || got.Output != tc.want.Output || got.Gone != nil {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	missing := run(t.Context(), healthcheck.Program{Args: []string{"/nonexistent/check"}, Timeout: time.Second})
	if missing.Reason != healthcheck.Config || missing.Err == nil {
		t.Errorf("a missing program: %+v", missing)
	}
}

// TestProgramsAreBounded: who finds no place is not a failed server.
func TestProgramsAreBounded(t *testing.T) {
	run := programs()
	hanging := program(t, "exec tail -f /dev/null")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range programsAtOnce {
		group.Go(func() { run(ctx, hanging) })
	}
	// Whoever comes now waits behind them until its own time is over, or is
	// let in before them and hangs as they do: then its successor waits.
	for {
		brief, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
		r := run(brief, hanging)
		end()
		if r.Reason == healthcheck.Resources && strings.Contains(r.Err.Error(), "32 other programs are running") {
			break
		}
		if !r.TimedOut {
			t.Fatalf("%+v", r)
		}
	}
	cancel()
	group.Wait()
}

// TestProgramThatWaitedForItsPlace: who times out because it began late says
// nothing about its server; who waited a moment only has had its time.
func TestProgramThatWaitedForItsPlace(t *testing.T) {
	p := healthcheck.Program{Args: []string{"/check"}, Timeout: 10 * time.Second}
	for waited, want := range map[time.Duration]healthcheck.Reason{time.Second: "", 1001 * time.Millisecond: healthcheck.Resources} {
		if e := ended(t.Context(), p, waited, script.Result{TimedOut: true, Exit: -1}); e.Reason != want || (e.Err != nil) != (want != "") || !e.TimedOut {
			t.Errorf("after %v: %+v, want %q", waited, e, want)
		}
	}
}
