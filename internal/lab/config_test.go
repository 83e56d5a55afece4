package lab_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/internal/lab"
	"baton/ipvs"
)

// TestConfigurationServesBothDirectors reads what the lab writes with the
// reader that the directors use.
func TestConfigurationServesBothDirectors(t *testing.T) {
	o := lab.Options{
		Dir: filepath.Join(t.TempDir(), "l"), AdvertInterval: 100 * time.Millisecond, NoPreempt: true,
		GlobalTOML: `resync_interval = "2s"`, InstanceTOML: "garp_master_repeat = 2", ServerTOML: "retry = 3\n",
	}
	for node, priority := range map[string]uint8{lab.LVSA: 150, lab.LVSB: 100} {
		text, err := lab.ConfigText(o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := conf.Parse("baton.toml", []byte(text), node)
		if err != nil {
			t.Fatalf("%s: %v\n%s", node, err, text)
		}
		want := lab.PathsIn(o.Dir, node)
		if g := c.Global; g.ControlSocket != want.Socket || g.RuntimeDir != want.Runtime || g.StateDir != want.State || g.ResyncInterval != 2*time.Second {
			t.Errorf("%s: global is %+v", node, g)
		}
		i := c.Instances[0]
		if i.Priority != priority || i.AdvertInterval != o.AdvertInterval || i.Preempt || i.GARP.MasterRepeat != 2 ||
			i.Addresses[0].Prefix.Addr() != lab.VIP || i.VRID != 51 || i.Version != 3 {
			t.Errorf("%s: instance is %+v", node, i)
		}
		s := c.Services[0]
		if s.Name != "tcp 192.168.16.200:80" || len(s.Servers) != 2 || len(s.Servers[0].Checks) != 1 {
			t.Fatalf("%s: service is %+v", node, s)
		}
		check := s.Servers[0].Checks[0]
		if check.Target.Addr() != lab.Address(lab.RS1) || check.Interval != time.Second || check.Retry != 1 || check.HTTP.Path != "/healthz" {
			t.Errorf("%s: check is %+v", node, check)
		}
	}
}

func TestOwnConfigurationReplacesAll(t *testing.T) {
	o := lab.Options{Config: "# mine\n", GlobalTOML: "ignored = true"}
	if got, err := lab.ConfigText(o); err != nil || got != o.Config {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDirectorThatIsNoneIsRefused(t *testing.T) {
	_, err := lab.ConfigText(lab.Options{Directors: []string{"lvs-c"}})
	if err == nil || err.Error() != `start director "lvs-c": the lab has lvs-a and lvs-b` {
		t.Errorf("%v", err)
	}
}

// TestConfigurationOfEachTopology is what the directors read.
func TestConfigurationOfEachTopology(t *testing.T) {
	forward := map[lab.Topology]ipvs.Forward{lab.DR: ipvs.DR, lab.DRRouted: ipvs.DR, lab.NAT: ipvs.NAT, lab.TUN: ipvs.TUN}
	for _, top := range lab.Topologies() {
		for _, v6 := range []bool{false, true} {
			text, err := lab.ConfigText(lab.Options{Topology: top, IPv6: v6, Dir: t.TempDir()})
			if v6 && top != lab.DR {
				if err == nil || !strings.Contains(err.Error(), `only "dr" has it`) {
					t.Errorf("%s with IPv6: %v", top, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			c, err := conf.Parse("baton.toml", []byte(text), lab.LVSA)
			if err != nil {
				t.Fatalf("%s: %v\n%s", top, err, text)
			}
			services := 1
			if v6 {
				services = 2
			}
			if len(c.Services) != services || len(c.Instances) != services+len(c.SyncGroups) {
				t.Errorf("%s: %d instances, %d services", top, len(c.Instances), len(c.Services))
			}
			for _, s := range c.Services {
				for i, rs := range []string{lab.RS1, lab.RS2} {
					want := top.ServerAddress(rs)
					if s.Service.Key.Address.Is6() {
						want = netip.MustParseAddrPort([]string{"[2001:db8:16::103]:80", "[2001:db8:16::104]:80"}[i])
					}
					if got := s.Servers[i]; got.Target() != want || got.Server.Forward != forward[top] {
						t.Errorf("%s: %s is %v %v, want %v", top, rs, got.Target(), got.Server.Forward, want)
					}
				}
			}
		}
	}
}
