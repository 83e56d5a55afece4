package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loop is a Conn that takes what is sent and gives what a test puts in.
type loop struct {
	sent    int
	message []byte // received repeat times
	repeat  int
	from    netip.Addr
	to      netip.Addr
}

func (c *loop) Send([]byte, Delivery) error { c.sent++; return nil }

func (c *loop) Receive(buf []byte) ([]byte, Meta, error) {
	if c.repeat == 0 {
		return nil, Meta{}, ErrEmpty
	}
	c.repeat--
	return buf[:copy(buf, c.message)], Meta{Source: c.from, Destination: c.to, TTL: 255}, nil
}

func (c *loop) Wait() error  { return nil }
func (c *loop) Close() error { return nil }

type nothing struct{}

func (nothing) Set(Config, bool, Handover) error { return nil }
func (nothing) Announce(Config) error            { return nil }

// quietCore is a core with n instances of the priority, past their election
// against nobody, and its clock.
func quietCore(tb testing.TB, n int, priority uint8, change ...func(*Config)) (*Core, *loop, *time.Time) {
	now := t0
	clock := func() time.Time { return now }
	conn := &loop{from: addrB, to: Group}
	c := NewCore(EngineOptions{
		Listen:    func(Endpoint) (Conn, error) { return conn, nil },
		Addresses: nothing{}, Announcer: nothing{}, Notify: func(Notice) {}, Now: clock, Wall: clock,
	})
	var cfgs []Config
	ready := map[string]bool{}
	for i := range n {
		cfg := instanceConfig(priority)
		cfg.Name = "VI_" + strconv.Itoa(i)
		cfg.Interface = "eth" + strconv.Itoa(i/255)
		cfg.VRID = uint8(1 + i%255)
		cfg.Addresses = []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 24)}}
		for _, f := range change {
			f(&cfg)
		}
		cfgs = append(cfgs, cfg)
		ready[cfg.Name] = true
		c.SetLink(LinkState{Interface: cfg.Interface, Up: true, Primary: addrA, LinkLocal: linkA, Index: 2})
	}
	c.SetReady(ready)
	c.Apply(cfgs, nil, nil)
	for range 20 {
		now = now.Add(time.Second)
		c.Tick()
	}
	if got := c.Status()[0].Role; got != Master {
		tb.Fatalf("after 20 s it is %s", got)
	}
	return c, conn, &now
}

// follow makes the instances backups of a master, whose last advert conn keeps.
func follow(c *Core, conn *loop) {
	for _, i := range c.instances {
		a := Advert{Version: i.cfg.Version, VRID: i.cfg.VRID, Priority: 200, Interval: time.Second, Checksum: ChecksumPseudo, Password: i.cfg.Password}
		conn.message = AppendAdvert(nil, a, conn.from, conn.to, i.cfg.Addresses)
		conn.repeat = 1
		c.Receive(i.cfg.Endpoint())
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	t.Run("sending", func(t *testing.T) {
		c, conn, now := quietCore(t, 3, 150)
		before := conn.sent
		if n := testing.AllocsPerRun(1000, func() {
			*now = now.Add(time.Second)
			c.Tick()
		}); n != 0 {
			t.Errorf("3 adverts cost %v allocations", n)
		}
		if got := conn.sent - before; got < 3000 {
			t.Errorf("%d adverts were sent: nothing was measured", got)
		}
	})
	t.Run("receiving", func(t *testing.T) {
		c, conn, now := quietCore(t, 1, 100)
		follow(c, conn)
		before := c.Status()[0]
		if before.Role != Backup {
			t.Fatalf("it is %s", before.Role)
		}
		if n := testing.AllocsPerRun(1000, func() {
			*now = now.Add(time.Second)
			conn.repeat = 1
			c.Receive(eth0)
			c.Tick()
		}); n != 0 {
			t.Errorf("an advert costs %v allocations", n)
		}
		if got := c.Status()[0].Received - before.Received; got < 1000 {
			t.Errorf("%d adverts were received: nothing was measured", got)
		}
	})
	t.Run("under a flood of invalid packets", func(t *testing.T) {
		c, conn, now := quietCore(t, 1, 100)
		follow(c, conn)
		conn.message[7] ^= 1
		if n := testing.AllocsPerRun(1000, func() {
			*now = now.Add(time.Millisecond)
			conn.repeat = 20
			c.Receive(eth0)
		}); n != 0 {
			t.Errorf("20 invalid packets cost %v allocations", n)
		}
		if got := c.Status()[0].Dropped["checksum"]; got < 20000 {
			t.Errorf("%d packets were dropped: nothing was measured", got)
		}
	})
}

// TestTracing: each advert is told while somebody watches, and at no other time.
func TestTracing(t *testing.T) {
	c, conn, now := quietCore(t, 1, 100)
	var got []string
	c.opts.Notify = func(n Notice) {
		got = append(got, fmt.Sprintf("%s %s %s prio %d %v", n.Instance, n.Kind, n.Peer, n.Priority, n.Duration))
	}
	second := func() {
		*now = now.Add(time.Second)
		c.Tick()
	}
	second()
	if len(got) != 0 {
		t.Errorf("told without tracing: %q", got)
	}
	c.SetTracing(true)
	second()
	follow(c, conn) // and it answers, once more
	got = slices.DeleteFunc(got, func(s string) bool { return !strings.Contains(s, " advert_") })
	want := []string{"VI_0 advert_sent 224.0.0.18 prio 100 0s", "VI_0 advert_received " + addrB.String() + " prio 200 1s", "VI_0 advert_sent 224.0.0.18 prio 100 0s"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	c.SetTracing(false)
	got = nil
	conn.repeat = 1
	c.Receive(eth0)
	if len(got) != 0 {
		t.Errorf("told after tracing: %q", got)
	}
}

// kinds are the ways of sending adverts beside IPv4 multicast.
var kinds = []struct {
	name     string
	change   func(*Config)
	from, to netip.Addr
	packets  int // for each advert
}{
	{"IPv6", func(c *Config) { c.Addresses = vip6 }, linkB, Group6, 1},
	{"unicast", func(c *Config) { c.Peers = []netip.Addr{addrB, addrC, addrD} }, addrB, addrA, 3},
	{"unicast over IPv6", func(c *Config) {
		c.Addresses, c.Source, c.Peers = vip6, wideA, []netip.Addr{wideB, netip.MustParseAddr("2001:db8::c")}
	}, wideB, wideA, 2},
	{"password", func(c *Config) { c.Version, c.Password = V2, "secret" }, addrB, Group, 1},
	{"VMAC", func(c *Config) { c.VMAC = &VMAC{Name: "vrrp.51"} }, addrB, Group, 1},
}

// The same over IPv6, to unicast peers, with a password and from a VMAC.
func TestSteadyStateOfEveryKindDoesNotAllocate(t *testing.T) {
	for _, tt := range kinds {
		t.Run(tt.name, func(t *testing.T) {
			c, conn, now := quietCore(t, 1, 150, tt.change)
			before := conn.sent
			if n := testing.AllocsPerRun(1000, func() {
				*now = now.Add(time.Second)
				c.Tick()
			}); n != 0 {
				t.Errorf("an advert sent costs %v allocations", n)
			}
			if got := conn.sent - before; got < 1000*tt.packets {
				t.Errorf("%d packets were sent, want %d for each advert", got, tt.packets)
			}
			conn.from, conn.to = tt.from, tt.to
			follow(c, conn)
			heard := c.Status()[0]
			if heard.Role != Backup {
				t.Fatalf("it is %s, dropped %v", heard.Role, heard.Dropped)
			}
			if n := testing.AllocsPerRun(1000, func() {
				*now = now.Add(time.Second)
				conn.repeat = 1
				c.Receive(c.instances["VI_0"].cfg.Endpoint())
				c.Tick()
			}); n != 0 {
				t.Errorf("an advert heard costs %v allocations", n)
			}
			if got := c.Status()[0].Received - heard.Received; got < 1000 {
				t.Errorf("%d adverts were received: nothing was measured", got)
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	c, _, now := quietCore(b, 1, 150)
	b.ReportAllocs()
	for b.Loop() {
		*now = now.Add(time.Second)
		c.Tick()
	}
}

func BenchmarkReceive(b *testing.B) {
	c, conn, now := quietCore(b, 1, 100)
	follow(c, conn)
	b.ReportAllocs()
	for b.Loop() {
		*now = now.Add(time.Millisecond)
		conn.repeat = 1
		c.Receive(eth0)
	}
}

// BenchmarkKinds is BenchmarkSend and BenchmarkReceive of the other kinds.
func BenchmarkKinds(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name+"/sent", func(b *testing.B) {
			c, _, now := quietCore(b, 1, 150, k.change)
			b.ReportAllocs()
			for b.Loop() {
				*now = now.Add(time.Second)
				c.Tick()
			}
		})
		b.Run(k.name+"/received", func(b *testing.B) {
			c, conn, now := quietCore(b, 1, 100, k.change)
			conn.from, conn.to = k.from, k.to
			follow(c, conn)
			at := c.instances["VI_0"].cfg.Endpoint()
			before := c.Status()[0].Received
			b.ReportAllocs()
			for b.Loop() {
				*now = now.Add(time.Millisecond)
				conn.repeat = 1
				c.Receive(at)
			}
			if c.Status()[0].Received == before {
				b.Error("nothing was received")
			}
		})
	}
}

// BenchmarkSecondOf1000 is what 1,000 instances with adverts every second cost
// in each of them.
func BenchmarkSecondOf1000(b *testing.B) {
	c, _, now := quietCore(b, 1000, 150)
	b.ReportAllocs()
	for b.Loop() {
		*now = now.Add(time.Second)
		c.Tick()
	}
}

func BenchmarkParse(b *testing.B) {
	message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, addrA, Group, vip)
	want := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
	meta := arrived()
	b.ReportAllocs()
	for b.Loop() {
		if _, drop := Parse(message, meta, &want); drop != DropNone {
			b.Fatal(drop)
		}
	}
}
