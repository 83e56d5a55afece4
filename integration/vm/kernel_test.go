//go:build linux && kernel

package vm

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func shell(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

// inNamespace runs a script in a fresh network namespace, so that the test
// leaves nothing behind on a running kernel.
func inNamespace(t *testing.T, script string) string {
	t.Helper()
	return shell(t, "ip netns add vmtest; trap 'ip netns del vmtest' EXIT; ip netns exec vmtest sh -ec '"+script+"'")
}

func TestEveryToolRuns(t *testing.T) {
	for name, args := range map[string]string{
		"ip": "-V", "tc": "-V", "bridge": "-V", "ss": "-V", "ipvsadm": "-Ln", "keepalived": "--help",
		"nft": "--version", "nginx": "-v", "tcpdump": "--version", "dnsmasq": "--version",
		"dpkg": "--version", "dpkg-deb": "--version", "dpkg-split": "--version", "tar": "--version", "systemd-sysusers": "--version",
		"rpm": "-E %_vendor | grep debian", "rpmkeys": "--version", "systemctl": "--version", "journalctl": "--version",
		"systemd-analyze": "unit-paths | grep /etc/systemd/system", // which needs no systemd that runs
		"smtpd":           "-h 2>&1 | grep OpenSMTPD",              // it has no other way that needs no user, and that one ends with 1
	} {
		if _, ok := Tools[name]; !ok {
			t.Errorf("%s is none of Tools", name)
		}
		shell(t, name+" "+args)
	}
	if len(Tools) != 21 {
		t.Errorf("there are %d Tools, this test knows 21", len(Tools))
	}
}

func TestSchedulersAndForwarding(t *testing.T) {
	for _, s := range strings.Fields("rr wrr lc wlc lblc lblcr sh mh dh fo ovf sed nq") {
		out := inNamespace(t, "ip link set lo up; ipvsadm -A -t 192.0.2.1:80 -s "+s+
			"; ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.2 -g; ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.3 -i; ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.4 -m; ipvsadm -Ln")
		for _, want := range []string{"TCP  192.0.2.1:80 " + s, "Route", "Tunnel", "Masq"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in %s", s, want, out)
			}
		}
	}
}

func TestDevicesQueuesAndRules(t *testing.T) {
	inNamespace(t, `ip link add v0 type veth peer name v1
		ip link add br0 type bridge
		ip link add m0 link v0 type macvlan mode private
		ip link add d0 type dummy
		ip link add v0.7 link v0 type vlan id 7
		ip link add t1 type ipip local 192.0.2.1 remote 192.0.2.2
		ip link add g1 type gre local 192.0.2.1 remote 192.0.2.2
		ip fou add port 5555 gue
		ip link add b0 type bond
		tc qdisc add dev v0 root netem delay 1ms loss 30%
		tc qdisc add dev v1 root tbf rate 1mbit burst 10k latency 10ms
		tc qdisc add dev d0 root sfq # a module that nobody has loaded: the kernel does
		nft add table ip t
		nft add chain ip t c "{ type filter hook input priority 101; }"
		nft add rule ip t c ip daddr 192.0.2.1 tcp flags != syn dup to 192.0.2.2 device v0 drop
		nft add rule ip t c ct state new counter`)
}

// TestTcpdumpCaptures: it drops its privileges to a user of its own first.
func TestTcpdumpCaptures(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tcpdump", "-ni", "lo", "-c", "1", "udp port 9")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for tick := time.Tick(50 * time.Millisecond); ; {
		select {
		case err := <-done:
			if err != nil || !strings.Contains(out.String(), "127.0.0.1.9: UDP") {
				t.Errorf("%v: %s", err, &out)
			}
			return
		case <-tick:
			_, _ = conn.Write([]byte("x")) // refused until the capture runs: nobody listens
		}
	}
}
