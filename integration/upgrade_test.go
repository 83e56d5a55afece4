package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

// thisVersion is that of the program under test, nextVersion that of a build
// which differs in nothing else.
const (
	thisVersion = "v0.0.1-under-test"
	nextVersion = "v0.0.2-under-test"
)

// replaceBinary puts content in the place of a program, as a package manager
// does: those that run it keep the file that they have.
func replaceBinary(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestUpgrade replaces the program while both directors run, and restarts the
// backup, then the master. A client that opens a connection every 5 ms sees
// nothing of it, nor of two versions that share the address for a while
// (fault 36); connections that are open live, and so do the operator's orders.
func TestUpgrade(t *testing.T) {
	tested, err := findBaton()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(tested)
	if err != nil {
		t.Fatal(err)
	}
	next := bytes.ReplaceAll(program, []byte(thisVersion), []byte(nextVersion))
	if bytes.Equal(next, program) {
		t.Fatalf("%s is not built as version %s", tested, thisVersion)
	}
	installed := filepath.Join(t.TempDir(), "baton")
	replaceBinary(t, installed, program)
	l := start(t, lab.Options{Binary: installed, ExtraTOML: syncDaemon, CheckInterval: 5 * time.Second})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runs := func(node, version string) {
		t.Helper()
		st, err := l.DirectorStatus(ctx, node)
		must(err)
		if st.Version != version {
			t.Errorf("%s runs %s, want %s", node, st.Version, version)
		}
	}
	ordered := func(args ...string) {
		t.Helper()
		args = append(args, "--socket", l.Paths(lab.LVSB).Socket)
		if got := run(t, l, lab.LVSB, "baton", args...); !strings.Contains(got, "weight 7") && !strings.Contains(got, "baton weight has set it to 7") {
			t.Errorf("baton %s says\n%s", strings.Join(args, " "), got)
		}
	}
	ordered("weight", "192.168.16.103", "7")
	alive := keep(t, l)
	finish := load(t, l)

	replaceBinary(t, installed, next)
	runs(lab.LVSA, thisVersion)
	runs(lab.LVSB, thisVersion)
	// A child that dies now comes back as what its director is.
	was := childPID(t, l, lab.LVSA, "prober")
	must(syscall.Kill(was, syscall.SIGKILL))
	within(t, "the prober of lvs-a to be back", func() string {
		st, err := l.DirectorStatus(ctx, lab.LVSA)
		must(err)
		for _, c := range st.Children {
			if c.Name == "prober" && c.PID > 0 && c.PID != was {
				was = c.PID
				return ""
			}
		}
		return fmt.Sprintf("%+v", st.Children)
	})
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", was)); err != nil || !strings.HasSuffix(exe, "(deleted)") {
		t.Errorf("the prober of a director that is still the old one runs %s, %v", exe, err)
	}

	must(l.StopDirector(ctx, lab.LVSB))
	must(l.StartDirector(ctx, lab.LVSB))
	must(l.Settle(ctx))
	runs(lab.LVSA, thisVersion)
	runs(lab.LVSB, nextVersion)
	ordered("explain", "192.168.16.103:80") // what the operator has said outlives the version
	alive("the upgrade of the backup")

	must(l.StopDirector(ctx, lab.LVSA)) // which hands over to the new version
	must(l.AwaitMaster(ctx, lab.LVSB))
	// The old version kept the address until it had heard the new one: without that a
	// client waits for its second SYN, which is no failure yet.
	if done := logged(t, l, lab.LVSA, event.HandoverDone); len(done) == 0 || done[len(done)-1].Get(event.Peer) != lab.Address(lab.LVSB).String() {
		t.Errorf("lvs-a tells of the handovers %v", done)
	}
	alive("a handover to the next version")
	must(l.StartDirector(ctx, lab.LVSA))
	must(l.Settle(ctx))
	runs(lab.LVSA, nextVersion)
	unrelayed(t, l, lab.LVSB)
	alive("the upgrade of the master")

	r := finish()
	noFailure(t, r)
	t.Logf("%d requests, longest gap %v", r.Requests, r.LongestGap)
}
