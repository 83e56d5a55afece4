package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/journal"
	"baton/internal/pool"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// site is what outlives a director: the kernel and the state directory.
type site struct {
	kernel *ipvstest.Kernel
	dir    string
}

// directing runs a core with its programmer over a site, in a bubble of fake
// time, until f returns.
func (s site) directing(t *testing.T, cfg *conf.Config, f func(c *core)) {
	t.Helper()
	directing(t, s.kernel, s.dir, s.kernel.Table(), cfg, synctest.Wait, f)
}

// directing runs a core with its programmer over a kernel that has the given
// table, until f returns. settled waits until they have nothing to do.
func directing(t *testing.T, kernel ipvs.Kernel, dir string, observed ipvs.Table, cfg *conf.Config, settled func(), f func(c *core)) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	log := newLogger(null, "json")
	defer log.close()
	c := newCore(Options{}, log)
	if c.journal, err = journal.Open(journal.Options{Dir: t.TempDir(), Failed: func(err error, _ uint64) { t.Error(err) }}); err != nil {
		t.Fatal(err)
	}
	defer c.journal.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.prog, err = newProgrammer(kernel, dir, 30*time.Second, func(p pass) {
		c.post(ctx, func() { c.passed(p) })
	})
	if err != nil {
		t.Fatal(err)
	}
	c.steward = &steward{latest: newLatest[conf.IPVS]()}
	c.loadOrders(dir)
	c.adopt(cfg, observed, c.prog.owned)
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	running.Go(func() { _ = c.prog.run(ctx, func() {}) })
	running.Go(func() { c.record.run(ctx, func(err error) { t.Error(err) }) })
	defer running.Wait()
	defer cancel()
	settled()
	f(c)
	settled()
}

// tell hands verdicts to a core and waits for what follows.
func (c *core) tell(t *testing.T, verdicts map[string]healthcheck.Verdict) {
	t.Helper()
	c.hand(t, verdicts)
	synctest.Wait()
}

// hand hands verdicts to a core, as one batch.
func (c *core) hand(t *testing.T, verdicts map[string]healthcheck.Verdict) {
	t.Helper()
	if err := c.ask(t.Context(), func() {
		for _, v := range verdicts {
			c.judged(v)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// now returns the status.
func (c *core) now(t *testing.T) (st control.Status) {
	t.Helper()
	if err := c.ask(t.Context(), func() { st = c.status() }); err != nil {
		t.Fatal(err)
	}
	return st
}

// connections gives a server of webKey active connections.
func (s site) connections(server string, n uint32) {
	s.kernel.Edit(func(table ipvs.Table) {
		k := ipvs.MakeServerKey(netip.MustParseAddrPort(server))
		e := table[webKey]
		sv, _ := e.Servers.Get(k)
		sv.Stats = &ipvs.ServerStats{Active: n}
		e.Servers.Put(sv)
		table[webKey] = e
	})
}

func (s site) holds(t *testing.T, what, want string) {
	t.Helper()
	synctest.Wait()
	if got := s.kernel.String(); got != want {
		t.Errorf("%s: the kernel has\n%swant\n%s", what, got, want)
	}
}

// pass lets time go by.
func later(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

const (
	hasWeb   = "-A -t 192.168.16.200:80 -s rr\n"
	hasRS1   = "-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 3\n"
	hasRS2   = "-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2\n"
	quietRS2 = "-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 0\n"
)

func two() *conf.Config {
	cfg := tracking()
	cfg.Services = web(server("192.168.16.103:80", 3, "a"), server("192.168.16.104:80", 2, "b"))
	return cfg
}

func named(server string) control.ServerRequest { return control.ServerRequest{Server: server} }

func TestDrainWaitsForConnectionsAndOutlivesTheDirector(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 3)
			out, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104:80")})
			if err != nil || len(out.Servers) != 1 || out.Servers[0].State != "draining" || out.Servers[0].Service != webKey.String() {
				t.Errorf("drain: %+v, %v", out, err)
			}
			s.holds(t, "it drains", hasWeb+hasRS1+quietRS2)
			later(5 * time.Second)
			s.holds(t, "as long as there are connections", hasWeb+hasRS1+quietRS2)
			if sv := c.now(t).Services[0].Servers[1]; sv.State != "draining" || sv.Health != "up" || sv.Active != 3 || sv.Effective != 0 || sv.Why != "draining" {
				t.Errorf("status is %+v", sv)
			}
		})
		s.holds(t, "the director has ended", hasWeb+hasRS1+quietRS2)
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.holds(t, "another goes on with it", hasWeb+hasRS1+quietRS2)
			s.connections("192.168.16.104:80", 0)
			later(4 * time.Second)
			s.holds(t, "the last connection has ended", hasWeb+hasRS1)
			if got := c.told(event.ServerDrained); len(got) != 1 || !strings.Contains(got[0], "reason=no active connection count=0") {
				t.Errorf("told %q", got)
			}
		})
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.holds(t, "it stays out over a restart", hasWeb+hasRS1)
			if out, err := c.Drains(t.Context(), control.ServerRequest{}); err != nil || len(out.Servers) != 1 || out.Servers[0].State != "drained" {
				t.Errorf("drains: %+v, %v", out, err)
			}
			if _, err := c.Undrain(t.Context(), named("192.168.16.104:80")); err != nil {
				t.Error(err)
			}
			s.holds(t, "undrained", hasWeb+hasRS1+hasRS2)
			if got := c.told(event.ServerUndrained); len(got) != 1 {
				t.Errorf("told %q", got)
			}
		})
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.holds(t, "also over a restart", hasWeb+hasRS1+hasRS2)
		})
	})
}

// TestSecondDrainSetsTheDeadline, where it names a time.
func TestSecondDrainSetsTheDeadline(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 1)
			for _, within := range []*time.Duration{new(time.Hour), nil, new(5 * time.Second)} {
				if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104"), Timeout: within}); err != nil {
					t.Error(err)
				}
			}
			later(8 * time.Second)
			s.holds(t, "after the second time-out", hasWeb+hasRS1)
		})
	})
}

// TestOrderForAServerThatWasDropped is forgotten: it comes back in service.
func TestOrderForAServerThatWasDropped(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	one := two()
	one.Services[0].Servers = one.Services[0].Servers[:1]
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104")}); err != nil {
				t.Error(err)
			}
			later(5 * time.Second)
			for _, cfg := range []*conf.Config{one, two()} {
				if err := c.ask(t.Context(), func() { c.change(cfg) }); err != nil {
					t.Error(err)
				}
			}
			c.tell(t, up("a", "b"))
			s.holds(t, "it is back", hasWeb+hasRS1+hasRS2)
			if got := c.told(event.ServerUndrained); len(got) != 1 || !strings.Contains(got[0], gone) {
				t.Errorf("told %q", got)
			}
		})
	})
}

// TestDrainOfAGroupWaitsForAllItsServices, not for the last of them.
func TestDrainOfAGroupWaitsForAllItsServices(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	cfg := two()
	cfg.Services[0].Keys = append(cfg.Services[0].Keys, ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:443")))
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, cfg, func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 1)
			if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104")}); err != nil {
				t.Error(err)
			}
			later(10 * time.Second)
			if d := c.now(t).Services[0].Servers[1].Drain; d == nil || !d.Done.IsZero() {
				t.Errorf("status says %+v", d)
			}
			s.connections("192.168.16.104:80", 0)
			later(4 * time.Second)
			if d := c.now(t).Services[0].Servers[1].Drain; d == nil || d.Done.IsZero() {
				t.Errorf("status says %+v", d)
			}
		})
	})
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 3)
			if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104"), Timeout: new(20 * time.Second)}); err != nil {
				t.Error(err)
			}
			later(19 * time.Second)
			s.holds(t, "before", hasWeb+hasRS1+quietRS2)
			later(3 * time.Second)
			s.holds(t, "after", hasWeb+hasRS1)
			if got := c.told(event.ServerDrained); len(got) != 1 || !strings.Contains(got[0], "reason=deadline passed count=3 took=20s") {
				t.Errorf("told %q", got)
			}
			if d := c.now(t).Services[0].Servers[1].Drain; d == nil || d.Left != 3 {
				t.Errorf("status says %+v", d)
			}
		})
	})
}

// TestDrainOfAFailedServer: there is nothing to wait for, neither at the
// beginning nor in the middle.
func TestDrainOfAFailedServer(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, down(up("b"), "a"))
			s.connections("192.168.16.104:80", 3)
			for i, why := range []pool.Why{pool.Drained, pool.Draining} {
				if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named(fmt.Sprintf("192.168.16.%d", 103+i))}); err != nil {
					t.Error(err)
				}
				if sv := c.now(t).Services[0].Servers[i]; sv.Why != string(why) {
					t.Errorf("status says %q, want %q", sv.Why, why)
				}
			}
			s.holds(t, "the other drains", hasWeb+quietRS2)
			c.tell(t, down(up(), "b"))
			s.holds(t, "until it fails", hasWeb)
			if got := c.told(event.ServerDrained); len(got) != 2 || !strings.Contains(got[1], "reason=the server has failed") {
				t.Errorf("told %q", got)
			}
		})
	})
}

// TestReloadChangesAPool at once, from which nobody leaves.
func TestReloadChangesAPool(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	other := two()
	other.Services[0].Service.Scheduler = "wrr"
	other.Services[0].Servers[1].Server.Weight = 9
	other.Services[0].Servers = append(other.Services[0].Servers, server("192.168.16.105:80", 1))
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.holds(t, "before", hasWeb+hasRS1+hasRS2)
			if err := c.ask(t.Context(), func() { c.change(other) }); err != nil {
				t.Error(err)
			}
			s.holds(t, "after", "-A -t 192.168.16.200:80 -s wrr\n"+hasRS1+
				"-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 9\n-a -t 192.168.16.200:80 -r 192.168.16.105:80 -g -w 1\n")
		})
	})
}

// TestServiceWithoutADrainGoesAtOnce, with all that is in it.
func TestServiceWithoutADrainGoesAtOnce(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	cfg := two()
	cfg.Services[0].DrainTimeout = 0
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, cfg, func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 1)
			if err := c.ask(t.Context(), func() { c.change(tracking()) }); err != nil {
				t.Error(err)
			}
			s.holds(t, "after", "")
		})
	})
}

// TestWeightRisesWithTime alone, after a server has come back.
func TestWeightRisesWithTime(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	cfg := two()
	cfg.Services[0].Servers[1].SlowStart = 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, cfg, func(c *core) {
			c.tell(t, up("a", "b"))
			c.tell(t, down(up(), "b"))
			c.tell(t, up("b"))
			s.holds(t, "it is back", hasWeb+hasRS1+strings.Replace(hasRS2, "-w 2", "-w 1", 1))
			later(22 * time.Second)
			s.holds(t, "it has risen", hasWeb+hasRS1+hasRS2)
		})
	})
}

func TestWhatTheConfigurationDropsDrains(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	none := tracking()
	none.Global.DrainTimeout = time.Minute
	one := two()
	one.Services[0].Servers = one.Services[0].Servers[:1]
	synctest.Test(t, func(t *testing.T) {
		change := func(c *core, cfg *conf.Config) {
			if err := c.ask(t.Context(), func() { c.change(cfg) }); err != nil {
				t.Error(err)
			}
		}
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 1)
			change(c, one)
			s.holds(t, "a server", hasWeb+hasRS1+quietRS2)
			change(c, two())
			c.tell(t, up("b"))
			s.holds(t, "it is back", hasWeb+hasRS1+hasRS2)
			change(c, none)
			s.holds(t, "a whole service", hasWeb+"-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 0\n"+quietRS2)
			if st := c.now(t).Services; len(st) != 1 || !st[0].Leaving || len(st[0].Servers) != 2 || !st[0].Servers[1].Leaving {
				t.Errorf("status is %+v", st)
			}
			later(3 * time.Second)
			s.holds(t, "who has no connections goes first", hasWeb+quietRS2)
		})
		s.directing(t, none, func(c *core) {
			later(3 * time.Second)
			s.holds(t, "a restart goes on with it", hasWeb+quietRS2)
			s.connections("192.168.16.104:80", 0)
			later(3 * time.Second)
			s.holds(t, "and ends it", "")
			if got := c.told(event.ServiceDraining, event.ServiceDrained); len(got) != 1 || !strings.Contains(got[0], "service.drained service=tcp 192.168.16.200:80 count=0") {
				t.Errorf("told %q", got)
			}
		})
	})
}

// TestWhatWasDroppedWhileTheDirectorWasDown drains as well: only of what is
// ours.
func TestWhatWasDroppedWhileTheDirectorWasDown(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	none := tracking()
	none.Global.DrainTimeout = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) { c.tell(t, up("a", "b")) })
		const foreign = "-A -t 192.0.2.9:99 -s rr\n"
		if err := s.kernel.Run("ipvsadm " + foreign); err != nil {
			t.Fatal(err)
		}
		s.connections("192.168.16.104:80", 1)
		s.directing(t, none, func(c *core) {
			later(5 * time.Second)
			s.holds(t, "it drains", foreign+hasWeb+quietRS2)
			later(7 * time.Second)
			s.holds(t, "until its time is over", foreign)
			if got := c.told(event.ServiceDrained); len(got) != 1 || !strings.Contains(got[0], "count=1") {
				t.Errorf("told %q", got)
			}
		})
	})
}

func TestWeightOfTheOperator(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	heavy := strings.Replace(hasRS1, "-w 3", "-w 9", 1)
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a"))
			if _, err := c.Weight(t.Context(), control.WeightRequest{ServerRequest: named("192.168.16.103"), Weight: control.Weight{Value: new(9)}}); err != nil {
				t.Error(err)
			}
			s.holds(t, "in place of 3", hasWeb+heavy)
		})
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a"))
			s.holds(t, "over a restart", hasWeb+heavy)
			if sv := c.now(t).Services[0].Servers[0]; sv.Override == nil || *sv.Override != 9 || sv.Effective != 9 || sv.Weight != 3 || sv.Why != "override" {
				t.Errorf("status is %+v", sv)
			}
			if _, err := c.Weight(t.Context(), control.WeightRequest{ServerRequest: named("192.168.16.103")}); err != nil {
				t.Error(err)
			}
			s.holds(t, "taken back", hasWeb+hasRS1)
			if got := c.told(event.ServerWeight); len(got) != 1 || !strings.Contains(got[0], "from=9 to=3 reason=as configured") {
				t.Errorf("told %q", got)
			}
		})
	})
}

// TestCommandsNameTheCandidates: what is unknown or ambiguous is answered with
// what it may be.
func TestCommandsNameTheCandidates(t *testing.T) {
	cfg := two()
	udp := ipvs.AddressKey(ipvs.UDP, netip.MustParseAddrPort("192.168.16.200:80"))
	cfg.Services = append(cfg.Services, serving(udp, server("192.168.16.103:80", 1)),
		serving(ipvs.FWMarkKey(7, ipvs.IPv4), server("192.168.16.103:0", 1)))
	c := testCore(t, cfg)
	for _, tc := range []struct {
		server, service string
		found           int
		refusal         string
	}{
		{"192.168.16.104:80", "", 1, ""},
		{"192.168.16.103", "", 3, ""},
		{"192.168.16.103:80", "udp 192.168.16.200:80", 1, ""},
		{"192.168.16.103", "fwmark 7", 1, ""},
		{"192.168.16.103:80", "", 0, "several services: 192.168.16.103:80 of tcp 192.168.16.200:80, 192.168.16.103:80 of udp 192.168.16.200:80 (name one with --service"},
		{"192.168.16.103:81", "", 0, "that address has 192.168.16.103:80 of tcp"},
		{"192.168.16.9", "", 0, "configured are 192.168.16.103:80 of tcp"},
		{"rs1", "", 0, "neither ADDRESS:PORT nor ADDRESS"},
		{"192.168.16.103", "192.168.16.200:80", 0, `service "192.168.16.200:80" is ambiguous (it may be tcp 192.168.16.200:80, udp 192.168.16.200:80)`},
		{"192.168.16.103", "web", 0, `there is no service "web" (configured are tcp`},
	} {
		got, err := c.find(tc.server, tc.service)
		var refused *control.Error
		switch {
		case tc.refusal == "" && (err != nil || len(got) != tc.found):
			t.Errorf("%s in %q: %v, %v", tc.server, tc.service, got, err)
		case tc.refusal != "" && (!errors.As(err, &refused) || refused.Status == 0 || !strings.Contains(err.Error(), tc.refusal)):
			t.Errorf("%s in %q: %v, %v", tc.server, tc.service, got, err)
		}
	}
}

// TestSwapWithTheSorryServer never leaves the service without a server that
// takes connections, also not between two operations.
func TestSwapWithTheSorryServer(t *testing.T) {
	for _, inhibit := range []bool{false, true} {
		s := site{ipvstest.New(""), t.TempDir()}
		cfg := two()
		sorry := server("192.168.16.99:80", 1)
		cfg.Services[0].Sorry, cfg.Services[0].SorryInhibit = &sorry, inhibit
		for i := range cfg.Services[0].Servers {
			cfg.Services[0].Servers[i].InhibitOnFailure = inhibit
		}
		synctest.Test(t, func(t *testing.T) {
			s.directing(t, cfg, func(c *core) {
				c.tell(t, up("a", "b"))
				s.kernel.Edit(func(ipvs.Table) {
					s.kernel.AfterApply = func(op ipvs.Op, table ipvs.Table) {
						for _, sv := range table[webKey].Servers {
							if sv.Weight > 0 {
								return
							}
						}
						t.Errorf("after %s the service is empty", op)
					}
				})
				for range 3 {
					later(2 * time.Minute) // slowly enough to be no flapping
					c.tell(t, down(up(), "a", "b"))
					if st := c.now(t).Services[0]; !st.Sorry.In || st.Sorry.Kernel == nil || st.Quorum.State != "down" {
						t.Errorf("all down: %+v %+v", st.Sorry, st.Quorum)
					}
					c.tell(t, up("b"))
					if st := c.now(t).Services[0]; st.Sorry.In || st.Quorum.State != "up" || st.Sorry.Kernel == nil || *st.Sorry.Kernel != 0 {
						t.Errorf("one up: %+v %+v", st.Sorry, st.Quorum)
					}
					later(4 * time.Second)
					if st := c.now(t).Services[0]; inhibit != (st.Sorry.Kernel != nil) {
						t.Errorf("its connections are gone: %+v", st.Sorry)
					}
				}
				if got := c.told(event.ServiceSorry); len(got) < 6 || !strings.Contains(got[len(got)-1], "to=out reason=1 of 2 servers up") {
					t.Errorf("told %q", got)
				}
			})
		})
	}
}

// TestSorryServerFinishes: its connections outlive the swap, as long as
// drain_timeout lets them.
func TestSorryServerFinishes(t *testing.T) {
	const asideSorry = "-a -t 192.168.16.200:80 -r 192.168.16.99:80 -g -w 0\n"
	s := site{ipvstest.New(""), t.TempDir()}
	cfg := two()
	sorry := server("192.168.16.99:80", 1)
	cfg.Services[0].Sorry, cfg.Services[0].DrainTimeout = &sorry, 30*time.Second
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, cfg, func(c *core) {
			for i, active := range []uint32{0, 2} {
				c.tell(t, down(up(), "a", "b"))
				s.connections("192.168.16.99:80", 2)
				c.tell(t, up("a", "b"))
				later(20 * time.Second)
				s.holds(t, "with connections", hasWeb+asideSorry+hasRS1+hasRS2)
				s.connections("192.168.16.99:80", active)
				later(12 * time.Second)
				s.holds(t, "they are gone, or their time is over", hasWeb+hasRS1+hasRS2)
				if got := c.told(event.ServerDrained); len(got) != i || i > 0 && !strings.Contains(got[0], "server=192.168.16.99:80 reason=deadline passed count=2") {
					t.Errorf("told %q", got)
				}
			}
		})
	})
}

// TestServerLinesSayWhy: the lines of a server's health have what explain has: which
// check, why, how long it took, since when it was otherwise, what brings it back.
func TestServerLinesSayWhy(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		cfg := two()
		cfg.Services[0].Servers[1].Checks[0].Rise, cfg.Services[0].Servers[1].Checks[0].Interval = 2, 6*time.Second
		s.directing(t, cfg, func(c *core) {
			id := cfg.Services[0].Servers[1].Checks[0].ID
			c.tell(t, map[string]healthcheck.Verdict{id: {ID: id, Up: true, First: true, Latency: 2 * time.Millisecond, Attempts: 1}})
			later(time.Hour)
			c.tell(t, map[string]healthcheck.Verdict{id: {ID: id, Reason: healthcheck.Status, Detail: "status 503, wanted 200-299", Latency: 12 * time.Millisecond, Attempts: 3}})
			later(time.Minute)
			c.tell(t, map[string]healthcheck.Verdict{id: {ID: id, Up: true, Latency: 3 * time.Millisecond, Attempts: 2}})
			want := []string{
				"server.up service=S server=R check=b from=unknown to=up latency=2ms count=1",
				"server.down service=S server=R check=b from=up to=down reason=status detail=status 503, wanted 200-299 latency=12ms count=3 took=1h0m0s until=it has passed 2 times in a row, made every 6s",
				"server.up service=S server=R check=b from=down to=up latency=3ms count=2 took=1m0s",
			}
			words := strings.NewReplacer("S", cfg.Services[0].Name, "R", cfg.Services[0].Servers[1].Server.Key.String())
			for i := range want {
				want[i] = words.Replace(want[i])
			}
			if got := c.told(event.ServerUp, event.ServerDown); !slices.Equal(got, want) {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	})
}

// TestFlappingIsToldOnce is fault 22: single lines stop, and what comes last is
// told when it has calmed down.
func TestFlappingIsToldOnce(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			for range 100 {
				c.tell(t, down(up(), "b"))
				later(time.Second)
				c.tell(t, up("b"))
				later(time.Second)
			}
			if n := len(c.told(event.ServerUp, event.ServerDown)); n > 10 {
				t.Errorf("%d lines about single changes", n)
			}
			if sv := c.now(t).Services[0].Servers[1]; sv.Flapping == nil || sv.Flapping.Changes != 200 {
				t.Errorf("status is %+v", sv.Flapping)
			}
			later(2 * time.Minute)
			got := c.told(event.ServerFlapping, event.ServerSteady)
			if len(got) != 2 || !strings.Contains(got[0], "count=6") || !strings.Contains(got[1], "to=up count=200") {
				t.Errorf("told %q", got)
			}
			c.tell(t, down(up(), "b"))
			if n := len(c.told(event.ServerDown)); n != 4 {
				t.Errorf("%d lines of server.down, want that of the calm time too", n)
			}
		})
	})
}

func TestUnreadableOrdersAreToldAndPutAside(t *testing.T) {
	for _, text := range []string{"{", `{"version": 99}`, `{"version":1,"orders":[{"service":"x","server":"192.168.16.103:80","weight":-1}]}`, `{"version":1,"leaving":[{}]}`} {
		s := site{ipvstest.New(""), t.TempDir()}
		name := filepath.Join(s.dir, ordersFile)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			s.directing(t, two(), func(c *core) {
				if got := c.told(event.OrdersFailed); len(got) != 1 || !strings.Contains(got[0], ordersFile) {
					t.Errorf("%s: told %q", text, got)
				}
				c.tell(t, up("a"))
				s.holds(t, "it works all the same", hasWeb+hasRS1)
			})
		})
		if _, err := os.Stat(name + ".unreadable"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestPoolScripts: those of one service run in the order of what has happened.
func TestPoolScripts(t *testing.T) {
	cfg := two()
	vs := &cfg.Services[0]
	vs.QuorumUp, vs.QuorumDown, vs.Omega = command("/q", "up"), command("/q", "down"), true
	vs.Servers[0].NotifyUp, vs.Servers[0].NotifyDown = command("/a", "up"), command("/a", "down")
	notifying(t, cfg, func(t *testing.T, c *core, r *ran) {
		if err := c.ask(t.Context(), func() {
			for _, v := range []healthcheck.Verdict{{ID: "a", Up: true}, {ID: "b", Reason: healthcheck.Refused}, {ID: "a", Reason: healthcheck.Timeout}, {ID: "b", Up: true}} {
				c.judged(v)
				c.settleVerdicts(time.Now())
			}
			c.notifyOmega()
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := []string{"/a up", "/q up", "/a down", "/q down", "/q up", "/q down"}
		if got := r.since(0); !slices.Equal(got, want) {
			t.Errorf("ran %q, want %q", got, want)
		}
		env := strings.Join(r.envs[2], " ")
		for _, w := range []string{"BATON_SERVICE=tcp 192.168.16.200:80", "BATON_SERVER=192.168.16.103:80", "BATON_FROM=up", "BATON_TO=down", "BATON_REASON=timeout"} {
			if !strings.Contains(env, w) {
				t.Errorf("its environment is %q, without %s", env, w)
			}
		}
		if err := c.ask(t.Context(), func() {
			if ends := c.endsWith(conf.OnStopKeep); len(ends) != len(c.table) {
				t.Errorf("on stop the service with omega stays: %v end", ends)
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestMassesAreTold: neither the warnings of a large file nor the repair of a
// whole table is a line for each.
func TestMassesAreTold(t *testing.T) {
	c := testCore(t, &conf.Config{})
	c.tellWarnings(&conf.Config{Warnings: make(conf.Problems, 500)})
	if said := c.told(event.ConfigWarning); len(said) != maxWarnings+1 || !strings.Contains(said[maxWarnings], "and 480 warnings more") {
		t.Errorf("of 500 warnings %d are told, the last as %q", len(said), said[len(said)-1])
	}
	ops := make([]ipvs.Op, 12_500)
	for i := range ops {
		ops[i].Service.Key = ipvs.FWMarkKey(uint32(i+1), ipvs.IPv4)
	}
	c.passed(pass{seq: 1, res: ipvs.Result{Drift: ops, Applied: ops}})
	if said := c.told(event.IPVSDrift); len(said) != maxDrift+1 || !strings.Contains(said[maxDrift], "12450") {
		t.Errorf("of 12,500 repairs %d are told, the last as %q", len(said), said[len(said)-1])
	}
}
