//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelBatch: of many operations that go to the kernel at once each gets
// its own answer, wherever in a batch it stands.
func TestKernelBatch(t *testing.T) {
	namespace(t)
	k := ipvstest.OpenKernel(t)
	var ops []ipvs.Op
	want := map[int]syscall.Errno{}
	refused := func(errno syscall.Errno, command string) {
		want[len(ops)] = errno
		ops = append(ops, parse(t, command))
	}
	refused(syscall.ESRCH, "-a -t 192.0.2.1:80 -r 198.51.100.1:80") // the very first
	ops = append(ops, parse(t, "-A -t 192.0.2.1:80 -s rr"))
	for i := range 300 {
		ops = append(ops, parse(t, fmt.Sprintf("-a -t 192.0.2.1:80 -r 198.51.100.%d:80 -g -w %d", 1+i%200, i)))
		if i >= 200 {
			want[len(ops)-1] = syscall.EEXIST
		}
		if i == 100 {
			refused(syscall.EINVAL, "-a -t 192.0.2.1:80 -r 224.0.0.1:80")
			refused(syscall.ENOENT, "-e -t 192.0.2.1:80 -r 203.0.113.1:80")
			refused(syscall.ENOENT, "-A -t 192.0.2.2:80 -s nosuch")
		}
	}
	ops = append(ops, parse(t, "-E -t 192.0.2.1:80 -s wlc -p 9"))
	ops = append(ops, parse(t, "-d -t 192.0.2.1:80 -r 198.51.100.3:80"))
	refused(syscall.ENOENT, "-d -t 192.0.2.1:80 -r 198.51.100.3:80")
	refused(syscall.ESRCH, "-D -t 192.0.2.9:80") // the very last
	answers := k.Apply(context.Background(), ops)
	if len(answers) != len(ops) {
		t.Fatalf("%d answers to %d operations", len(answers), len(ops))
	}
	for i, err := range answers {
		if w, any := want[i]; any && !errors.Is(err, w) || !any && err != nil {
			t.Errorf("%d of %d, %s: %v, want %v", i, len(ops), ops[i], err, want[i])
		}
	}
	if err := answers[slices.IndexFunc(ops, func(op ipvs.Op) bool { return op.Service.Scheduler == "nosuch" })]; !errors.Is(err, ipvs.ErrNoModule) {
		t.Errorf("a missing scheduler is %v", err)
	}
	fake := &ipvstest.Kernel{Missing: []string{"nosuch"}}
	for i, err := range fake.Apply(context.Background(), ops) {
		if (err == nil) != (answers[i] == nil) && !strings.Contains(ops[i].String(), "224.0.0.1") {
			t.Errorf("%s: the fake kernel says %v, the real one %v", ops[i], err, answers[i])
		}
	}
	got, err := k.ReadServices(context.Background(), []ipvs.ServiceKey{ops[1].Service.Key, ops[len(ops)-1].Service.Key})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(judged(t).String(), got.String()); diff != "" {
		t.Errorf("ReadServices (-ipvsadm +got):\n%s", diff)
	}
}

// TestKernelOverrun is fault 28: answers that the kernel had no room for are
// not taken for success, and the table converges.
func TestKernelOverrun(t *testing.T) {
	namespace(t)
	k := ipvstest.OpenKernel(t)
	desired := bigTable(100, 4)
	shell(t, "ipvsadm -R <<'E'\n"+desired.String()+"E")
	if err := k.SetReceiveBuffer(1); err != nil {
		t.Fatal(err)
	}
	ops := ipvs.Plan(desired, nil, nil) // all there already
	lost := 0
	for i, err := range k.Apply(context.Background(), ops) {
		switch {
		case errors.Is(err, syscall.ENOBUFS):
			lost++
		case !errors.Is(err, syscall.EEXIST):
			t.Errorf("%s: %v", ops[i], err)
		}
	}
	if lost == 0 {
		t.Fatal("no answer was lost")
	}
	racing := &staleOnce{LinuxKernel: k}
	res, err := ipvs.NewReconciler(racing).Reconcile(context.Background(), desired, nil)
	if err != nil || res.Passes != 2 || len(res.Applied) != 0 {
		t.Errorf("%d passes, %d applied, error %v", res.Passes, len(res.Applied), err)
	}
	wantTable(t, desired)
}

// staleOnce reads an empty table the first time, as if it had been made since.
type staleOnce struct {
	*ipvs.LinuxKernel
	read bool
}

func (s *staleOnce) Read(ctx context.Context) (ipvs.Table, error) {
	if !s.read {
		s.read = true
		return ipvs.Table{}, nil
	}
	return s.LinuxKernel.Read(ctx)
}

func parse(t testing.TB, command string) ipvs.Op {
	t.Helper()
	op, err := ipvstest.Parse(command)
	if err != nil {
		t.Fatal(err)
	}
	return op
}
