package ipvs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

const reference = `
	ipvsadm -A -t 192.168.16.200:80 -s rr
	ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
	ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1`

func lines(s string) []string {
	var l []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			l = append(l, line)
		}
	}
	return l
}

func commandsOf(ops []ipvs.Op) []string {
	var c []string
	for _, op := range ops {
		c = append(c, op.String())
	}
	return c
}

func mustReconcile(t *testing.T, r *ipvs.Reconciler, desired ipvs.Table, owned ipvs.Ownership) ipvs.Result {
	t.Helper()
	res, err := r.Reconcile(context.Background(), desired, owned)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func wantCommands(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestReconcileDrift: what changed by hand is told as drift, what the
// configuration changed is not, and both are applied.
func TestReconcileDrift(t *testing.T) {
	kernel := &ipvstest.Kernel{}
	r := ipvs.NewReconciler(kernel)
	desired := ipvstest.New(reference).Table()

	res := mustReconcile(t, r, desired, nil)
	wantCommands(t, "first start", commandsOf(res.Applied), reference)
	if res.Drift != nil || res.Passes != 2 {
		t.Errorf("first start: drift %v in %d passes", res.Drift, res.Passes)
	}
	res = mustReconcile(t, r, desired, res.Owned)
	if res.Applied != nil || res.Passes != 1 {
		t.Errorf("second pass applied %v", res.Applied)
	}

	if err := kernel.Run("-C"); err != nil {
		t.Fatal(err)
	}
	res = mustReconcile(t, r, desired, res.Owned)
	wantCommands(t, "drift after -C", commandsOf(res.Drift), reference)

	changed := ipvstest.New(strings.Replace(reference, "104:80 -g -w 1", "104:80 -g -w 2", 1)).Table()
	if err := kernel.Run("-e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 9\n-a -t 192.168.16.200:80 -r 192.168.16.105:80 -g -w 1"); err != nil {
		t.Fatal(err)
	}
	res = mustReconcile(t, r, changed, res.Owned)
	wantCommands(t, "applied with a change", commandsOf(res.Applied), `
		ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2
		ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
		ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.105:80`)
	wantCommands(t, "drift with a change", commandsOf(res.Drift), `
		ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
		ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.105:80`)
	if got := res.Drift[0].Changes(); !slices.Equal(got, []string{"weight 9 -> 1"}) {
		t.Errorf("changes %v", got)
	}

	res = mustReconcile(t, r, ipvs.Table{}, res.Owned)
	wantCommands(t, "removal", commandsOf(res.Applied), "ipvsadm -D -t 192.168.16.200:80")
	if res.Drift != nil || len(res.Owned) != 0 {
		t.Errorf("removal: drift %v, owned %v", res.Drift, res.Owned.Keys())
	}
}

func TestReconcileForeignAndAdopted(t *testing.T) {
	const others = "\n-A -t 192.0.2.9:9 -s rr\n-a -t 192.0.2.9:9 -r 198.51.100.9:9 -m -w 1"
	kernel := ipvstest.New(reference + others)
	res := mustReconcile(t, ipvs.NewReconciler(kernel), ipvstest.New(reference).Table(), nil)
	if got := kernel.Commands(); got != nil {
		t.Errorf("adopting a finished table ran %v", got)
	}
	if len(res.Adopted) != 1 || res.Adopted[0].String() != "tcp 192.168.16.200:80" {
		t.Errorf("adopted %v", res.Adopted)
	}
	if len(res.Foreign) != 1 || res.Foreign[0].String() != "tcp 192.0.2.9:9" {
		t.Errorf("foreign %v", res.Foreign)
	}
	if len(res.Owned) != 1 || len(res.Observed) != 2 {
		t.Errorf("owned %v, observed %d services", res.Owned.Keys(), len(res.Observed))
	}
}

// TestReconcileRaces: an outside editor changes the table between the reading
// and an operation. Every case converges without an error.
func TestReconcileRaces(t *testing.T) {
	for name, c := range map[string]struct {
		table string
		at    ipvs.OpKind // the first operation of this kind comes after
		edit  string
	}{
		"service appears (EEXIST)":   {"", ipvs.AddService, "-A -t 192.168.16.200:80 -s wlc"},
		"service vanishes (ESRCH)":   {"-A -t 192.168.16.200:80 -s rr", ipvs.AddServer, "-D -t 192.168.16.200:80"},
		"server appears (EEXIST)":    {"-A -t 192.168.16.200:80 -s rr", ipvs.AddServer, "-a -t 192.168.16.200:80 -r 192.168.16.103:80 -m -w 7"},
		"server vanishes (ENOENT)":   {reference + "\n-e -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 7", ipvs.UpdateServer, "-d -t 192.168.16.200:80 -r 192.168.16.104:80"},
		"deleted already (ENOENT)":   {reference + "\n-a -t 192.168.16.200:80 -r 192.168.16.105:80", ipvs.DeleteServer, "-d -t 192.168.16.200:80 -r 192.168.16.105:80"},
		"old service gone (ESRCH)":   {reference + "\n-A -t 192.0.2.1:1 -s rr", ipvs.DeleteService, "-D -t 192.0.2.1:1"},
		"edited service gone":        {"-A -t 192.168.16.200:80 -s wlc", ipvs.UpdateService, "-C"},
		"everything gone in between": {"", ipvs.AddServer, "-C"},
	} {
		t.Run(name, func(t *testing.T) {
			kernel := ipvstest.New(c.table)
			raced := false
			kernel.BeforeApply = func(op ipvs.Op) error {
				if op.Kind == c.at && !raced {
					raced = true
					return kernel.Run(c.edit)
				}
				return nil
			}
			desired := ipvstest.New(reference)
			owned := ipvs.Ownership{}.With(kernel.Table())
			mustReconcile(t, ipvs.NewReconciler(kernel), desired.Table(), owned)
			if !raced {
				t.Fatal("there was no race")
			}
			if diff := cmp.Diff(desired.String(), kernel.String()); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReconcileTransient: a kernel short of memory is asked again.
func TestReconcileTransient(t *testing.T) {
	kernel := &ipvstest.Kernel{}
	calls := 0
	kernel.BeforeApply = func(ipvs.Op) error {
		if calls++; calls <= 2 {
			return syscall.ENOBUFS
		}
		return nil
	}
	mustReconcile(t, ipvs.NewReconciler(kernel), ipvstest.New(reference).Table(), nil)
	if len(kernel.Commands()) != 3 {
		t.Error("not programmed")
	}
}

// TestReconcileBounded: an editor that undoes everything at once is not fought for ever.
func TestReconcileBounded(t *testing.T) {
	kernel := &ipvstest.Kernel{}
	kernel.BeforeRead = func() error { return kernel.Run("-C") }
	res, err := ipvs.NewReconciler(kernel).Reconcile(context.Background(), ipvstest.New(reference).Table(), nil)
	if !errors.Is(err, ipvs.ErrNotConverged) || !strings.Contains(err.Error(), "first: ipvsadm -A -t 192.168.16.200:80 -s rr") {
		t.Fatalf("error %v", err)
	}
	if res.Passes > 10 || len(res.Applied) != 3*(res.Passes-1) {
		t.Errorf("%d passes, %d operations", res.Passes, len(res.Applied))
	}
}

// TestReconcileRefusals: refused operations are tried once, all are told, what
// depends on them is left out, and the rest of the table is programmed.
func TestReconcileRefusals(t *testing.T) {
	kernel := &ipvstest.Kernel{Missing: []string{"twos"}}
	tried := map[string]int{}
	kernel.BeforeApply = func(op ipvs.Op) error { tried[op.String()]++; return nil }
	k, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
	desired := ipvstest.New(reference + `
		-A -t 192.0.2.1:80 -s twos
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 1
		-A -t 192.0.2.2:80 -s rr`).Table()
	k2, _ := ipvs.ParseServiceKey("tcp 192.0.2.2:80")
	bad := ipvs.Server{Forward: ipvs.DR, Weight: -1}
	if err := bad.Key.UnmarshalText([]byte("198.51.100.2:80")); err != nil {
		t.Fatal(err)
	}
	e := desired[k2]
	e.Servers.Put(bad)
	desired[k2] = e

	r := ipvs.NewReconciler(kernel)
	res, err := r.Reconcile(context.Background(), desired, nil)
	for _, want := range []string{
		"add service tcp 192.0.2.1:80: scheduler twos: missing kernel module: run modprobe ip_vs_twos: no such file or directory",
		"add server tcp 192.0.2.2:80 198.51.100.2:80: numerical result out of range",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q\nlacks %q", err, want)
		}
	}
	if !errors.Is(err, ipvs.ErrNoModule) || !errors.Is(err, syscall.ERANGE) {
		t.Errorf("error %v wraps too little", err)
	}
	for command, n := range tried {
		if n != 1 {
			t.Errorf("%s tried %d times", command, n)
		}
		if strings.Contains(command, "-a -t 192.0.2.1:80") {
			t.Errorf("server of a service that could not be made: %s", command)
		}
	}
	if len(res.Applied) != 4 || !res.Owned.Has(k) {
		t.Errorf("applied %v, owned %v", res.Applied, res.Owned.Keys())
	}

	kernel.Missing = nil // modprobe
	res, _ = r.Reconcile(context.Background(), desired, res.Owned)
	if len(res.Applied) != 2 || res.Drift != nil {
		t.Errorf("after modprobe: applied %v, drift %v; want two operations that are no drift", res.Applied, res.Drift)
	}
}

// TestReconcileRefusedOnce: what the kernel refused and takes later is no
// drift, and what it does not let go stays ours.
func TestReconcileRefusedOnce(t *testing.T) {
	kernel := ipvstest.New("-A -t 192.0.2.1:1 -s rr")
	old, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:1")
	kernel.BeforeApply = func(op ipvs.Op) error {
		if op.Kind == ipvs.DeleteService || op.Object() == "tcp 192.168.16.200:80 192.168.16.104:80" {
			return syscall.ENOMEM
		}
		return nil
	}
	r := ipvs.NewReconciler(kernel)
	desired := ipvstest.New(reference).Table()
	res, err := r.Reconcile(context.Background(), desired, ipvs.Ownership{old: {}})
	if !errors.Is(err, syscall.ENOMEM) || len(res.Foreign) != 0 || !res.Owned.Has(old) || len(res.Applied) != 2 {
		t.Errorf("applied %v, foreign %v, owned %v, error %v", res.Applied, res.Foreign, res.Owned.Keys(), err)
	}
	kernel.BeforeApply = nil
	res = mustReconcile(t, r, desired, res.Owned)
	wantCommands(t, "second call", commandsOf(res.Applied), `
		ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1
		ipvsadm -D -t 192.0.2.1:1`)
	if res.Drift != nil {
		t.Errorf("drift %v", res.Drift)
	}
	if res.Owned.Has(old) {
		t.Error("a deleted service is still ours")
	}
}

// TestReconcileFatal: what would fail every operation ends the call at once.
func TestReconcileFatal(t *testing.T) {
	for _, fatal := range []error{syscall.EPERM, ipvs.ErrNoIPVS, ipvs.ErrHung} {
		kernel := &ipvstest.Kernel{}
		calls := 0
		kernel.BeforeApply = func(ipvs.Op) error { calls++; return fatal }
		two := ipvstest.New(reference + "\n-A -u 192.0.2.1:53 -s rr").Table()
		_, err := ipvs.NewReconciler(kernel).Reconcile(context.Background(), two, nil)
		if !errors.Is(err, fatal) || !strings.HasPrefix(err.Error(), "add service tcp 192.168.16.200:80: ") || calls != 1 {
			t.Errorf("%d calls, error %v", calls, err)
		}
	}
	kernel := &ipvstest.Kernel{BeforeRead: func() error { return syscall.EBADF }}
	res, err := ipvs.NewReconciler(kernel).Reconcile(context.Background(), ipvstest.New(reference).Table(), nil)
	if !errors.Is(err, syscall.EBADF) || !strings.HasPrefix(err.Error(), "read ipvs table: ") || len(res.Owned) != 1 {
		t.Errorf("error %v, owned %v", err, res.Owned)
	}
	ctx, cancel := context.WithCancel(context.Background())
	kernel = &ipvstest.Kernel{BeforeApply: func(ipvs.Op) error { cancel(); return nil }}
	if res, err := ipvs.NewReconciler(kernel).Reconcile(ctx, ipvstest.New(reference).Table(), nil); !errors.Is(err, context.Canceled) || len(res.Applied) > 1 {
		t.Errorf("cancelled: applied %v, error %v", res.Applied, err)
	}
}
