package ipvs_test

import (
	"context"
	"errors"
	"net/netip"
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

func mustChange(t *testing.T, r *ipvs.Reconciler, desired ipvs.Table, owned ipvs.Ownership, keys ...ipvs.ServiceKey) ipvs.Result {
	t.Helper()
	res, err := r.Change(context.Background(), desired, owned, keys...)
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
	if !res.Whole {
		t.Error("the first result is not of the whole table")
	}

	kernel.Commands()
	second := first.Clone()
	key, _ := ipvs.ParseServiceKey("tcp 10.0.0.7:80")
	second[key].Servers[0].Weight = 9
	gone, _ := ipvs.ParseServiceKey("tcp 10.0.0.8:80")
	delete(second, gone)
	kernel.Edit(func(table ipvs.Table) { // counters move on
		e := table[key]
		e.Counters.Connections = 5
		table[key] = e
	})
	table := res.Observed
	res = mustChange(t, r, second, res.Owned, gone, key, gone)
	table = res.Over(table)
	if kernel.whole != 2 || !slices.Equal(kernel.services, []string{"tcp 10.0.0.7:80", "tcp 10.0.0.8:80", "tcp 10.0.0.7:80", "tcp 10.0.0.8:80"}) {
		t.Errorf("%d whole readings, services read: %v", kernel.whole, kernel.services)
	}
	if got := strings.Join(kernel.Commands(), "\n"); strings.Count(got, "\n") != 1 ||
		!strings.HasPrefix(got, "ipvsadm -e -t 10.0.0.7:80 -r ") || !strings.HasSuffix(got, "\nipvsadm -D -t 10.0.0.8:80") {
		t.Errorf("commands:\n%s", got)
	}
	if diff := cmp.Diff(kernel.String(), table.String()); diff != "" {
		t.Errorf("observed is not the kernel's table (-kernel +observed):\n%s", diff)
	}
	if len(res.Owned) != 99 || res.Owned.Has(gone) || res.Whole || len(res.Observed) != 1 || table[key].Counters.Connections != 5 {
		t.Errorf("owned %d, observed %v, connections %d", len(res.Owned), res.Observed, table[key].Counters.Connections)
	}

	kernel.services = nil
	res = mustChange(t, r, second, res.Owned)
	if kernel.services != nil || res.Passes != 0 || res.Whole || len(res.Over(table)) != 100 || len(res.Owned) != 99 {
		t.Errorf("no change: services read %v, %d passes, result %d/%d", kernel.services, res.Passes, len(res.Over(table)), len(res.Owned))
	}
	res = mustChange(t, r, second, res.Owned, key)
	if !slices.Equal(kernel.services, []string{key.String()}) || res.Passes != 1 {
		t.Errorf("asked for one: services read %v in %d passes", kernel.services, res.Passes)
	}
}

// TestChangeComesBack: a service that leaves and returns is a change, not drift,
// and what the kernel cannot tell apart is none.
func TestChangeComesBack(t *testing.T) {
	kernel := &reads{Kernel: &ipvstest.Kernel{}}
	r := ipvs.NewReconciler(kernel)
	table := bigTable(20, 2)
	res := mustChange(t, r, table, nil)
	key, _ := ipvs.ParseServiceKey("tcp 10.0.0.7:80")
	e := table[key]
	delete(table, key)
	res = mustChange(t, r, table, res.Owned, key)
	e.Servers = slices.Clone(e.Servers)
	for i := range e.Servers {
		s := &e.Servers[i]
		s.Tunnel.Port, s.Stats = 5555, &ipvs.ServerStats{} // of Forward DR
	}
	table[key] = e
	if res = mustChange(t, r, table, res.Owned, key); len(res.Applied) != 3 || res.Drift != nil || res.Passes != 2 {
		t.Errorf("back again: applied %v, drift %v in %d passes", res.Applied, res.Drift, res.Passes)
	}
	kernel.whole = 0
	if res = mustChange(t, r, table, res.Owned, table.Keys()[:12]...); !res.Whole || kernel.whole != 1 {
		t.Errorf("of most services: %d whole readings", kernel.whole)
	}
	if res = mustChange(t, r, table, res.Owned, table.Keys()[:10]...); res.Whole || kernel.whole != 1 {
		t.Errorf("of half of the services: %d whole readings", kernel.whole)
	}
}

// TestResultOver: services that were read are taken over, those that are no
// longer there go, and a reading that failed says nothing.
func TestResultOver(t *testing.T) {
	before := ipvstest.New(reference + "\n-A -u 192.0.2.1:53 -s rr").Table()
	web, _ := ipvs.ParseServiceKey("tcp 192.168.16.200:80")
	dns, _ := ipvs.ParseServiceKey("udp 192.0.2.1:53")
	want := before.String()
	if got := (ipvs.Result{Keys: []ipvs.ServiceKey{web}}).Over(before).String(); got != want {
		t.Errorf("after a reading that failed:\n%s", got)
	}
	r := ipvs.Result{Keys: []ipvs.ServiceKey{web, dns}, Observed: ipvs.Table{dns: {Service: ipvs.Service{Key: dns, Scheduler: "wlc"}}}}
	for _, before := range []ipvs.Table{before, nil} {
		if got := r.Over(before).String(); got != "-A -u 192.0.2.1:53 -s wlc\n" {
			t.Errorf("after a change:\n%s", got)
		}
	}
	counted := &ipvs.ServerStats{Active: 7}
	before = ipvs.Table{web: {Service: ipvs.Service{Key: web, Scheduler: "rr"}}}
	e := before[web]
	e.Servers.Put(ipvs.Server{Key: ipvs.MakeServerKey(netip.MustParseAddrPort("192.168.16.103:80")), Weight: 1, Stats: counted})
	before[web] = e
	done := ipvs.Op{Kind: ipvs.UpdateServer, Service: ipvs.Service{Key: web}, Server: e.Servers[0]}
	done.Server.Weight, done.Server.Stats = 9, nil
	if got := (ipvs.Result{Applied: []ipvs.Op{done}}).Over(before)[web].Servers[0]; got.Weight != 9 || got.Stats != counted {
		t.Errorf("after another weight: %+v", got)
	}
	r.Whole, r.Observed = true, nil
	if got := r.Over(before); got != nil {
		t.Errorf("after no reading at all:\n%s", got)
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
		e := next[key]
		e.Servers = nil
		next[key] = e
		once := trouble
		kernel.BeforeApply = func(ipvs.Op) error {
			err := once
			once = nil
			return err
		}
		res, err := r.Change(context.Background(), next, res.Owned, key)
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
		if res.Drift != nil {
			t.Errorf("after %v: what was refused is told as drift: %v", trouble, res.Drift)
		}
		kernel.whole = 0
		if mustChange(t, r, table, res.Owned, key); kernel.whole != 0 {
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
	udp, _ := ipvs.ParseServiceKey("udp 192.0.2.1:53")
	res = mustChange(t, r, more, res.Owned, udp)
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

// TestChangeProperties and TestFollowProperties: over a row of random tables a
// Reconciler that changes, or follows, and one that reconciles do the same, operation
// for operation, and end with the same table, ownership and foreign services.
func TestChangeProperties(t *testing.T) {
	setChecks(t, 300)
	rapid.Check(t, func(t *rapid.T) { likeReconcile(t, (*ipvs.Reconciler).Change) })
}

func TestFollowProperties(t *testing.T) {
	setChecks(t, 300)
	rapid.Check(t, func(t *rapid.T) { likeReconcile(t, (*ipvs.Reconciler).Follow) })
}

func likeReconcile(t *rapid.T, change func(*ipvs.Reconciler, context.Context, ipvs.Table, ipvs.Ownership, ...ipvs.ServiceKey) (ipvs.Result, error)) {
	desired, observed, owned := genPair(t)
	a, b := ipvstest.New(observed.String()), ipvstest.New(observed.String())
	changes, whole := ipvs.NewReconciler(a), ipvs.NewReconciler(b)
	ownedA, ownedB := owned, owned
	var keys, foreign []ipvs.ServiceKey
	var table ipvs.Table
	for step := range 4 {
		resA, errA := change(changes, context.Background(), desired, ownedA, keys...)
		resB, errB := whole.Reconcile(context.Background(), desired, ownedB)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		ownedA, ownedB = resA.Owned, resB.Owned
		if diff := cmp.Diff(b.Commands(), a.Commands()); diff != "" {
			t.Fatalf("step %d: commands of Reconcile (-) and of the change (+):\n%s", step, diff)
		}
		table = resA.Over(table)
		if diff := cmp.Diff(resB.Observed.String(), table.String()); diff != "" {
			t.Fatalf("step %d: observed by Reconcile (-) and by the change (+):\n%s", step, diff)
		}
		if foreign = resB.Foreign; !resA.Whole {
			read := func(k ipvs.ServiceKey) bool { return slices.Contains(resA.Keys, k) }
			foreign = slices.DeleteFunc(slices.Clone(foreign), func(k ipvs.ServiceKey) bool { return !read(k) })
		}
		if !slices.Equal(ownedA.Keys(), ownedB.Keys()) || !slices.Equal(resA.Foreign, foreign) || !slices.Equal(resA.Adopted, resB.Adopted) {
			t.Fatalf("step %d: owned %v, want %v; foreign %v, want %v; adopted %v, want %v", step,
				ownedA.Keys(), ownedB.Keys(), resA.Foreign, foreign, resA.Adopted, resB.Adopted)
		}
		desired, keys = genChange(t, desired)
	}
}

// genChange draws a table that comes after another, and keys of all that
// differ, and of some others.
func genChange(t *rapid.T, before ipvs.Table) (after ipvs.Table, keys []ipvs.ServiceKey) {
	after = before.Clone()
	for _, k := range rapid.SliceOfN(genServiceKey(), 0, 4).Draw(t, "changed") {
		switch e, there := after[k]; {
		case there && rapid.Bool().Draw(t, "gone"):
			delete(after, k)
		case there && rapid.Bool().Draw(t, "one server"):
			e.Servers = slices.Clone(e.Servers)
			e.Servers.Put(genServer(k).Draw(t, "server"))
			after[k] = e
		default:
			after[k] = genEntry(k).Draw(t, "entry")
		}
		keys = append(keys, k)
	}
	return after, append(keys, rapid.SliceOfN(genServiceKey(), 0, 2).Draw(t, "looked at")...)
}

// TestChangesAfterFailures: a row of changes, of which some meet a kernel that
// does not answer, refuses, or is short of memory, ends in the table, the
// ownership and the observation that one Reconcile makes.
func TestChangesAfterFailures(t *testing.T) {
	setChecks(t, 300)
	rapid.Check(t, func(t *rapid.T) {
		desired, observed, owned := genPair(t)
		kernel := ipvstest.New(observed.String())
		r := ipvs.NewReconciler(kernel)
		var keys []ipvs.ServiceKey
		var table ipvs.Table
		ours := owned
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			failing := func(which string) error {
				return rapid.SampledFrom([]error{nil, nil, nil, nil, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, ipvs.ErrHung}).Draw(t, which)
			}
			kernel.BeforeRead = func() error { return failing("reading") }
			kernel.BeforeApply = func(ipvs.Op) error { return failing("operation") }
			ours = ours.With(desired)
			change := r.Change
			if rapid.Bool().Draw(t, "follow") {
				change = r.Follow
			}
			res, _ := change(context.Background(), desired, owned, keys...)
			owned, table = res.Owned, res.Over(table)
			desired, keys = genChange(t, desired)
		}
		kernel.BeforeRead, kernel.BeforeApply = nil, nil
		res := ipvs.Result{}
		var err error
		if rapid.Bool().Draw(t, "twice") { // the second pays for what changed alone
			ours = ours.With(desired)
			if res, err = r.Change(context.Background(), desired, owned, keys...); err != nil {
				t.Fatal(err)
			}
			owned, table = res.Owned, res.Over(table)
			desired, keys = genChange(t, desired)
		}
		if res, err = r.Change(context.Background(), desired, owned, keys...); err != nil {
			t.Fatal(err)
		}
		table = res.Over(table)
		model := ipvstest.New(observed.String())
		want, err := ipvs.NewReconciler(model).Reconcile(context.Background(), desired, ours)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(model.String(), kernel.String()); diff != "" {
			t.Fatalf("table of one Reconcile (-) and of the changes (+):\n%s", diff)
		}
		if diff := cmp.Diff(kernel.String(), table.String()); diff != "" {
			t.Fatalf("table (-) and what was observed (+):\n%s", diff)
		}
		if !slices.Equal(want.Owned.Keys(), res.Owned.Keys()) {
			t.Fatalf("owned %v, want %v", res.Owned.Keys(), want.Owned.Keys())
		}
	})
}
