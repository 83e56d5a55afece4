package director

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
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

// TestRenamedPoolStaysWhatItIs: a service that becomes a group, because it gets a
// second address, has its servers drained, failed and weighed as before, and no
// verdict has to come first. So it is when the director is started with that.
func TestRenamedPoolStaysWhatItIs(t *testing.T) {
	single := func() *conf.Config {
		cfg := tracking()
		cfg.Services = web(server("192.168.16.103:80", 3, "w a"), server("192.168.16.104:80", 2, "w b"), server("192.168.16.105:80", 1, "w c"))
		return cfg
	}
	group := tracking()
	group.Services = web(server("192.168.16.103:80", 3, "g a"), server("192.168.16.104:80", 2, "g b"), server("192.168.16.105:80", 1, "g c"))
	group.Services[0].Name = "group web"
	group.Services[0].Keys = append(group.Services[0].Keys, ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.201:80")))
	const want = hasWeb + "-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 7\n" +
		"-A -t 192.168.16.201:80 -s rr\n-a -t 192.168.16.201:80 -r 192.168.16.103:80 -g -w 7\n"
	seven := 7
	begin := func(t *testing.T, c *core) {
		c.tell(t, down(up("w a", "w b"), "w c"))
		if _, err := c.Drain(t.Context(), control.DrainRequest{ServerRequest: named("192.168.16.104")}); err != nil {
			t.Error(err)
		}
		if _, err := c.Weight(t.Context(), control.WeightRequest{ServerRequest: named("192.168.16.103"), Weight: control.Weight{Value: &seven}}); err != nil {
			t.Error(err)
		}
		later(5 * time.Second)
	}
	judge := func(t *testing.T, c *core, states ...string) {
		t.Helper()
		for i, sv := range c.now(t).Services[0].Servers {
			if sv.State != states[i] {
				t.Errorf("%s is %s, want %s", sv.Address, sv.State, states[i])
			}
		}
		for _, line := range c.told(event.ServerUndrained, event.ServerWeight) {
			if strings.Contains(line, "group web") {
				t.Errorf("told %q", line)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		s.directing(t, single(), func(c *core) {
			begin(t, c)
			if err := c.ask(t.Context(), func() { c.change(group) }); err != nil {
				t.Error(err)
			}
			s.holds(t, "a group", want)
			judge(t, c, "up", "drained", "down")
		})
		s.directing(t, group, func(c *core) {
			c.tell(t, down(up("g a", "g b"), "g c"))
			s.holds(t, "a start", want)
			judge(t, c, "up", "drained", "down")
		})
	})
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		s.directing(t, single(), func(c *core) { begin(t, c) })
		s.directing(t, group, func(c *core) {
			c.tell(t, down(up("g a", "g b"), "g c"))
			s.holds(t, "a start with the group", want)
			judge(t, c, "up", "drained", "down")
		})
		// The group has another name at the next start, and another address before those
		// that it had. A reload gives it one more, with which it is found again.
		called := func(name string, keys ...ipvs.ServiceKey) *conf.Config {
			cfg := *group
			cfg.Services = slices.Clone(group.Services)
			cfg.Services[0].Name, cfg.Services[0].Keys = name, keys
			return &cfg
		}
		at := func(address string) ipvs.ServiceKey {
			return ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort(address+":80"))
		}
		keys := append([]ipvs.ServiceKey{at("192.168.16.199")}, group.Services[0].Keys...)
		s.directing(t, called("group shop", keys...), func(c *core) {
			c.tell(t, down(up("g a", "g b"), "g c"))
			s.holds(t, "a start with a renamed group", "-A -t 192.168.16.199:80 -s rr\n-a -t 192.168.16.199:80 -r 192.168.16.103:80 -g -w 7\n"+want)
			judge(t, c, "up", "drained", "down")
			later(time.Second) // all is written down
			if err := c.ask(t.Context(), func() { c.change(called("group shop", append(keys, at("192.168.16.198"))...)) }); err != nil {
				t.Error(err)
			}
		})
		s.directing(t, called("group third", at("192.168.16.198")), func(c *core) {
			c.tell(t, down(up("g a", "g b"), "g c"))
			judge(t, c, "up", "drained", "down")
		})
	})
	// A record of an older Baton has the names alone.
	synctest.Test(t, func(t *testing.T) {
		s := site{ipvstest.New(""), t.TempDir()}
		s.directing(t, single(), func(c *core) { begin(t, c) })
		name := filepath.Join(s.dir, ordersFile)
		var record map[string]any
		raw, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(raw, &record)
		}
		if err != nil || record["services"] == nil {
			t.Fatalf("the record is %s: %v", raw, err)
		}
		delete(record, "services")
		if raw, err = json.Marshal(record); err == nil {
			err = os.WriteFile(name, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.directing(t, group, func(c *core) {
			c.tell(t, down(up("g a", "g b"), "g c"))
			s.holds(t, "a start with the group", want)
			judge(t, c, "up", "drained", "down")
		})
	})
}

// TestSameCheckKeepsItsVerdict: a service that is another one to the kernel begins
// with what is known of its servers, and with nothing else.
func TestSameCheckKeepsItsVerdict(t *testing.T) {
	serving := func(name string, spec func(*healthcheck.Spec)) *conf.Config {
		cfg := tracking()
		cfg.Services = web(server("192.168.16.103:80", 3, name+" a"), server("192.168.16.104:80", 2, name+" b"))
		for i := range cfg.Services[0].Servers {
			spec(&cfg.Services[0].Servers[i].Checks[0])
		}
		return cfg
	}
	every := func(d time.Duration) func(*healthcheck.Spec) {
		return func(s *healthcheck.Spec) { s.Kind, s.Interval = healthcheck.TCP, d }
	}
	marked := func(cfg *conf.Config) *conf.Config {
		vs := &cfg.Services[0]
		vs.Name, vs.Keys = "fwmark 7", []ipvs.ServiceKey{ipvs.FWMarkKey(7, ipvs.IPv4)}
		vs.Service.Key = vs.Keys[0]
		return cfg
	}
	const gone = hasWeb + "-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 0\n"
	for name, tc := range map[string]struct {
		next *conf.Config
		want string
	}{
		"the same checks": {marked(serving("new", every(time.Second))), gone + "-A -f 7 -s rr\n-a -f 7 -r 192.168.16.103:80 -g -w 3\n"},
		"others":          {marked(serving("new", every(time.Minute))), gone + "-A -f 7 -s rr\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := site{ipvstest.New(""), t.TempDir()}
				s.directing(t, serving("old", every(time.Second)), func(c *core) {
					c.tell(t, down(up("old a"), "old b"))
					if err := c.ask(t.Context(), func() { c.change(tc.next) }); err != nil {
						t.Error(err)
					}
					s.holds(t, "after the reload", tc.want)
				})
			})
		})
	}
}
