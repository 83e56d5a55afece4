package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// cluster is directors on one network and one clock, without goroutines: Core
// as a simulation drives it.
type cluster struct {
	t     *rapid.T
	now   time.Time
	nodes []*member
}

type member struct {
	cluster *cluster
	core    *Core
	addr    netip.Addr
	cfg     Config
	inbox   []simPacket
	open    bool // its socket
	deaf    bool // what is sent to it is lost
	mute    bool // what it sends is lost
	broken  bool // its addresses cannot be set
	have    bool
	asleep  time.Time
	trace   []string
}

type simPacket struct {
	at   time.Time
	data []byte
	meta Meta
}

func (m *member) Send(b []byte, d Delivery) error {
	source := d.Source
	if m.mute {
		return nil
	}
	for _, to := range m.cluster.nodes {
		if to != m && to.open && !to.deaf {
			to.inbox = append(to.inbox, simPacket{m.cluster.now.Add(time.Millisecond), slices.Clone(b), Meta{source, Group, TTL}})
		}
	}
	return nil
}

func (m *member) Receive(buf []byte) ([]byte, Meta, error) {
	if len(m.inbox) == 0 || m.inbox[0].at.After(m.cluster.now) {
		return nil, Meta{}, ErrEmpty
	}
	p := m.inbox[0]
	m.inbox = m.inbox[1:]
	return buf[:copy(buf, p.data)], p.meta, nil
}

func (*member) Wait() error { return nil }

func (m *member) Close() error {
	m.open, m.inbox = false, nil
	return nil
}

func (m *member) Set(_ Config, present bool, _ Handover) error {
	if m.broken {
		return errors.New("broken")
	}
	m.have = present
	return nil
}

func (m *member) Announce(Config) error {
	if s := m.core.Status(); s[0].Role != Master || s[0].Handover || !m.have {
		m.cluster.t.Fatalf("%v announces as %s, handover %v, addresses %v", m.addr, s[0].Role, s[0].Handover, m.have)
	}
	return nil
}

func (m *member) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%v %s", m.cluster.now.Sub(t0), fmt.Sprintf(format, args...)))
}

func newCluster(t *rapid.T, n int, draw func(i int) Config) *cluster {
	c := &cluster{t: t, now: t0}
	for i := range n {
		m := &member{cluster: c, addr: netip.AddrFrom4([4]byte{192, 168, 16, byte(102 + 10*i)}), cfg: draw(i)}
		m.core = NewCore(EngineOptions{
			Listen:    func(Endpoint) (Conn, error) { m.open = true; return m, nil },
			Addresses: m, Announcer: m, Notify: func(n Notice) { m.say("%s", n.brief()) },
			Now: func() time.Time { return c.now }, Wall: func() time.Time { return c.now },
		})
		c.nodes = append(c.nodes, m)
	}
	for _, m := range c.nodes {
		m.core.SetLink(LinkState{Interface: "eth0", Up: true, Primary: m.addr, Index: 2})
		m.core.SetReady(map[string]bool{"VI_1": true})
		m.core.Apply([]Config{m.cfg}, nil, nil)
	}
	return c
}

// run lets everything happen that is due until end.
func (c *cluster) run(end time.Time) {
	for range 1_000_000 {
		next := end
		for _, m := range c.nodes {
			at := end
			if wake, ok := m.core.Next(); ok {
				at = earlier(at, wake)
			}
			if len(m.inbox) > 0 {
				at = earlier(at, m.inbox[0].at)
			}
			if at.Before(m.asleep) {
				at = m.asleep
			}
			next = earlier(next, at)
		}
		if next.After(c.now) {
			c.now = next
		}
		for _, m := range c.nodes {
			if !c.now.Before(m.asleep) {
				m.core.Receive(eth0)
				m.core.Tick()
			}
		}
		if !c.now.Before(end) {
			return
		}
	}
	c.t.Fatal("it goes round and round")
}

func (c *cluster) fatalf(format string, args ...any) {
	for _, m := range c.nodes {
		c.t.Logf("%v priority %d preempt %v:", m.addr, m.cfg.Priority, m.cfg.Preempt)
		for _, line := range m.trace {
			c.t.Log("  " + line)
		}
	}
	c.t.Fatalf(format, args...)
}

// disturb does one thing to one member and returns whether it may change who
// is to be master in the end.
func (c *cluster) disturb(t *rapid.T) (lasting bool) {
	m := c.nodes[rapid.IntRange(0, len(c.nodes)-1).Draw(t, "node")]
	what := rapid.SampledFrom([]string{
		"deaf", "mute", "hears and speaks", "link down", "link up", "not ready", "ready",
		"sleep", "broken", "mended", "failover", "priority", "restart", "lose", "duplicate",
	}).Draw(t, "what")
	if c.now.Before(m.asleep) {
		return false // it does not notice
	}
	m.say("-- %s", what)
	switch what {
	case "deaf":
		m.deaf = true
	case "mute":
		m.mute = true
	case "hears and speaks":
		m.deaf, m.mute = false, false
	case "link down":
		m.core.SetLink(LinkState{Interface: "eth0", Up: false, Primary: m.addr, Index: 2})
	case "link up":
		m.core.SetLink(LinkState{Interface: "eth0", Up: true, Primary: m.addr, Index: 2})
	case "not ready":
		m.core.SetReady(nil)
	case "ready":
		m.core.SetReady(map[string]bool{"VI_1": true})
	case "sleep":
		m.asleep = c.now.Add(time.Duration(rapid.IntRange(1, 10_000).Draw(t, "ms")) * time.Millisecond)
	case "broken":
		m.broken = true
	case "mended":
		m.broken = false
	case "failover":
		return m.core.Failover("") == nil
	case "priority":
		m.cfg.Priority = uint8(rapid.IntRange(1, 254).Draw(t, "priority"))
		m.core.Apply([]Config{m.cfg}, nil, nil)
	case "restart":
		m.core.Apply(nil, nil, nil)
		m.core.Apply([]Config{m.cfg}, nil, nil)
	case "lose":
		m.inbox = nil
	case "duplicate":
		m.inbox = append(m.inbox, m.inbox...)
		slices.SortStableFunc(m.inbox, func(a, b simPacket) int { return a.at.Compare(b.at) })
	}
	return false
}

// TestClusterSettles disturbs two or three directors in any way and then leaves
// them in peace: soon one is master, it alone has the addresses, and it is the
// one that it has to be.
func TestClusterSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preempt := rapid.Bool().Draw(t, "all preempt")
		version := rapid.SampledFrom([]Version{V2, V3}).Draw(t, "version")
		c := newCluster(t, rapid.IntRange(2, 3).Draw(t, "nodes"), func(i int) Config {
			cfg := instanceConfig(rapid.SampledFrom([]uint8{50, 100, 150, 254}).Draw(t, "priority"))
			cfg.Version = version
			cfg.Preempt = preempt || rapid.Bool().Draw(t, "preempt")
			cfg.PreemptDelay = time.Duration(rapid.IntRange(0, 1).Draw(t, "delay")) * 5 * time.Second
			return cfg
		})
		free := preempt
		for range rapid.IntRange(0, 30).Draw(t, "disturbances") {
			c.run(c.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond))
			if c.disturb(t) {
				free = false
			}
		}
		for _, m := range c.nodes {
			m.deaf, m.mute, m.broken = false, false, false
			if m.asleep.After(c.now) {
				c.run(m.asleep)
			}
			m.core.SetLink(LinkState{Interface: "eth0", Up: true, Primary: m.addr, Index: 2})
			m.core.SetReady(map[string]bool{"VI_1": true})
		}
		c.run(c.now.Add(time.Minute))

		var master *member
		for _, m := range c.nodes {
			s := m.core.Status()[0]
			switch {
			case s.Role == Master && master != nil:
				c.fatalf("%v and %v are masters", master.addr, m.addr)
			case s.Role == Master:
				master = m
			case s.Role != Backup:
				c.fatalf("%v is %s", m.addr, s.Role)
			}
			if m.have != (s.Role == Master) || s.Handover {
				c.fatalf("%v is %s, has the addresses: %v, handover: %v", m.addr, s.Role, m.have, s.Handover)
			}
		}
		if master == nil {
			c.fatalf("nobody is master")
		}
		if !free {
			return
		}
		for _, m := range c.nodes {
			if m.cfg.Priority > master.cfg.Priority {
				c.fatalf("%v is master, %v has a higher priority", master.addr, m.addr)
			}
		}
	})
}
