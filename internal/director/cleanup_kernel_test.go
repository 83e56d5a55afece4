//go:build linux && kernel

package director

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/internal/netif"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
	"baton/vrrp"
)

// A director that was killed leaves everything that it had set. Its clean-up
// takes that away, leaves the connections' table unless asked, and touches
// nothing that is not ours.
func TestCleanup(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	cable(t)
	dir := t.TempDir()
	ctx := t.Context()
	sysctl := func(name string) string {
		v, err := netif.ReadSysctl(name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	said := []string{}
	o := CleanupOptions{RuntimeDir: filepath.Join(dir, "run"), StateDir: dir, SpeakerWithin: nstest.Patience,
		Say:       func(line string) { said = append(said, line) },
		Instances: func() ([]vrrp.Config, error) { return nil, errors.New("no such file") }}
	lock, err := lockRuntime(o.RuntimeDir, runsAlready)
	if err != nil {
		t.Fatal(err)
	}
	ignored := sysctl("net/ipv4/conf/eth0/arp_ignore")

	// What a master has, on its interface and on a VMAC.
	m, err := newNetif(o.RuntimeDir)
	if err != nil {
		t.Fatal(err)
	}
	s := newMouth(t)
	killed := newAddresses(m, s.hear)
	plain := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32", "192.168.16.201/24"),
		Routes: []vrrp.Route{{Destination: netip.MustParsePrefix("198.51.100.0/24")}, {Destination: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.16.1"), Table: 100}},
		Rules:  []vrrp.Rule{{Family: vrrp.IPv4, From: netip.MustParsePrefix("192.168.16.200/32"), Priority: 1000, Table: 100}}}
	moving := vrrp.Config{Name: "VI_2", Interface: "eth0", VRID: 52, VMAC: &vrrp.VMAC{Name: "vrrp.52"}, Addresses: virtual("192.168.16.210/32"), Excluded: virtual("2001:db8::210/128")}
	killed.vmacs.again = killed.reconcileVMACs
	killed.vmacs.want([]vrrp.Config{moving})
	killed.reconcileVMACs()
	for _, c := range []vrrp.Config{plain, moving} {
		if err := killed.Set(c, true, vrrp.Handover{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.InstallLinger(netif.Linger{VIPs: []netip.Addr{netip.MustParseAddr("192.168.16.201")}, Interfaces: []string{"eth0"}}); err != nil {
		t.Fatal(err)
	}
	if !on("vrrp.52", "2001:db8::210/128") || sysctl("net/ipv4/conf/eth0/arp_ignore") == ignored {
		t.Fatal("too little is there for the test to mean anything")
	}
	m.Close()
	kernel := ipvstest.OpenKernel(t)
	prog, err := newProgrammer(kernel, o.StateDir, time.Hour, func(pass) {})
	if err != nil {
		t.Fatal(err)
	}
	prog.change(changes{webKey: {Service: ipvs.Service{Key: webKey, Scheduler: "rr"}}})
	if err := prog.once(ctx); err != nil {
		t.Fatal(err)
	}

	// What is somebody else's.
	run(t, "ip", "address", "add", "192.168.16.77/24", "dev", "eth0")
	run(t, "ip", "route", "add", "203.0.113.0/24", "dev", "eth0")
	run(t, "ip", "link", "add", "other", "link", "eth0", "type", "macvlan", "mode", "private")
	run(t, "ipvsadm", "-A", "-t", "192.0.2.9:99", "-s", "rr")

	if err := Cleanup(ctx, o); err == nil || !strings.Contains(err.Error(), "a director runs with pid "+pidOf(t, o.RuntimeDir)) {
		t.Errorf("while a director runs: %v", err)
	}
	if !on("eth0", "192.168.16.200/32") || len(said) > 0 {
		t.Errorf("a clean-up that refuses has done something: %q", said)
	}
	lock.Close()
	// Marks are the namespace's: a director with another runtime directory has the same.
	hold, err := holdNamespace("/run/other")
	if err != nil {
		t.Fatal(err)
	}
	if err := Cleanup(ctx, o); err == nil || !strings.Contains(err.Error(), "(pid "+strconv.Itoa(os.Getpid())+", runtime_dir /run/other)") {
		t.Errorf("while a director with another runtime_dir runs: %v", err)
	}
	if !on("eth0", "192.168.16.200/32") || len(said) > 0 {
		t.Errorf("a clean-up that refuses has done something: %q", said)
	}
	hold.Close()

	if err := Cleanup(ctx, o); err != nil {
		t.Errorf("%v; it said %q", err, said)
	}
	for _, want := range []string{"removed address 192.168.16.200/32 from eth0", "removed address 192.168.16.201/24 from eth0",
		"removed route 198.51.100.0/24", "removed route 0.0.0.0/0", "removed rule priority 1000 table 100",
		"the peers of these addresses are not told, and take over when they have heard nothing for the master down interval: no such file",
		"removed interface vrrp.52", "removed route of a handover, 192.168.16.201/32 table 112000"} {
		if !slices.Contains(said, want) {
			t.Errorf("it does not say %q but %q", want, said)
		}
	}
	for _, gone := range []string{"192.168.16.200/32", "192.168.16.201/24"} {
		if on("eth0", gone) {
			t.Errorf("%s is left", gone)
		}
	}
	if out := ownRoutes(t) + run(t, "ip", "link", "show", "type", "macvlan"); strings.Contains(out, "proto 113") || strings.Contains(out, "vrrp.52") {
		t.Errorf("left\n%s", out)
	}
	if got := sysctl("net/ipv4/conf/eth0/arp_ignore"); got != ignored {
		t.Errorf("arp_ignore of the interface below is %s, was %s before", got, ignored)
	}
	if !on("eth0", "192.168.16.77/24") || !on("eth0", "192.168.16.102/24") || exec.Command("ip", "link", "show", "other").Run() != nil ||
		!strings.Contains(run(t, "ip", "route"), "203.0.113.0/24") {
		t.Error("somebody else's is gone")
	}
	table := run(t, "ipvsadm", "-Ln")
	if !strings.Contains(table, "192.168.16.200:80") {
		t.Errorf("the table was not left alone:\n%s", table)
	}

	said = nil
	if err := Cleanup(ctx, o); err != nil || len(said) > 0 {
		t.Errorf("again: %v, %q", err, said)
	}
	o.IPVS = true
	if err := Cleanup(ctx, o); err != nil || len(said) != 1 || !strings.HasPrefix(said[0], "ran ipvsadm -D -t 192.168.16.200:80") {
		t.Errorf("with ipvs: %v, %q", err, said)
	}
	if table := run(t, "ipvsadm", "-Ln"); strings.Contains(table, "192.168.16.200:80") || !strings.Contains(table, "192.0.2.9:99") {
		t.Errorf("after a clean-up with ipvs:\n%s", table)
	}
}

// A speaker that outlived its director is waited for; one that does not end is
// killed.
func TestCleanupAwaitsTheSpeaker(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, speakerLock)
	said := make(chan string, 8)
	o := CleanupOptions{RuntimeDir: dir, StateDir: dir, SpeakerWithin: nstest.Patience, Say: func(line string) { said <- line }}
	says := func(want string) {
		t.Helper()
		select {
		case line := <-said:
			if !strings.HasPrefix(line, want) {
				t.Errorf("it says %q, want %q", line, want)
			}
		case <-time.After(nstest.Patience):
			t.Fatalf("it does not say %q", want)
		}
	}
	f, err := lockFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Cleanup(context.Background(), o) }()
	waiting := "waiting for the speaker, pid "
	says(waiting + strings.TrimSpace(run(t, "cat", name)))
	f.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}

	hung := exec.Command("sleep", "3600")
	holder, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock(holder, false); err != nil {
		t.Fatal(err)
	}
	hung.ExtraFiles = []*os.File{holder} // the lock goes with it
	if err := hung.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strconv.Itoa(hung.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	holder.Close()
	go func() { _ = hung.Wait() }()
	o.SpeakerWithin = 0
	if err := Cleanup(context.Background(), o); err != nil {
		t.Error(err)
	}
	says(waiting)
	says("killed the speaker, pid " + strconv.Itoa(hung.Process.Pid))
}

// besidePeer makes this node one of two on a LAN, and returns the other.
func besidePeer(t *testing.T) (peer *nstest.Host) {
	here := nstest.Here(t)
	peer = nstest.New(t)
	here.Cable("eth0", peer, "peer0")
	here.Address("eth0", "192.168.16.102/24")
	peer.Address("peer0", "192.168.16.112/24")
	return peer
}

// Of an instance whose addresses were all here the peers are told, by whatever
// way its adverts go; of any other they are not, for another node may be its
// master.
func TestCleanupResigns(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	peer := besidePeer(t)
	dir := t.TempDir()
	m, err := newNetif(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	group := vrrp.Config{Name: "VI_group", Interface: "eth0", VRID: 51, Version: vrrp.V2, AdvertInterval: time.Second, Password: "secret", Addresses: virtual("192.168.16.200/24", "192.168.16.201/24")}
	unicast := vrrp.Config{Name: "VI_unicast", Interface: "eth0", VRID: 52, Version: vrrp.V3, AdvertInterval: time.Second, UnicastTTL: 64,
		Peers: []netip.Addr{netip.MustParseAddr("192.168.16.112")}, Addresses: virtual("192.168.16.202/24")}
	mac := vrrp.Config{Name: "VI_mac", Interface: "eth0", VRID: 53, Version: vrrp.V3, AdvertInterval: time.Second, VMAC: &vrrp.VMAC{Name: "vrrp.53"}, Addresses: virtual("192.168.16.203/32")}
	six := vrrp.Config{Name: "VI_six", Interface: "eth0", VRID: 54, Version: vrrp.V3, AdvertInterval: time.Second, Addresses: virtual("fe80::54/64", "2001:db8::54/64")}
	backup := vrrp.Config{Name: "VI_backup", Interface: "eth0", VRID: 55, Version: vrrp.V3, AdvertInterval: time.Second, Addresses: virtual("192.168.16.205/24")}
	part := vrrp.Config{Name: "VI_part", Interface: "eth0", VRID: 56, Version: vrrp.V3, AdvertInterval: time.Second, Addresses: virtual("192.168.16.206/24", "192.168.16.207/24")}
	killed := newAddresses(m, newMouth(t).hear)
	killed.vmacs.want([]vrrp.Config{mac})
	killed.reconcileVMACs()
	held := part // before its configuration was edited
	held.Addresses = part.Addresses[:1]
	for _, c := range []vrrp.Config{group, unicast, mac, six, held} {
		if err := killed.Set(c, true, vrrp.Handover{}); err != nil {
			t.Fatal(err)
		}
	}
	nstest.Eventually(t, "an own address for adverts over IPv6", func() bool {
		l, err := m.Link("eth0")
		return err == nil && l.LinkLocal.IsValid()
	}, func() string { return run(t, "ip", "address") })

	var heard []vrrp.Conn
	for _, at := range []vrrp.Endpoint{{Interface: "peer0", Family: vrrp.IPv4, Group: vrrp.Group}, {Interface: "peer0", Family: vrrp.IPv6, Group: vrrp.Group6}} {
		peer.Must(func() error {
			conn, err := vrrp.Listen(at)
			if err == nil {
				heard = append(heard, conn)
			}
			return err
		})
		defer heard[len(heard)-1].Close()
	}
	said := []string{}
	o := CleanupOptions{RuntimeDir: dir, StateDir: dir, SpeakerWithin: nstest.Patience, Say: func(line string) { said = append(said, line) },
		Instances: func() ([]vrrp.Config, error) { return []vrrp.Config{group, unicast, mac, six, backup, part}, nil }}
	if err := Cleanup(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, line := range said {
		if strings.HasPrefix(line, "told the peers of ") {
			told++
		}
	}
	if told != 4 {
		t.Errorf("it tells of %d instances: %q", told, said)
	}
	want := map[uint8]*vrrp.Config{51: &group, 52: &unicast, 53: &mac, 54: &six}
	got := map[uint8]bool{}
	for _, conn := range heard {
		buf := make([]byte, vrrp.MaxPacket)
		for {
			message, meta, err := conn.Receive(buf)
			if errors.Is(err, vrrp.ErrEmpty) {
				break
			}
			if err != nil || len(message) < 2 {
				t.Fatal(err, message)
			}
			c := want[message[1]]
			if c == nil || got[message[1]] {
				t.Errorf("an advert of VRID %d, or a second one", message[1])
				continue
			}
			got[message[1]] = true
			w := c.Wanted(netip.MustParseAddr("192.168.16.112")) // the peer's, of which these are not
			w.Peers, w.TTLMin = []netip.Addr{netip.MustParseAddr("192.168.16.102")}, 64
			a, drop := vrrp.Parse(message, meta, &w)
			if drop != vrrp.DropNone || a.Priority != 0 {
				t.Errorf("%s: dropped %v, priority %d", c.Name, drop, a.Priority)
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("the peer has heard %v", got)
	}
}

// The peers of a master whose speaker does not come back are told when its
// addresses are gone.
func TestWithdrawResigns(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	peer := besidePeer(t)
	vi := instanceOn("192.168.16.200/24")
	vi.Interface, vi.AdvertInterval = "eth0", time.Second
	c := testCore(t, &conf.Config{Global: conf.Global{RuntimeDir: t.TempDir()}, Instances: []vrrp.Config{vi}})
	m, err := newNetif(c.cfg.Global.RuntimeDir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := newAddresses(m, newMouth(t).hear).set(vi, true); err != nil {
		t.Fatal(err)
	}
	var heard vrrp.Conn
	peer.Must(func() (err error) {
		heard, err = vrrp.Listen(vrrp.Endpoint{Interface: "peer0", Family: vrrp.IPv4, Group: vrrp.Group})
		return err
	})
	defer heard.Close()
	in := c.instances[vi.Name]
	in.role, in.diedAsMaster, in.diedAt = vrrp.Master, true, time.Now().Add(-in.respawnWithin())
	c.withdrawIn = time.NewTimer(time.Hour)
	c.withdraw()
	if on("eth0", "192.168.16.200/24") {
		t.Error("the address is still here")
	}
	message, meta, err := heard.Receive(make([]byte, vrrp.MaxPacket))
	if err != nil {
		t.Fatalf("the peer hears nothing: %v; told %q", err, c.told(event.VRRPSendFailed))
	}
	want := vi.Wanted(netip.MustParseAddr("192.168.16.112"))
	if a, drop := vrrp.Parse(message, meta, &want); drop != vrrp.DropNone || a.Priority != 0 {
		t.Errorf("the peer hears an advert of priority %d, dropped: %v", a.Priority, drop)
	}
}
