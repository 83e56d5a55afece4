package conf_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"baton/conf"
	"baton/vrrp"
)

// instance is a vrrp_instance with further lines, and those of [global] behind
// them.
func instance(t *testing.T, node, lines string) vrrp.Config {
	t.Helper()
	lines, global, _ := strings.Cut(lines, "\n[global]\n")
	if !strings.Contains(lines, "virtual_ipaddress =") {
		lines += "\nvirtual_ipaddress = [\"192.0.2.1/24\"]"
	}
	cfg := parse(t, node, "[global]", global, "[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvirtual_router_id = 51", lines)
	return cfg.Instances[0]
}

func TestInstanceKeys(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	global := func(lines string) string { return "\n[global]\n" + lines }
	for _, tc := range []struct {
		name, lines string
		want        func(c *vrrp.Config)
	}{
		{"IPv6", `virtual_ipaddress = ["fe80::1/64", "2001:db8::1"]`, func(c *vrrp.Config) {
			c.Addresses = []vrrp.Address{{Prefix: prefix("fe80::1/64")}, {Prefix: prefix("2001:db8::1/128")}}
			c.Group = netip.Addr{}
		}},
		{"version 2 is for IPv4", `virtual_ipaddress = ["fe80::1/64"]` + global("vrrp_version = 2"), func(c *vrrp.Config) {
			c.Addresses = []vrrp.Address{{Prefix: prefix("fe80::1/64")}}
		}},
		{"excluded", `virtual_ipaddress_excluded = ["192.0.2.2", { address = "2001:db8::1/64", dev = "eth1" }]`, func(c *vrrp.Config) {
			c.Excluded = []vrrp.Address{{Prefix: prefix("192.0.2.2/32"), Scope: "global"}, {Prefix: prefix("2001:db8::1/64"), Device: "eth1"}}
		}},
		{"groups", `mcast_dst_ip = "224.0.0.200"` + global(`vrrp_mcast_group4 = "224.0.0.201"`), func(c *vrrp.Config) { c.Group = addr("224.0.0.200") }},
		{"group of all", global(`vrrp_mcast_group4 = "224.0.0.201"` + "\n" + `vrrp_mcast_group6 = "ff02::99"`), func(c *vrrp.Config) { c.Group = addr("224.0.0.201") }},
		{"unicast", `unicast_src_ip = { n = "10.0.0.1", m = "10.0.0.2" }
unicast_peer = { n = ["10.0.0.2", "10.0.0.3"], m = ["10.0.0.1", "10.0.0.3"] }
unicast_ttl = 64
unicast_ttl_min = 254
check_unicast_src = false`, func(c *vrrp.Config) {
			c.Source, c.Peers = addr("10.0.0.1"), []netip.Addr{addr("10.0.0.2"), addr("10.0.0.3")}
			c.UnicastTTL, c.UnicastTTLMin, c.AnySource = 64, 254, true
		}},
		{"unicast by default", `unicast_peer = ["10.0.0.2"]`, func(c *vrrp.Config) {
			c.Peers, c.UnicastTTL, c.UnicastTTLMin = []netip.Addr{addr("10.0.0.2")}, 255, 255
		}},
		{"password", "version = 2\nauthentication = { auth_pass = \"1111\" }", func(c *vrrp.Config) { c.Version, c.Password = vrrp.V2, "1111" }},
		{"VMAC", "use_vmac = true\nvmac_xmit_base = true", func(c *vrrp.Config) { c.VMAC = &vrrp.VMAC{Name: "vrrp.51", XmitBase: true} }},
		{"VMAC6", "use_vmac = true\nvirtual_ipaddress = [\"fe80::1/64\"]", func(c *vrrp.Config) {
			c.VMAC, c.Addresses = &vrrp.VMAC{Name: "vrrp6.51"}, []vrrp.Address{{Prefix: prefix("fe80::1/64")}}
		}},
		{"named VMAC", "use_vmac = { n = true, m = false }\nvmac_name = \"vip\"\nvirtual_ipaddress = [{ address = \"192.0.2.1/24\", label = { n = \"vip:1\", m = \"eth0:1\" } }]", func(c *vrrp.Config) {
			c.VMAC = &vrrp.VMAC{Name: "vip"}
			c.Addresses[0].Label = "vip:1"
		}},
		{"no_accept", "no_accept = true", func(c *vrrp.Config) { c.NoAccept = true }},
		{"accept", "accept = false\nno_accept = { n = true, m = true }", func(c *vrrp.Config) { c.NoAccept = true }},
		{"routes", `virtual_routes = ["default via 10.0.0.254", "src 192.0.2.1 to 198.51.100.0/24 gw 10.0.0.9 dev eth1 table 100 metric 5 scope link mtu 1400", "2001:db8:1::/48 dev eth1",
  { to = "default", via = { n = "fe80::1", m = "fe80::2" }, dev = "eth2" }]`, func(c *vrrp.Config) {
			c.Routes = []vrrp.Route{
				{Destination: prefix("0.0.0.0/0"), Via: addr("10.0.0.254")},
				{Destination: prefix("198.51.100.0/24"), Via: addr("10.0.0.9"), Device: "eth1", Source: addr("192.0.2.1"), Table: 100, Metric: 5, Scope: "link", MTU: 1400},
				{Destination: prefix("2001:db8:1::/48"), Device: "eth1"},
				{Destination: prefix("::/0"), Via: addr("fe80::1"), Device: "eth2"},
			}
		}},
		{"rules", `virtual_rules = ["from 192.0.2.0/24 to 198.51.100.7 iif eth0 oif eth1 fwmark 0x10 priority 7 table 100", "to 2001:db8::/32 pref 8 lookup 9", { iif = "eth0", priority = 1, table = 2 },
  { fwmark = 1, family = "inet6", priority = 3, table = 4 }]`, func(c *vrrp.Config) {
			c.Rules = []vrrp.Rule{
				{Family: vrrp.IPv4, From: prefix("192.0.2.0/24"), To: prefix("198.51.100.7/32"), IIF: "eth0", OIF: "eth1", Mark: 16, Priority: 7, Table: 100},
				{Family: vrrp.IPv6, To: prefix("2001:db8::/32"), Priority: 8, Table: 9},
				{Family: vrrp.IPv4, IIF: "eth0", Priority: 1, Table: 2},
				{Family: vrrp.IPv6, Mark: 1, Priority: 3, Table: 4},
			}
		}},
		{"announcements follow their instance", "garp_master_delay = 7\ngarp_master_repeat = 2", func(c *vrrp.Config) {
			c.GARP.MasterDelay, c.GARP.LowerPrioDelay, c.GARP.MasterRepeat, c.GARP.LowerPrioRepeat = 7*time.Second, 7*time.Second, 2, 2
		}},
		{"announcements of all", "garp_master_delay = 7\ngarp_lower_prio_repeat = 0\ngna_interval = 0.001" + global(`vrrp_garp_master_delay = 8
vrrp_garp_master_repeat = 3
vrrp_garp_master_refresh = 9
vrrp_garp_master_refresh_repeat = 4
vrrp_garp_lower_prio_delay = { n = 10, m = 11 }
vrrp_garp_lower_prio_repeat = 6
vrrp_garp_interval = 0.002
vrrp_gna_interval = 0.003`), func(c *vrrp.Config) {
			c.GARP = vrrp.GARP{
				MasterDelay: 7 * time.Second, MasterRepeat: 3, MasterRefresh: 9 * time.Second, MasterRefreshRepeat: 4,
				LowerPrioDelay: 10 * time.Second, LowerPrioRepeat: 0, Interval: 2 * time.Millisecond, NAInterval: time.Millisecond,
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := instance(t, "n", tc.lines)
			want := instance(t, "n", "")
			tc.want(&want)
			if d := cmp.Diff(want, got, addresses); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// tracked is a file in which everything is tracked.
const tracked = `
[global]
script_user = "nobody nogroup"
notify_timeout = "20s"

[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
virtual_ipaddress = ["192.0.2.1/24"]
track_interface = ["eth1", { name = { n = "eth2", m = "eth3" }, weight = -10, reverse = true }]
track_script = ["chk", { name = "other", weight = { n = 5, m = 6 } }]
track_file = ["file"]
track_process = [{ name = "proc", weight = 0 }]
track_virtual_server = ["192.0.2.1:80", "UDP 192.0.2.1:53", { name = "[2001:db8::1]:80", weight = -30 }]
notify_master = "/bin/a 'b c' d\\ e \"f'g\" ''"
notify_fault = ["/bin/x", "a b"]
notify = { script = "/bin/n", user = "root", timeout = 5 }
notify_timeout = 10

[[vrrp_script]]
name = "chk"
script = "/bin/chk -v"
interval = 2
weight = -7
user = "www"
[[vrrp_script]]
name = "other"
script = "/bin/other"
timeout = "500ms"
rise = 2
fall = 3
[[vrrp_script]]
name = "unused"
script = "/bin/unused"
[[vrrp_track_file]]
name = "file"
file = "/run/file"
[[vrrp_track_process]]
name = "proc"
process = "proc"
[[vrrp_track_process]]
name = "bare"
process = "/bin/bare"
args = []
quorum = 2
quorum_max = 3
delay = 1

[[vrrp_instance]]
name = "VI_2"
interface = "eth0"
virtual_router_id = 52
virtual_ipaddress = ["fe80::1/64", "2001:db8::1/64"]

[[vrrp_sync_group]]
name = "VG_1"
group = ["VI_2", "VI_1"]
track_process = ["bare"]
notify_stop = "/bin/s"

[[virtual_server]]
address = "192.0.2.1:80"
lb_kind = "NAT"
[[virtual_server]]
address = "192.0.2.1:53"
protocol = "UDP"
lb_kind = "NAT"
[[virtual_server]]
address = "192.0.2.1:53"
lb_kind = "NAT"
[[virtual_server]]
address = "[2001:db8::1]:80"
lb_kind = "NAT"
`

func TestTrackingAndNotify(t *testing.T) {
	c := parse(t, "n", tracked)
	track := []vrrp.Track{
		{Kind: vrrp.TrackInterface, Name: "eth1"},
		{Kind: vrrp.TrackInterface, Name: "eth2", Weight: -10, Reverse: true},
		{Kind: vrrp.TrackScript, Name: "chk", Weight: -7},
		{Kind: vrrp.TrackScript, Name: "other", Weight: 5},
		{Kind: vrrp.TrackFile, Name: "file", Weight: 1},
		{Kind: vrrp.TrackProcess, Name: "proc"},
		{Kind: vrrp.TrackVirtualServer, Name: "tcp 192.0.2.1:80"},
		{Kind: vrrp.TrackVirtualServer, Name: "udp 192.0.2.1:53"},
		{Kind: vrrp.TrackVirtualServer, Name: "tcp [2001:db8::1]:80", Weight: -30},
	}
	check := func(what string, want, got any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	check("tracks", track, c.Instances[0].Track)
	for _, tr := range track[6:] { // whoever looks for the service finds it by this name
		found := false
		for _, s := range c.Services {
			found = found || s.Name == tr.Name
		}
		if !found {
			t.Errorf("no service is called %q", tr.Name)
		}
	}
	check("groups", []vrrp.SyncGroup{{
		Name: "VG_1", Members: []string{"VI_2", "VI_1"},
		Track: []vrrp.Track{{Kind: vrrp.TrackProcess, Name: "bare", Weight: 1}},
	}}, c.SyncGroups)
	check("scripts", []conf.TrackScript{
		{Name: "chk", Command: conf.Command{Args: []string{"/bin/chk", "-v"}, User: "www", Timeout: 2 * time.Second}, Interval: 2 * time.Second, Rise: 1, Fall: 1},
		{Name: "other", Command: conf.Command{Args: []string{"/bin/other"}, User: "nobody", Group: "nogroup", Timeout: 500 * time.Millisecond}, Interval: time.Second, Rise: 2, Fall: 3},
	}, c.Scripts)
	check("files", []conf.TrackFile{{Name: "file", Path: "/run/file", Interval: time.Second}}, c.Files)
	check("processes", []conf.TrackProcess{
		{Name: "proc", Process: "proc", Quorum: 1, Interval: time.Second},
		{Name: "bare", Process: "/bin/bare", Args: []string{}, Quorum: 2, QuorumMax: 3, Delay: time.Second, TerminateDelay: time.Second, Interval: time.Second},
	}, c.Processes)
	command := func(timeout time.Duration, args ...string) *conf.Command {
		return &conf.Command{Args: args, User: "nobody", Group: "nogroup", Timeout: timeout}
	}
	check("notify", map[string]conf.Notify{
		"INSTANCE/VI_1": {
			Master: command(10*time.Second, "/bin/a", "b c", "d e", "f'g", ""),
			Fault:  command(10*time.Second, "/bin/x", "a b"),
			Any:    &conf.Command{Args: []string{"/bin/n"}, User: "root", Timeout: 5 * time.Second},
		},
		"GROUP/VG_1": {Stop: command(20*time.Second, "/bin/s")},
	}, c.Notify)
	if w := c.Warnings.Error(); !strings.Contains(w, "vrrp_script[2]: nothing tracks this vrrp_script") {
		t.Errorf("warnings:\n%s", w)
	}
}

// TestPasswordIsNotRepeated: not by a problem, whatever is wrong around it, and
// not by a diff.
func TestPasswordIsNotRepeated(t *testing.T) {
	const head = "[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvirtual_router_id = 51\nvirtual_ipaddress = [\"192.0.2.1/24\"]\n"
	var good []*conf.Config
	for _, lines := range []string{
		"version = 2\nauthentication.auth_pass = \"hunter2\"",
		"version = 2\nauthentication.auth_pass = \"hunter22\"",
		"authentication.auth_pass = \"hunter2\"",
		"version = 2\nauthentication.auth_pass = \"hunter2-and-more\"",
		"version = 2\nauthentication.auth_pass = hunter2",
		"version = 2\nauthentication.auth_pass = \"hunter2",
		"version = 2\nauthentication = { auth_pass = 'hunter2 }",
		"version = 2\nauthentication = \"hunter2\"",
		"version = 2\nauthentication.auth_pass = [\"hunter2\"]",
		"version = 2\nauthentication.auth_pass = \"hunter2\\n\"",
		"version = 2\nauthentication.auth_pass = { lvs-a = \"hunter2\" }",
	} {
		c, err := conf.Parse("f", []byte(head+lines), "lvs-a")
		text := ""
		if err == nil {
			good = append(good, c)
			text = c.Warnings.Error()
		} else {
			var ps conf.Problems
			if !errors.As(err, &ps) {
				t.Fatal(err)
			}
			text = ps.Error()
		}
		if text == "" || strings.Contains(text, "hunter2") {
			t.Errorf("%s\nis answered with %q", lines, text)
		}
	}
	if len(good) != 2 {
		t.Fatalf("%d are right", len(good))
	}
	none := parse(t, "lvs-a", head, "version = 2")
	for _, old := range []*conf.Config{nil, none, good[1]} {
		d := conf.Diff(old, good[0])
		if s := d.String(); len(d.List) != 1 || strings.Contains(s, "hunter2") || old != nil && !strings.Contains(s, "auth_pass changed") {
			t.Errorf("the diff says %q", s)
		}
	}
}
