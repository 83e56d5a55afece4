//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// These tests need root on a kernel with IPVS and ipvsadm(8), which judges
// every table. Where one of them is missing they fail; they never skip.

// namespace gives the test a network namespace, and thereby an IPVS table, of
// its own. The goroutine stays on its thread, which ends with it.
func namespace(t testing.TB) {
	t.Helper()
	if err := enterNamespace(); err != nil {
		t.Fatal(err)
	}
}

// enterNamespace sets lo up because without a local routing table the kernel
// takes no address for unicast and so no real server.
func enterNamespace() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare network namespace: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

func openKernel(t testing.TB) *ipvs.LinuxKernel {
	t.Helper()
	k, err := ipvs.OpenKernel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// shell runs a script in the test's namespace.
func shell(t testing.TB, script string) string {
	t.Helper()
	out, err := sh(script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func sh(script string) (string, error) {
	cmd := exec.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// judged is the table as ipvsadm sees it. It saves no thresholds and lists
// them in another format, so they are read there.
func judged(t testing.TB) ipvs.Table {
	t.Helper()
	k := &ipvstest.Kernel{}
	if err := k.Run(shell(t, "ipvsadm -Sn")); err != nil {
		t.Fatal(err)
	}
	k.Edit(func(table ipvs.Table) { readThresholds(t, table, shell(t, "ipvsadm -Ln --thresholds")) })
	return k.Table()
}

var thresholdLine = regexp.MustCompile(`^  -> (\S+)\s+(\d+)\s+(\d+)\s+\d+\s+\d+`)

func readThresholds(t testing.TB, table ipvs.Table, listing string) {
	t.Helper()
	var at ipvs.Entry
	for line := range strings.Lines(listing) {
		word := strings.Fields(line)
		if m := thresholdLine.FindStringSubmatch(line); m != nil {
			var sk ipvs.ServerKey
			if err := sk.UnmarshalText([]byte(m[1])); err != nil {
				t.Fatal(err)
			}
			s := at.Servers[sk]
			if _, err := fmt.Sscan(m[2], &s.UpperThreshold); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscan(m[3], &s.LowerThreshold); err != nil {
				t.Fatal(err)
			}
			at.Servers[sk] = s
			continue
		}
		name := ""
		switch {
		case len(word) < 2 || word[0] == "->" || word[0] == "Prot" || word[0] == "IP":
			continue
		case word[0] == "FWM":
			name = "fwmark " + word[1]
			if len(word) > 2 && word[2] == "IPv6" {
				name += " ipv6"
			}
		default:
			name = strings.ToLower(word[0]) + " " + word[1]
		}
		k, err := ipvs.ParseServiceKey(name)
		if err != nil {
			t.Fatal(err)
		}
		at = table[k]
	}
}

func wantTable(t testing.TB, want ipvs.Table) {
	t.Helper()
	if diff := cmp.Diff(want.String(), judged(t).String()); diff != "" {
		t.Fatalf("ipvsadm shows another table (-want +got):\n%s", diff)
	}
}

func tableOf(t testing.TB, commands string) ipvs.Table {
	t.Helper()
	k := &ipvstest.Kernel{}
	if err := k.Run(commands); err != nil {
		t.Fatal(err)
	}
	return k.Table()
}

func reconcile(t testing.TB, r *ipvs.Reconciler, desired ipvs.Table, owned ipvs.Ownership) ipvs.Result {
	t.Helper()
	res, err := r.Reconcile(context.Background(), desired, owned)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestKernelListing: the reference service looks in ipvsadm -Ln as operators know it.
func TestKernelListing(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
	reconcile(t, r, tableOf(t, `-A -t 192.168.16.200:80 -s rr
		-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
		-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 1`), nil)
	got := strings.Join(strings.Fields(shell(t, "ipvsadm -Ln | tail -n +2")), " ")
	const want = "Prot LocalAddress:Port Scheduler Flags -> RemoteAddress:Port Forward Weight ActiveConn InActConn " +
		"TCP 192.168.16.200:80 rr -> 192.168.16.103:80 Route 1 0 0 -> 192.168.16.104:80 Route 1 0 0"
	if got != want {
		t.Fatalf("ipvsadm -Ln:\n%s\nwant\n%s", got, want)
	}
}

// TestKernelSchedulers programs every scheduler with every combination of
// flags. Only a scheduler that the kernel really lacks may be missing, and
// then the error must name the module.
func TestKernelSchedulers(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
	desired := ipvs.Table{}
	port := uint16(1)
	for _, name := range ipvs.Schedulers() {
		combinations := ipvs.SchedFlags(8)
		if name == "sh" || name == "mh" {
			combinations = 4 // they have two flags, and ipvsadm shows no third
		}
		for flags := range combinations {
			k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port))
			desired[k] = ipvs.Entry{Service: ipvs.Service{Key: k, Scheduler: name, SchedFlags: flags}}
			port++
		}
	}
	_, err := r.Reconcile(context.Background(), desired, nil)
	missing := map[string]bool{}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m := regexp.MustCompile(`^add service tcp 192\.0\.2\.1:\d+: scheduler (\w+): missing kernel module: run modprobe ip_vs_(\w+): no such file or directory$`).
				FindStringSubmatch(e.Error())
			if m == nil || m[1] != m[2] || !errors.Is(e, ipvs.ErrNoModule) {
				t.Fatalf("unexpected error: %v", e)
			}
			missing[m[1]] = true
		}
	} else if err != nil {
		t.Fatal(err)
	}
	delete(missing, "twos") // newer than many kernels' configuration
	if len(missing) != 0 {
		t.Fatalf("schedulers not programmed: %v", missing)
	}
	maps.DeleteFunc(desired, func(k ipvs.ServiceKey, e ipvs.Entry) bool {
		return err != nil && e.Service.Scheduler == "twos"
	})
	wantTable(t, desired)
}

// TestKernelEverything programs one of each thing that a table can hold, then
// changes each into something else, and ipvsadm sees both.
func TestKernelEverything(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
	first := tableOf(t, `
		-A -t 192.0.2.1:80 -s wrr
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 0
		-a -t 192.0.2.1:80 -r 198.51.100.2:8080 -m -w 65535 -x 1000 -y 10
		-a -t 192.0.2.1:80 -r 198.51.100.3:80 -i -w 1
		-a -t 192.0.2.1:80 -r 198.51.100.4:80 -i -w 2 --tun-type gue --tun-port 5555 --tun-csum
		-a -t 192.0.2.1:80 -r 198.51.100.5:80 -i -w 2 --tun-type gue --tun-port 5556 --tun-remcsum
		-a -t 192.0.2.1:80 -r 198.51.100.6:80 -i -w 3 --tun-type gre
		-a -t 192.0.2.1:80 -r [2001:db8:1::1]:80 -i -w 4
		-A -t 192.0.2.1:0 -s sh -b sh-fallback,sh-port -p 300 -M 255.255.255.0
		-A -u 192.0.2.1:53 -s mh -b mh-port -o
		-A --sctp-service 192.0.2.1:2905 -s sed
		-a --sctp-service 192.0.2.1:2905 -r 198.51.100.1:2905 -m -w 7
		-A -t [2001:db8::1]:443 -s wlc -p 60 -M 64
		-a -t [2001:db8::1]:443 -r [2001:db8:1::1]:443 -g -w 1
		-a -t [2001:db8::1]:443 -r [2001:db8:1::2]:8443 -m -w 1
		-a -t [2001:db8::1]:443 -r 198.51.100.1:443 -i -w 1 --tun-type gre --tun-csum
		-A -f 2147483647 -s rr -p 2678400
		-a -f 2147483647 -r 198.51.100.1:0 -g -w 1
		-A -f 7 -6 -s nq -o
		-a -f 7 -6 -r [2001:db8:1::1]:0 -g -w 1
		-A -t 192.0.2.9:1 -s rr -p 1 -M 0.0.0.0
	`)
	second := tableOf(t, `
		-A -t 192.0.2.1:80 -s mh -b mh-fallback -p 5
		-a -t 192.0.2.1:80 -r 198.51.100.1:80 -i -w 65535 --tun-type gue --tun-port 1
		-a -t 192.0.2.1:80 -r 198.51.100.3:80 -i -w 1 --tun-type gre --tun-csum
		-a -t 192.0.2.1:80 -r 198.51.100.4:80 -i -w 2
		-a -t 192.0.2.1:80 -r 198.51.100.5:80 -g -w 2 -x 5
		-a -t 192.0.2.1:80 -r 198.51.100.6:80 -m -w 3
		-a -t 192.0.2.1:80 -r [2001:db8:1::1]:80 -i -w 0 --tun-type gue --tun-port 9
		-A -t 192.0.2.1:0 -s wlc -p 300
		-A -u 192.0.2.1:53 -s mh
		-A -t [2001:db8::1]:443 -s wlc -p 60
		-a -t [2001:db8::1]:443 -r [2001:db8:1::1]:443 -g -w 2
		-A -f 2147483647 -s rr -o
		-A -f 7 -6 -s nq -p 9 -M 1
		-A -t 192.0.2.9:1 -s rr -p 1
	`)
	owned := ipvs.Ownership{}
	for i, desired := range []ipvs.Table{first, second, first, {}} {
		res := reconcile(t, r, desired, owned)
		owned = res.Owned
		if len(res.Drift) != 0 || res.Passes != 2 {
			t.Errorf("step %d: %d passes, drift %v", i, res.Passes, res.Drift)
		}
		wantTable(t, desired)
		if res := reconcile(t, r, desired, owned); res.Applied != nil || res.Passes != 1 {
			t.Fatalf("step %d: a second reconcile applied %v", i, res.Applied)
		}
	}
}

// TestKernelPersistenceEngine: with the module the engine is set and read
// back, without it the error names the module.
func TestKernelPersistenceEngine(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
	desired := tableOf(t, "-A -u 192.0.2.1:5060 -s rr -o -p 60 --pe sip")
	_, err := r.Reconcile(context.Background(), desired, nil)
	if out, judge := sh("ipvsadm -A -u 192.0.2.2:5060 -s rr -o -p 60 --pe sip && ipvsadm -D -u 192.0.2.2:5060"); judge == nil {
		if err != nil {
			t.Fatal(err)
		}
		wantTable(t, desired)
		reconcile(t, r, tableOf(t, "-A -u 192.0.2.1:5060 -s rr -o -p 60"), nil)
		if shell(t, "ipvsadm -Sn | grep -c sip || true") != "0\n" {
			t.Fatal("the engine is still set")
		}
	} else if err == nil || !strings.Contains(err.Error(), "run modprobe -a ip_vs_rr ip_vs_pe_sip") || !errors.Is(err, ipvs.ErrNoModule) {
		t.Fatalf("ipvsadm says %q, Reconcile %v", out, err)
	}
}

// TestKernelRead: what ipvsadm wrote is read whole, beyond what moby/ipvs can.
func TestKernelRead(t *testing.T) {
	namespace(t)
	const commands = `
		ipvsadm -A -t 192.0.2.1:80 -s wlc
		ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 70000
		ipvsadm -a -t 192.0.2.1:80 -r 198.51.100.2:80 -i -w 2147483647 --tun-type gue --tun-port 6080
		ipvsadm -a -t 192.0.2.1:80 -r [2001:db8::2]:80 -i -w 1`
	shell(t, commands)
	got, err := openKernel(t).Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tableOf(t, commands).String(), got.String()); diff != "" {
		t.Fatalf("Read (-want +got):\n%s", diff)
	}
}

// TestKernelCounters counts real connections, and listens to none of them twice.
func TestKernelCounters(t *testing.T) {
	namespace(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.0.2.1/32")
	if err == nil {
		err = netlink.AddrAdd(lo, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := openKernel(t)
	reconcile(t, ipvs.NewReconciler(k), tableOf(t, `-A -t 192.0.2.1:80 -s rr
		-a -t 192.0.2.1:80 -r 192.0.2.1:80 -g -w 1`), nil)
	listener, err := net.Listen("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const connections = 5
	for range connections {
		c, err := net.DialTimeout("tcp", "192.0.2.1:80", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	key, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
	var e ipvs.Entry
	for until := time.Now().Add(20 * time.Second); e.Counters.Connections == 0 && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond) // the kernel sums up its counters every 2 s
		table, err := k.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		e = table[key]
	}
	s := e.Servers[ipvs.MakeServerKey(netip.MustParseAddrPort("192.0.2.1:80"))]
	if e.Counters.Connections != connections || s.Stats.Counters.Connections != connections ||
		s.Stats.Active != connections || s.Stats.Inactive != 0 {
		t.Errorf("service %+v\nserver %+v\nwant %d active connections\n%s", e.Counters, *s.Stats, connections, shell(t, "ipvsadm -Ln --stats"))
	}
	if e.Counters.PacketsIn < 2*connections || e.Counters.BytesIn < 40*e.Counters.PacketsIn {
		t.Errorf("counters %+v", e.Counters)
	}
}

// TestKernelDrift: what somebody changes by hand is put back and told, one
// operation for each correction, and what is not ours stays.
func TestKernelDrift(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
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
	res := reconcile(t, ipvs.NewReconciler(openKernel(t)), desired, ipvs.Ownership{earlier: {}})
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
	r := ipvs.NewReconciler(openKernel(t))
	desired := bigTable(200, 4)
	editor := exec.Command("sh", "-c", `i=0
		while :; do
			i=$(( (i + 1) % 200 ))
			ipvsadm -D -t 10.0.0.$i:80 || ipvsadm -A -t 10.0.0.$i:80 -s rr
			ipvsadm -a -t 10.0.0.$i:80 -r 198.51.100.1:80 || ipvsadm -d -t 10.0.0.$i:80 -r 10.2.0.$i:80
		done`)
	if err := editor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = editor.Process.Kill(); _ = editor.Wait() }()
	var owned ipvs.Ownership
	raced := 0
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); {
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
	_ = editor.Process.Kill()
	_ = editor.Wait()
	reconcile(t, r, desired, owned)
	wantTable(t, desired)
}

// TestKernelRandomPairs leads the kernel from one random table to another, 200
// times, with ipvsadm as the judge.
func TestKernelRandomPairs(t *testing.T) {
	const pairs = 200
	namespace(t)
	k := openKernel(t)
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
	shell(t, "ipvsadm -C\nipvsadm -R <<'E'\n"+table.String()+"E\n")
}

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
	k := openKernel(t)
	op := ipvs.Op{Kind: ipvs.AddService, Service: ipvs.Service{
		Key: ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.0.2.1:80")), Scheduler: "rr"}}
	_, readErr := k.Read(context.Background())
	for _, err := range []error{readErr, k.Apply(context.Background(), op)} {
		if !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("error %v, want EPERM that names CAP_NET_ADMIN", err)
		}
	}
}

// TestKernelRefusal: one bad server is told and does not keep the others out.
func TestKernelRefusal(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
	desired := tableOf(t, "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 1")
	good := desired.Clone()
	k, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
	bad := ipvs.MakeServerKey(netip.MustParseAddrPort("224.0.0.1:80"))
	desired[k].Servers[bad] = ipvs.Server{Key: bad, Forward: ipvs.DR, Weight: 1}
	_, err := r.Reconcile(context.Background(), desired, nil)
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "add server tcp 192.0.2.1:80 224.0.0.1:80: ") {
		t.Fatalf("error %v", err)
	}
	wantTable(t, good)
}

// TestKernelFlat: thousands of passes leave memory, descriptors and goroutines where they were.
func TestKernelFlat(t *testing.T) {
	namespace(t)
	r := ipvs.NewReconciler(openKernel(t))
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
	k := openKernel(b)
	desired := bigTable(2500, 4)
	changed := desired.Clone()
	for _, e := range changed {
		for sk, s := range e.Servers {
			s.Weight = 2
			e.Servers[sk] = s
			break
		}
		break
	}
	b.Run("ipvsadm -R", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			shell(b, "ipvsadm -C")
			b.StartTimer()
			shell(b, "ipvsadm -R <<'E'\n"+desired.String()+"E\n")
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
