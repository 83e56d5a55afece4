package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

// routers are many virtual routers on wires of their own between lvs-a, which
// is preferred, and lvs-b: on each wire the VRIDs 1 to perWire, each with as
// many addresses.
type routers struct {
	wires, perWire, addresses int
	interval                  time.Duration
}

func (r routers) String() string {
	return fmt.Sprintf("%d routers with %d addresses on %d interfaces", r.wires*r.perWire, r.addresses, r.wires)
}

// total is the count of all their addresses.
func (r routers) total() int { return r.wires * r.perWire * r.addresses }

func wireName(wire int) string { return "vrrp" + strconv.Itoa(wire) }

// address is the n-th of a virtual router; VRID 0 stands for the directors' own
// of which lvs-a has 1 and lvs-b 2.
func wireAddress(wire, vrid, n int) string { return fmt.Sprintf("10.%d.%d.%d", 64+wire, vrid, n) }

// lay connects the two directors.
func (r routers) lay(t testing.TB, l *lab.Lab) {
	t.Helper()
	for w := range r.wires {
		run(t, l, lab.LVSA, "ip", "link", "add", wireName(w), "type", "veth", "peer", "name", wireName(w), "netns", l.Namespace(lab.LVSB))
		for n, node := range []string{lab.LVSA, lab.LVSB} {
			run(t, l, node, "ip", "address", "add", wireAddress(w, 0, n+1)+"/16", "dev", wireName(w))
			run(t, l, node, "ip", "link", "set", wireName(w), "up")
		}
	}
}

// toml is the configuration of both directors.
func (r routers) toml(dir string) string {
	var b strings.Builder
	a, z := lab.PathsIn(dir, lab.LVSA), lab.PathsIn(dir, lab.LVSB)
	fmt.Fprintf(&b, "[global]\n")
	for _, p := range [][3]string{{"control_socket", a.Socket, z.Socket}, {"runtime_dir", a.Runtime, z.Runtime}, {"state_dir", a.State, z.State}} {
		fmt.Fprintf(&b, "%s = { %s = %q, %s = %q }\n", p[0], lab.LVSA, p[1], lab.LVSB, p[2])
	}
	r.each(func(wire, vrid int, addresses []string) {
		fmt.Fprintf(&b, "\n[[vrrp_instance]]\nname = \"VI_%d_%d\"\ninterface = %q\nvirtual_router_id = %d\npriority = { %s = 150, %s = 100 }\nadvert_int = %q\nvirtual_ipaddress = [\"%s\"]\n",
			wire, vrid, wireName(wire), vrid, lab.LVSA, lab.LVSB, r.interval, strings.Join(addresses, "\", \""))
	})
	return b.String()
}

// keepalived is the same for keepalived; global are lines of global_defs.
func (r routers) keepalived(priority int, global string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n    vrrp_version 3\n    script_user root\n    %s\n}\n", global)
	r.each(func(wire, vrid int, addresses []string) {
		fmt.Fprintf(&b, "vrrp_instance VI_%d_%d {\n    state BACKUP\n    interface %s\n    virtual_router_id %d\n    priority %d\n    advert_int %g\n    virtual_ipaddress {\n        %s\n    }\n}\n",
			wire, vrid, wireName(wire), vrid, priority, r.interval.Seconds(), strings.Join(addresses, "\n        "))
	})
	return b.String()
}

func (r routers) each(f func(wire, vrid int, addresses []string)) {
	for w := range r.wires {
		for vrid := 1; vrid <= r.perWire; vrid++ {
			var addresses []string
			for n := 1; n <= r.addresses; n++ {
				addresses = append(addresses, wireAddress(w, vrid, n)+"/16")
			}
			f(w, vrid, addresses)
		}
	}
}

// held counts the virtual addresses that a node has.
func (r routers) held(t testing.TB, l *lab.Lab, node string) int {
	t.Helper()
	n := 0 // those of VRID 0 are the directors' own
	err := l.In(node, func() error {
		for w := range r.wires {
			ifi, err := net.InterfaceByName(wireName(w))
			if err != nil {
				return err
			}
			all, err := ifi.Addrs()
			if err != nil {
				return err
			}
			for _, a := range all {
				if p, ok := a.(*net.IPNet); ok && p.IP.To4() != nil && p.IP.To4()[2] != 0 {
					n++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitHeld returns how long it took until the node had every address, or none.
func (r routers) awaitHeld(t testing.TB, l *lab.Lab, node string, want int) time.Duration {
	t.Helper()
	begun := time.Now()
	within(t, fmt.Sprintf("%s to hold %d addresses", node, want), func() string {
		if n := r.held(t, l, node); n != want {
			return fmt.Sprintf("it has %d", n)
		}
		return ""
	})
	return time.Since(begun)
}

// runKeepalived starts the VRRP half of Debian's package with a configuration in
// a node and ends it with the test.
func runKeepalived(t testing.TB, l *lab.Lab, node, text string) {
	t.Helper()
	runKeepalivedHalf(t, l, node, "-P", text)
}

// runKeepalivedHalf starts one half, -P for VRRP or -C for IPVS and its checks.
func runKeepalivedHalf(t testing.TB, l *lab.Lab, node, half, text string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runKeepalivedFile(t, l, node, half, conf)
}

// runKeepalivedFile is runKeepalivedHalf with a configuration that the caller has written.
func runKeepalivedFile(t testing.TB, l *lab.Lab, node, half, conf string) {
	t.Helper()
	dir := t.TempDir()
	logFile := filepath.Join(dir, "log")
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := l.Command(ctx, "keepalived", "-n", "-l", half, "-f", conf, "-p", filepath.Join(dir, "pid"),
		"-r", filepath.Join(dir, "vrrp.pid"), "-c", filepath.Join(dir, "checkers.pid"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := l.Start(node, cmd); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // its end was ours
		if raw, err := os.ReadFile(logFile); t.Failed() && err == nil {
			t.Logf("keepalived on %s:\n%s", node, raw[max(0, len(raw)-4000):])
		}
	})
}

// process is one that runs in a node.
type process struct {
	pid     int
	speaker bool // Baton's process for VRRP
	prober  bool // Baton's process for health checks
	parent  int  // pid
}

// processes returns those in a node's network namespace.
func processes(t testing.TB, l *lab.Lab, node string) []process {
	t.Helper()
	var want unix.Stat_t
	if err := unix.Stat(filepath.Join("/run/netns", l.Namespace(node)), &want); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []process
	for _, name := range names {
		var have unix.Stat_t
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil || pid == os.Getpid() || unix.Stat(name+"/ns/net", &have) != nil || have.Ino != want.Ino || have.Dev != want.Dev {
			continue
		}
		line, err := os.ReadFile(name + "/cmdline")
		if err != nil || len(line) == 0 { // ended since
			continue
		}
		stat, err := os.ReadFile(name + "/stat")
		if err != nil {
			continue
		}
		parent, err := strconv.Atoi(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, process{pid: pid, parent: parent,
			speaker: bytes.Contains(line, []byte("\x00speaker\x00")), prober: bytes.Contains(line, []byte("\x00prober\x00"))})
	}
	if len(out) == 0 {
		t.Fatalf("nothing runs in %s", node)
	}
	return out
}

// kill ends all processes of a node at once: they are stopped first, and the
// parents, which are older, killed last, since the kernel continues stopped
// orphans.
func kill(t testing.TB, l *lab.Lab, node string) {
	t.Helper()
	all := processes(t, l, node)
	slices.SortFunc(all, func(a, b process) int { return b.pid - a.pid })
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, p := range all {
			if err := syscall.Kill(p.pid, sig); err != nil && err != syscall.ESRCH {
				t.Fatalf("kill process %d: %v", p.pid, err)
			}
		}
	}
}

// usage is what processes have used so far.
type usage struct {
	cpu      time.Duration
	rss, pss int // KiB
}

func (u usage) minus(v usage) usage { u.cpu -= v.cpu; return u }

// used adds up what the kernel counted for some processes.
func used(t testing.TB, of []process, match func(process) bool) usage {
	t.Helper()
	var u usage
	for _, p := range of {
		if !match(p) {
			continue
		}
		// The clock of a process's CPU time; statistics in /proc count whole ticks.
		var used unix.Timespec
		if err := unix.ClockGettime(int32(^p.pid<<3|2), &used); err != nil {
			t.Fatalf("read the CPU time of process %d: %v", p.pid, err)
		}
		u.cpu += time.Duration(used.Nano())
		u.rss += memory(t, p.pid, "Rss:")
		u.pss += memory(t, p.pid, "Pss:")
	}
	return u
}

// memory reads a field of /proc/PID/smaps_rollup, in KiB.
func memory(t testing.TB, pid int, field string) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "\n"+field)
	if !ok {
		t.Fatalf("process %d: no %s in %s", pid, field, raw)
	}
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func every(process) bool { return true }
