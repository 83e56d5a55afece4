//go:build linux && kernel

package settings

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/internal/nstest"
	"baton/ipvs/ipvstest"
)

const makeLink = `ip link set lo up; ip link add sync0 type dummy; ip address add 192.0.2.1/24 dev sync0; ip link set sync0 up`

// judged is what ipvsadm and /proc say.
func judged(t *testing.T) string {
	t.Helper()
	return nstest.Shell(t, `cd /proc/sys/net/ipv4/vs; for f in expire_nodest_conn sync_threshold sync_ports; do echo $f $(cat $f); done
		ipvsadm -L --timeout; ipvsadm -L --daemon | sort`)
}

// TestKernelSettings sets, keeps, repairs and takes back on a real kernel;
// ipvsadm and /proc are the judges.
func TestKernelSettings(t *testing.T) {
	nstest.Unshare(t, makeLink)
	k := ipvstest.OpenKernel(t)
	untouched := judged(t)
	file := RecordFile(t.TempDir())
	process := func() *Reconciler {
		rec, err := ReadRecord(file)
		if err != nil {
			t.Fatal(err)
		}
		return NewReconciler(On(k), rec, save(t, file))
	}

	want := conf.IPVS{Timeouts: timeouts(0, 30, 60), Sync: daemon("sync0", 51),
		Sysctls: sysctls("expire_nodest_conn", "1", "sync_ports", "2", "sync_threshold", "3 10")}
	is := func(what, state string) {
		t.Helper()
		if got := judged(t); got != state {
			t.Errorf("%s:\n%s\nwant\n%s", what, got, state)
		}
	}
	const set = `expire_nodest_conn 1
sync_threshold 3 10
sync_ports 2
Timeout (tcp tcpfin udp): 900 30 60
backup sync daemon (mcast=sync0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)
master sync daemon (mcast=sync0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)
`
	r := process()
	if res := reconcile(t, r, want); len(res.Applied) != 6 {
		t.Errorf("applied\n%s", lines(res.Applied))
	}
	is("set", set)
	for what, r := range map[string]*Reconciler{"again": r, "by another process": process()} {
		if res := reconcile(t, r, want); len(res.Applied) != 0 {
			t.Errorf("%s: applied\n%s", what, lines(res.Applied))
		}
	}

	nstest.Shell(t, `sysctl -qw net.ipv4.vs.expire_nodest_conn=0; ipvsadm --set 0 31 0; ipvsadm --stop-daemon backup; ipvsadm --stop-daemon master
		ipvsadm --start-daemon master --mcast-interface sync0 --syncid 52`)
	if res := reconcile(t, r, want); len(res.Drift) != 5 {
		t.Errorf("drift\n%s", lines(res.Drift))
	}
	is("repaired", set)

	// The daemons' sockets die with the interface, of which the kernel says nothing.
	nstest.Shell(t, "ip link del sync0")
	if _, err := r.Reconcile(bg, want); err == nil || !strings.Contains(err.Error(), "interface sync0 does not exist") {
		t.Errorf("without the interface: %v", err)
	}
	nstest.Shell(t, makeLink)
	if res := reconcile(t, r, want); len(res.Applied) != 2 {
		t.Errorf("with a new interface\n%s", lines(res.Applied))
	}
	is("with a new interface", set)

	impossible := want
	impossible.Sysctls = sysctls("expire_nodest_conn", "1", "no_such_parameter", "1", "sync_threshold", "10 3")
	_, err := r.Reconcile(bg, impossible)
	if err == nil || !strings.Contains(err.Error(), "no parameter net.ipv4.vs.no_such_parameter") || !errors.Is(err, unix.EINVAL) {
		t.Errorf("what the kernel cannot: %v", err)
	}

	reconcile(t, process(), conf.IPVS{})
	is("taken back", untouched)
}

// TestKernelReadOnlySysctls: one line says what to do, and the rest works.
func TestKernelReadOnlySysctls(t *testing.T) {
	nstest.Unshare(t, makeLink)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	nstest.Shell(t, "mount --make-rprivate /; mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys")
	k := ipvstest.OpenKernel(t)
	r := NewReconciler(On(k), Record{}, func(Record) error { return nil })
	_, err := r.Reconcile(bg, conf.IPVS{Sync: daemon("sync0", 51), Sysctls: sysctls("expire_nodest_conn", "1")})
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "/proc/sys is mounted read-only") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %v", err)
	}
	if out := nstest.Shell(t, "ipvsadm -L --daemon"); strings.Count(out, "sync0") != 2 {
		t.Errorf("the daemons do not run: %q", out)
	}
}

func save(t *testing.T, file string) func(Record) error {
	return func(r Record) error {
		raw, err := r.Encode()
		if err != nil {
			t.Error(err)
		}
		return os.WriteFile(file, raw, 0o600)
	}
}
