package vrrp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// team is directors with a sync group of two members on a network each, on one
// clock, as a simulation drives them.
type team struct {
	t     interface{ Fatalf(string, ...any) }
	now   time.Time
	nodes []*teammate
	trace []string
}

type teammate struct {
	team  *team
	name  string
	core  *Core
	cfgs  []Config
	ports map[string]*teamPort
	have  map[string]bool
}

type teamPort struct {
	of         *teammate
	net        string
	open       bool
	deaf, mute bool
	inbox      []simPacket
}

func (p *teamPort) Send(b []byte, d Delivery) error {
	if p.mute {
		return nil
	}
	for _, n := range p.of.team.nodes {
		if to := n.ports[p.net]; n != p.of && to.open && !to.deaf {
			to.inbox = append(to.inbox, simPacket{p.of.team.now.Add(time.Millisecond), slices.Clone(b), Meta{Source: d.Source, Destination: Group, TTL: TTL}})
		}
	}
	return nil
}

func (p *teamPort) Receive(buf []byte) ([]byte, Meta, error) {
	if len(p.inbox) == 0 || p.inbox[0].at.After(p.of.team.now) {
		return nil, Meta{}, ErrEmpty
	}
	x := p.inbox[0]
	p.inbox = p.inbox[1:]
	return buf[:copy(buf, x.data)], x.meta, nil
}

func (*teamPort) Wait() error { return nil }

func (p *teamPort) Close() error {
	p.open, p.inbox = false, nil
	return nil
}

func (n *teammate) Set(c Config, present bool, _ Handover) error {
	n.have[c.Name] = present
	return nil
}

func (*teammate) Announce(Config) error { return nil }

func newTeam(t interface{ Fatalf(string, ...any) }, priorities [][2]uint8) *team {
	m := &team{t: t, now: t0}
	for k, p := range priorities {
		n := &teammate{team: m, name: string(rune('a' + k)), ports: map[string]*teamPort{}, have: map[string]bool{}}
		n.cfgs = []Config{groupConfig(1, p[0]), groupConfig(2, p[1])}
		for _, c := range n.cfgs {
			n.ports[c.Interface] = &teamPort{of: n, net: c.Interface}
		}
		n.core = NewCore(EngineOptions{
			Listen:    func(at Endpoint) (Conn, error) { p := n.ports[at.Interface]; p.open = true; return p, nil },
			Addresses: n, Announcer: n, Notify: func(x Notice) { m.say("%s %s %s", n.name, x.Instance, x.brief()) },
			Now: func() time.Time { return m.now }, Wall: func() time.Time { return m.now },
		})
		m.nodes = append(m.nodes, n)
	}
	for _, n := range m.nodes {
		n.links(true)
		n.ready(true)
		n.core.Apply(slices.Clone(n.cfgs), []SyncGroup{bothMembers}, nil)
	}
	return m
}

func (n *teammate) link(k int, up bool) {
	host := 102 + 10*slices.Index(n.team.nodes, n)
	if k == 2 {
		host = 250 - host // who is higher here is lower there
	}
	n.core.SetLink(LinkState{Interface: n.cfgs[k-1].Interface, Up: up, Primary: memberAddr(k, byte(host)), Index: k + 1})
}

func (n *teammate) links(up bool) { n.link(1, up); n.link(2, up) }

func (n *teammate) ready(yes bool) { n.core.SetReady(map[string]bool{"VI_1": true, "VI_2": yes}) }

func (m *team) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%v %s", m.now.Sub(t0), fmt.Sprintf(format, args...)))
}

func (m *team) fatalf(format string, args ...any) {
	m.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

// run lets everything happen that is due until end, and looks at the groups
// after each moment.
func (m *team) run(end time.Time) {
	for range 1_000_000 {
		next := end
		for _, n := range m.nodes {
			if wake, ok := n.core.Next(); ok {
				next = earlier(next, wake)
			}
			for _, p := range n.ports {
				if len(p.inbox) > 0 {
					next = earlier(next, p.inbox[0].at)
				}
			}
		}
		if next.After(m.now) {
			m.now = next
		}
		for k, n := range m.nodes {
			for c := range n.cfgs {
				if k%2 == 1 {
					c = len(n.cfgs) - 1 - c // what arrives together is read in any order
				}
				n.core.Receive(n.cfgs[c].Endpoint())
			}
			n.core.Tick()
			n.check()
		}
		if !m.now.Before(end) {
			return
		}
	}
	m.fatalf("it goes round and round")
}

// check holds the members of a group against one another. Who leaves, or
// listens after a stall, has an event before it that ends it; who comes to a
// group of masters follows when it is ready.
func (n *teammate) check() {
	roles := map[Role]bool{}
	for _, name := range []string{"VI_1", "VI_2"} {
		i := n.core.instances[name]
		if i == nil || i.state.role() == Init || i.state.Leaving != "" || i.state.Holding || !i.params.Ready {
			return
		}
		roles[i.state.Role] = true
		if n.have[name] != (i.state.Role == Master) {
			n.team.fatalf("%s: %s is %s, addresses %v", n.name, name, i.state.Role, n.have[name])
		}
	}
	if len(roles) != 1 {
		n.team.fatalf("%s: the members are %v", n.name, roles)
	}
}

func (m *team) disturb(t *rapid.T) {
	n := rapid.SampledFrom(m.nodes).Draw(t, "node")
	k := rapid.IntRange(1, 2).Draw(t, "member")
	p := n.ports[n.cfgs[k-1].Interface]
	what := rapid.SampledFrom([]string{
		"deaf", "mute", "hears and speaks", "link down", "link up", "not ready", "ready",
		"failover", "priority", "restart", "restart member", "ungroup", "sleep",
	}).Draw(t, "what")
	m.say("-- %s %d %s", n.name, k, what)
	switch what {
	case "deaf":
		p.deaf = true
	case "mute":
		p.mute = true
	case "hears and speaks":
		p.deaf, p.mute = false, false
	case "link down", "link up":
		n.link(k, what == "link up")
	case "not ready", "ready":
		n.ready(what == "ready")
	case "failover":
		_ = n.core.Failover(n.cfgs[k-1].Name)
	case "priority":
		n.cfgs[k-1].Priority = uint8(rapid.IntRange(1, 254).Draw(t, "priority"))
		n.apply()
	case "restart":
		n.core.Apply(nil, nil, nil)
		n.apply()
	case "restart member":
		n.cfgs[k-1].VMAC = &VMAC{Name: fmt.Sprint("v", len(m.trace))}
		n.apply()
	case "ungroup":
		n.core.Apply(slices.Clone(n.cfgs), nil, nil)
		n.apply()
	case "sleep":
		m.now = m.now.Add(time.Duration(rapid.IntRange(1, 10_000).Draw(t, "ms")) * time.Millisecond)
	}
	n.check()
}

func (n *teammate) apply() { n.core.Apply(slices.Clone(n.cfgs), []SyncGroup{bothMembers}, nil) }

// TestGroupsStayTogether: whatever happens, no member of a group is found in
// another role than the others; and when peace returns one director has all of
// them.
func TestGroupsStayTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SampledFrom([]uint8{50, 100, 150, 254})
		var priorities [][2]uint8
		for range rapid.IntRange(2, 3).Draw(t, "nodes") {
			priorities = append(priorities, [2]uint8{some.Draw(t, "p1"), some.Draw(t, "p2")})
		}
		m := newTeam(t, priorities)
		for range rapid.IntRange(0, 25).Draw(t, "disturbances") {
			m.run(m.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond))
			m.disturb(t)
		}
		m.say("-- peace")
		for _, n := range m.nodes {
			for _, p := range n.ports {
				p.deaf, p.mute = false, false
			}
			n.links(true)
			n.ready(true)
		}
		m.run(m.now.Add(2 * time.Minute))
		masters := 0
		for _, n := range m.nodes {
			for name, have := range n.have {
				if have != (n.core.instances[name].state.Role == Master) {
					m.fatalf("%s: %s is %s, addresses %v", n.name, name, n.core.instances[name].state.Role, have)
				}
			}
			if n.core.instances["VI_1"].state.Role == Master {
				masters++
			}
		}
		if masters != 1 {
			m.fatalf("%d directors are master", masters)
		}
	})
}

// Equals whose addresses are the other way round on the other network all give
// way to one another, at the same moment, for ever, if nobody is made to wait.
func TestGroupsOfEqualsSettle(t *testing.T) {
	for nodes := 2; nodes <= 3; nodes++ {
		m := newTeam(t, slices.Repeat([][2]uint8{{50, 50}}, nodes))
		m.run(m.now.Add(30 * time.Second))
		before := len(m.trace)
		m.run(m.now.Add(5 * time.Minute))
		masters := 0
		for _, n := range m.nodes {
			if n.core.instances["VI_2"].state.Role == Master {
				masters++
			}
		}
		for _, line := range m.trace[before:] {
			if strings.Contains(line, ">") {
				m.fatalf("it does not settle: %s", line)
			}
		}
		if masters != 1 {
			m.fatalf("%d of %d are master", masters, nodes)
		}
	}
}
