//go:build linux && kernel

package ipvs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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

// kernelHas says whether the running kernel has a module: in use, built in, or
// as a file that modprobe finds.
func kernelHas(t testing.TB, module string) bool {
	t.Helper()
	if _, err := os.Stat("/sys/module/" + module); err == nil {
		return true
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"modules.builtin", "modules.dep"} {
		raw, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(uts.Release[:]), index))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("/"+module+".ko")) {
			return true
		}
	}
	return false
}

func ipvsadm(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("ipvsadm", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ipvsadm %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// judged is the table as ipvsadm sees it. It saves no thresholds and lists
// them in another format, so they are read there.
func judged(t testing.TB) ipvs.Table {
	t.Helper()
	k := &ipvstest.Kernel{}
	if err := k.Run(ipvsadm(t, "", "-S", "-n")); err != nil {
		t.Fatal(err)
	}
	k.Edit(func(table ipvs.Table) {
		if len(table) > 0 {
			readThresholds(t, table, ipvsadm(t, "", "-L", "-n", "--thresholds"))
		}
	})
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
			s, _ := at.Servers.Get(sk)
			if _, err := fmt.Sscan(m[2], &s.UpperThreshold); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscan(m[3], &s.LowerThreshold); err != nil {
				t.Fatal(err)
			}
			at.Servers.Put(s)
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
