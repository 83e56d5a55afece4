//go:build linux && kernel

package director

import (
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/internal/announce"
	"baton/vrrp"
)

// conflictPair makes eth0 here and its other end in a host of its own, which
// the returned function runs commands on.
func conflictPair(t *testing.T) func(args ...string) string {
	t.Helper()
	cable(t)
	run(t, "ip", "-6", "address", "add", "2001:db8::102/64", "dev", "eth0", "nodad")
	sleep := exec.Command("unshare", "--net", "sleep", "300")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	pid := strconv.Itoa(sleep.Process.Pid)
	on := func(args ...string) string {
		t.Helper()
		path, err := exec.LookPath(args[0]) // busybox's nsenter has an ip of its own
		if err != nil {
			t.Fatal(err)
		}
		args[0] = path
		return run(t, "nsenter", append([]string{"--net=/proc/" + pid + "/ns/net"}, args...)...)
	}
	// It has its namespace a moment after it was started.
	own := strings.TrimSpace(run(t, "readlink", "/proc/self/ns/net"))
	for own == strings.TrimSpace(run(t, "readlink", "/proc/"+pid+"/ns/net")) {
	}
	run(t, "ip", "link", "set", "peer0", "netns", pid)
	on("ip", "link", "set", "lo", "up")
	on("ip", "link", "set", "peer0", "address", "02:00:00:00:00:99", "up")
	return on
}

func TestConflictIsToldAndAnswered(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	other := conflictPair(t)
	s := newMouth(t)
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32"), Excluded: virtual("2001:db8::200/128")}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.addrs.conflicts.end)
	if err := s.addrs.Announce(c); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "watching", func() bool {
		s.addrs.conflicts.work.Lock()
		defer s.addrs.conflicts.work.Unlock()
		return s.addrs.conflicts.watchers["eth0"] != nil
	})
	if n := s.count("announce.conflict"); n > 0 {
		t.Errorf("our own announcement counts as a conflict: %q", s.said)
	}
	other("ip", "address", "add", "192.168.16.200/32", "dev", "peer0") // neither says so by itself
	other("ip", "-6", "address", "add", "2001:db8::200/64", "dev", "peer0", "nodad")
	s.addrs.conflicts.probe() // what happens each minute
	for _, vip := range []string{"192.168.16.200", "2001:db8::200"} {
		s.eventually(t, "the conflict over "+vip, func() bool {
			return s.count("announce.conflict instance=VI_1 interface=eth0 address="+vip+" mac=02:00:00:00:00:99") > 0
		})
	}
	if n := s.count("announce.conflict"); n != 2 {
		t.Errorf("told %d times, want once each: %q", n, s.said)
	}
	// At the end of the speaker interfaces still go, its VMACs for certain.
	s.addrs.conflicts.end()
	s.addrs.conflicts.reopen("eth0")
}

// A successor announces the addresses as well: that is no conflict.
func TestSuccessorIsNoConflict(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	conflictPair(t)
	s := newMouth(t)
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual("192.168.16.200/32")}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.addrs.conflicts.end)
	w := s.addrs.conflicts
	claim := announce.Conflict{Interface: "eth0", VIP: c.Addresses[0].Prefix.Addr(), MAC: []byte{2, 0, 0, 0, 0, 9}, Count: 1}
	s.notify(vrrp.Notice{Kind: vrrp.NoticeHandoverBegun, Instance: "VI_1"})
	w.judge(claim, bootTime)
	if n := s.count("announce.conflict"); n > 0 {
		t.Errorf("told while the instance hands over: %q", s.said)
	}
	s.notify(vrrp.Notice{Kind: vrrp.NoticeHandoverFailed, Instance: "VI_1"})
	for i := range 30 {
		w.judge(claim, bootTime.Add(conflictTold/20*time.Duration(i)))
	}
	if n := s.count("announce.conflict"); n != 2 || s.count("announce.conflict", "count=20") != 1 {
		t.Errorf("told %d times, want at once and then once of 20 claims: %q", n, s.said)
	}
	if err := s.addrs.Set(c, false, vrrp.Handover{}); err != nil {
		t.Fatal(err)
	}
	w.judge(claim, bootTime.Add(10*conflictTold))
	if n := s.count("announce.conflict"); n != 2 {
		t.Errorf("told when the address is not ours any more: %q", s.said)
	}
}

var bootTime = time.Unix(1, 0).Add(conflictTold)

// A strange director is told with the machine that it runs on.
func TestPeerIsToldWithItsStation(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	other := conflictPair(t)
	other("ip", "address", "add", "192.168.16.112/24", "dev", "peer0")
	s := newMouth(t)
	s.addrs.learn(vrrp.Config{Name: "VI_1", Interface: "eth0"}, netip.MustParseAddr("192.168.16.112"))
	if s.count("vrrp.peer.station instance=VI_1 interface=eth0 peer=192.168.16.112 mac=02:00:00:00:00:99") != 1 {
		t.Errorf("said %q", s.said)
	}
}

// TestAnotherHardwareAddress: what a master has announced, and announces again at
// each refresh, must not say the hardware address that its interface had before.
func TestAnotherHardwareAddress(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	other := conflictPair(t)
	s := newMouth(t)
	vips := []string{"192.168.16.200", "2001:db8::200"}
	c := vrrp.Config{Name: "VI_1", Interface: "eth0", VRID: 51, Addresses: virtual(vips[0] + "/32"), Excluded: virtual(vips[1] + "/128")}
	if err := s.addrs.Set(c, true, vrrp.Handover{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.addrs.conflicts.end)
	if err := s.addrs.Announce(c); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the interface to be known", func() bool {
		s.speaker.mu.Lock()
		defer s.speaker.mu.Unlock()
		return s.links["eth0"].MAC != nil
	})
	before := strings.Fields(run(t, "ip", "-br", "link", "show", "dev", "eth0"))[2]
	for _, vip := range vips {
		other("ip", "neigh", "replace", vip, "lladdr", before, "dev", "peer0", "nud", "reachable")
	}
	const after = "02:00:00:00:00:77"
	knows := func() bool {
		for _, vip := range vips {
			if !strings.Contains(other("ip", "neigh", "show", vip, "dev", "peer0"), after) {
				return false
			}
		}
		return true
	}
	run(t, "ip", "link", "set", "eth0", "address", after)
	s.eventually(t, "the neighbour to be told", knows)
	if err := s.addrs.Announce(c); err != nil { // the refresh
		t.Fatal(err)
	}
	s.eventually(t, "the refresh to say the same", knows)
}
