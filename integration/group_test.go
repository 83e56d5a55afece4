package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

// manyInterfaces gives a director a VLAN and a bond of two cables to the switch.
func manyInterfaces(t *testing.T, l *lab.Lab, node string, last int) {
	t.Helper()
	ip := func(in string, args ...string) { t.Helper(); run(t, l, in, "ip", args...) }
	ip(node, "link", "add", "link", lab.LANInterface, "name", "eth0.10", "type", "vlan", "id", "10")
	ip(node, "link", "set", "eth0.10", "up")
	ip(node, "address", "add", fmt.Sprintf("10.10.0.%d/24", last), "dev", "eth0.10")
	ip(node, "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "20")
	for _, slave := range []string{"s0", "s1"} {
		port := node + slave
		ip(lab.SwitchNode, "link", "add", port, "type", "veth", "peer", "name", slave, "netns", l.Namespace(node))
		ip(lab.SwitchNode, "link", "set", port, "master", "br0", "up")
		ip(node, "link", "set", slave, "master", "bond0")
	}
	ip(node, "link", "set", "bond0", "up")
	ip(node, "address", "add", fmt.Sprintf("10.20.0.%d/24", last), "dev", "bond0")
}

// script writes a program for notify and track commands.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestGroupsScriptsAndInterfaces is faults 17 and 18, with several instances on
// an interface, a VLAN, a bond, routes and rules, everything that can be tracked,
// and notify commands.
func TestGroupsScriptsAndInterfaces(t *testing.T) {
	dir, err := os.MkdirTemp("/run", "baton-scripts-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The prober's user is to read in it.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Each director's namespace has other addresses, by which a script knows it.
	told := script(t, dir, "told", `node=b; ip -o address | grep -q '10.20.0.2/' && node=a
echo "$@ from=$BATON_FROM reason=$BATON_REASON" >>`+dir+`/told-$node
`)
	stuck := script(t, dir, "stuck", "sleep 7777 &\nsleep 7777\n")
	check := script(t, dir, "check", `ip -o address | grep -q '10.20.0.2/' || exit 0
case $(cat `+dir+`/mode) in
hang) yes flood | head -c 3000000; sleep 8888 & sleep 8888;;
signal) kill -SEGV $$;;
esac
exit 0
`)
	mode := func(m string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "mode"), []byte(m), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mode("well")
	number := func(n string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "number"), []byte(n+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	number("0")
	l := start(t, lab.Options{
		Directors: []string{}, AdvertInterval: 250 * time.Millisecond,
		GlobalTOML: `script_user = "root"`,
		ExtraTOML: fmt.Sprintf(`
[[vrrp_sync_group]]
name = "VG"
group = ["VI_1", "VLAN"]
notify = %[1]q

[[vrrp_instance]]
name = "VLAN"
interface = "eth0.10"
virtual_router_id = 70
priority = { lvs-a = 150, lvs-b = 100 }
advert_int = "250ms"
virtual_ipaddress = ["10.10.0.200/24"]

[[vrrp_instance]]
name = "SECOND"
interface = "eth0"
virtual_router_id = 52
priority = { lvs-a = 150, lvs-b = 100 }
advert_int = "250ms"
virtual_ipaddress = ["192.168.16.201/24"]
virtual_ipaddress_excluded = ["192.168.16.202/24"]
virtual_routes = ["192.0.2.0/24 via 192.168.16.101 dev eth0 table 100"]
virtual_rules = ["from 192.168.16.201 priority 1100 table 100"]

[[vrrp_instance]]
name = "BOND"
interface = "bond0"
virtual_router_id = 71
priority = { lvs-a = 150, lvs-b = 100 }
advert_int = "250ms"
virtual_ipaddress = ["10.20.0.200/24"]
track_script = ["check"]
notify_master = [%[1]q, "on-master"]
notify_backup = { script = [%[2]q], timeout = "1s" }
notify_fault = [%[1]q, "on-fault"]
notify = %[1]q

[[vrrp_instance]]
name = "WEIGHED"
interface = "eth0"
virtual_router_id = 53
priority = { lvs-a = 150, lvs-b = 100 }
advert_int = "250ms"
virtual_ipaddress = ["192.168.16.203/24"]
track_interface = [{ name = "eth0.10", weight = { lvs-a = -60, lvs-b = -1 } }]
track_file = ["number"]
track_process = ["sleeper"]
track_virtual_server = [{ name = "192.168.16.200:80", weight = { lvs-a = -60, lvs-b = -1 } }]

[[vrrp_script]]
name = "check"
script = %[3]q
interval = "3s"

[[vrrp_track_file]]
name = "number"
file = "%[4]s/number"
weight = { lvs-a = -20, lvs-b = -1 }

[[vrrp_track_process]]
name = "sleeper"
process = "sleep"
args = ["6666"]
weight = { lvs-a = -60, lvs-b = -1 }
`, told, stuck, check, dir),
	})
	for node, last := range map[string]int{lab.LVSA: 2, lab.LVSB: 12} {
		manyInterfaces(t, l, node, last)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if err := l.StartDirector(ctx, node); err != nil {
			t.Fatal(err)
		}
	}
	// are waits for the states of instances of both directors.
	are := func(what string, onA, onB map[string]string) {
		t.Helper()
		within(t, what, func() string {
			for node, want := range map[string]map[string]string{lab.LVSA: onA, lab.LVSB: onB} {
				st, err := l.DirectorStatus(ctx, node)
				if err != nil {
					return err.Error()
				}
				for _, i := range st.Instances {
					if w := want[i.Name]; w != "" && i.State != w {
						return fmt.Sprintf("%s on %s is %s (%s), want %s", i.Name, node, i.State, i.Reason, w)
					}
				}
			}
			return ""
		})
	}
	sleeper := sleeping(t)
	type states = map[string]string
	masters, backups := states{"VI_1": "MASTER", "VLAN": "MASTER", "SECOND": "MASTER", "BOND": "MASTER", "WEIGHED": "MASTER"},
		states{"VI_1": "BACKUP", "VLAN": "BACKUP", "SECOND": "BACKUP", "BOND": "BACKUP", "WEIGHED": "BACKUP"}
	are("lvs-a to be master of all", masters, backups)
	stop := load(t, l)

	t.Run("sync group", func(t *testing.T) {
		run(t, l, lab.LVSA, "ip", "link", "set", "eth0.10", "down")
		are("the group to move, and nobody else", states{"VLAN": "FAULT", "VI_1": "FAULT", "SECOND": "MASTER", "BOND": "MASTER"},
			states{"VLAN": "MASTER", "VI_1": "MASTER", "SECOND": "BACKUP", "BOND": "BACKUP"})
		holds(t, l, lab.LVSB)
		run(t, l, lab.LVSA, "ip", "link", "set", "eth0.10", "up")
		are("the group to move back", masters, backups)
		within(t, "the group's notify commands", func() string {
			raw, _ := os.ReadFile(filepath.Join(dir, "told-a"))
			// A group has no priority: it says 0, as keepalived does.
			for _, want := range []string{"GROUP VG FAULT 0 from=MASTER", "GROUP VG MASTER 0 from=BACKUP"} {
				if !strings.Contains(string(raw), want) {
					return fmt.Sprintf("%q is not in\n%s", want, raw)
				}
			}
			return ""
		})
	})

	t.Run("routes and rules", func(t *testing.T) {
		for node, want := range map[string]bool{lab.LVSA: true, lab.LVSB: false} {
			// A table that has never had a route is an error.
			routes, _ := l.Run(ctx, node, "ip", "route", "show", "table", "100")
			if got := strings.Contains(routes, "192.0.2.0/24 via 192.168.16.101"); got != want {
				t.Errorf("%s: the route is there: %v; %s", node, got, routes)
			}
			rules := run(t, l, node, "ip", "rule")
			if got := strings.Contains(rules, "from 192.168.16.201 lookup 100"); got != want {
				t.Errorf("%s: the rule is there: %v; %s", node, got, rules)
			}
			if got := strings.Contains(run(t, l, node, "ip", "address"), "192.168.16.202/24"); got != want {
				t.Errorf("%s: the excluded address is there: %v", node, got)
			}
		}
	})

	t.Run("bond", func(t *testing.T) {
		before := len(logged(t, l, lab.LVSA, event.VRRPTransition))
		run(t, l, lab.SwitchNode, "ip", "link", "set", lab.LVSA+"s0", "down")
		within(t, "the bond to use its other cable", func() string {
			if out := run(t, l, lab.LVSA, "cat", "/sys/class/net/bond0/bonding/active_slave"); strings.TrimSpace(out) != "s1" {
				return "it uses " + out
			}
			return ""
		})
		for _, e := range logged(t, l, lab.LVSA, event.VRRPTransition)[before:] {
			t.Errorf("a transition when one cable of the bond was pulled: %v", e.Fields)
		}
		run(t, l, lab.SwitchNode, "ip", "link", "set", lab.LVSA+"s1", "down")
		are("the bond to have failed", states{"BOND": "FAULT", "SECOND": "MASTER"}, states{"BOND": "MASTER"})
		for _, slave := range []string{"s0", "s1"} {
			run(t, l, lab.SwitchNode, "ip", "link", "set", lab.LVSA+slave, "up")
		}
		are("the bond to work", masters, backups)
	})

	for _, how := range []string{"hang", "signal"} {
		t.Run("tracked script: "+how, func(t *testing.T) {
			before := len(logged(t, l, lab.LVSA, event.ScriptFailed))
			mode(how)
			are("the script's failure to count", states{"BOND": "FAULT", "VI_1": "MASTER"}, states{"BOND": "MASTER"})
			mode("well")
			are("the script to pass", masters, backups)
			lines := logged(t, l, lab.LVSA, event.ScriptFailed)
			if n := len(lines) - before; n < 1 || n > 3 {
				t.Errorf("%d lines about it", n)
			}
			within(t, "its children to be gone", func() string {
				return running("8888")
			})
		})
	}

	// What is tracked with a weight takes lvs-a below lvs-b, which it takes down
	// as well, but less.
	for _, x := range []struct {
		what     string
		breaks   func()
		mends    func()
		onB, onA int
	}{
		{"interface", func() { run(t, l, lab.LVSA, "ip", "link", "set", "eth0.10", "down") },
			func() { run(t, l, lab.LVSA, "ip", "link", "set", "eth0.10", "up") }, 100, 90},
		{"file", func() { number("3") }, func() { number("0") }, 97, 90},
		{"process", func() { sleeper.stop() }, func() { sleeper = sleeping(t) }, 99, 90},
		{"virtual server", func() { serve(t, l, lab.Refuse) }, func() { serve(t, l, lab.Answer) }, 99, 90},
	} {
		t.Run("tracked "+x.what, func(t *testing.T) {
			x.breaks()
			are("the weight to count", states{"WEIGHED": "BACKUP", "SECOND": "MASTER"}, states{"WEIGHED": "MASTER"})
			for node, want := range map[string]int{lab.LVSA: x.onA, lab.LVSB: x.onB} {
				within(t, "the priority on "+node, func() string {
					st, err := l.DirectorStatus(ctx, node)
					if err != nil {
						return err.Error()
					}
					for _, i := range st.Instances {
						if i.Name == "WEIGHED" && int(i.EffectivePriority) != want {
							return fmt.Sprintf("it is %d, want %d: %+v", i.EffectivePriority, want, i.Tracks)
						}
					}
					return ""
				})
			}
			x.mends()
			are("the weight to count no longer", masters, backups)
		})
	}

	t.Run("notify", func(t *testing.T) {
		// lvs-b became BACKUP more than once: its command hangs, and is killed.
		within(t, "the stuck commands to be killed", func() string { return running("7777") })
		if len(logged(t, l, lab.LVSB, event.NotifyFailed)) == 0 {
			t.Error("nobody has told of the command that hangs")
		}
		raw, err := os.ReadFile(filepath.Join(dir, "told-a"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, "on-") || strings.Contains(line, "BOND") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		// The bond's fault: its own command first, then the general one.
		i := slices.Index(got, "on-fault from=MASTER reason=link down")
		if i < 0 || i+1 >= len(got) || got[i+1] != "INSTANCE BOND FAULT 150 from=MASTER reason=link down" {
			t.Errorf("the commands on lvs-a wrote\n%s", strings.Join(got, "\n"))
		}
	})
	if r := stop(); r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
		t.Errorf("answers came from %v", r.Answers)
	}
}

// sleeper is a process for the directors to look for.
type sleeper struct{ stop func() }

func sleeping(t *testing.T) *sleeper {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "6666")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed by us
	})
	t.Cleanup(stop)
	return &sleeper{stop}
}

// serve puts both real servers into a mode.
func serve(t *testing.T, l *lab.Lab, m lab.Mode) {
	t.Helper()
	for _, rs := range []string{lab.RS1, lab.RS2} {
		if err := l.SetServer(t.Context(), rs, m); err != nil {
			t.Fatal(err)
		}
	}
}

// running names a process of the machine that was started as sleep SECONDS.
func running(seconds string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(raw), "sleep\x00"+seconds) {
			return f + " runs"
		}
	}
	return ""
}
