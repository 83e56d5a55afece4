package integration

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

// open counts the descriptors of the director on a node and of its children.
func open(t *testing.T, l *lab.Lab, node string) int {
	t.Helper()
	st, err := l.DirectorStatus(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, pid := range []int{st.PID, st.Children[0].PID, st.Children[1].PID} {
		names, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		total += len(names)
	}
	return total
}

// state says in a word what a node's only instance is.
func state(t *testing.T, l *lab.Lab, node string) string {
	t.Helper()
	st, err := l.DirectorStatus(t.Context(), node)
	if err != nil {
		return err.Error()
	}
	var words []string
	for _, i := range st.Instances {
		words = append(words, fmt.Sprintf("%s %s %d %s", i.Name, i.State, i.EffectivePriority, strings.Join(i.Addresses, " ")))
	}
	return strings.Join(words, ", ")
}

var reloads = flag.Int("reloads", 100, "reloads one after the other in TestReloadsAndSignals")

// TestReloadsAndSignals is faults 31, 32 and 38: reloads one after the other,
// storms of SIGHUP, an instance that gets another priority, address, interface and
// name, and SIGTERM again and again, all under traffic of which nothing fails.
func TestReloadsAndSignals(t *testing.T) {
	l := start(t, lab.Options{})
	good := config(t, l)
	changed := func(pairs ...string) {
		t.Helper()
		text := good
		for i := 0; i < len(pairs); i += 2 {
			if !bytes.Contains(text, []byte(pairs[i])) {
				t.Fatalf("the lab's configuration has no %q:\n%s", pairs[i], text)
			}
			text = bytes.ReplaceAll(text, []byte(pairs[i]), []byte(pairs[i+1]))
		}
		rewrite(t, l, text)
	}
	becomes := func(node, want string) {
		t.Helper()
		within(t, node+" to be "+want, func() string {
			if got := state(t, l, node); got != want {
				return got
			}
			return ""
		})
	}
	stop := load(t, l)

	// Fault 31, bounded. The first reload opens what stays open.
	reload(t, l, lab.LVSA)
	before := open(t, l, lab.LVSA)
	occupied := used(t, processes(t, l, lab.LVSA), func(process) bool { return true }).pss
	for n := range *reloads {
		changed("weight = 1", fmt.Sprintf("weight = %d", 1+n%3))
		if r := reload(t, l, lab.LVSA); !r.OK {
			t.Fatalf("reload %d: %+v", n, r)
		}
	}
	changed()
	reload(t, l, lab.LVSA)
	within(t, "all that the reloads opened to be closed", func() string {
		if now := open(t, l, lab.LVSA); now > before+8 { // of clients that are about to go
			return fmt.Sprintf("%d descriptors, %d before %d reloads", now, before, *reloads)
		}
		return ""
	})
	within(t, "the memory of the reloads to be given back", func() string {
		now := used(t, processes(t, l, lab.LVSA), func(process) bool { return true }).pss
		if now > occupied+8<<10 { // KiB; a collection may be due
			return fmt.Sprintf("%.1f MiB, %.1f MiB before %d reloads", mib(now), mib(occupied), *reloads)
		}
		return ""
	})

	// Fault 38: a storm is few reloads.
	applied := len(logged(t, l, lab.LVSB, event.ConfigApplied))
	const storm = 300
	for range storm {
		if err := l.SignalDirector(lab.LVSB, hangup); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the reload", func() string {
		if len(logged(t, l, lab.LVSB, event.ConfigApplied)) == applied {
			return "none"
		}
		return ""
	})

	// Fault 32. The backup first, so that nobody takes over.
	changed("lvs-b = 100", "lvs-b = 120", `"192.168.16.200/24"]`, `"192.168.16.200/24", "192.168.16.201/24"]`)
	for _, node := range []string{lab.LVSB, lab.LVSA} {
		// The last reload of the storm may have been the one that read the file.
		if r := reload(t, l, node); !r.OK {
			t.Fatalf("%s: %+v", node, r)
		}
	}
	becomes(lab.LVSB, "VI_1 BACKUP 120 192.168.16.200/24 192.168.16.201/24")
	within(t, "the second address", func() string {
		out := run(t, l, lab.LVSA, "ip", "-o", "addr", "show", "dev", "eth0")
		if !strings.Contains(out, "192.168.16.201/24") {
			return out
		}
		return ""
	})
	changed(`interface = "eth0"`, `interface = { lvs-a = "eth0", lvs-b = "eth9" }`)
	reload(t, l, lab.LVSB)
	becomes(lab.LVSB, "VI_1 FAULT 100 192.168.16.200/24")
	changed()
	reload(t, l, lab.LVSB)
	becomes(lab.LVSB, "VI_1 BACKUP 100 192.168.16.200/24")
	reload(t, l, lab.LVSA)
	within(t, "the second address to be gone", func() string {
		out := run(t, l, lab.LVSA, "ip", "-o", "addr", "show", "dev", "eth0")
		if strings.Contains(out, "192.168.16.201/24") {
			return out
		}
		return ""
	})
	// Renamed, it is another instance: it is handed over, and comes back; then
	// SIGTERM, within handover_linger of that.
	changed("VI_1", "VI_new")
	for _, node := range []string{lab.LVSB, lab.LVSA} {
		reload(t, l, node)
	}
	within(t, "a master under the new name", func() string {
		a, b := state(t, l, lab.LVSA), state(t, l, lab.LVSB)
		if !strings.HasPrefix(a, "VI_new MASTER") || !strings.HasPrefix(b, "VI_new BACKUP") {
			return a + "; " + b
		}
		return ""
	})
	if n := len(logged(t, l, lab.LVSB, event.ConfigApplied)) - applied; n > 30 {
		t.Errorf("%d signals and five reloads were %d reloads", storm, n)
	}

	// Fault 38: the handover of the first SIGTERM is not ended by the others.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT, hangup, syscall.SIGTERM} {
		if err := l.SignalDirector(lab.LVSA, sig); err != nil {
			t.Fatal(err)
		}
	}
	becomes(lab.LVSB, "VI_new MASTER 100 192.168.16.200/24")
	within(t, "the end of "+lab.LVSA, func() string {
		if l.Running(lab.LVSA) {
			return "it runs"
		}
		return ""
	})
	noFailure(t, stop())
	if n := len(logged(t, l, lab.LVSA, event.HandoverDone)); n == 0 {
		t.Error("nothing was handed over")
	}
	if n := len(logged(t, l, lab.LVSA, event.DirectorStopped)); n != 1 {
		t.Errorf("director.stopped is told %d times: the director was ended before it had ended", n)
	}
	if _, err := os.Stat(l.Paths(lab.LVSA).Socket); err == nil {
		t.Error("the control socket is left")
	}
}
