package settings

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"baton/conf"
	"baton/ipvs"
)

var bg = context.Background()

// full sets something of everything.
var full = conf.IPVS{Timeouts: timeouts(0, 0, 60), Sync: daemon("eth0", 51), Sysctls: sysctls("expire_nodest_conn", "1", "sync_threshold", "3 10")}

const fullCommands = `expire_nodest_conn=1
sync_threshold=3 10
ipvsadm --set 0 0 60
ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51
ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51`

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func reconcile(t fataler, r *Reconciler, want conf.IPVS) Result {
	t.Helper()
	res, err := r.Reconcile(bg, want)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func expect(t testing.TB, b *box, want string) {
	t.Helper()
	if got := b.changes(); got != want {
		t.Errorf("it did\n%s\nwant\n%s", got, want)
	}
}

func lines(ops []Op) string {
	var out []string
	for _, op := range ops {
		out = append(out, fmt.Sprintf("%s # %s -> (%s)", op, op.From, op.Reason))
	}
	return strings.Join(out, "\n")
}

func TestWhatIsConfiguredIsSetAndTakenBack(t *testing.T) {
	b := newBox()
	before := b.String()
	r := b.reconciler(Record{})
	res := reconcile(t, r, full)
	expect(t, b, fullCommands)
	if len(res.Applied) != 5 || len(res.Drift) != 0 {
		t.Errorf("applied %s\ndrift %s", lines(res.Applied), lines(res.Drift))
	}
	reconcile(t, r, full)
	expect(t, b, "")

	// Another process takes over and finds nothing to do; and takes back what
	// it has not set itself.
	r = b.reconciler(b.record())
	reconcile(t, r, full)
	expect(t, b, "")
	reconcile(t, r, conf.IPVS{})
	expect(t, b, `expire_nodest_conn=0
sync_threshold=3	50
ipvsadm --set 0 0 300
ipvsadm --stop-daemon master
ipvsadm --stop-daemon backup`)
	if b.String() != before {
		t.Errorf("afterwards\n%s\nwas\n%s", b, before)
	}
	if rec := b.record(); len(rec.Sysctls)+len(rec.Timeouts)+len(rec.Daemons) > 0 {
		t.Errorf("the record remembers %+v", rec)
	}
}

// TestRecordComesFirst: a crash between writing and setting must not lose what
// stood there.
func TestRecordComesFirst(t *testing.T) {
	b := newBox()
	m := b.machine()
	set := m.SetSysctl
	m.SetSysctl = func(name, value string) error {
		if b.record().Sysctls["expire_nodest_conn"].Was != "0" {
			t.Errorf("%s is set before it is recorded", name)
		}
		return set(name, value)
	}
	r := NewReconciler(m, Record{}, func(r Record) error { b.records = append(b.records, r); return nil })
	reconcile(t, r, full)
}

// TestRecordThatIsNotSavedIsSavedLater: a full disk is told as long as it is one,
// and what was set meanwhile can be taken back by the process after this one.
func TestRecordThatIsNotSavedIsSavedLater(t *testing.T) {
	b := newBox()
	full := errors.New("no space left")
	failing := true
	r := NewReconciler(b.machine(), Record{}, func(r Record) error {
		if failing {
			return full
		}
		b.records = append(b.records, r)
		return nil
	})
	want := conf.IPVS{Sysctls: sysctls("expire_nodest_conn", "1")}
	for range 2 {
		if _, err := r.Reconcile(bg, want); !errors.Is(err, full) {
			t.Errorf("the record is not written, and the answer is %v", err)
		}
	}
	expect(t, b, "expire_nodest_conn=1")
	failing = false
	reconcile(t, r, want)
	if was := b.record().Sysctls["expire_nodest_conn"].Was; was != "0" {
		t.Errorf("the record says that there was %q", was)
	}
}

func TestDriftIsRepairedAndTold(t *testing.T) {
	b := newBox()
	r := b.reconciler(Record{})
	reconcile(t, r, full)
	b.changes()
	for _, c := range []struct {
		name  string
		edit  func()
		drift string
	}{
		{"parameter", func() { b.sysctls["expire_nodest_conn"] = "0" },
			"sysctl -w net.ipv4.vs.expire_nodest_conn=1 # 0 -> (configured)"},
		{"timeout", func() { _ = b.SetTimeouts(bg, timeouts(0, 0, 5)) },
			"ipvsadm --set 0 0 60 # 900 120 5 -> (configured)"},
		{"a timeout that is nobody's", func() { _ = b.SetTimeouts(bg, timeouts(77, 0, 0)) }, ""},
		{"daemon stopped", func() { _ = b.StopDaemon(bg, ipvs.DaemonBackup) },
			"ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51 #  -> (configured)"},
		{"daemon replaced", func() {
			_ = b.StopDaemon(bg, ipvs.DaemonMaster)
			_ = b.StartDaemon(bg, ipvs.DaemonMaster, *daemon("eth1", 9))
		}, `ipvsadm --stop-daemon master # --mcast-interface eth1 --syncid 9 --sync-maxlen 1472 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1 -> (it runs with other parameters)
ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51 # --mcast-interface eth1 --syncid 9 --sync-maxlen 1472 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1 -> (it runs with other parameters)`},
		{"daemon with another length, where none was asked for", func() {
			_ = b.StopDaemon(bg, ipvs.DaemonBackup)
			_ = b.StartDaemon(bg, ipvs.DaemonBackup, ipvs.SyncDaemon{Interface: "eth0", SyncID: 51, MaxLen: 1100})
		}, `ipvsadm --stop-daemon backup # --mcast-interface eth0 --syncid 51 --sync-maxlen 1100 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1 -> (it runs with other parameters)
ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51 # --mcast-interface eth0 --syncid 51 --sync-maxlen 1100 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1 -> (it runs with other parameters)`},
	} {
		c.edit()
		if got := lines(reconcile(t, r, full).Drift); got != c.drift {
			t.Errorf("%s: drift is\n%s\nwant\n%s", c.name, got, c.drift)
		}
	}
}

// TestAReloadIsNoDrift, and neither is what the kernel does by itself.
func TestAReloadIsNoDrift(t *testing.T) {
	b := newBox()
	r := b.reconciler(Record{})
	want := conf.IPVS{Sysctls: sysctls("expire_nodest_conn", "1", "secure_tcp", "1")}
	reconcile(t, r, want)
	want.Sysctls = sysctls("expire_nodest_conn", "2", "secure_tcp", "1")
	if res := reconcile(t, r, want); len(res.Applied) != 1 || len(res.Drift) != 0 {
		t.Errorf("a changed value: applied %s, drift %s", lines(res.Applied), lines(res.Drift))
	}
	b.sysctls["secure_tcp"] = "2" // memory is short
	if res := reconcile(t, r, want); len(res.Applied) != 0 {
		t.Errorf("the kernel's own defence is undone: %s", lines(res.Applied))
	}
	reconcile(t, r, conf.IPVS{})
	if b.sysctls["secure_tcp"] != "0" || b.sysctls["expire_nodest_conn"] != "0" {
		t.Errorf("not taken back: %v", b.sysctls)
	}
}

// TestWhatSomebodyElseChoseStays: what left the configuration is put back only
// where it is still as it was set, and a stranger's daemon is told and left alone.
func TestWhatSomebodyElseChoseStays(t *testing.T) {
	b := newBox()
	r := b.reconciler(Record{})
	reconcile(t, r, full)
	b.sysctls["expire_nodest_conn"] = "7"
	_ = b.SetTimeouts(bg, timeouts(0, 0, 5))
	_ = b.StopDaemon(bg, ipvs.DaemonMaster)
	_ = b.StartDaemon(bg, ipvs.DaemonMaster, *daemon("eth1", 9))
	b.changes()
	res := reconcile(t, r, conf.IPVS{})
	expect(t, b, "sync_threshold=3\t50\nipvsadm --stop-daemon backup")
	if got := strings.Join(res.Foreign, "\n"); !strings.HasPrefix(got, "sync daemon master (--mcast-interface eth1 --syncid 9") {
		t.Errorf("foreign is %q", got)
	}
}

func TestARunningDaemonIsAdopted(t *testing.T) {
	b := newBox()
	_ = b.StartDaemon(bg, ipvs.DaemonMaster, *daemon("eth0", 51))
	_ = b.StartDaemon(bg, ipvs.DaemonBackup, *daemon("eth0", 52))
	b.changes()
	r := b.reconciler(Record{})
	reconcile(t, r, conf.IPVS{Sync: daemon("eth0", 51)})
	expect(t, b, "ipvsadm --stop-daemon backup\nipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51")
}

func TestADaemonIsStartedAnewForWhatItReadsAtItsStart(t *testing.T) {
	const anew = "ipvsadm --stop-daemon master\nipvsadm --stop-daemon backup\n" +
		"ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51\nipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51"
	b := newBox()
	r := b.reconciler(Record{})
	want := conf.IPVS{Sync: daemon("eth0", 51)}
	reconcile(t, r, want)
	b.changes()

	want.Sysctls = sysctls("sync_ports", "2")
	reconcile(t, r, want)
	expect(t, b, "sync_ports=2\n"+anew)

	b.links["eth0"] = 9 // deleted and made again
	reconcile(t, r, want)
	expect(t, b, anew)

	delete(b.links, "eth0")
	var gone []Op
	for range 2 {
		res, err := r.Reconcile(bg, want)
		if err == nil || !strings.Contains(err.Error(), "interface eth0 does not exist") {
			t.Errorf("without the interface: %v", err)
		}
		gone = append(gone, res.Applied...)
	}
	if len(gone) != 2 || gone[0].Reason != "interface eth0 is gone" {
		t.Errorf("without the interface: %s", lines(gone))
	}
	expect(t, b, "ipvsadm --stop-daemon master\nipvsadm --stop-daemon backup")
	b.links["eth0"] = 10
	if res := reconcile(t, r, want); len(res.Drift) > 0 {
		t.Errorf("the interface is back: drift %s", lines(res.Drift))
	}
	expect(t, b, "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51\nipvsadm --start-daemon backup --mcast-interface eth0 --syncid 51")

	// The kernel raises a backup's length; that is no reason to do it again.
	want.Sync = &ipvs.SyncDaemon{Interface: "eth0", SyncID: 51, MaxLen: 500}
	reconcile(t, r, want)
	b.changes()
	reconcile(t, b.reconciler(b.record()), want)
	reconcile(t, b.reconciler(Record{}), want) // the record was lost
	expect(t, b, "")
	want.Sync = daemon("eth0", 51)
	reconcile(t, b.reconciler(b.record()), want)
	expect(t, b, anew)
}

func TestWhatCannotBeDoneIsToldAndTheRestIsDone(t *testing.T) {
	b := newBox()
	b.refuse = syscall.EROFS
	r := b.reconciler(Record{})
	want := full
	want.Sysctls = append(sysctls("conntrack", "1"), full.Sysctls...)
	_, err := r.Reconcile(bg, want)
	for _, s := range []string{"conntrack: the kernel has no parameter net.ipv4.vs.conntrack: it was built without CONFIG_IP_VS_NFCT",
		"set sysctl net/ipv4/vs/expire_nodest_conn to 1: read-only file system", "sync_threshold"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("the error %v does not say %q", err, s)
		}
	}
	expect(t, b, fullCommands[strings.Index(fullCommands, "ipvsadm"):])
	b.refuse = nil
	b.sysctls["conntrack"] = "0"
	if res := reconcile(t, r, want); len(res.Drift) > 0 {
		t.Errorf("nobody has changed anything, but drift is %s", lines(res.Drift))
	}
	expect(t, b, "conntrack=1\nexpire_nodest_conn=1\nsync_threshold=3 10")

	b.stubborn = "expire_nodest_conn"
	b.sysctls["expire_nodest_conn"] = "0"
	if _, err := r.Reconcile(bg, want); err == nil || !strings.Contains(err.Error(), "somebody else sets it too") {
		t.Errorf("a parameter that does not stay: %v", err)
	}

	b.saveErr = errors.New("no space left on device")
	if _, err := r.Reconcile(bg, conf.IPVS{}); !errors.Is(err, b.saveErr) {
		t.Errorf("a record that cannot be saved: %v", err)
	}
	if d, _ := b.Daemons(bg); len(d) > 0 {
		t.Errorf("without a record the daemons are not stopped: %v", d)
	}
}

// TestTwiceChangesNothing: after whatever configurations came before, one
// Reconcile does what Plan foretold, a second one nothing, and an empty
// configuration brings back what was there at first.
func TestTwiceChangesNothing(t *testing.T) {
	pick := func(t *rapid.T, name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	rapid.Check(t, func(t *rapid.T) {
		b := newBox()
		before := b.String()
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			var want conf.IPVS
			for _, name := range []string{"expire_nodest_conn", "sync_ports", "sync_threshold"} {
				if v := pick(t, name, "", "0", "1", "2"); v != "" {
					want.Sysctls = append(want.Sysctls, conf.Sysctl{Name: name, Value: v})
				}
			}
			seconds := rapid.IntRange(0, 3)
			want.Timeouts = timeouts(seconds.Draw(t, "tcp"), seconds.Draw(t, "fin"), seconds.Draw(t, "udp"))
			if rapid.Bool().Draw(t, "sync") {
				want.Sync = daemon(pick(t, "interface", "eth0", "eth1"), 51)
				want.Sync.MaxLen = rapid.SampledFrom([]int{0, 500, 1400}).Draw(t, "maxlen")
			}
			r := b.reconciler(b.record()) // another process each time
			m := b.machine()
			state, err := m.Read(bg, want, b.record())
			if err != nil {
				t.Fatal(err)
			}
			foretold := Plan(want, state, b.record()).Ops
			res := reconcile(t, r, want)
			if lines(res.Applied) != lines(foretold) {
				t.Fatalf("foretold\n%s\ndone\n%s", lines(foretold), lines(res.Applied))
			}
			b.changes()
			reconcile(t, r, want)
			if did := b.changes(); did != "" {
				t.Fatalf("twice: %s", did)
			}
		}
		reconcile(t, b.reconciler(b.record()), conf.IPVS{})
		if b.String() != before {
			t.Fatalf("afterwards\n%s\nwas\n%s", b, before)
		}
	})
}
