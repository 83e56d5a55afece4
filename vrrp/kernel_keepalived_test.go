//go:build linux && kernel

package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// TestKernelKeepalived lets Debian's keepalived be the peer over every kind of
// wire: it is heard, preempted, and succeeds us.
func TestKernelKeepalived(t *testing.T) {
	vmac := func(h *host, c *Config) {
		c.VMAC = &VMAC{Name: "vrrp.51"}
		h.vmac("vrrp.51", c.Family())
	}
	unicast := func(source, peer netip.Addr) func(*host, *Config) {
		return func(_ *host, c *Config) { c.Source, c.Peers = source, []netip.Addr{peer} }
	}
	grouped := netip.MustParseAddr("224.0.0.99")
	for _, tt := range []struct {
		name    string
		version Version
		vips    []Address
		theirs  string // of its configuration
		ours    func(*host, *Config)
		peer    netip.Addr
	}{
		{"v2", V2, vip, "", nil, addrB},
		{"v3", V3, vip, "", nil, addrB},
		{"v2 with a password", V2, vip, "authentication {\n auth_type PASS\n auth_pass secret\n}",
			func(_ *host, c *Config) { c.Password = "secret" }, addrB},
		{"v2 unicast", V2, vip, "unicast_src_ip 192.168.16.112\nunicast_peer {\n 192.168.16.102\n}", unicast(addrA, addrB), addrB},
		{"v3 unicast", V3, vip, "unicast_src_ip 192.168.16.112\nunicast_peer {\n 192.168.16.102\n}", unicast(addrA, addrB), addrB},
		{"v3 in another group", V3, vip, "mcast_dst_ip 224.0.0.99", func(_ *host, c *Config) { c.Group = grouped }, addrB},
		{"v3 from VMACs", V3, vip, "use_vmac", vmac, addrB},
		{"v3 over IPv6", V3, vip6, "", nil, linkB},
		{"v3 over IPv6 unicast", V3, vip6, "unicast_src_ip 2001:db8::b\nunicast_ttl 255\nunicast_peer {\n 2001:db8::a\n}", unicast(wideA, wideB), wideB},
		{"v3 over IPv6 from VMACs", V3, vip6, "use_vmac", vmac, linkB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting, each on a cable of its own
			a, b := cable(t)
			a.t, b.t = t, t
			cfg := instanceConfig(150)
			cfg.Version, cfg.Addresses = tt.version, tt.vips
			if tt.ours != nil {
				tt.ours(a, &cfg)
			}
			conn := inside{a.listenAt(cfg.Endpoint()), a}
			defer conn.Close()
			if cfg.VMAC != nil {
				if err := conn.Overhear(cfg.VMAC.Name); err != nil {
					t.Fatal(err)
				}
			}
			b.keepalived(tt.version, tt.vips, tt.theirs)
			message, meta := receive(t, conn, 20*time.Second)
			i := instance{cfg: cfg, link: &link{at: cfg.Endpoint()}}
			want := i.wanted()
			advert, drop := Parse(message, meta, &want)
			if drop != DropNone || advert.Priority != 100 || advert.Len() != len(tt.vips) || advert.Address(0) != tt.vips[0].Prefix.Addr() || meta.Source != tt.peer {
				t.Fatalf("its advert %x, %+v, is read as %+v (%v)", message, meta, advert, drop)
			}
			if tt.version == V3 && cfg.Family() == IPv4 && advert.Checksum != ChecksumPseudo {
				t.Errorf("its checksum is %q: the default for %q should be its form", advert.Checksum, ChecksumAuto)
			}
			its := tt.vips[len(tt.vips)-1]
			b.eventually("keepalived has the address", func() bool { return b.holds(its) })

			// We preempt it, and it lets go.
			e, r, _ := a.engine(cfg)
			_, n := r.await(t, 0, "BACKUP>MASTER: preempted a lower priority", 20*time.Second)
			b.eventually("keepalived has given the address up", func() bool { return !b.holds(its) })
			if s := e.Status(); len(s[0].Dropped) != 0 {
				t.Errorf("dropped %v", s[0].Dropped)
			}

			// It succeeds us, and we let go only then.
			if err := e.Failover("VI_1"); err != nil {
				t.Fatal(err)
			}
			done, n := r.await(t, n, "handover_done "+tt.peer.String(), 10*time.Second)
			if done.Duration > 3*time.Second {
				t.Errorf("it took keepalived %v to succeed, its skew time is 609ms", done.Duration)
			}
			r.await(t, n, "MASTER>BACKUP: failover", time.Second)
			b.eventually("keepalived has the address again", func() bool { return b.holds(its) })
			if cfg.VMAC == nil {
				return
			}
			// An advert of every second arrives once, whichever way it comes.
			before := e.Status()[0].Received
			time.Sleep(3 * time.Second)
			if got := e.Status()[0].Received - before; got < 2 || got > 4 {
				t.Errorf("%d adverts were heard in 3 s", got)
			}
		})
	}
}
