package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

const cgroups = "/sys/fs/cgroup"

// TestMemoryPressure is fault 12: the master's director and prober allocate
// against a limit below what they have, and are held up by the kernel for it,
// up to two seconds at a time. Nothing happens to the election.
func TestMemoryPressure(t *testing.T) {
	group := memoryGroup(t)
	interval := loadInterval(t)
	l := start(t, lab.Options{AdvertInterval: interval})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Memory stays charged to the group that its process was in when it took
	// it, so they must be started there. The speaker leaves again.
	must(l.StopDirector(ctx, lab.LVSA))
	must(join(group, os.Getpid()))
	err := l.StartDirector(ctx, lab.LVSA)
	must(join(cgroups, os.Getpid()))
	must(err)
	must(l.Settle(ctx))
	held := 0
	// With the speaker under the limit as well there are transitions: it is
	// held up like the others.
	for _, p := range processes(t, l, lab.LVSA) {
		if p.isSpeaker() {
			must(join(cgroups, p.pid))
		} else {
			held++
		}
	}
	if held < 2 {
		t.Fatalf("%d processes are under the limit, want director and prober", held)
	}

	judge := calm(t, l, interval)
	before := number(t, group, "memory.events", "high")
	used := number(t, group, "memory.current", "")
	limit := max(used-8<<20, used/4)
	must(os.WriteFile(filepath.Join(group, "memory.high"), strconv.AppendInt(nil, limit, 10), 0))
	asked := churn(t, l, underLoad())
	stalls, _ := os.ReadFile(filepath.Join(group, "memory.pressure")) // not every kernel tells
	events := number(t, group, "memory.events", "high") - before
	t.Logf("%d KiB used, limit %d KiB, above it %d times, status asked %d times\n%s", used>>10, limit>>10, events, asked, stalls)
	judge()
	if events == 0 {
		t.Error("the kernel has held up nobody: nothing was tested")
	}
	must(os.WriteFile(filepath.Join(group, "memory.high"), []byte("max"), 0))
	must(l.Settle(ctx)) // they have survived it
}

// memoryGroup makes a control group that can limit memory, for one test.
func memoryGroup(t *testing.T) string {
	t.Helper()
	have, err := os.ReadFile(filepath.Join(cgroups, "cgroup.controllers"))
	if err != nil || !strings.Contains(string(have), "memory") {
		if os.Getenv("CI") != "" {
			t.Fatalf("no memory controller in %s: %q, %v", cgroups, have, err)
		}
		t.Skipf("no memory controller in %s (mount cgroup2 there): %q, %v", cgroups, have, err)
	}
	if err := os.WriteFile(filepath.Join(cgroups, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(cgroups, fmt.Sprintf("baton-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the lab is built, so after it is gone
		raw, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for _, pid := range strings.Fields(string(raw)) {
			t.Errorf("process %s is left", pid)
		}
		if err := unix.Rmdir(group); err != nil {
			t.Errorf("remove %s: %v", group, err)
		}
	})
	return group
}

// join moves a process into a control group.
func join(group string, pid int) error {
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
}

// number reads what a group's file says, under a key if it has any.
func number(t *testing.T, group, file, key string) int64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(group, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				return n
			}
		}
	}
	t.Fatalf("%s has no number %q: %s", file, key, raw)
	return 0
}

// churn makes the director of the master allocate for d, by questions, and
// returns how many it has answered. It may take its time.
func churn(t *testing.T, l *lab.Lab, d time.Duration) (answered int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := l.DirectorStatus(ctx, lab.LVSA); err == nil {
			answered++
		}
	}
	return answered
}
