//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelDrift: what somebody changes by hand is put back and told, one
// operation for each correction, and what is not ours stays.
func TestKernelDrift(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	const ours = `
		ipvsadm -A -t 192.168.16.200:80 -s rr
		ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
		ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1`
	const foreign = "ipvsadm -A -t 192.0.2.99:99 -s wlc\nipvsadm -a -t 192.0.2.99:99 -r 198.51.100.99:99 -m -w 9"
	desired := tableOf(t, ours)
	res := reconcile(t, r, desired, nil)
	if len(res.Applied) != 3 || res.Drift != nil {
		t.Fatalf("applied %v, drift %v", res.Applied, res.Drift)
	}
	for _, c := range []struct{ edit, repair string }{
		{"ipvsadm -C", strings.TrimSpace(strings.ReplaceAll(ours, "\t", ""))},
		{"ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 5", "ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1"},
		{"ipvsadm -E -t 192.168.16.200:80 -s sh -p 9", "ipvsadm -E -t 192.168.16.200:80 -s rr"},
		{"ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.104:80", "ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1"},
		{"ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.105:80", "ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.105:80"},
		{"ipvsadm -D -t 192.168.16.200:80", strings.TrimSpace(strings.ReplaceAll(ours, "\t", ""))},
	} {
		shell(t, c.edit)
		if c.edit == "ipvsadm -C" {
			shell(t, foreign)
		}
		res := reconcile(t, r, desired, res.Owned)
		var told []string
		for _, op := range res.Drift {
			told = append(told, op.String())
		}
		if got := strings.Join(told, "\n"); got != c.repair {
			t.Errorf("after %s drift is\n%s\nwant\n%s", c.edit, got, c.repair)
		}
		if len(res.Foreign) != 1 || res.Foreign[0].String() != "tcp 192.0.2.99:99" {
			t.Errorf("foreign services %v", res.Foreign)
		}
		wantTable(t, tableOf(t, ours+"\n"+foreign))
	}
}

// TestKernelAdopt: a new process takes over the table of the one before it
// without a change, and takes away only what was its own.
func TestKernelAdopt(t *testing.T) {
	namespace(t)
	shell(t, `ipvsadm -A -t 192.0.2.1:80 -s rr; ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 3
		ipvsadm -A -t 192.0.2.2:80 -s rr; ipvsadm -A -t 192.0.2.3:80 -s rr`)
	desired := tableOf(t, "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 3")
	earlier, _ := ipvs.ParseServiceKey("tcp 192.0.2.2:80")
	res := reconcile(t, ipvs.NewReconciler(ipvstest.OpenKernel(t)), desired, ipvs.Ownership{earlier: {}})
	if len(res.Applied) != 1 || res.Applied[0].String() != "ipvsadm -D -t 192.0.2.2:80" {
		t.Errorf("applied %v", res.Applied)
	}
	if len(res.Adopted) != 1 || len(res.Foreign) != 1 || res.Owned.Has(earlier) {
		t.Errorf("adopted %v, foreign %v, owned %v", res.Adopted, res.Foreign, res.Owned.Keys())
	}
}

// TestKernelRace: an editor that works on the same table while we do.
func TestKernelRace(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	desired := bigTable(200, 4)
	busy := filepath.Join(t.TempDir(), "busy")
	if err := os.WriteFile(busy, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	editor := exec.Command("sh", "-c", `i=0
		while [ -e `+busy+` ]; do
			i=$(( (i + 1) % 200 ))
			ipvsadm -D -t 10.0.0.$i:80 || ipvsadm -A -t 10.0.0.$i:80 -s rr
			ipvsadm -a -t 10.0.0.$i:80 -r 198.51.100.1:80 || ipvsadm -d -t 10.0.0.$i:80 -r 10.2.0.$i:80
		done`)
	if err := editor.Start(); err != nil {
		t.Fatal(err)
	}
	// Not killed: its last ipvsadm would go on behind our back.
	rest := sync.OnceFunc(func() { _ = os.Remove(busy); _ = editor.Wait() })
	defer rest()
	var owned ipvs.Ownership
	raced := 0
	for begun := time.Now(); time.Since(begun) < 3*time.Second || raced == 0 && time.Since(begun) < 2*time.Minute; {
		res, err := r.Reconcile(context.Background(), desired, owned)
		if err != nil && !errors.Is(err, ipvs.ErrNotConverged) {
			t.Fatal(err)
		}
		owned = res.Owned
		raced += len(res.Drift)
	}
	if raced == 0 {
		t.Error("the editor changed nothing")
	}
	rest()
	reconcile(t, r, desired, owned)
	wantTable(t, desired)
}

// TestKernelRandomPairs leads the kernel from one random table to another, 200
// times, with ipvsadm as the judge.
func TestKernelRandomPairs(t *testing.T) {
	const pairs = 200
	namespace(t)
	k := ipvstest.OpenKernel(t)
	runs := 0
	setChecks(t, pairs)
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		desired, observed, owned := genPair(rt)
		restore(t, observed)
		before, err := k.Read(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(observed.String(), before.String()); diff != "" {
			rt.Fatalf("ipvsadm -R then Read (-want +got):\n%s", diff)
		}
		res, err := ipvs.NewReconciler(k).Reconcile(context.Background(), desired, owned)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(ipvs.Plan(desired, before, owned), res.Applied, cmpNetip); diff != "" {
			rt.Fatalf("planned (-) and applied (+) differ:\n%s", diff)
		}
		want := desired.Clone()
		for _, foreign := range res.Foreign {
			want[foreign] = observed[foreign]
		}
		if diff := cmp.Diff(want.String(), judged(t).String()); diff != "" {
			rt.Fatalf("after Reconcile (-want +got):\n%s", diff)
		}
	})
	if runs < pairs {
		t.Fatalf("%d pairs, want %d", runs, pairs)
	}
}

// TestKernelPaste pastes what Op.String prints into a shell: that makes the
// table that was planned, too.
func TestKernelPaste(t *testing.T) {
	namespace(t)
	setChecks(t, 20)
	rapid.Check(t, func(rt *rapid.T) {
		desired, observed, owned := genPair(rt)
		restore(t, observed)
		var script strings.Builder
		want := desired.Clone()
		for _, op := range ipvs.Plan(desired, observed, owned) {
			script.WriteString(op.String() + "\n")
		}
		for k, e := range observed {
			if _, wanted := desired[k]; !wanted && !owned.Has(k) {
				want[k] = e
			}
		}
		if out, err := sh(script.String()); err != nil || out != "" {
			rt.Fatalf("pasted:\n%s\nanswered: %v\n%s", script.String(), err, out)
		}
		if diff := cmp.Diff(want.String(), judged(t).String()); diff != "" {
			rt.Fatalf("after pasting (-want +got):\n%s", diff)
		}
	})
}

func restore(t testing.TB, table ipvs.Table) {
	t.Helper()
	ipvsadm(t, "-C\n"+table.String(), "-R")
}
