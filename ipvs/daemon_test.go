package ipvs_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

func TestSettingsCommands(t *testing.T) {
	d := ipvs.SyncDaemon{Interface: "eth0", SyncID: 51}
	all := ipvs.SyncDaemon{Interface: "eth0", SyncID: 255, MaxLen: 1400, Port: 8849, TTL: 3, Group: netip.MustParseAddr("ff02::81")}
	for got, want := range map[string]string{
		ipvs.DaemonMaster.StartCommand(d):                                                 "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 51",
		ipvs.DaemonBackup.StartCommand(all):                                               "ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 255 --sync-maxlen 1400 --mcast-group ff02::81 --mcast-port 8849 --mcast-ttl 3",
		ipvs.DaemonBackup.StopCommand():                                                   "ipvsadm --stop-daemon backup",
		ipvs.Timeouts{TCP: 900 * time.Second, TCPFin: 119500 * time.Millisecond}.String(): "ipvsadm --set 900 120 0",
	} {
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	over := ipvs.Timeouts{UDP: time.Millisecond}.Over(ipvs.Timeouts{TCP: time.Minute, UDP: time.Hour})
	if over != (ipvs.Timeouts{TCP: time.Minute, UDP: time.Second}) {
		t.Errorf("timeouts after a change: %+v", over)
	}
}

// TestDaemonMetBy: a daemon that was started meets what it was started with,
// whatever the kernel filled in or cut, and nothing else.
func TestDaemonMetBy(t *testing.T) {
	base := ipvs.SyncDaemon{Interface: "eth0", SyncID: 51}
	with := func(change func(*ipvs.SyncDaemon)) ipvs.SyncDaemon {
		d := base
		change(&d)
		return d
	}
	asked := []ipvs.SyncDaemon{base,
		with(func(d *ipvs.SyncDaemon) { d.MaxLen = 1200 }),
		with(func(d *ipvs.SyncDaemon) { d.MaxLen = 1100; d.Port = 9000 }),
		with(func(d *ipvs.SyncDaemon) { d.TTL = 2 }),
		with(func(d *ipvs.SyncDaemon) { d.Group = netip.MustParseAddr("224.0.0.82") }),
		with(func(d *ipvs.SyncDaemon) { d.Group = netip.MustParseAddr("ff02::81") }),
		with(func(d *ipvs.SyncDaemon) { d.Group = netip.MustParseAddr("ff02::81"); d.MaxLen = 9000; d.Port = 1 }),
		with(func(d *ipvs.SyncDaemon) { d.MaxLen = 65535; d.SyncID = 1 }),
		with(func(d *ipvs.SyncDaemon) { d.MaxLen = 1; d.SyncID = 2 }),
		with(func(d *ipvs.SyncDaemon) { d.Interface = "eth1" }),
	}
	for _, role := range []ipvs.DaemonRole{ipvs.DaemonMaster, ipvs.DaemonBackup} {
		for i, started := range asked {
			k := &ipvstest.Kernel{}
			if err := k.StartDaemon(context.Background(), role, started); err != nil {
				t.Fatal(err)
			}
			running, _ := k.Daemons(context.Background())
			for j, want := range asked {
				if j == 0 && i == 1 { // any length will do for who names none
					continue
				}
				if met := want.MetBy(role, running[role]); met != (i == j) {
					t.Errorf("%v: %+v met by %+v: %v", role, want, running[role], met)
				}
			}
		}
	}
}

// TestFakeDaemons: the fake refuses what the kernel refuses; the kernel tests
// hold that one to the same.
func TestFakeDaemons(t *testing.T) {
	ctx := context.Background()
	k := ipvstest.New("-A -t 192.0.2.1:80 -s rr")
	d := ipvs.SyncDaemon{Interface: "eth0"}
	if err := k.StopDaemon(ctx, ipvs.DaemonMaster); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("stop of none: %v", err)
	}
	if err := k.StartDaemon(ctx, ipvs.DaemonMaster, d); err != nil {
		t.Error(err)
	}
	if err := k.StartDaemon(ctx, ipvs.DaemonMaster, d); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("start of a second: %v", err)
	}
	if err := k.Run("-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a server of another family beside a daemon: %v", err)
	}
	if err := k.StopDaemon(ctx, ipvs.DaemonMaster); err != nil {
		t.Error(err)
	}
	if err := k.SetTimeouts(ctx, ipvs.Timeouts{UDP: time.Minute}); err != nil {
		t.Error(err)
	}
	if got, _ := k.Timeouts(ctx); got != (ipvs.Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: time.Minute}) {
		t.Errorf("timeouts %+v", got)
	}
	const want = "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 0\nipvsadm --stop-daemon master\nipvsadm --set 0 0 60"
	if got := strings.Join(k.Commands(), "\n"); got != want {
		t.Errorf("commands\n%s\nwant\n%s", got, want)
	}
	if err := k.Run("-a -t 192.0.2.1:80 -r [2001:db8::1]:80 -i"); err != nil {
		t.Error(err)
	}
	if err := k.StartDaemon(ctx, ipvs.DaemonBackup, d); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a daemon beside a server of another family: %v", err)
	}
}
