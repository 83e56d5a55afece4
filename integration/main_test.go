package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/integration/vm"
	"baton/internal/event"
	"baton/internal/lab"
)

func TestMain(m *testing.M) {
	actAs(os.Getenv(roleVariable))
	vm.Main(m, vm.Program{Name: "baton", Package: "baton/cmd/baton", Flags: []string{"-ldflags=-X main.version=" + thisVersion}},
		vm.Program{Name: packagesDir, Make: makePackages, For: []string{"TestPackages", "TestRPM", "TestUnit"}})
}

// patience bounds every wait for something that must happen. It is generous:
// emulated processors are slow, and what is asserted is what happens, not how
// fast. Speed is shown by benchmarks.
const patience = 2 * time.Minute

// start builds a lab for one test and waits until it has a master.
func start(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	if o.Binary == "" {
		var err error
		if o.Binary, err = findBaton(); err != nil {
			t.Fatal(err)
		}
	}
	o.Name, o.Dir = "it", filepath.Join(t.TempDir(), "lab")
	o.Patience = patience
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := lab.Up(ctx, o)
	if err != nil {
		t.Fatalf("build the lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, node := range []string{lab.LVSA, lab.LVSB} {
				raw, _ := os.ReadFile(l.Paths(node).Log) // none: it was not started
				t.Logf("log of %s:\n%s", node, raw)
			}
		}
		down, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := l.Down(down); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
	})
	if len(o.Directors) == 0 && o.Directors != nil {
		return l
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

// findBaton is the program under test, which TestMain has put into PATH.
func findBaton() (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		name := filepath.Join(dir, "baton")
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			return name, nil
		}
	}
	return "", fmt.Errorf("find baton: not in PATH %s", os.Getenv("PATH"))
}

// drill runs scenarios and fails the test for each expectation that did not
// hold.
func drill(t testing.TB, l *lab.Lab, scenarios ...string) lab.DrillReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var out bytes.Buffer
	report, err := l.Drill(ctx, lab.DrillOptions{Scenarios: scenarios, Out: &out})
	t.Logf("%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != len(scenarios) {
		t.Fatalf("%d of %d scenarios ran", len(report.Results), len(scenarios))
	}
	for _, r := range report.Results {
		if !r.Held {
			t.Errorf("%s: %s", r.Scenario, strings.Join(r.Problems, "; "))
		}
	}
	return report
}

// within polls until f returns "" and fails with its last word at the bound.
func within(t testing.TB, what string, f func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		begun := time.Now()
		word := f()
		if word == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("wait for %s: %s", what, word)
		}
		// Looking must leave a slow processor to what is looked at.
		time.Sleep(max(20*time.Millisecond, time.Since(begun)))
	}
}

// run executes a program in a node and returns what it printed.
func run(t testing.TB, l *lab.Lab, node, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := l.Run(ctx, node, name, args...)
	if err != nil {
		t.Fatalf("%s: %s %s: %v\n%s", node, name, strings.Join(args, " "), err, out)
	}
	return out
}

// logged returns a node's events of a name.
func logged(t testing.TB, l *lab.Lab, node string, names ...event.Name) []lab.Entry {
	t.Helper()
	all, err := l.EventLog(node)
	if err != nil {
		t.Fatal(err)
	}
	var out []lab.Entry
	for _, e := range all {
		if slices.Contains(names, e.Event) {
			out = append(out, e)
		}
	}
	return out
}

// pace is the beat that this machine can carry, which is measured once.
var pace lab.LoadOptions

// load starts a client that opens a connection on a beat of 5 ms, or what an
// emulated processor can carry; the returned function stops it and returns what
// it saw.
func load(t testing.TB, l *lab.Lab) func() lab.Report {
	t.Helper()
	if pace == (lab.LoadOptions{}) {
		var err error
		if pace, err = l.Pace(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return loadAt(t, l, pace)
}

// loadAt is load with a beat of the caller's choice.
func loadAt(t testing.TB, l *lab.Lab, beat lab.LoadOptions) func() lab.Report {
	t.Helper()
	client, err := l.StartLoad(t.Context(), beat)
	if err != nil {
		t.Fatal(err)
	}
	answered(t, client, 50)
	return func() lab.Report {
		t.Helper()
		answered(t, client, 100)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := client.Stop(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func answered(t testing.TB, client *lab.Load, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := client.Await(ctx, n); err != nil {
		t.Fatal(err)
	}
}

func noFailure(t testing.TB, r lab.Report) {
	t.Helper()
	if r.Failed() > 0 || r.Answered() == 0 {
		const clock = "15:04:05.000"
		t.Errorf("%d of %d requests failed: %v, %d of them with an open connection, begun from %s to %s; answered %v, %d with a segment sent again, %d beats missed; longest gap %v from %s on, slowest answer %v at %s",
			r.Failed(), r.Requests, r.Failures, r.Broken, r.FirstFailed.UTC().Format(clock), r.LastFailed.UTC().Format(clock),
			r.Answers, r.Retransmitted, r.Missed, r.LongestGap, r.GapStart.UTC().Format(clock), r.Slowest, r.SlowestStart.UTC().Format(clock))
	}
}
