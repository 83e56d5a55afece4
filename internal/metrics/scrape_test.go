package metrics

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"baton/healthcheck"
	"baton/ipvs"
	"baton/vrrp"
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC)

// whole is a snapshot in which every metric has a value.
func whole() *Snapshot {
	web := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:80"))
	one := vrrp.Config{Name: `VI "1"`, Interface: "eth0", VRID: 51, Version: vrrp.V3, Priority: 150, AdvertInterval: 250 * time.Millisecond,
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("192.168.16.200/24")}, {Prefix: netip.MustParsePrefix("10.1.0.1/32"), Device: "lo"}},
		Excluded:  []vrrp.Address{{Prefix: netip.MustParsePrefix("2001:db8::1/128")}}, GARP: vrrp.DefaultGARP()}
	two := vrrp.Config{Name: "VI_2", Interface: "eth0", VRID: 52, Version: vrrp.V3, Priority: 100, AdvertInterval: time.Second,
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}}}
	stats := func(n uint64) *ipvs.ServerStats {
		return &ipvs.ServerStats{Active: uint32(n), Inactive: uint32(n + 1), Counters: ipvs.Counters{Connections: n + 2, PacketsIn: n + 3, PacketsOut: n + 4, BytesIn: 1<<40 + n, BytesOut: n + 6}}
	}
	tcp := healthcheck.KindStats{Attempts: 5, Reasons: map[healthcheck.Reason]uint64{healthcheck.Refused: 2}, Took: 1500 * time.Millisecond}
	tcp.Latencies[0], tcp.Latencies[3], tcp.Latencies[len(tcp.Latencies)-1] = 2, 2, 1
	checks := &Checks{Kinds: map[healthcheck.Kind]healthcheck.KindStats{healthcheck.TCP: tcp},
		Stats: healthcheck.Stats{Checks: 4, InFlight: 1, Waiting: 2, Descriptors: 960, LatenessSum: 30 * time.Millisecond}}
	checks.Stats.Lateness[1], checks.Stats.Lateness[12] = 4, 1
	late := &vrrp.Lateness{Sum: 2 * time.Millisecond}
	late.Counts[0], late.Counts[4] = 10, 1
	return &Snapshot{
		Version: "v1.2.3", Node: "lvs-a",
		Config: Config{Hash: "c0ffee", Loaded: at, LastReload: at.Add(time.Hour), LastOK: false, Warnings: 1},
		Processes: []Process{
			{Name: "director", Running: true, Started: at, Usage: &Usage{CPU: 1250 * time.Millisecond, Resident: 20 << 20, Threads: 9, Files: 30}},
			{Name: "speaker", Running: true, Started: at.Add(time.Second), Restarts: 1, Usage: &Usage{CPU: 2 * time.Second, Resident: 10 << 20, Threads: 5, Files: -1}},
			{Name: "prober", Restarts: 3},
		},
		Events: map[string]uint64{"server.up": 4, "server.down": 2, "vrrp.stalled": 0},
		Instances: []Instance{
			{Status: vrrp.Status{Config: one, Group: "VG", Role: vrrp.Master, Since: at.Add(time.Minute), Link: true, EffectivePriority: 130, Sent: 100, Received: 7,
				PriorityZeroSent: 1, PriorityZeroSeen: 2, BecameMaster: 3, ReleasedMaster: 2, Dropped: map[string]uint64{"ttl": 4, "checksum": 5},
				InterfaceDropped: map[string]uint64{"vrid": 6}, Tracks: []vrrp.TrackStatus{
					{Track: vrrp.Track{Kind: vrrp.TrackScript, Name: "chk"}, State: "up"},
					{Track: vrrp.Track{Kind: vrrp.TrackInterface, Name: "eth1"}, State: "failed"},
					{Track: vrrp.Track{Kind: vrrp.TrackFile, Name: "f"}, State: "unknown"}}}},
			{Status: vrrp.Status{Config: two, Role: vrrp.Backup, Since: at, Link: true, Handover: true, EffectivePriority: 100, InterfaceDropped: map[string]uint64{"vrid": 6}}, NotReady: true},
		},
		Groups: []Group{{Name: "VG", State: "MASTER"}},
		Transitions: map[Transition]uint64{
			{`VI "1"`, vrrp.Backup, vrrp.Master, string(vrrp.ReasonMasterDown)}: 2,
			{`VI "1"`, vrrp.Init, vrrp.Backup, string(vrrp.ReasonStartup)}:      1,
		},
		Lateness: late,
		Checks:   checks,
		IPVS: IPVS{Read: at.Add(2 * time.Hour), Readable: true, OK: true, Foreign: 1,
			Daemons: []Daemon{{"master", "eth0", 51, true}, {"backup", "eth0", 51, false}}},
		Services: []Service{
			{Key: web, Name: "tcp 192.168.16.200:80", There: true, Counters: ipvs.Counters{Connections: 1, PacketsIn: 2, PacketsOut: 3, BytesIn: 1<<63 + 4, BytesOut: 5,
				ConnectionRate: 6, PacketInRate: 7, PacketOutRate: 8, ByteInRate: 9, ByteOutRate: 10},
				Quorum: true, Needed: 2, Weight: 3, HasSorry: true, Sorry: false, States: [5]int{1, 0, 0, 1, 0}},
			{Key: ipvs.FWMarkKey(7, ipvs.IPv4), Name: "group web", States: [5]int{0, 1, 0, 0, 0}},
			{Key: ipvs.FWMarkKey(7, ipvs.IPv6), Name: "fwmark 7 ipv6", Leaving: true},
			{Key: ipvs.AddressKey(ipvs.UDP, netip.MustParseAddrPort("[2001:db8::53]:53")), There: true},
		},
		Servers: []Server{
			{Service: 0, Key: ipvs.MakeServerKey(netip.MustParseAddrPort("192.168.16.103:80")), Configured: true, State: Up, Healthy: true, Weight: 3, Path: PathOK, There: true, KernelWeight: 3, Stats: stats(10)},
			{Service: 0, Key: ipvs.MakeServerKey(netip.MustParseAddrPort("192.168.16.104:80")), Configured: true, State: Draining, Healthy: true, Path: PathBroken, Deadline: at.Unix(), There: true, Stats: stats(20)},
			{Service: 1, Key: ipvs.MakeServerKey(netip.MustParseAddrPort("192.168.16.105:0")), Configured: true, State: Down},
			{Service: 3, Key: ipvs.MakeServerKey(netip.MustParseAddrPort("[2001:db8::2]:53")), State: Unknown, There: true, KernelWeight: 1, Stats: stats(30)},
		},
		KeepalivedNames: true,
	}
}

func scrape(t testing.TB, s *Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	got, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestGolden: every metric once, as text.
func TestGolden(t *testing.T) {
	got := strings.Replace(scrape(t, whole()), `go_version="`+runtime.Version()+`"`, `go_version="GO"`, 1)
	const file = "testdata/scrape.txt"
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
		t.Errorf("scrape differs (-update writes %s):\n%s", file, d)
	}
}

// TestParses: Prometheus's own parser reads a scrape, and finds each metric of
// the catalogue with its type, its help and no other labels than its own, and
// each series once.
func TestParses(t *testing.T) {
	got := parse(t, scrape(t, whole()))
	for _, f := range Families() {
		is := got[f.Name]
		if is == nil {
			t.Errorf("%s is in no scrape: give it a value in whole()", f.Name)
			continue
		}
		delete(got, f.Name)
		if typ := strings.ToLower(is.GetType().String()); typ != string(f.Type) || is.GetHelp() != f.Help {
			t.Errorf("%s is a %s: %q", f.Name, typ, is.GetHelp())
		}
		if counter := strings.HasSuffix(f.Name, "_total"); counter != (f.Type == Counter) {
			t.Errorf("%s is a %s: counters end in _total, and nothing else does", f.Name, f.Type)
		}
		seen := map[string]bool{}
		for _, m := range is.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
				if !slices.Contains(f.Labels, l.GetName()) {
					t.Errorf("%s has a label %s", f.Name, l.GetName())
				}
			}
			slices.Sort(labels)
			if id := strings.Join(labels, ","); seen[id] {
				t.Errorf("%s{%s} is there twice", f.Name, id)
			} else {
				seen[id] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		t.Errorf("%s is not in the catalogue", name)
	}
}

// TestNames: what Prometheus's rules for names ask, and that nothing uses a
// label that Prometheus has for itself.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Families() {
		if seen[f.Name] {
			t.Errorf("%s is declared twice", f.Name)
		}
		seen[f.Name] = true
		if !model.LegacyValidation.IsValidMetricName(f.Name) || !strings.HasPrefix(f.Name, "baton_") && !strings.HasPrefix(f.Name, "keepalived_") {
			t.Errorf("%s is no name", f.Name)
		}
		if f.Help == "" || strings.ContainsAny(f.Help, "\\\n") || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: help %q is no sentence of one line", f.Name, f.Help)
		}
		for _, l := range f.Labels {
			if !model.LegacyValidation.IsValidLabelName(l) || l == "instance" || l == "job" || l == "le" {
				t.Errorf("%s has a label %q", f.Name, l)
			}
		}
	}
}

// TestKeepalivedNames: without the key none of them appears.
func TestKeepalivedNames(t *testing.T) {
	s := whole()
	s.KeepalivedNames = false
	if text := scrape(t, s); strings.Contains(text, "keepalived_") {
		t.Error("keepalived_ names without keepalived_names")
	}
}

// TestLittleIsKnown: a director that has just begun, and whose children do not
// answer, can be scraped, and makes up nothing.
func TestLittleIsKnown(t *testing.T) {
	got := parse(t, scrape(t, &Snapshot{Processes: []Process{{Name: "speaker"}}, KeepalivedNames: true}))
	for _, name := range []string{"baton_ipvs_read_timestamp_seconds", "baton_checks", "baton_vrrp_lateness_seconds", "baton_process_cpu_seconds_total", "baton_vrrp_state"} {
		if got[name] != nil {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if v := got["baton_process_up"].Metric[0].GetGauge().GetValue(); v != 0 {
		t.Errorf("a speaker that does not answer is up: %v", v)
	}
	if v := got["keepalived_up"].Metric[0].GetGauge().GetValue(); v != 0 {
		t.Errorf("keepalived_up is %v", v)
	}
}

// pieces counts what is written.
type pieces struct{ n, largest, total int }

func (p *pieces) Write(b []byte) (int, error) {
	p.n++
	p.largest = max(p.largest, len(b))
	p.total += len(b)
	return len(b), nil
}

// TestBoundedMemory: however large the text is, it is held in small pieces.
func TestBoundedMemory(t *testing.T) {
	s := Many(2500, 4)
	var p pieces
	if err := Write(&p, s); err != nil {
		t.Fatal(err)
	}
	if p.total < 10<<20 || p.largest > flushAt+maxLine {
		t.Errorf("%d bytes in %d pieces, the largest of %d", p.total, p.n, p.largest)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Write(&p, s); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes were allocated for a scrape of %d", took, p.total/2)
	}
}

// TestRoomOfAnotherScrape: what was in it does not come back, nor stay.
func TestRoomOfAnotherScrape(t *testing.T) {
	var s Snapshot
	for again := 0; cap(s.Servers) < 6; again++ { // the pool may lose it
		if again > 1000 {
			t.Fatal("no room is ever handed on")
		}
		Many(3, 2).Release()
		s.Room(0, 0)
	}
	if len(s.Services)+len(s.Servers) > 0 {
		t.Errorf("%d services and %d servers are there", len(s.Services), len(s.Servers))
	}
	for _, old := range s.Servers[:6] {
		if old != (Server{}) {
			t.Errorf("%+v is kept", old)
		}
	}
	for _, old := range s.Services[:3] {
		if old != (Service{}) {
			t.Errorf("%+v is kept", old)
		}
	}
}

// TestReaderGoes: the first failure ends a scrape.
func TestReaderGoes(t *testing.T) {
	gone := errors.New("gone")
	n := 0
	err := Write(writerFunc(func(b []byte) (int, error) { n++; return 0, gone }), Many(2500, 4))
	if !errors.Is(err, gone) || n != 1 {
		t.Errorf("%d pieces, %v", n, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Many is a snapshot of that many services with servers each.
func Many(services, servers int) *Snapshot {
	s := whole()
	s.Services, s.Servers = nil, nil
	for i := range services {
		k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.168.16.200"), uint16(i+1)))
		c := ipvs.Counters{Connections: 12345678, PacketsIn: 123456789, BytesIn: 123456789012, ConnectionRate: 1234}
		s.Services = append(s.Services, Service{Key: k, Name: k.String(), There: true, Counters: c, Quorum: true, Needed: 1, Weight: servers, States: [5]int{servers}})
		for j := range servers {
			at := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("192.168.%d.%d", i/250, i%250+j)), 80)
			s.Servers = append(s.Servers, Server{Service: int32(i), Key: ipvs.MakeServerKey(at), Configured: true, State: Up, Healthy: true, Weight: 1, Path: PathOK, There: true,
				KernelWeight: 1, Stats: &ipvs.ServerStats{Active: 123, Inactive: 1234, Counters: c}})
		}
	}
	return s
}

// BenchmarkWrite is what the text of 10,000 servers costs.
func BenchmarkWrite(b *testing.B) {
	s := Many(2500, 4)
	b.ReportAllocs()
	var p pieces
	for b.Loop() {
		if err := Write(&p, s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(p.total)/float64(b.N)/1e6, "MB/scrape")
}
