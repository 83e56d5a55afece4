package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

// TestLinkLoss is fault 1. The bound itself is a benchmark's matter; here a
// generous one holds. Adverts every 10 ms are for kernels that run at native
// speed: an emulated one stalls longer than three of them.
func TestLinkLoss(t *testing.T) {
	intervals := []time.Duration{time.Second, 100 * time.Millisecond}
	if native(t) {
		intervals = append(intervals, 10*time.Millisecond)
	}
	for _, interval := range intervals {
		t.Run(interval.String(), func(t *testing.T) {
			l := start(t, lab.Options{AdvertInterval: interval})
			r := drill(t, l, "link-down").Results[0]
			t.Logf("gap %v, the protocol allows %v", r.Load.LongestGap, r.Bound)
		})
	}
}

// native says whether the kernel runs on the machine's own processor.
func native(t testing.TB) bool {
	t.Helper()
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(raw), "QEMU TCG") && !strings.Contains(string(raw), "QEMU Virtual CPU")
}

// TestPlannedChanges is fault 2 and the first half of fault 5: whatever is done
// on purpose costs no request.
func TestPlannedChanges(t *testing.T) {
	l := start(t, lab.Options{})
	drill(t, l, "stop", "failover", "recover")
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if n := len(logged(t, l, node, event.RelayFailed)); n > 0 {
			t.Errorf("%s: the relay failed %d times", node, n)
		}
	}
	if len(logged(t, l, lab.LVSB, event.RelayInstalled)) == 0 {
		t.Error("no relay was installed: nothing has shown that it works")
	}
}

// TestPlannedChangesAtTightIntervals repeats the planned changes where three
// intervals are shorter than starting a process takes.
func TestPlannedChangesAtTightIntervals(t *testing.T) {
	drill(t, start(t, lab.Options{AdvertInterval: 100 * time.Millisecond}), "stop", "failover", "recover")
}

func TestRecoveryWithoutPreemption(t *testing.T) {
	drill(t, start(t, lab.Options{NoPreempt: true}), "recover")
}

// TestKill is fault 3: all processes of the master at once.
func TestKill(t *testing.T) {
	drill(t, start(t, lab.Options{AdvertInterval: 100 * time.Millisecond}), "kill")
}

// TestKillAndCleanUp: the backup's whole director dies and comes back; no client
// notices. Then the master's does and stays away; its clean-up tells the peer.
func TestKillAndCleanUp(t *testing.T) {
	l := start(t, lab.Options{})
	stop := load(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.KillDirector(ctx, lab.LVSB); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDirector(ctx, lab.LVSB); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	noFailure(t, stop())
	if n := len(logged(t, l, lab.LVSA, event.VRRPTransition)); n != 2 {
		t.Errorf("the master logged %d transitions, want the two of its start", n)
	}

	// Adverts every 5 s: the peer would wait for more than 15 s.
	rewrite(t, l, bytes.Replace(config(t, l), []byte(`advert_int = "1s"`), []byte(`advert_int = "5s"`), 1))
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if r := reload(t, l, node); !r.OK || len(r.Changes) != 1 {
			t.Fatalf("%s: reload says %+v", node, r)
		}
	}
	heard := func() uint64 {
		st, err := l.DirectorStatus(ctx, lab.LVSB)
		if err != nil {
			t.Fatal(err)
		}
		return st.Instances[0].Received
	}
	before := heard()
	within(t, "an advert that tells the interval", func() string {
		if now := heard(); now < before+2 { // the first may have been under way
			return fmt.Sprintf("%d adverts, %d before", now, before)
		}
		return ""
	})
	if err := l.KillDirector(ctx, lab.LVSA); err != nil {
		t.Fatal(err)
	}
	if out := run(t, l, lab.LVSA, "baton", "cleanup", "-c", l.ConfigFile(), "--node", lab.LVSA); !strings.Contains(out, "told the peers of VI_1") {
		t.Errorf("cleanup says %q", out)
	}
	within(t, "the peer to be master", func() string {
		if masters := l.Masters(ctx); len(masters) != 1 || masters[0] != lab.LVSB {
			return fmt.Sprint(masters)
		}
		return ""
	})
	all := logged(t, l, lab.LVSB, event.VRRPTransition)
	if last := all[len(all)-1]; last.Get(event.To) != "MASTER" || last.Get(event.Reason) != "master resigned" {
		t.Errorf("the peer became master by %v", last)
	}
}

// TestKillProber: verdicts stand while there is no prober.
func TestKillProber(t *testing.T) {
	drill(t, start(t, lab.Options{}), "prober-kill")
}

// TestKillOneProcessOfTheMaster is the rest of fault 3: the speaker alone is
// back before the peer can take over; the director alone is a planned stop.
func TestKillOneProcessOfTheMaster(t *testing.T) {
	l := start(t, lab.Options{})
	stop := load(t, l)
	speaker := childPID(t, l, lab.LVSA, "speaker")
	if err := syscall.Kill(speaker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "another speaker that is master", func() string {
		st, err := l.DirectorStatus(t.Context(), lab.LVSA)
		if err != nil {
			return err.Error()
		}
		if st.Children[0].PID == speaker || st.Children[0].PID == 0 || st.Instances[0].State != "MASTER" {
			return st.Instances[0].State
		}
		return ""
	})
	if masters := l.Masters(t.Context()); len(masters) != 1 || masters[0] != lab.LVSA {
		t.Errorf("masters are %v, want lvs-a alone", masters)
	}
	if err := syscall.Kill(l.PID(lab.LVSA), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.AwaitMaster(ctx, lab.LVSB); err != nil {
		t.Fatal(err)
	}
	within(t, "the old master to let the address go", func() string {
		if held, err := l.HoldsVIP(lab.LVSA); err != nil || held {
			return "it is still there"
		}
		return ""
	})
	unrelayed(t, l, lab.LVSA)
	noFailure(t, stop())
}

func childPID(t *testing.T, l *lab.Lab, node, name string) int {
	t.Helper()
	st, err := l.DirectorStatus(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Children {
		if c.Name == name && c.PID > 0 {
			return c.PID
		}
	}
	t.Fatalf("%s has no %s: %+v", node, name, st.Children)
	return 0
}

// TestStoppedChildrenAreTold: a speaker that stands still sends no advert and a prober no
// verdict, though both are there. Who looks at the director sees it.
func TestStoppedChildrenAreTold(t *testing.T) {
	l := start(t, lab.Options{Directors: []string{lab.LVSA}})
	pids := []int{childPID(t, l, lab.LVSA, "speaker"), childPID(t, l, lab.LVSA, "prober")}
	signal := func(s syscall.Signal) {
		for _, pid := range pids {
			if err := syscall.Kill(pid, s); err != nil {
				t.Error(err)
			}
		}
	}
	silent := func() (n int, findings string) {
		st, err := l.DirectorStatus(t.Context(), lab.LVSA)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range st.Findings() {
			findings += f.Text + "\n"
		}
		return strings.Count(findings, "does not answer"), findings
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	within(t, "both to be told", func() string {
		if n, findings := silent(); n != len(pids) {
			return "what is found: " + findings
		}
		return ""
	})
	signal(syscall.SIGCONT)
	within(t, "both to answer again", func() string {
		if n, findings := silent(); n != 0 {
			return "what is found: " + findings
		}
		return ""
	})
	var told []string
	for _, e := range logged(t, l, lab.LVSA, event.ChildSilent, event.ChildAnswers, event.ChildExited) {
		told = append(told, string(e.Event)+" "+e.Get(event.Child))
	}
	slices.Sort(told)
	if want := []string{"child.answers prober", "child.answers speaker", "child.silent prober", "child.silent speaker"}; !slices.Equal(told, want) {
		t.Errorf("told are %v, want %v", told, want)
	}
}
