//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelPermission: without CAP_NET_ADMIN the error says so. The
// capability counts of whichever thread sends, so a whole process gives it up.
func TestKernelPermission(t *testing.T) {
	const child = "BATON_TEST_UNPRIVILEGED"
	if os.Getenv(child) == "" {
		namespace(t)
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelPermission$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestKernelPermission") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	k := ipvstest.OpenKernel(t)
	op := ipvs.Op{Kind: ipvs.AddService, Service: ipvs.Service{
		Key: ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.0.2.1:80")), Scheduler: "rr"}}
	_, readErr := k.Read(context.Background())
	for _, err := range append(k.Apply(context.Background(), []ipvs.Op{op}), readErr) {
		if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("error %v, want EPERM that names CAP_NET_ADMIN", err)
		}
	}
}

// TestKernelRefusal: one bad server is told and does not keep the others out.
func TestKernelRefusal(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	desired := tableOf(t, "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 1")
	good := desired.Clone()
	k, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
	bad := ipvs.MakeServerKey(netip.MustParseAddrPort("224.0.0.1:80"))
	e := desired[k]
	e.Servers.Put(ipvs.Server{Key: bad, Forward: ipvs.DR, Weight: 1})
	desired[k] = e
	_, err := r.Reconcile(context.Background(), desired, nil)
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "add server tcp 192.0.2.1:80 224.0.0.1:80: ") {
		t.Fatalf("error %v", err)
	}
	wantTable(t, good)
}

// TestKernelFlat: thousands of passes leave memory, descriptors and goroutines where they were.
func TestKernelFlat(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	a, b := bigTable(6, 4), bigTable(7, 3)
	owned := ipvs.Ownership{}.With(a).With(b)
	cycle := func(n int) (heap uint64, descriptors, goroutines int) {
		for range n {
			reconcile(t, r, a, owned)
			reconcile(t, r, b, owned)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return m.HeapAlloc, len(fds), runtime.NumGoroutine()
	}
	heap0, fds0, go0 := cycle(20)
	heap1, fds1, go1 := cycle(200)
	if heap1 > heap0+256<<10 || fds1 > fds0 || go1 > go0 {
		t.Errorf("heap %d -> %d bytes, descriptors %d -> %d, goroutines %d -> %d", heap0, heap1, fds0, fds1, go0, go1)
	}
}

// BenchmarkKernel programs 2,500 services with 4 servers each, beside
// ipvsadm -R with the same table.
func BenchmarkKernel(b *testing.B) {
	namespace(b)
	k := ipvstest.OpenKernel(b)
	desired := bigTable(2500, 4)
	changed := desired.Clone()
	for _, e := range changed {
		e.Servers[0].Weight = 2
		break
	}
	b.Run("ipvsadm -R", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			shell(b, "ipvsadm -C")
			b.StartTimer()
			ipvsadm(b, desired.String(), "-R")
		}
	})
	b.Run("empty table", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			shell(b, "ipvsadm -C")
			b.StartTimer()
			reconcile(b, ipvs.NewReconciler(k), desired, nil)
		}
	})
	b.Run("no change", func(b *testing.B) {
		for b.Loop() {
			reconcile(b, ipvs.NewReconciler(k), desired, nil)
		}
	})
	b.Run("one server", func(b *testing.B) {
		tables := []ipvs.Table{changed, desired}
		for i := 0; b.Loop(); i++ {
			if res := reconcile(b, ipvs.NewReconciler(k), tables[i%2], nil); len(res.Applied) != 1 {
				b.Fatalf("%d operations", len(res.Applied))
			}
		}
	})
}
