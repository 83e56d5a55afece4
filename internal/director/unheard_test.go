package director

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/ipc"
	"baton/ipvs/ipvstest"
)

// TestVerdictsThatAreNotKnownAreAskedFor: two reloads in a row, of which one takes a
// server out and the other puts it back, reach a prober that is busy as one, and to
// it nothing has changed. It must say again what it knows, or the server would
// wait for its first pass until it has failed.
func TestVerdictsThatAreNotKnownAreAskedFor(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	one := two()
	one.Services[0].Servers = one.Services[0].Servers[:1]
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, two(), func(c *core) {
			ours, theirs := net.Pipe()
			conn, prober := ipc.NewConn(ours), ipc.NewConn(theirs)
			defer ours.Close()
			ask := func(f func()) {
				t.Helper()
				if err := c.ask(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			receive := func() (st proberState) {
				t.Helper()
				m, err := prober.Receive()
				if err == nil {
					err = m.Decode(&st)
				}
				if err != nil {
					t.Fatal(err)
				}
				return st
			}
			ask(func() { c.prober.connect(1, conn, c.tellUnsendable("prober")); c.sendProber() })
			if st := receive(); len(st.Checks) != 2 || st.Unheard != nil {
				t.Errorf("a new prober is told %+v", st)
			}
			c.tell(t, up("a", "b"))
			ask(c.sendProber)
			synctest.Wait() // it is being sent; what comes now waits
			for _, cfg := range []*conf.Config{one, two()} {
				ask(func() { c.change(cfg) })
			}
			if st := receive(); len(st.Unheard) > 0 {
				t.Errorf("all have answered, and yet %q", st.Unheard)
			}
			if st := receive(); len(st.Checks) != 2 || !slices.Equal(st.Unheard, []string{"b"}) {
				t.Errorf("of %d checks the director has not heard %q", len(st.Checks), st.Unheard)
			}
			ask(c.prober.disconnect)
		})
	})
}

// TestChecksOfFailedServersAreDoubted: the prober is told whose servers are down, and
// so are not brought up by the first pass of a check that a reload has changed. That
// goes on while the new check has not answered, over more reloads, and ends when the
// server is up.
func TestChecksOfFailedServersAreDoubted(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	asked := func(a, b string) *conf.Config {
		cfg := tracking()
		cfg.Services = web(server("192.168.16.103:80", 3, a), server("192.168.16.104:80", 2, b))
		for i, rs := range cfg.Services[0].Servers {
			cfg.Services[0].Servers[i].Checks[0].Kind = healthcheck.Kind(rs.Checks[0].ID[2:])
		}
		return cfg
	}
	synctest.Test(t, func(t *testing.T) {
		s.directing(t, asked("a tcp", "b tcp"), func(c *core) {
			doubts := func(when string, want ...string) {
				t.Helper()
				var got []string
				if err := c.ask(t.Context(), func() { st, _ := c.proberState(); got = st.Doubted }); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %q are in doubt, want %q", when, got, want)
				}
			}
			reload := func(cfg *conf.Config) {
				t.Helper()
				if err := c.ask(t.Context(), func() { c.change(cfg) }); err != nil {
					t.Fatal(err)
				}
			}
			doubts("at first")
			c.tell(t, down(up("a tcp"), "b tcp"))
			doubts("one has failed", "b tcp")
			reload(asked("a http", "b http"))
			doubts("both are asked otherwise", "b http")
			reload(asked("a dns", "b dns"))
			doubts("and again", "b dns")
			c.tell(t, up("a dns", "b dns"))
			doubts("both are up")
		})
	})
}
