//go:build linux && kernel

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/nstest"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// host is what there is before anything is planned.
const host = `ip link set lo up; ip link add eth0 type dummy; sysctl -qw net.ipv6.conf.eth0.accept_dad=0
		ip address add 192.168.16.102/24 dev eth0; ip -6 address add 2001:db8::102/64 dev eth0; ip link set eth0 up`

// owned writes down that every service is ours, as the director does.
func owned(t *testing.T, dir string) {
	t.Helper()
	k := ipvstest.OpenKernel(t)
	table, err := k.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(ipvs.Ownership{}.With(table))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ipvs-owned.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// recorded writes down what is about to be set and started, as the director
// does: without that what runs is somebody else's.
func recorded(t *testing.T, dir, file string) {
	t.Helper()
	cfg, err := conf.Load(file, "")
	if err != nil {
		t.Fatal(err)
	}
	k := ipvstest.OpenKernel(t)
	rec, err := settings.ReadRecord(settings.RecordFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	state, err := settings.On(k).Read(context.Background(), cfg.IPVS, rec)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := settings.Plan(cfg.IPVS, state, rec).Record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings.RecordFile(dir), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// everyScheduler is a service with each of them but twos, which many kernels
// do not have.
func everyScheduler() string {
	var b strings.Builder
	for i, s := range ipvs.Schedulers() {
		if s == "twos" {
			continue
		}
		fmt.Fprintf(&b, "[[virtual_server]]\naddress = \"192.168.16.200:%d\"\nlb_algo = %q\nlb_kind = \"DR\"\n"+
			"[[virtual_server.real_server]]\naddress = \"192.168.16.103\"\nweight = %d\n", 8000+i, s, i*5041)
	}
	return b.String()
}

// planned are configurations that have, one or the other, everything that a
// service, a server and IPVS can have.
var planned = []struct{ name, toml string }{
	{"nothing", ""},
	{"schedulers", everyScheduler()},
	{"services", `
[[virtual_server_group]]
name = "web"
addresses = ["192.168.16.200-201:80", "192.168.16.210:9000-9001"]
fwmark = 7
[[virtual_server]]
virtual_server_group = "web"
lb_algo = "sh"
lb_kind = "DR"
sh-port = true
sh-fallback = true
sorry_server = "192.168.16.250"
sorry_server_inhibit = true
[[virtual_server.real_server]]
address = "192.168.16.103"
weight = 65535
uthreshold = 2000
lthreshold = 1500
[[virtual_server.real_server]]
address = "192.168.16.104"
weight = 0
[[virtual_server]]
address = "192.168.16.200:53"
protocol = "UDP"
ops = true
lb_algo = "rr"
lb_kind = "NAT"
[[virtual_server.real_server]]
address = "192.168.16.103:5353"
[[virtual_server]]
address = "192.168.16.200:38412"
protocol = "SCTP"
lb_kind = "NAT"
[[virtual_server.real_server]]
address = "192.168.16.105:38412"
`},
	{"six and tunnels", `
[[virtual_server]]
address = "[2001:db8::200]:80"
persistence_timeout = "5m"
persistence_granularity = "64"
lb_kind = "TUN"
[[virtual_server.real_server]]
address = "[2001:db8::103]:80"
[[virtual_server.real_server]]
address = "192.168.16.104:80"
lb_kind = "TUN"
[[virtual_server.real_server]]
address = "[2001:db8::105]:80"
lb_kind = "DR"
[[virtual_server]]
fwmark = 9
ip_family = "inet6"
lb_kind = "DR"
[[virtual_server.real_server]]
address = "2001:db8::103"
[[virtual_server]]
address = "192.168.16.200:80"
lb_kind = "TUN"
tun_type = "gue"
tun_port = 5555
tun_csum = "remcsum"
[[virtual_server.real_server]]
address = "192.168.16.103:80"
[[virtual_server.real_server]]
address = "192.168.16.104:80"
tun_type = "gre"
tun_csum = "csum"
[[virtual_server.real_server]]
address = "192.168.16.105:80"
lb_kind = "DR"
`},
	{"settings and network", `
[ipvs]
expire_nodest_conn = true
sync_threshold = [3, 10]
[ipvs.lvs_timeouts]
tcp = "10m"
udp = "1m"
[ipvs.lvs_sync_daemon]
maxlen = 1400
port = 8849
ttl = 2
group = "224.0.0.82"
[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
priority = 150
virtual_ipaddress = ["192.168.16.200/24", { address = "192.168.16.201/32", label = "eth0:vip" }]
virtual_ipaddress_excluded = ["2001:db8::200/128", "2001:db8:1::1/64"]
virtual_routes = [{ to = "203.0.113.0/24", via = "192.168.16.1", src = "192.168.16.200", table = 100, metric = 5, mtu = 1400 },
	{ to = "198.51.100.0/24", dev = "eth0" }, { to = "2001:db8:2::/64", via = "2001:db8::1" }, { to = "0.0.0.0/0", via = "192.168.16.1", table = 101 }]
virtual_rules = [{ from = "192.168.16.200/32", priority = 1000, table = 100 }, { to = "2001:db8:2::/64", fwmark = 7, priority = 1001, table = 100 }]
[[virtual_server]]
address = "192.168.16.200:80"
lb_algo = "wrr"
lb_kind = "DR"
[[virtual_server.real_server]]
address = "192.168.16.103:80"
weight = 3
`},
}

// withSIP is for a kernel that has this engine: ipvsadm is asked.
const withSIP = `
[[virtual_server]]
address = "192.168.16.200:5060"
protocol = "UDP"
persistence_timeout = "90s"
persistence_granularity = "255.255.255.0"
persistence_engine = "sip"
lb_algo = "mh"
mh-port = true
lb_kind = "DR"
[[virtual_server.real_server]]
address = "192.168.16.103:5060"
`

// restored brings the table back from what baton save prints.
func restored(t *testing.T) {
	t.Helper()
	save := func() string {
		var out, complaint bytes.Buffer
		if code := run([]string{"save"}, &out, &complaint); code != exitDone {
			t.Fatalf("save: exit code %d: %s", code, &complaint)
		}
		return out.String()
	}
	was, saved := nstest.Shell(t, "ipvsadm -Sn"), save()
	nstest.Shell(t, "ipvsadm -C; ipvsadm -R <<'END'\n"+saved+"END\n")
	if is, again := nstest.Shell(t, "ipvsadm -Sn"), save(); is != was || again != saved {
		t.Errorf("saved\n%s\nrestored\n%s\nipvsadm -Sn was\n%s\nis\n%s", saved, again, was, is)
	}
}

// TestKernelPlanPasted: what a plan prints, run by a shell, leads to where the
// next plan finds nothing to do: from nothing, from one configuration to another,
// and back to nothing.
func TestKernelPlanPasted(t *testing.T) {
	nstest.Unshare(t, host)
	dir := t.TempDir()
	socket := filepath.Join(dir, "c.sock")
	stop, err := listen(socket, &answers{Status: control.Status{Instances: []control.Instance{{Name: "VI_1", State: "MASTER", Interface: "eth0"}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	file := func(i int) string { return filepath.Join(dir, fmt.Sprint(i, ".toml")) }
	sip := exec.Command("ipvsadm", "-A", "-u", "192.0.2.1:1", "-s", "mh", "-p", "60", "--pe", "sip").Run() == nil
	nstest.Shell(t, "ipvsadm -C")
	for i, c := range planned {
		if sip && c.name == "services" {
			c.toml += withSIP
		}
		head := fmt.Sprintf("[global]\nrouter_id = \"lvs-a\"\nstate_dir = %q\nruntime_dir = %q\n", dir, dir)
		if err := os.WriteFile(file(i), []byte(head+c.toml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	make := func(i int) (commands string, code int) {
		var out, notes bytes.Buffer
		code = run([]string{"plan", "-c", file(i), "--socket", socket}, &out, &notes)
		if code != exitDone && code != exitChanges {
			t.Fatalf("%s: exit code %d: %s", planned[i].name, code, &notes)
		}
		return out.String(), code
	}
	others := func() string {
		return nstest.Shell(t, `ipvsadm -Sn; ipvsadm -L --timeout; ipvsadm -L --daemon; sysctl net.ipv4.vs.expire_nodest_conn net.ipv4.vs.sync_threshold
			ip route show table all proto 113; ip rule; ip -6 rule`)
	}
	begin := others()
	at := 0
	for _, next := range []int{1, 2, 3, 4, 2, 0} {
		t.Logf("from %s to %s", planned[at].name, planned[next].name)
		commands, code := make(next)
		if code != exitChanges {
			t.Errorf("exit code %d with a difference", code)
		}
		recorded(t, dir, file(next))
		nstest.Shell(t, commands)
		if rest, code := make(next); code != exitDone {
			t.Errorf("exit code %d: after\n%s there remains\n%s", code, commands, rest)
		}
		owned(t, dir)
		restored(t)
		at = next
	}
	if end := others(); end != begin {
		t.Errorf("at the end there is\n%s\nat the beginning there was\n%s", end, begin)
	}
}
