//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelDaemons starts and stops both daemons with every parameter, which
// ipvsadm -L --daemon shows; what it starts is read.
func TestKernelDaemons(t *testing.T) {
	namespace(t)
	ctx := context.Background()
	k := ipvstest.OpenKernel(t)
	shell(t, `ip link add sync0 type dummy; ip address add 192.0.2.9/24 dev sync0
		sysctl -qw net.ipv6.conf.sync0.accept_dad=0; ip link set sync0 up`)
	plain := ipvs.SyncDaemon{Interface: "sync0", SyncID: 51}
	group4 := ipvs.SyncDaemon{Interface: "sync0", SyncID: 255, MaxLen: 1400, Port: 8849, TTL: 3, Group: netip.MustParseAddr("224.0.0.82")}
	group6 := ipvs.SyncDaemon{Interface: "sync0", SyncID: 1, MaxLen: 65535, Port: 9000, TTL: 64, Group: netip.MustParseAddr("ff02::81")}
	for _, c := range []struct {
		master, backup ipvs.SyncDaemon
		byHand         bool // with the printed command
		shown          []string
	}{
		{plain, plain, true, []string{
			"master sync daemon (mcast=sync0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)",
			"backup sync daemon (mcast=sync0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"}},
		{group4, group6, false, []string{
			"master sync daemon (mcast=sync0, syncid=255, maxlen=1400, group=224.0.0.82, port=8849, ttl=3)",
			"backup sync daemon (mcast=sync0, syncid=1, maxlen=65487, group=ff02::81, port=9000, ttl=64)"}},
	} {
		asked := map[ipvs.DaemonRole]ipvs.SyncDaemon{ipvs.DaemonMaster: c.master, ipvs.DaemonBackup: c.backup}
		for role, d := range asked {
			if c.byHand {
				shell(t, role.StartCommand(d))
			} else if err := k.StartDaemon(ctx, role, d); err != nil {
				t.Fatalf("%s: %v", role.StartCommand(d), err)
			}
		}
		got := strings.Split(strings.TrimSpace(shell(t, "ipvsadm -L --daemon")), "\n")
		slices.Sort(got)
		want := slices.Sorted(slices.Values(c.shown))
		if !slices.Equal(got, want) {
			t.Errorf("ipvsadm -L --daemon:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		running, err := k.Daemons(ctx)
		if err != nil || len(running) != 2 {
			t.Fatalf("daemons %+v, error %v", running, err)
		}
		for role, d := range asked {
			if !d.MetBy(role, running[role]) || d.MetBy(role, ipvs.SyncDaemon{}) {
				t.Errorf("%v asked for %+v, runs %+v", role, d, running[role])
			}
			if err := k.StartDaemon(ctx, role, d); !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), role.StopCommand()) {
				t.Errorf("start of a second %v: %v", role, err)
			}
			if err := k.StopDaemon(ctx, role); err != nil {
				t.Errorf("stop %v: %v", role, err)
			}
			if err := k.StopDaemon(ctx, role); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("stop of none: %v", err)
			}
		}
	}
	if out := shell(t, "ipvsadm -L --daemon"); out != "" {
		t.Errorf("after the stop: %s", out)
	}
}

// TestKernelDaemonRefusals: each says what to do about it.
func TestKernelDaemonRefusals(t *testing.T) {
	namespace(t)
	ctx := context.Background()
	k := ipvstest.OpenKernel(t)
	if err := k.StartDaemon(ctx, ipvs.DaemonMaster, ipvs.SyncDaemon{Interface: "none0"}); !errors.Is(err, syscall.ENODEV) || !strings.Contains(err.Error(), "interface none0") {
		t.Errorf("without the interface: %v", err)
	}
	shell(t, `ipvsadm -A -t 192.0.2.1:80 -s rr; ipvsadm -a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i`)
	if err := k.StartDaemon(ctx, ipvs.DaemonMaster, ipvs.SyncDaemon{Interface: "lo"}); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "another address family") {
		t.Errorf("beside a server of another family: %v", err)
	}
	shell(t, `ipvsadm -C; ipvsadm --start-daemon backup --mcast-interface lo; ipvsadm -A -t 192.0.2.1:80 -s rr`)
	mixed := tableOf(t, "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i")
	if _, err := ipvs.NewReconciler(k).Reconcile(ctx, mixed, nil); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "sync daemon") {
		t.Errorf("a server of another family beside a daemon: %v", err)
	}
}

// TestKernelTimeouts: those that are set change, the others stay.
func TestKernelTimeouts(t *testing.T) {
	namespace(t)
	ctx := context.Background()
	k := ipvstest.OpenKernel(t)
	for _, c := range []struct {
		set  ipvs.Timeouts
		want string
	}{
		{ipvs.Timeouts{}, "900 120 300"},
		{ipvs.Timeouts{TCP: time.Hour}, "3600 120 300"},
		{ipvs.Timeouts{TCPFin: time.Second, UDP: 10 * 24 * time.Hour}, "3600 1 864000"},
		{ipvs.Timeouts{TCP: time.Minute, TCPFin: 2 * time.Minute, UDP: 3 * time.Minute}, "60 120 180"},
	} {
		if err := k.SetTimeouts(ctx, c.set); err != nil {
			t.Fatal(err)
		}
		if got, want := shell(t, "ipvsadm -L --timeout"), "Timeout (tcp tcpfin udp): "+c.want+"\n"; got != want {
			t.Errorf("after %+v ipvsadm shows %s, want %s", c.set, got, want)
		}
		is, err := k.Timeouts(ctx)
		if err != nil || is.String() != "ipvsadm --set "+c.want {
			t.Errorf("timeouts %v, error %v", is, err)
		}
	}
	if err := k.SetTimeouts(ctx, ipvs.Timeouts{TCP: (1<<32 - 1) * time.Second}); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "24 days") {
		t.Errorf("136 years: %v", err)
	}
}

// TestKernelInfo reads the version that ipvsadm prints.
func TestKernelInfo(t *testing.T) {
	namespace(t)
	info, err := ipvstest.OpenKernel(t).Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(shell(t, "ipvsadm -Ln"), "\n")
	if want := "IP Virtual Server version " + info.Version; !strings.HasPrefix(first, want) || info.ConnTableSize < 256 {
		t.Errorf("%+v, ipvsadm: %s", info, first)
	}
}
