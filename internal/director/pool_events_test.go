package director

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestDrainIsToldWithTheStates before and after, in the words of baton status.
func TestDrainIsToldWithTheStates(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	one := two()
	one.Services[0].Servers = one.Services[0].Servers[:1]
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			c.tell(t, up("a", "b"))
			s.connections("192.168.16.104:80", 1)
			drain := func(within time.Duration) {
				if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104"), Timeout: &within}); err != nil {
					t.Error(err)
				}
			}
			drain(time.Hour)
			drain(5 * time.Second)
			later(8 * time.Second)
			c.tell(t, down(up(), "b"))
			if _, err := c.Undrain(t.Context(), named("192.168.16.104")); err != nil {
				t.Error(err)
			}
			drain(time.Hour) // there is nothing to wait for
			if err := c.ask(t.Context(), func() { c.change(one) }); err != nil {
				t.Error(err)
			}
			want := []string{
				"server.draining from=up to=draining", "server.draining from=draining to=draining", "server.drained from=draining to=drained",
				"server.undrained from=drained to=down",
				"server.draining from=down to=draining", "server.drained from=draining to=drained",
				"server.undrained from=drained to=",
			}
			var got []string
			for _, e := range c.journal.Since(time.Time{}) {
				switch e.Name {
				case event.ServerDraining, event.ServerDrained, event.ServerUndrained:
					got = append(got, fmt.Sprintf("%s from=%s to=%s", e.Name, e.Get(event.From), e.Get(event.To)))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	})
}

// TestFlappingWeightIsToldOnce: a check that names another weight each second, which
// the kernel gets each time; what the operator orders meanwhile is told.
func TestFlappingWeightIsToldOnce(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			weigh := func(n int) {
				c.tell(t, map[string]healthcheck.Verdict{"a": {ID: "a", Up: true, Weight: &n}})
			}
			c.tell(t, up("a", "b"))
			for i := range 200 {
				weigh(5 + i%2*4)
				later(time.Second)
			}
			s.holds(t, "it flaps", hasWeb+strings.Replace(hasRS1, "-w 3", "-w 9", 1)+hasRS2)
			if got := c.told(event.ServerWeight); len(got) != 5 || !strings.HasSuffix(got[0], "from=3 to=5 reason=named by a check") {
				t.Errorf("told %q", got)
			}
			for _, n := range []*int{new(7), nil} {
				if _, err := c.Weight(t.Context(), control.WeightRequest{ServerRequest: named("192.168.16.103"), Weight: control.Weight{Value: n}}); err != nil {
					t.Error(err)
				}
			}
			if got := c.told(event.ServerWeight); len(got) != 7 || !strings.HasSuffix(got[5], "to=7 reason=baton weight") || !strings.HasSuffix(got[6], "from=7 to=9 reason=named by a check") {
				t.Errorf("of the operator's is told %q", got)
			}
			later(2 * time.Minute)
			got := c.told(event.ServerFlapping, event.ServerSteady)
			if len(got) != 2 || !strings.Contains(got[0], "count=6 took=5s reason=weight") || !strings.Contains(got[1], "to=9 reason=weight count=200") {
				t.Errorf("told %q", got)
			}
			weigh(4)
			if n := len(c.told(event.ServerWeight)); n != 8 {
				t.Errorf("%d lines of server.weight, want that of the calm time too", n)
			}
		})
	})
}

// TestTableIsToldWhereSomebodyAskedForIt: what follows from verdicts and weights has
// lines of its own, and is counted and shown to who wants debug.
func TestTableIsToldWhereSomebodyAskedForIt(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			told, counted := 0, uint64(0)
			// step says how many lines and how many events what is done has brought.
			step := func(what string, lines int, events uint64, do func()) {
				t.Helper()
				do()
				synctest.Wait()
				n, m := len(c.told(event.IPVSApplied)), uint64(0)
				if err := c.ask(t.Context(), func() { m = c.events[event.IPVSApplied] }); err != nil {
					t.Error(err)
				}
				if n-told != lines || m-counted != events {
					t.Errorf("%s: %d lines and %d events, want %d and %d", what, n-told, m-counted, lines, events)
				}
				told, counted = n, m
			}
			order := func(n int) {
				if _, err := c.Weight(t.Context(), control.WeightRequest{ServerRequest: named("192.168.16.104"), Weight: control.Weight{Value: &n}}); err != nil {
					t.Error(err)
				}
			}
			reload := func(change func(*conf.VirtualServer)) {
				next := two()
				change(&next.Services[0])
				if err := c.ask(t.Context(), func() { c.change(next) }); err != nil {
					t.Error(err)
				}
			}
			step("the first programming", 1, 1, func() {})
			step("servers that come up", 0, 1, func() { c.tell(t, up("a", "b")) })
			step("one that fails", 0, 1, func() { c.tell(t, down(up(), "b")) })
			step("one that comes back", 0, 1, func() { c.tell(t, up("b")) })
			step("a weight of a check", 0, 1, func() {
				c.tell(t, map[string]healthcheck.Verdict{"a": {ID: "a", Up: true, Weight: new(9)}})
			})
			step("a weight of the operator", 1, 1, func() { order(7) })
			step("an order that changes nothing", 0, 0, func() { order(7) })
			step("a verdict after it", 0, 1, func() { c.tell(t, down(up(), "b")) })
			step("a server that is back", 0, 1, func() { c.tell(t, up("b")) })
			step("a drain and its end", 2, 2, func() {
				if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104")}); err != nil {
					t.Error(err)
				}
				later(5 * time.Second)
			})
			step("the drain taken back", 1, 1, func() {
				if _, err := c.Undrain(t.Context(), named("192.168.16.104")); err != nil {
					t.Error(err)
				}
			})
			step("a reload", 1, 1, func() { reload(func(vs *conf.VirtualServer) { vs.Servers[0].Server.Forward = ipvs.NAT }) })
			s.connections("192.168.16.104:80", 1)
			step("a server that leaves", 1, 1, func() {
				reload(func(vs *conf.VirtualServer) { vs.Servers = vs.Servers[:1] })
				later(5 * time.Second)
			})
			s.connections("192.168.16.104:80", 0)
			step("its last connection", 1, 1, func() { later(5 * time.Second) })
			failed := false
			s.kernel.BeforeApply = func(ipvs.Op) error {
				if failed {
					return nil
				}
				failed = true
				return errors.New("no memory")
			}
			step("a failure", 0, 0, func() { c.tell(t, down(up(), "a")) })
			step("what it had kept off", 1, 1, func() { later(2 * time.Second) })
			live := c.Follow(t.Context())
			c.levels.set[event.IPVS] = levelSet{level: event.LevelDebug}
			step("with debug", 0, 1, func() { c.tell(t, up("a")) })
			for e := range live {
				if e.Name == event.IPVSApplied {
					if e.Level != event.LevelDebug || e.Get(event.Added) != "1" {
						t.Errorf("told %+v", e)
					}
					break
				}
			}
		})
	})
}

// TestChangedServicesAreTold, whatever the reason.
func TestChangedServicesAreTold(t *testing.T) {
	for kind, lines := range map[ipvs.OpKind]int{
		ipvs.AddService: 1, ipvs.UpdateService: 1, ipvs.DeleteService: 1, ipvs.AddServer: 0, ipvs.UpdateServer: 0, ipvs.DeleteServer: 0,
	} {
		c := testCore(t, &conf.Config{})
		op := ipvs.Op{Kind: kind, Service: ipvs.Service{Key: webKey}, Server: server("192.168.16.103:80", 1).Server}
		c.passed(pass{seq: 1, res: ipvs.Result{Applied: []ipvs.Op{op}}})
		if got := c.told(event.IPVSApplied); len(got) != lines {
			t.Errorf("%s: told %q", op, got)
		}
	}
}
