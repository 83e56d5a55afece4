package realserver

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/internal/netif"
)

func want(t *testing.T, vip string, m Mode) Want {
	t.Helper()
	w, err := NewWant(vip, m, "")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWant(t *testing.T) {
	for _, tt := range []struct {
		vip   string
		mode  Mode
		iface string
		want  string // interface, or the error's text
	}{
		{"192.168.16.200", DR, "", "lo"},
		{"::ffff:192.168.16.200", DR, "", "lo"},
		{"192.168.16.200", TUN, "", "tunl0"},
		{"2001:db8::200", TUN, "", "ip6tnl0"},
		{"192.168.16.200", TUN, "gre0", "gre0"},
		{"192.168.16.200/24", DR, "", "without a prefix length"},
		{"vip", DR, "", "not an IP address"},
		{"127.0.0.1", DR, "", "cannot be balanced"},
		{"224.0.0.18", DR, "", "cannot be balanced"},
		{"255.255.255.255", DR, "", "cannot be balanced"},
		{"fe80::1%eth0", DR, "", "cannot be balanced"},
		{"192.168.16.200", "nat", "", "not one of dr, tun"},
		{"192.168.16.200", DR, "a/b", "not the name of an interface"},
		{"192.168.16.200", DR, "an-interface-too-long", "not the name of an interface"},
	} {
		w, err := NewWant(tt.vip, tt.mode, tt.iface)
		if got := w.Interface; err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && got != tt.want {
			t.Errorf("%s %s %q: %+v, %v; want %s", tt.vip, tt.mode, tt.iface, w, err, tt.want)
		}
	}
	if m, err := ParseMode("TUN"); err != nil || m != TUN {
		t.Errorf("TUN is %q, %v", m, err)
	}
	if _, err := ParseMode("nat"); err == nil {
		t.Error("nat is a mode")
	}
}

func TestCommandsAreThoseThatMend(t *testing.T) {
	for _, tt := range []struct{ vip, mode, iface, want string }{
		{"192.168.16.200", "dr", "", "baton realserver up 192.168.16.200"},
		{"192.168.16.200", "tun", "", "baton realserver up 192.168.16.200 --mode tun"},
		{"2001:db8::200", "tun", "tunl1", "baton realserver up 2001:db8::200 --mode tun --interface tunl1"},
	} {
		w, err := NewWant(tt.vip, Mode(tt.mode), tt.iface)
		if got := w.Command("up"); err != nil || got != tt.want {
			t.Errorf("%q, %v; want %q", got, err, tt.want)
		}
	}
	if got := netif.SysctlKey("net/ipv4/conf/eth0.100/rp_filter"); got != "net.ipv4.conf.eth0/100.rp_filter" {
		t.Errorf("sysctl(8) would not understand %q", got)
	}
}

func TestJudge(t *testing.T) {
	vip := netip.MustParseAddr("192.168.16.200")
	right := func() facts {
		return facts{
			places:     map[netip.Addr][]netif.Place{vip: {{Interface: "lo", Prefix: netip.PrefixFrom(vip, 32)}}},
			interfaces: map[string]bool{"lo": true, "eth0": true, "tunl0": true},
			ignore:     map[string]int{"eth0": 1}, announce: map[string]int{"eth0": 2}, rp: map[string]int{"tunl0": 0},
		}
	}
	for _, tt := range []struct {
		name string
		mode Mode
		harm func(*facts)
		want string // the mending command; "": nothing is wrong
	}{
		{"right", DR, func(*facts) {}, ""},
		{"missing", DR, func(f *facts) { f.places[vip] = nil }, "baton realserver up 192.168.16.200"},
		{"with a network", DR, func(f *facts) { f.places[vip][0].Prefix = netip.PrefixFrom(vip, 24) },
			"ip address del 192.168.16.200/24 dev lo && baton realserver up 192.168.16.200"},
		{"on eth0 too", DR, func(f *facts) {
			f.places[vip] = append(f.places[vip], netif.Place{Interface: "eth0", Prefix: netip.PrefixFrom(vip, 24)})
		},
			"ip address del 192.168.16.200/24 dev eth0"},
		{"answers", DR, func(f *facts) { f.ignore["eth0"] = 0 }, "sysctl -w net.ipv4.conf.all.arp_ignore=1"},
		{"answers by scope", DR, func(f *facts) { f.ignore["eth0"] = 3 }, "sysctl -w net.ipv4.conf.eth0.arp_ignore=1"},
		{"answers by scope everywhere", DR, func(f *facts) { f.ignore["eth0"], f.all = 3, map[string]int{"arp_ignore": 3} },
			"sysctl -w net.ipv4.conf.all.arp_ignore=1"},
		{"answers for nothing at all", DR, func(f *facts) { f.ignore["eth0"] = 8 }, ""},
		{"names it by a number that the kernel does not know", DR, func(f *facts) { f.announce["eth0"] = 3 }, "sysctl -w net.ipv4.conf.eth0.arp_announce=2"},
		{"names it", DR, func(f *facts) { f.announce["eth0"] = 0 }, "sysctl -w net.ipv4.conf.all.arp_announce=2"},
		{"tunnel", TUN, func(f *facts) { f.places[vip][0].Interface = "tunl0" }, ""},
		{"tunnel strict", TUN, func(f *facts) { f.places[vip][0].Interface, f.rp["tunl0"] = "tunl0", 1 },
			"sysctl -w net.ipv4.conf.tunl0.rp_filter=2"},
		{"tunnel down", TUN, func(f *facts) { f.places[vip][0].Interface, f.interfaces["tunl0"] = "tunl0", false },
			"baton realserver up 192.168.16.200 --mode tun"},
	} {
		f := right()
		tt.harm(&f)
		var mends []string
		for _, g := range judge([]Want{want(t, "192.168.16.200", tt.mode)}, f) {
			if !g.OK {
				mends = append(mends, g.Mend)
				if g.Consequence == "" {
					t.Errorf("%s: %q without a consequence", tt.name, g.What)
				}
			}
		}
		if got := strings.Join(mends, "; "); got != tt.want {
			t.Errorf("%s: mended with %q, want %q", tt.name, got, tt.want)
		}
	}
}

// An interface that is asked answers for its own addresses, whatever arp_ignore is.
func TestJudgeAddressThatIsAskedFor(t *testing.T) {
	vip := netip.MustParseAddr("192.168.16.200")
	w, err := NewWant("192.168.16.200", DR, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	list := judge([]Want{w}, facts{
		places:     map[netip.Addr][]netif.Place{vip: {{Interface: "eth0", Prefix: netip.PrefixFrom(vip, 32)}}},
		interfaces: map[string]bool{"eth0": true}, asked: map[string]bool{"eth0": true}, ignore: map[string]int{"eth0": 1}, announce: map[string]int{"eth0": 2},
	})
	if f := list[0]; f.OK || f.Mend != "ip address del 192.168.16.200/32 dev eth0 && baton realserver up 192.168.16.200" {
		t.Errorf("found %+v", f)
	}
}

// Who waits for the lock can be told to stop, and hears who has it.
func TestLock(t *testing.T) {
	o := Options{RuntimeDir: t.TempDir(), StateDir: t.TempDir()}
	m, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, o); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "baton realserver") {
		t.Errorf("while another one runs: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = Open(ctx, o); err != nil { // a lock that is free is not waited for
		t.Fatal(err)
	}
	m.Close()
}

func TestRecord(t *testing.T) {
	name := filepath.Join(t.TempDir(), "deep", "realserver.json")
	r, err := readRecord(name, "boot-1", 7)
	if err != nil || len(r.Wants) > 0 {
		t.Fatalf("a record that is not there: %+v, %v", r, err)
	}
	r.want(want(t, "192.168.16.200", TUN))
	r.want(want(t, "192.168.16.200", DR))
	r.note(change{Kind: changedSysctl, Name: arpIgnore, Was: "0", Now: "1"})
	r.note(change{Kind: changedSysctl, Name: arpIgnore, Was: "1", Now: "2"})
	r.note(change{Kind: addedAddress, Interface: "lo", Address: netip.MustParsePrefix("192.168.16.200/32")})
	if err := replaceFile(name, r, false); err != nil {
		t.Fatal(err)
	}
	back, err := readRecord(name, "boot-1", 7)
	if err != nil || len(back.Wants) != 1 || back.Wants[0].Mode != DR || len(back.Changes) != 2 || back.Changes[0].Was != "0" || back.Changes[0].Now != "2" {
		t.Errorf("came back as %+v, %v", back, err)
	}
	if _, err := readRecord(name, "boot-1", 8); !errors.Is(err, errOtherNetNS) || !strings.Contains(err.Error(), "net:[7], and this is net:[8]") || !strings.Contains(err.Error(), "--runtime-dir") {
		t.Errorf("in another network namespace: %v", err)
	}
	if _, err := readRecord(name, "boot-1", 0); err != nil {
		t.Errorf("where the namespace cannot be told: %v", err)
	}
	if r, err := readRecord(name, "boot-2", 8); err != nil || len(r.Changes) > 0 || len(r.Wants) > 0 {
		t.Errorf("after a reboot there is still %+v, %v", r, err)
	}
	if err := replaceFile(name, r, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("an empty record leaves its file: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"boot":"b","wants":[{"vip":"192.168.16.200","mode":"dr","interface":"lo"}],"changes":[{"kind":"sysctl","name":"net/ipv4/conf/all/arp_ignore","was":"0","now":"1"}]}`))
	f.Add([]byte(`{"changes":[{"kind":"address","interface":"lo","address":"192.168.16.200/32"},{"kind":"up"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r record
		if parseRecord(data, &r) != nil {
			return
		}
		for _, c := range r.Changes {
			if c.Kind == changedSysctl && !filepath.IsLocal(c.Name) {
				t.Errorf("a sysctl out of /proc/sys: %q", c.Name)
			}
			for _, w := range r.Wants {
				w.needs(c)
			}
		}
		for _, w := range r.Wants {
			if w.VIP.Is4In6() || w.Interface == "" {
				t.Errorf("accepted %+v", w)
			}
		}
	})
}
