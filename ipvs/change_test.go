package ipvs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// reads counts what a fake kernel was asked for.
type reads struct {
	*ipvstest.Kernel
	whole    int
	services []string
}

func (r *reads) Read(ctx context.Context) (ipvs.Table, error) {
	r.whole++
	return r.Kernel.Read(ctx)
}

func (r *reads) ReadServices(ctx context.Context, keys []ipvs.ServiceKey) (ipvs.Table, error) {
	for _, k := range keys {
		r.services = append(r.services, k.String())
	}
	return r.Kernel.ReadServices(ctx, keys)
}

func mustChange(t *testing.T, r *ipvs.Reconciler, desired ipvs.Table, owned ipvs.Ownership, also ...ipvs.ServiceKey) ipvs.Result {
	t.Helper()
	res, err := r.Change(context.Background(), desired, owned, also...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestChangeReadsWhatDiffers: one server changes in a large table, and its
// service alone is read; the result is of the whole table all the same.
func TestChangeReadsWhatDiffers(t *testing.T) {
	kernel := &reads{Kernel: ipvstest.New("-A -t 192.0.2.9:9 -s rr")}
	r := ipvs.NewReconciler(kernel)
	first := bigTable(100, 4)
	res := mustChange(t, r, first, nil)
	if kernel.whole != 2 || len(kernel.services) != 0 {
		t.Fatalf("the first time: %d readings, and of services %v", kernel.whole, kernel.services)
	}
	held := res.Observed.String()

	kernel.Commands()
	second := first.Clone()
	key, _ := ipvs.ParseServiceKey("tcp 10.0.0.7:80")
	for sk, s := range second[key].Servers {
		s.Weight = 9
		second[key].Servers[sk] = s
		break
	}
	gone, _ := ipvs.ParseServiceKey("tcp 10.0.0.8:80")
	delete(second, gone)
	kernel.Edit(func(table ipvs.Table) { // counters move on
		e := table[key]
		e.Counters.Connections = 5
		table[key] = e
	})
	before := res
	res = mustChange(t, r, second, res.Owned)
	if kernel.whole != 2 || !slices.Equal(kernel.services, []string{"tcp 10.0.0.7:80", "tcp 10.0.0.8:80", "tcp 10.0.0.7:80", "tcp 10.0.0.8:80"}) {
		t.Errorf("%d whole readings, services read: %v", kernel.whole, kernel.services)
	}
	if got := strings.Join(kernel.Commands(), "\n"); strings.Count(got, "\n") != 1 ||
		!strings.HasPrefix(got, "ipvsadm -e -t 10.0.0.7:80 -r ") || !strings.HasSuffix(got, "\nipvsadm -D -t 10.0.0.8:80") {
		t.Errorf("commands:\n%s", got)
	}
	if diff := cmp.Diff(kernel.String(), res.Observed.String()); diff != "" {
		t.Errorf("observed is not the kernel's table (-kernel +observed):\n%s", diff)
	}
	if before.Observed.String() != held {
		t.Error("the result of the call before has changed")
	}
	if len(res.Owned) != 99 || res.Owned.Has(gone) || len(res.Foreign) != 1 || res.Observed[key].Counters.Connections != 5 {
		t.Errorf("owned %d, foreign %v, connections %d", len(res.Owned), res.Foreign, res.Observed[key].Counters.Connections)
	}

	kernel.services = nil
	res = mustChange(t, r, second, res.Owned)
	if kernel.services != nil || res.Passes != 0 || len(res.Observed) != 100 || len(res.Owned) != 99 || len(res.Foreign) != 1 {
		t.Errorf("no change: services read %v, %d passes, result %d/%d/%v", kernel.services, res.Passes, len(res.Observed), len(res.Owned), res.Foreign)
	}
	res = mustChange(t, r, second, res.Owned, key)
	if !slices.Equal(kernel.services, []string{key.String()}) || res.Passes != 1 {
		t.Errorf("asked for one: services read %v in %d passes", kernel.services, res.Passes)
	}
}

// TestChangeAfterTrouble: after a refusal or a race the whole table is read.
func TestChangeAfterTrouble(t *testing.T) {
	for _, trouble := range []error{syscall.ENOMEM, syscall.ENOBUFS} {
		kernel := &reads{Kernel: &ipvstest.Kernel{}}
		r := ipvs.NewReconciler(kernel)
		table := bigTable(20, 2)
		res := mustChange(t, r, table, nil)
		next := table.Clone()
		key, _ := ipvs.ParseServiceKey("tcp 10.0.0.7:80")
		clear(next[key].Servers)
		once := trouble
		kernel.BeforeApply = func(ipvs.Op) error {
			err := once
			once = nil
			return err
		}
		res, err := r.Change(context.Background(), next, res.Owned)
		if refused := errors.Is(err, syscall.ENOMEM); refused != (trouble == syscall.ENOMEM) || err != nil && !refused {
			t.Fatalf("%v: %v", trouble, err)
		}
		kernel.whole, kernel.services = 0, nil
		res = mustChange(t, r, next, res.Owned)
		if kernel.whole == 0 || kernel.services != nil {
			t.Errorf("after %v: %d whole readings, services read %v", trouble, kernel.whole, kernel.services)
		}
		if diff := cmp.Diff(next.String(), kernel.String()); diff != "" {
			t.Errorf("table (-want +got):\n%s", diff)
		}
		kernel.whole = 0
		if mustChange(t, r, table, res.Owned); kernel.whole != 0 {
			t.Error("read whole again though all is well")
		}
	}
}

// TestChangeMissesAnEditor: what somebody edits in a service that does not
// change is found by the next Reconcile, and by a Change that looks there, as drift.
func TestChangeMissesAnEditor(t *testing.T) {
	const edit = "-d -t 192.168.16.200:80 -r 192.168.16.104:80"
	const repair = "ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1"
	kernel := &ipvstest.Kernel{}
	r := ipvs.NewReconciler(kernel)
	table := ipvstest.New(reference).Table()
	res := mustChange(t, r, table, nil)
	more := ipvstest.New(reference + "\n-A -u 192.0.2.1:53 -s rr").Table()
	if err := kernel.Run(edit); err != nil {
		t.Fatal(err)
	}
	res = mustChange(t, r, more, res.Owned)
	wantCommands(t, "change beside the edit", commandsOf(res.Applied), "ipvsadm -A -u 192.0.2.1:53 -s rr")
	res = mustReconcile(t, r, more, res.Owned)
	wantCommands(t, "next reconcile", commandsOf(res.Drift), repair)

	if err := kernel.Run(edit); err != nil {
		t.Fatal(err)
	}
	key, _ := ipvs.ParseServiceKey("tcp 192.168.16.200:80")
	res = mustChange(t, r, more, res.Owned, key)
	wantCommands(t, "change that looks there", commandsOf(res.Drift), repair)
}

// TestChangeProperties: over a row of random tables a Reconciler that changes
// and one that reconciles do the same, operation for operation, and end with
// the same table, ownership and foreign services.
func TestChangeProperties(t *testing.T) {
	setChecks(t, 300)
	rapid.Check(t, func(t *rapid.T) {
		desired, observed, owned := genPair(t)
		a, b := ipvstest.New(observed.String()), ipvstest.New(observed.String())
		changes, whole := ipvs.NewReconciler(a), ipvs.NewReconciler(b)
		ownedA, ownedB := owned, owned
		for step := range 4 {
			resA, errA := changes.Change(context.Background(), desired, ownedA)
			resB, errB := whole.Reconcile(context.Background(), desired, ownedB)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			ownedA, ownedB = resA.Owned, resB.Owned
			if diff := cmp.Diff(b.Commands(), a.Commands()); diff != "" {
				t.Fatalf("step %d: commands of Reconcile (-) and Change (+):\n%s", step, diff)
			}
			if diff := cmp.Diff(resB.Observed.String(), resA.Observed.String()); diff != "" {
				t.Fatalf("step %d: observed by Reconcile (-) and Change (+):\n%s", step, diff)
			}
			if !slices.Equal(ownedA.Keys(), ownedB.Keys()) || !slices.Equal(resA.Foreign, resB.Foreign) || !slices.Equal(resA.Adopted, resB.Adopted) {
				t.Fatalf("step %d: owned %v, want %v; foreign %v, want %v; adopted %v, want %v", step,
					ownedA.Keys(), ownedB.Keys(), resA.Foreign, resB.Foreign, resA.Adopted, resB.Adopted)
			}
			desired = genTable().Draw(t, "next")
		}
	})
}
