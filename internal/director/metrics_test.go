package director

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/metrics"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
	"baton/vrrp"
)

// scrape returns the lines of a scrape, comments left out.
func scrape(t *testing.T, c *core) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Metrics(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			out[line[:i]] = line[i+1:]
		}
	}
	return out
}

func expect(t *testing.T, what string, got map[string]string, want map[string]string) {
	t.Helper()
	for series, v := range want {
		if have, there := got[series]; have != v || there != (v != "") {
			t.Errorf("%s: %s is %q, want %q", what, series, have, v)
		}
	}
}

// TestScrapeOfServers: what the kernel, the checks, the operator and the
// configuration say of a server is under the same labels.
func TestScrapeOfServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		cfg := two()
		cfg.Services[0].Sorry = &conf.RealServer{Server: ipvs.Server{Key: ipvs.MakeServerKey(netip.MustParseAddrPort("192.168.16.109:80")), Weight: 1, Forward: ipvs.DR}}
		s.directing(t, cfg, func(c *core) {
			c.reading = &reading{kernel: s.kernel}
			c.tell(t, up("a"))
			c.tell(t, down(up("b"), "b"))
			if err := s.kernel.Run("-A -u 10.0.0.53:53 -s rr\n-a -u 10.0.0.53:53 -r 10.0.0.2:53 -m -w 7"); err != nil {
				t.Fatal(err)
			}
			s.connections("192.168.16.103:80", 5)
			const of = `{local_address="192.168.16.200",local_port="80",`
			const rs1 = of + `remote_address="192.168.16.103",remote_port="80",proto="TCP"}`
			const rs2 = of + `remote_address="192.168.16.104",remote_port="80",proto="TCP"}`
			later(readEvery)
			expect(t, "up and down", scrape(t, c), map[string]string{
				`baton_virtual_server_info` + of + `proto="TCP",virtual_server="tcp 192.168.16.200:80"}`: "1",
				`baton_virtual_server_up` + of + `proto="TCP"}`:                                          "1",
				`baton_virtual_server_weight` + of + `proto="TCP"}`:                                      "3",
				`baton_virtual_server_sorry` + of + `proto="TCP"}`:                                       "0",
				`baton_virtual_server_servers` + of + `proto="TCP",state="up"}`:                          "1",
				`baton_virtual_server_servers` + of + `proto="TCP",state="down"}`:                        "1",
				`baton_server_up` + rs1:                               "1",
				`baton_server_up` + rs2:                               "0",
				`baton_server_effective_weight` + rs1:                 "3",
				`baton_ipvs_backend_weight` + rs1:                     "3",
				`baton_ipvs_backend_weight` + rs2:                     "",
				`baton_ipvs_backend_connections_active` + rs1:         "5",
				`baton_server_drain_deadline_timestamp_seconds` + rs1: "",
				`baton_ipvs_readable`:                                 "1", `baton_ipvs_programmed`: "1",
				`baton_ipvs_backend_weight{local_address="10.0.0.53",local_port="53",remote_address="10.0.0.2",remote_port="53",proto="UDP"}`: "7",
				`baton_server_up{local_address="10.0.0.53",local_port="53",remote_address="10.0.0.2",remote_port="53",proto="UDP"}`:           "",
				`baton_events_total{event="server.down"}`: "1", `baton_events_total{event="vrrp.stalled"}`: "0",
			})
			if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.103:80")}); err != nil {
				t.Fatal(err)
			}
			deadline := fmt.Sprint(time.Now().Add(time.Minute).Unix())
			later(readEvery)
			expect(t, "draining, and so the sorry server", scrape(t, c), map[string]string{
				`baton_virtual_server_up` + of + `proto="TCP"}`:                                                    "0",
				`baton_virtual_server_sorry` + of + `proto="TCP"}`:                                                 "1",
				`baton_virtual_server_servers` + of + `proto="TCP",state="draining"}`:                              "1",
				`baton_server_up` + rs1:                                                                            "1",
				`baton_server_effective_weight` + rs1:                                                              "0",
				`baton_server_drain_deadline_timestamp_seconds` + rs1:                                              deadline,
				`baton_ipvs_backend_weight` + of + `remote_address="192.168.16.109",remote_port="80",proto="TCP"}`: "1",
			})
		})
	})
}

// TestScrapeReadsOnce: however many scrape at a time the kernel is read once a
// second, and what it does not say is left out.
func TestScrapeReadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		s.directing(t, two(), func(c *core) {
			reads := 0
			var broken error
			k := ipvstest.New("-A -t 192.168.16.200:80 -s rr")
			k.BeforeRead = func() error { reads++; return broken }
			c.reading = &reading{kernel: k}
			done := make(chan struct{})
			for range 10 {
				go func() {
					_ = c.Metrics(t.Context(), io.Discard)
					done <- struct{}{}
				}()
			}
			for range 10 {
				<-done
			}
			if reads != 1 {
				t.Errorf("ten scrapes at once have read the kernel %d times", reads)
			}
			later(readEvery)
			if broken = errors.New("broken"); len(scrape(t, c)) == 0 || reads != 2 {
				t.Errorf("%d readings", reads)
			}
			got := scrape(t, c)
			expect(t, "the kernel cannot be read", got, map[string]string{`baton_ipvs_readable`: "0", `baton_ipvs_read_timestamp_seconds`: "",
				`baton_ipvs_connections_total{local_address="192.168.16.200",local_port="80",proto="TCP"}`: ""})
			later(time.Minute) // the timer that forgets has nothing left to do
		})
	})
}

// TestSlowReaderOfAScrape: whoever takes seconds for his scrape gets what was read for
// him, though others have scraped since; what nobody has any more is room for the next,
// and is let go when there is none.
func TestSlowReaderOfAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		cfg := services(1, 200) // more text than is gathered at a time
		s.directing(t, cfg, func(c *core) {
			c.reading = &reading{kernel: s.kernel}
			var checks []string
			for i := range 200 {
				checks = append(checks, fmt.Sprintf("0/%d", i))
			}
			c.tell(t, up(checks...))
			s.kernel.Edit(func(t ipvs.Table) {
				for _, e := range t {
					for i := range e.Servers {
						e.Servers[i].Stats = &ipvs.ServerStats{Active: 7}
					}
				}
			})
			later(2 * readEvery)
			scrape(t, c) // of the same second: both have one reading
			from, to := io.Pipe()
			go func() { to.CloseWithError(c.Metrics(t.Context(), to)) }()
			first := make([]byte, 1)
			if _, err := io.ReadFull(from, first); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				later(2 * readEvery)
				if got := scrape(t, c); got["baton_ipvs_readable"] != "1" {
					t.Errorf("another reads %v", got["baton_ipvs_readable"])
				}
			}
			text, err := io.ReadAll(from)
			if err != nil || bytes.Count(text, []byte("connections_active{")) != 200 || bytes.Contains(text, []byte(" 999999\n")) {
				t.Errorf("%v; %d servers; of somebody else's: %v", err, bytes.Count(text, []byte("connections_active{")), bytes.Contains(text, []byte(" 999999\n")))
			}
			kept := func() bool {
				c.reading.mu.Lock()
				defer c.reading.mu.Unlock()
				return c.reading.spare != nil
			}
			if later(2 * readEvery); !kept() {
				t.Error("no room is kept")
			}
			if later(2 * keepRoom); kept() {
				t.Error("the room is kept for ever")
			}
			scrape(t, c)
			later(2 * readEvery)
			was := kept()
			s.kernel.BeforeRead = func() error { return errors.New("it hangs, and may go on writing") }
			if scrape(t, c); !was || kept() {
				t.Error("the room of a reading that failed is used again")
			}
			s.kernel.BeforeRead = nil
		})
	})
}

// TestScrapeOfProcesses: a child that does not run or does not answer has no
// figures, and the others have theirs.
func TestScrapeOfProcesses(t *testing.T) {
	cfg := two()
	cfg.Global.KeepalivedNames = true
	c := running(t, cfg)
	c.reading = &reading{kernel: ipvstest.New("")}
	sched := healthcheck.NewScheduler(healthcheck.Options{Notify: func(healthcheck.Verdict) {}})
	giveProber(t, c, sched)
	if err := c.ask(t.Context(), func() {
		c.gotStatus(speakerFacts{Instances: []vrrp.Status{{Config: cfg.Instances[0], Role: vrrp.Master, EffectivePriority: 140, Sent: 5}}})
		c.noticed(vrrp.Notice{Kind: vrrp.NoticeTransition, Instance: "VI_1", From: vrrp.Backup, To: vrrp.Master, Reason: "preempted a lower priority"})
		c.transitions[metrics.Transition{Instance: "of yesterday", From: vrrp.Backup, To: vrrp.Master, Reason: "stopped"}] = 1 // that a reload has removed
	}); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, c)
	expect(t, "no speaker", got, map[string]string{
		`baton_process_up{process="director"}`: "1", `baton_process_up{process="speaker"}`: "0", `baton_process_up{process="prober"}`: "1",
		`keepalived_up`: "0", `keepalived_vrrp_state{iname="VI_1",intf="eth0",vrid="51",ip_address="192.168.16.200"}`: "2",
		`baton_vrrp_state{vrrp_instance="VI_1",state="MASTER"}`: "1", `baton_vrrp_effective_priority{vrrp_instance="VI_1"}`: "140",
		`baton_vrrp_adverts_sent_total{vrrp_instance="VI_1"}`:                                                              "5",
		`baton_vrrp_transitions_total{vrrp_instance="VI_1",from="BACKUP",to="MASTER",reason="preempted a lower priority"}`: "1",
		`baton_vrrp_transitions_total{vrrp_instance="of yesterday",from="BACKUP",to="MASTER",reason="stopped"}`:            "",
		`baton_checks`: "0", `baton_vrrp_lateness_seconds_count`: "",
	})
	for _, series := range []string{`baton_process_resident_memory_bytes{process="director"}`, `baton_process_cpu_seconds_total{process="prober"}`} {
		if got[series] == "" || got[series] == "0" {
			t.Errorf("%s is %q", series, got[series])
		}
	}
	if got[`baton_process_cpu_seconds_total{process="speaker"}`] != "" {
		t.Error("a speaker that does not run has used time")
	}
}

// large is a core with 10,000 servers, and the kernel's table of them.
func large(b testing.TB) (*core, ipvs.Table) {
	cfg := many()
	c := testCore(b, cfg)
	table := ipvs.Table{}
	for _, s := range cfg.Services {
		e := ipvs.Entry{Service: s.Service, Counters: ipvs.Counters{Connections: 1e9, BytesIn: 1e12}}
		for _, rs := range s.Servers {
			sv := rs.Server
			sv.Stats = &ipvs.ServerStats{Active: 100, Inactive: 1000, Counters: e.Counters}
			e.Servers.Put(sv)
		}
		table[s.Keys[0]] = e
	}
	for _, s := range c.list { // not by 10,000 verdicts, which would be as many lines in the journal
		for key, sv := range s.state.Servers {
			sv.Health.State = healthcheck.Up
			s.state.Servers[key] = sv
		}
	}
	return c, table
}

// BenchmarkScrape is what a scrape of 10,000 servers costs the director beside
// the kernel's own part, for which there is BenchmarkKernelScrape: what is known
// is gathered, and written down its connection.
func BenchmarkScrape(b *testing.B) {
	c, table := large(b)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	b.ReportAllocs()
	begun := nstest.CPU(b)
	for b.Loop() {
		s := c.snapshot(table, time.Now())
		if err := metrics.Write(null, s); err != nil {
			b.Fatal(err)
		}
		s.Release()
	}
	b.ReportMetric(float64((nstest.CPU(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/scrape")
}

// hung is a kernel that does not answer.
type hung struct{ ipvs.Kernel }

func (hung) ReadOver(ctx context.Context, _ ipvs.Table) (ipvs.Table, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestScrapeOfHungKernel: it is scraped without its figures, in time.
func TestScrapeOfHungKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site{ipvstest.New(""), t.TempDir()}.directing(t, two(), func(c *core) {
			c.reading = &reading{kernel: hung{}}
			begun := time.Now()
			if got := scrape(t, c); got["baton_ipvs_readable"] != "0" || got[`baton_process_up{process="director"}`] != "1" {
				t.Errorf("%v", got)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
}
