package conf_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/vrrp"
)

var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})

// pair is the configuration of design.md: two directors, one file.
const pair = `
[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
priority = { lvs-a = 150, lvs-b = 100 }
advert_int = "1s"
virtual_ipaddress = ["192.168.16.200/24"]

[[virtual_server]]
address = "192.168.16.200:80"
lb_algo = "rr"
lb_kind = "DR"
delay_loop = "6s"
[virtual_server.http_get]
path = "/healthz"

[[virtual_server.real_server]]
address = "192.168.16.103:80"
weight = 1

[[virtual_server.real_server]]
address = "192.168.16.104"
[virtual_server.real_server.tcp_check]
connect_timeout = "3s"
`

func parse(t *testing.T, node string, parts ...string) *conf.Config {
	t.Helper()
	cfg, err := conf.Parse("baton.toml", []byte(strings.Join(parts, "\n")), node)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestPair(t *testing.T) {
	a, b := parse(t, "lvs-a", pair), parse(t, "lvs-b", pair)
	if len(a.Warnings) > 0 {
		t.Errorf("warnings: %v", a.Warnings)
	}
	want := vrrp.Config{
		Name: "VI_1", Interface: "eth0", VRID: 51, Version: vrrp.DefaultVersion, Priority: 150,
		AdvertInterval: time.Second, Preempt: true, DownTimerAdverts: vrrp.DefaultDownTimerAdverts,
		Checksum:  vrrp.ChecksumAuto,
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("192.168.16.200/24"), Scope: "global"}},
		GARP:      vrrp.DefaultGARP(), HandoverLinger: 2 * time.Second,
	}
	if d := cmp.Diff([]vrrp.Config{want}, a.Instances, addresses); d != "" {
		t.Errorf("instance on lvs-a (-want +got):\n%s", d)
	}
	want.Priority = 100
	if d := cmp.Diff([]vrrp.Config{want}, b.Instances, addresses); d != "" {
		t.Errorf("instance on lvs-b (-want +got):\n%s", d)
	}
	at := netip.MustParseAddrPort
	service := conf.VirtualServer{
		Name:    "tcp 192.168.16.200:80",
		Service: ipvs.Service{Key: ipvs.AddressKey(ipvs.TCP, at("192.168.16.200:80")), Scheduler: "rr"},
		Keys:    []ipvs.ServiceKey{ipvs.AddressKey(ipvs.TCP, at("192.168.16.200:80"))},
		Alpha:   true, Quorum: 1, DrainTimeout: time.Minute, PathCheck: time.Minute,
		Servers: []conf.RealServer{
			{
				Server: ipvs.Server{Key: ipvs.MakeServerKey(at("192.168.16.103:80")), Weight: 1, Forward: ipvs.DR},
				Checks: []healthcheck.Spec{{
					ID: "tcp 192.168.16.200:80 192.168.16.103:80 http_get", Kind: healthcheck.HTTP, Target: at("192.168.16.103:80"),
					Interval: 6 * time.Second, Timeout: 5 * time.Second, Retry: 1, RetryDelay: 3 * time.Second, Rise: 1,
					HTTP: &healthcheck.HTTPSpec{HTTPRequest: healthcheck.HTTPRequest{Method: "GET", Path: "/healthz"}},
				}},
			},
			{
				Server: ipvs.Server{Key: ipvs.MakeServerKey(at("192.168.16.104:80")), Weight: 1, Forward: ipvs.DR},
				Checks: []healthcheck.Spec{{
					ID: "tcp 192.168.16.200:80 192.168.16.104:80 tcp_check", Kind: healthcheck.TCP, Target: at("192.168.16.104:80"),
					Interval: 6 * time.Second, Timeout: 3 * time.Second, Retry: 1, RetryDelay: time.Second, Rise: 1,
				}},
			},
		},
	}
	if d := cmp.Diff([]conf.VirtualServer{service}, a.Services, addresses); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	if a.Global.RouterID != "lvs-a" || a.Global.ControlSocket != "/run/baton/control.sock" || !cmp.Equal(a.Global.Nodes, []string{"lvs-a", "lvs-b"}) {
		t.Errorf("global is %+v", a.Global)
	}
	if a.Hash != b.Hash || len(a.Hash) != 64 || a.Hash == parse(t, "lvs-a", pair, "#").Hash {
		t.Error("the hash is not that of the file's bytes")
	}
}

// TestCheckInheritance holds the order in which a check's values are looked
// for: the check, its server, the template, the service, the default.
func TestCheckInheritance(t *testing.T) {
	const service = `
[[virtual_server]]
address = "192.0.2.1:80"
lb_kind = "NAT"
delay_loop = 10
retry = 5
[virtual_server.http_get]
path = "/template"
virtualhost = "template"
retry = 6
rise = 6
connect_port = 81
[[virtual_server.real_server]]
address = "192.0.2.10"
`
	for _, tc := range []struct {
		name, server string
		kinds        string
		port         uint16
		interval     time.Duration
		retry, rise  int
		path, host   string
	}{
		{"template", "", "http", 81, 10 * time.Second, 6, 6, "/template", "template"},
		{"server", "retry = 7\ndelay_loop = 2", "http", 81, 2 * time.Second, 7, 6, "/template", "template"},
		{"own of the same kind", "retry = 7\nhttp_get = { path = '/own', retry = 8 }", "http", 81, 10 * time.Second, 8, 6, "/own", "template"},
		{"server beats template", "rise = 7\nhttp_get = { path = '/own' }", "http", 81, 10 * time.Second, 6, 7, "/own", "template"},
		{"own of another kind", "retry = 7\ntcp_check = { rise = 9 }", "tcp", 80, 10 * time.Second, 7, 9, "", ""},
		{"own beats server", "delay_loop = 2\ntcp_check = { delay_loop = 1 }", "tcp", 80, time.Second, 5, 1, "", ""},
		{"two", "tcp_check = { }\nhttp_get = { connect_ip = '192.0.2.99', connect_port = 82 }", "tcp http", 80, 10 * time.Second, 5, 1, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checks := parse(t, "n", service, tc.server).Checks()
			var kinds []string
			for _, c := range checks {
				kinds = append(kinds, string(c.Kind))
			}
			c := checks[0]
			if strings.Join(kinds, " ") != tc.kinds || c.Target.Port() != tc.port || c.Interval != tc.interval || c.Retry != tc.retry || c.Rise != tc.rise {
				t.Errorf("checks %v, first %+v", kinds, c)
			}
			if h := c.HTTP; h != nil && (h.Path != tc.path || h.Host != tc.host) {
				t.Errorf("request %+v", h)
			}
			if tc.name == "two" && checks[1].Target != netip.MustParseAddrPort("192.0.2.99:82") {
				t.Errorf("target %v", checks[1].Target)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		`2`: 2 * time.Second, `0.5`: 500 * time.Millisecond, `"250ms"`: 250 * time.Millisecond, `"1m30s"`: 90 * time.Second,
		`0.07`: 70 * time.Millisecond,
	} {
		cfg := parse(t, "lvs-a", strings.Replace(pair, `delay_loop = "6s"`, "delay_loop = "+in, 1))
		if got := cfg.Checks()[0].Interval; got != want {
			t.Errorf("delay_loop = %s is %v, want %v", in, got, want)
		}
	}
}

func TestPriorityOfNode(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(host, ".")
	named := "[global]\nrouter_id = \"lvs-b\"\n" + pair
	for _, tc := range []struct{ flag, file, want string }{
		{"lvs-a", named, "lvs-a"},
		{"", named, "lvs-b"},
		{"", strings.ReplaceAll(pair, "lvs-b", `"`+short+`"`), short},
	} {
		cfg, err := conf.Parse("f", []byte(tc.file), tc.flag)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Global.RouterID != tc.want {
			t.Errorf("with flag %q the node is %s, want %s", tc.flag, cfg.Global.RouterID, tc.want)
		}
	}
}

func TestWarningsDoNotRefuse(t *testing.T) {
	cfg := parse(t, "lvs-a", strings.Replace(pair, "200:80", "201:80", 1))
	if len(cfg.Warnings) != 1 || cfg.Warnings[0].Severity != conf.SeverityWarning || cfg.Warnings[0].Key != "virtual_server[0].address" || cfg.Warnings[0].Line != 11 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}

// TestWarnings holds what is said of files that are accepted against the file
// beside each, as node lvs-a.
func TestWarnings(t *testing.T) {
	t.Chdir("testdata/warned")
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".toml"), func(t *testing.T) {
			cfg, err := conf.Load(file, "lvs-a")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".txt", cfg.Warnings.Error()+"\n")
		})
	}
}

func TestCAFileIsLookedAtByLoadOnly(t *testing.T) {
	dir := t.TempDir()
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "baton.toml")
	text := strings.Replace(pair, "[virtual_server.http_get]", "[virtual_server.https_get]\nca_file = \""+ca+"\"", 1)
	if w := parse(t, "lvs-a", text).Warnings; len(w) > 0 {
		t.Errorf("Parse warns of a file: %v", w)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"absent", "no certificate"} {
		if content != "absent" {
			if err := os.WriteFile(ca, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := conf.Load(file, "lvs-a")
		if err != nil || len(cfg.Warnings) != 1 || !strings.HasSuffix(cfg.Warnings[0].Key, "https_get.ca_file") {
			t.Fatalf("%s: error %v, config %+v", content, err, cfg)
		}
	}
}

// large is a valid file of so many lines, and how many servers it adds.
func large(lines int) ([]byte, int) {
	var b strings.Builder
	b.WriteString(strings.Replace(pair, "weight = 1\n", "", 1))
	n := 0
	for at := strings.Count(b.String(), "\n"); at < lines; at += 4 {
		fmt.Fprintf(&b, "[[virtual_server.real_server]]\naddress = \"10.%d.%d.%d:80\"\nweight = { lvs-a = 1, lvs-b = 2 }\n\n", n>>16, n>>8&255, n&255)
		n++
	}
	return []byte(b.String()), n
}

// TestLargeFile holds the bound on work: 50,000 lines within a second, valid
// or not, and what is larger than the bound is refused.
func TestLargeFile(t *testing.T) {
	text, n := large(50_000)
	begun := nstest.CPU(t)
	cfg := parse(t, "lvs-b", string(text))
	took := nstest.CPU(t) - begun
	if got := len(cfg.Services[0].Servers); got != n+2 {
		t.Errorf("%d servers, want %d", got, n+2)
	}
	if took > budget {
		t.Errorf("valid file took %v", took)
	}
	wrong := bytes.ReplaceAll(text, []byte("weight ="), []byte("wieght ="))
	begun = nstest.CPU(t)
	_, err := conf.Parse("f", wrong, "lvs-a")
	took = nstest.CPU(t) - begun
	var ps conf.Problems
	if !errors.As(err, &ps) || len(ps) > 600 || !strings.Contains(ps[len(ps)-1].Message, "more problems") {
		t.Errorf("%d problems, last %v", len(ps), ps[len(ps)-1])
	}
	if took > budget {
		t.Errorf("file with %d unknown keys took %v", n, took)
	}
	_, err = conf.Parse("f", make([]byte, 9<<20), "lvs-a")
	if !errors.As(err, &ps) || !strings.Contains(ps[0].Message, "larger than 8 MiB") {
		t.Errorf("too large a file: %v", err)
	}
}

// TestWarningsDoNotHideAnError: there are more warnings than are kept.
func TestWarningsDoNotHideAnError(t *testing.T) {
	var b strings.Builder
	instance := func(n int) {
		fmt.Fprintf(&b, "[[vrrp_instance]]\nname = \"VI_%d\"\ninterface = \"eth%d\"\nvirtual_router_id = 51\npriority = 100\nversion = 2\n", n, n)
		fmt.Fprintf(&b, "authentication = { auth_type = \"PASS\", auth_pass = \"1111\" }\nvirtual_ipaddress = [\"10.1.%d.%d/32\"]\n", n>>8, n&255)
	}
	for n := range 6000 {
		instance(n)
	}
	cfg := parse(t, "n", b.String())
	if n := len(cfg.Warnings); n != 501 || len(cfg.Warnings.Errors()) > 0 || !strings.HasPrefix(cfg.Warnings[500].Message, "5500 more") {
		t.Errorf("%d warnings, last %v", n, cfg.Warnings[n-1])
	}
	instance(0) // the first one again
	_, err := conf.Parse("f", []byte(b.String()), "n")
	var ps conf.Problems
	if !errors.As(err, &ps) || !strings.HasPrefix(ps[0].Key, "vrrp_instance[6000].") {
		t.Errorf("error %v", err)
	}
}

// TestServersWithoutACheckAreOneWarning: of ten thousand the first is named.
func TestServersWithoutACheckAreOneWarning(t *testing.T) {
	text := services(100, 4)
	text = bytes.ReplaceAll(text, []byte("tcp_check = {}\n"), nil)
	if w := parse(t, "n", string(text)).Warnings; len(w) != 1 || w[0].Key != "virtual_server[0].real_server[0]" || !strings.Contains(w[0].Message, "so do 399 more") {
		t.Errorf("warnings: %v", w)
	}
}

func TestLinesOfDiff(t *testing.T) {
	t.Chdir("testdata/diff")
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	old := parse(t, "lvs-a", pair)
	if d := conf.Diff(old, parse(t, "lvs-a", pair, "# a comment")); len(d.List) != 0 {
		t.Errorf("a comment changes: %v", d)
	}
	for _, file := range append(files, "nothing-before") {
		t.Run(file, func(t *testing.T) {
			var d conf.Changes
			if file == "nothing-before" {
				d = conf.Diff(nil, old)
			} else {
				next, err := conf.Load(file, "lvs-a")
				if err != nil {
					t.Fatal(err)
				}
				d = conf.Diff(old, next)
				if back := conf.Diff(next, old); back.Added != d.Deleted || back.Deleted != d.Added || back.Changed != d.Changed {
					t.Errorf("back: +%d ~%d -%d, forth: +%d ~%d -%d", back.Added, back.Changed, back.Deleted, d.Added, d.Changed, d.Deleted)
				}
			}
			if d.Added+d.Changed+d.Deleted != len(d.Lines()) {
				t.Errorf("%d + %d + %d changes in %d lines", d.Added, d.Changed, d.Deleted, len(d.Lines()))
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".txt", d.String()+"\n")
		})
	}
}

// TestAlikeServers: what servers without anything of their own share is all but
// where they are, as far as the template leaves that to them.
func TestAlikeServers(t *testing.T) {
	const service = `
[[virtual_server]]
address = "192.0.2.1:80"
lb_kind = "NAT"
[virtual_server.tcp_check]
connect_ip = "192.0.2.10"
[virtual_server.http_get]
connect_port = 80
[virtual_server.https_get]
[[virtual_server.real_server]]
address = "192.0.2.10:80"
[[virtual_server.real_server]]
address = "192.0.2.11:81"
[[virtual_server.real_server]]
address = "192.0.2.12:82"
retry = 7
`
	var got []string
	for _, c := range parse(t, "n", service).Checks() {
		got = append(got, fmt.Sprintf("%s at %s, retry %d", c.ID, c.Target, c.Retry))
	}
	want := []string{
		"tcp 192.0.2.1:80 192.0.2.10:80 tcp_check at 192.0.2.10:80, retry 1",
		"tcp 192.0.2.1:80 192.0.2.10:80 http_get at 192.0.2.10:80, retry 1",
		"tcp 192.0.2.1:80 192.0.2.10:80 https_get at 192.0.2.10:80, retry 1",
		"tcp 192.0.2.1:80 192.0.2.11:81 tcp_check at 192.0.2.10:81, retry 1",
		"tcp 192.0.2.1:80 192.0.2.11:81 http_get at 192.0.2.11:80, retry 1",
		"tcp 192.0.2.1:80 192.0.2.11:81 https_get at 192.0.2.11:81, retry 1",
		"tcp 192.0.2.1:80 192.0.2.12:82 tcp_check at 192.0.2.10:82, retry 7",
		"tcp 192.0.2.1:80 192.0.2.12:82 http_get at 192.0.2.12:80, retry 7",
		"tcp 192.0.2.1:80 192.0.2.12:82 https_get at 192.0.2.12:82, retry 7",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestGroupOfServices: one pool serves addresses, ranges, several ports and
// marks; a check does not multiply with them.
func TestGroupOfServices(t *testing.T) {
	const group = `
[[virtual_server_group]]
name = "web"
addresses = ["192.0.2.1-2:80,443", "192.0.2.9:8000-8001"]
fwmark = [7, 8]

[[virtual_server]]
virtual_server_group = "web"
lb_kind = "NAT"
tcp_check.connect_port = 80
[[virtual_server.real_server]]
address = "192.0.2.10"
[[virtual_server.real_server]]
address = "192.0.2.11:81"

[[virtual_server]]
virtual_server_group = "six"
lb_kind = "DR"
protocol = "UDP"
[[virtual_server.real_server]]
address = "2001:db8::10"
tcp_check.connect_port = 53

[[virtual_server_group]]
name = "six"
addresses = "[2001:db8::fe-101]:53"
fwmark = 7
`
	cfg := parse(t, "n", group)
	var got []string
	for _, s := range cfg.Services {
		got = append(got, s.Name)
		for _, k := range s.Keys {
			got = append(got, k.String()+" -> "+conf.ServerAt(k, s.Servers[len(s.Servers)-1].Server).Key.String()+" "+conf.ServerAt(k, s.Servers[0].Server).Key.String())
		}
		if s.Service != s.At(s.Keys[0]) {
			t.Errorf("service %v of %v", s.Service, s.Keys)
		}
	}
	for _, c := range cfg.Checks() {
		got = append(got, c.ID+" at "+c.Target.String())
	}
	golden(t, "testdata/group.txt", strings.Join(got, "\n")+"\n")
}
