package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/internal/control"
	"baton/internal/event"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC)

func before(d time.Duration) time.Time { return now.Add(-d) }

func kernel(weight int) *int { return &weight }

// bad is a night on which everything is wrong at once.
func bad() control.Status {
	return control.Status{
		Version: "v0.1.0-12-gdeadbeef", Node: "director-with-a-rather-long-name.example.net", PID: 812, Started: before(75 * time.Hour), Time: now,
		Config: control.Config{
			File: "/etc/baton/baton.toml", Hash: "3f2a9c1b0d5e7788", Loaded: before(75 * time.Hour), LastReload: before(302 * time.Second),
			Problems: []string{
				`/etc/baton/baton.toml:10:1: virtual_server[0].lb_algo: "rrr" is not one of rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, fo, ovf, sed, nq, twos (did you mean "rr"?)`,
				"/etc/baton/baton.toml:12:1: second", "/etc/baton/baton.toml:13:1: third", "/etc/baton/baton.toml:14:1: fourth",
			},
		},
		Children: []control.Child{{Name: "speaker", Restarts: 4}, {Name: "prober", PID: 900, Started: before(time.Minute), Restarts: 1}},
		Instances: []control.Instance{
			{Name: "VI_1", Interface: "eth0", VRID: 51, Version: 3, State: "MASTER", Since: before(4 * time.Second), Reason: "handover asked for by the operator",
				Priority: 150, EffectivePriority: 150, Ready: true, Link: true, Handover: true, AdvertInterval: "1s", Addresses: []string{"192.168.16.200/24"}},
			{Name: "VI_2", Interface: "bond0.1234", VRID: 52, Version: 2, State: "FAULT", Since: before(26 * time.Hour), Reason: "bond0.1234 is down",
				Priority: 150, EffectivePriority: 100, Ready: true, Master: "192.168.16.112", MasterPriority: 100, AdvertInterval: "100ms",
				Addresses: []string{"10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"}, Group: "VG_1",
				Tracks: []control.Track{
					{Kind: "script", Name: "chk_http", State: "down", Since: before(26 * time.Hour), Reason: "exit status 1"},
					{Kind: "process", Name: "haproxy", Weight: -50, State: "down", Since: before(time.Minute), Reason: "0 of at least 1 processes run"},
					{Kind: "file", Name: "maintenance", Weight: 1, State: "up", Value: -20, Since: before(3 * time.Second), Reason: "/etc/baton/maintenance holds -20"},
					{Kind: "file", Name: "stop", State: "up", Value: 1, Since: before(3 * time.Second), Reason: "/run/stop holds 1"},
					{Kind: "interface", Name: "eth9", Reverse: true, State: "unknown"},
					{Kind: "virtual_server", Name: "tcp 192.168.16.200:80", Weight: 20, State: "up", Since: before(75 * time.Hour), Reason: "1 of 4 servers up"},
				}},
			{Name: "an-instance-whose-name-is-long", Interface: "eth1", VRID: 53, Version: 3, State: "BACKUP", Since: before(90 * time.Minute), Reason: "start",
				Priority: 254, EffectivePriority: 254, Link: true, NotReady: "2 health checks have not answered yet, among them tcp 192.168.16.200:80 192.168.16.103:80 http_get",
				Master: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", MasterPriority: 255, AdvertInterval: "1s", Addresses: []string{"2001:db8::1/64"}},
			{Name: "VI_4", Interface: "eth2", State: "INIT", Version: 3, Link: true, Ready: true, AdvertInterval: "1s"},
		},
		Services: []control.Service{
			{Name: "tcp 192.168.16.200:80", Scheduler: "wrr", Persistent: "5m0s", Programmed: true, Up: 1, Servers: []control.Server{
				{Address: "192.168.16.103:80", Forward: "DR", Weight: 3, Kernel: kernel(3), State: "up", Since: before(75 * time.Hour), Active: 123456, Inactive: 1234567,
					Path: &control.Path{State: "broken", Since: before(61 * time.Second), Reason: "no-answer", Mend: "baton realserver up 192.168.16.200",
						Detail: "the server does not answer for 192.168.16.200 port 80: it does not hold the address, or a firewall drops what is for it"}},
				{Address: "192.168.16.104:80", Forward: "DR", Weight: 1, State: "down", Since: before(183 * time.Second), Reason: "status",
					Detail: "GET / said 503 Service Unavailable, wanted one of 200-299; the body begins with \x1b[2J<html>"},
				{Address: "192.168.16.105:80", Forward: "DR", Weight: 2, Kernel: kernel(0), State: "draining", Since: before(12 * time.Second), Reason: "no longer in the configuration", Active: 17},
				{Address: "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:8080", Forward: "TUN", Weight: 1, State: "unknown"},
			}},
			{Name: "udp 192.168.16.200:53", Scheduler: "rr", Servers: []control.Server{
				{Address: "192.168.16.103:53", Forward: "NAT", Weight: 1, State: "down", Since: before(2400 * time.Hour), Reason: "timeout"}}},
			{Name: "tcp 192.168.16.200:443", Scheduler: "rr", Programmed: true},
		},
		Groups: []control.Group{
			{Name: "VG_1", State: "FAULT", Members: []string{"VI_2", "an-instance-whose-name-is-long"}, Tracks: []control.Track{
				{Kind: "script", Name: "chk_uplink", State: "up", Since: before(26 * time.Hour), Reason: "exit status 0"}}},
			{Name: "VG_2", State: "changing", Members: []string{"VI_1", "VI_4"}},
		},
		IPVS: &control.IPVS{
			Daemons: []control.SyncDaemon{
				{Role: "master", Running: true, Configured: true, Interface: "eth0", SyncID: 51, Group: "224.0.0.81", Port: 8848},
				{Role: "backup", Configured: true, Interface: "eth0", SyncID: 51},
			},
			Sysctls: []control.Sysctl{{Name: "conntrack", Configured: "1"}, {Name: "expire_nodest_conn", Configured: "1", Value: "0"},
				{Name: "sync_threshold", Configured: "3 50", Value: "3 50"}},
			Problem: "conntrack: the kernel has no parameter net.ipv4.vs.conntrack: it was built without CONFIG_IP_VS_NFCT\n" +
				"set sysctl net/ipv4/vs/expire_nodest_conn to 1: read-only file system (/proc/sys is mounted read-only: set it outside the container)",
		},
		Foreign: []string{"tcp 10.96.0.1:443", "tcp 10.96.0.10:53", "udp 10.96.0.10:53", "tcp 10.104.33.181:8080"},
	}
}

func TestStatusTable(t *testing.T) {
	fresh := control.Status{Version: "v0.1.0", Node: "lvs-a", PID: 1, Started: now, Time: now, Config: control.Config{File: "f", Hash: "ab", Loaded: now, LastOK: true}}
	foreign := fresh
	foreign.IPVS = &control.IPVS{Daemons: []control.SyncDaemon{{Role: "backup", Running: true, Interface: "eth7", SyncID: 9}}}
	for name, text := range map[string]string{
		"bad-night":        statusTable(bad(), time.UTC, false),
		"bad-night-colour": statusTable(bad(), time.UTC, true),
		"foreign-sync":     statusTable(foreign, time.UTC, false),
		"empty":            statusTable(fresh, time.UTC, false),
	} {
		golden(t, filepath.Join("testdata", "status", name+".txt"), text)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, d)
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9]+m")

// TestColourChangesNothingElse: without its colours the table is the same.
func TestColourChangesNothingElse(t *testing.T) {
	coloured := statusTable(bad(), time.UTC, true)
	if d := cmp.Diff(statusTable(bad(), time.UTC, false), sgr.ReplaceAllString(coloured, "")); d != "" {
		t.Error(d)
	}
}

// TestTableFitsEightyColumns holds for whatever strings a director sends.
func TestTableFitsEightyColumns(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "x", "192.168.16.200:80"}), rapid.String(), rapid.StringMatching(`[a-z0-9:\[\]/]{60,140}`))
	rapid.Check(t, func(t *rapid.T) {
		s := func() string { return text.Draw(t, "text") }
		st := bad()
		st.Config.Problems = []string{s()}
		i := &st.Instances[0]
		i.Name, i.Interface, i.Reason, i.Master, i.NotReady, i.Addresses, i.State = s(), s(), s(), s(), s(), []string{s(), s()}, "BACKUP"
		i.Ready, i.Link = rapid.Bool().Draw(t, "ready"), rapid.Bool().Draw(t, "link")
		i.Group, st.Groups[0].Name, st.Groups[0].State, st.Groups[0].Members = s(), s(), s(), []string{s(), s()}
		i.Tracks = []control.Track{{Kind: s(), Name: s(), State: s(), Reason: s(), Weight: -254, Reverse: true, Since: now}}
		st.Node, st.Services[0].Name, st.Services[0].Scheduler, st.Services[0].Keys = s(), s(), s(), []string{s()}
		st.Services[0].Sorry = &control.Sorry{Address: s(), In: true}
		st.Services[0].Servers[0].Path.Detail, st.Services[0].Servers[0].Path.Mend = s(), s()
		sv := &st.Services[0].Servers[1]
		sv.Address, sv.Reason, sv.Detail = s(), s(), s()
		st.IPVS.Daemons[0].Interface, st.IPVS.Sysctls[0].Name, st.IPVS.Problem = s(), s(), s()
		st.Foreign = []string{s()}
		st.Version, st.Config.File, st.Children[0].Name = s(), s(), s()
		for _, line := range strings.Split(statusTable(st, time.UTC, false)+counterTable(st, true, time.UTC, false), "\n") {
			if n := utf8.RuneCountInString(line); n > columns {
				t.Fatalf("%d columns: %q", n, line)
			}
			if strings.IndexFunc(line, unprintable) >= 0 {
				t.Fatalf("unprintable: %q", line)
			}
		}
	})
}

func TestAgo(t *testing.T) {
	tab := &table{now: now}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m0s",
		time.Hour - 1: "59m59s", time.Hour: "1h0m", 24 * time.Hour: "1d0h", 99*24*time.Hour + 23*time.Hour: "99d23h", 100 * 24 * time.Hour: "100d",
	} {
		if got := tab.ago(before(d)); got != want {
			t.Errorf("%v ago is %q, want %q", d, got, want)
		}
	}
	if got := tab.ago(time.Time{}); got != "-" {
		t.Errorf("never is %q", got)
	}
}

func TestConsoleLine(t *testing.T) {
	e := event.Event{Time: now, Level: event.LevelError, Name: event.ConfigProblem, Fields: []event.Field{
		{Key: event.File, Value: "/etc/baton/baton.toml"}, {Key: event.Detail, Value: `say "hi"` + "\n"}}}
	for p, want := range map[paint]string{
		false: `2026-11-20 03:04:05.000  ERROR  config.problem       file=/etc/baton/baton.toml detail="say \"hi\"\n"`,
		true: "2026-11-20 03:04:05.000  \x1b[31mERROR\x1b[0m  \x1b[1mconfig.problem      \x1b[0m" +
			" \x1b[2mfile\x1b[0m=/etc/baton/baton.toml" + ` ` + "\x1b[2mdetail\x1b[0m=" + `"say \"hi\"\n"`,
	} {
		if got := consoleLine(e, time.UTC, p); got != want {
			t.Errorf("line is\n%q, want\n%q", got, want)
		}
	}
}

func TestColourOnTerminalsOnly(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		out           *os.File
		noColor, term string
		want          paint
	}{
		{terminal, "", "xterm", true},
		{terminal, "1", "xterm", false},
		{terminal, "", "dumb", false},
		{file, "", "xterm", false},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := paintFor(c.out); got != c.want {
			t.Errorf("%s, NO_COLOR=%q, TERM=%s: %v", c.out.Name(), c.noColor, c.term, got)
		}
	}
	if paintFor(&strings.Builder{}) {
		t.Error("a string is coloured")
	}
}
