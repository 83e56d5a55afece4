package director

import (
	"fmt"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pathcheck"
	"baton/internal/pool"
	"baton/ipvs"
)

// serverID is a real server of one IPVS service.
type serverID struct {
	service ipvs.ServiceKey
	server  ipvs.ServerKey
}

// pathWatch follows whether the servers with DR and TUN do their part for the
// virtual addresses. It belongs to the core's goroutine; the checker has its own.
// Nothing follows from what is found but that it is told: a server is in the
// pool by its health checks alone.
type pathWatch struct {
	checker *pathcheck.Checker
	say     func(event.Name, ...event.Field)
	stale   bool // servers have changed since the checker was told
	asked   map[string]way
	is      map[serverID]pathState
	burst   time.Time // since when lines are counted
	told    int       // lines since then
	omitted int       // changes that had none
}

// A network that is misconfigured for all of ten thousand servers is one fact:
// of the changes within pathBurst the first pathLines are told one by one.
const (
	pathBurst = time.Minute
	pathLines = 50
)

// way is one server as a service reaches it.
type way struct {
	id      serverID
	forward ipvs.Forward
	tunnel  ipvs.Tunnel
}

// pathState is what was found of a way, and told.
type pathState struct {
	word   string // pathOK or pathBroken; "": nothing yet
	since  time.Time
	reason pathcheck.Reason
	detail string
	mend   string // the command that mends it, to be given on the server
}

const (
	pathOK     = "ok"
	pathBroken = "broken"
)

// newPathWatch makes the checker; post runs a function in the core.
func newPathWatch(say func(event.Name, ...event.Field), post func(func())) *pathWatch {
	p := &pathWatch{say: say, asked: map[string]way{}, is: map[serverID]pathState{}}
	p.checker = pathcheck.New(pathcheck.Options{
		Found: func(id string, o pathcheck.Outcome) { post(func() { p.found(id, o, time.Now()) }) },
		Failed: func(err error) {
			post(func() {
				say(event.ChildLimited, event.F(event.Child, "director"), event.F(event.Reason, err),
					event.F(event.Detail, "whether the servers hold the virtual addresses is not checked"))
			})
		},
	})
	return p
}

// follow tells the checker which servers to ask: those that are up, for the
// others are silent anyway. One that comes up is new to the checker, which asks
// it soon.
func (p *pathWatch) follow(services []conf.VirtualServer, verdicts map[string]healthcheck.Verdict) {
	if !p.stale {
		return
	}
	p.stale = false
	clear(p.asked)
	configured := map[serverID]bool{}
	var targets []pathcheck.Target
	for _, vs := range services {
		if vs.PathCheck == 0 {
			continue
		}
		for _, rs := range vs.Servers {
			up := pool.HealthOf(&rs, verdicts).State == healthcheck.Up
			for _, k := range vs.Keys {
				t, w, ok := pathTarget(vs, k, rs)
				if !ok {
					continue
				}
				if configured[w.id] = true; up {
					p.asked[t.ID] = w
					targets = append(targets, t)
				}
			}
		}
	}
	for id := range p.is {
		if !configured[id] {
			delete(p.is, id)
		}
	}
	p.checker.Set(targets)
}

// pathTarget is the question about a server of one service, if there is one.
// UDP and SCTP have no question that every service answers, and a port 0 stands
// for all: of those it is only asked who answers for the address.
func pathTarget(vs conf.VirtualServer, k ipvs.ServiceKey, rs conf.RealServer) (pathcheck.Target, way, bool) {
	s := conf.ServerAt(k, rs.Server)
	if k.FWMark != 0 || s.Forward == ipvs.NAT {
		return pathcheck.Target{}, way{}, false
	}
	w := way{id: serverID{k, s.Key}, forward: s.Forward, tunnel: s.Tunnel}
	t := pathcheck.Target{ID: k.String() + " " + s.Key.String(), Server: s.Key.Address, VIP: k.Address, Interval: vs.PathCheck}
	if k.Protocol == ipvs.TCP {
		t.Port = k.Port
	}
	if s.Forward == ipvs.TUN {
		t.Tunnel = &pathcheck.Tunnel{Port: s.Tunnel.Port, Checksum: s.Tunnel.Flags&ipvs.TunnelChecksum != 0,
			Encapsulation: map[ipvs.TunnelType]pathcheck.Encapsulation{ipvs.IPIP: pathcheck.IPIP, ipvs.GRE: pathcheck.GRE, ipvs.GUE: pathcheck.GUE}[s.Tunnel.Type]}
	}
	return t, w, true
}

// found takes over a result, and tells it when it differs from the one before.
func (p *pathWatch) found(id string, o pathcheck.Outcome, now time.Time) {
	w, ok := p.asked[id]
	if !ok {
		return // not asked any more
	}
	was := p.is[w.id]
	is := pathState{word: pathOK, since: now}
	if !o.OK {
		is.word, is.reason = pathBroken, o.Reason
		is.detail, is.mend = w.explain(o.Reason)
	}
	if was.word == is.word && was.reason == is.reason {
		return
	}
	p.is[w.id] = is
	if is.word == pathOK && was.word == "" {
		return // as it should be
	}
	from := was.word
	if from == "" {
		from = string(healthcheck.Unknown)
	}
	p.calm(now)
	if p.told == pathLines {
		p.omitted++
		return
	}
	if p.told++; p.told == 1 {
		p.burst = now
	}
	p.say(event.ServerPath, event.F(event.Service, w.id.service), event.F(event.Server, w.id.server),
		event.F(event.From, from), event.F(event.To, is.word), event.F(event.Reason, is.reason),
		event.F(event.Detail, is.detail), event.F(event.Command, is.mend))
}

// calm ends a burst whose time is over, and says what it left out.
func (p *pathWatch) calm(now time.Time) {
	if p.told == 0 || now.Sub(p.burst) < pathBurst {
		return
	}
	if p.omitted > 0 {
		p.say(event.ServerPath, event.F(event.Count, p.omitted), event.F(event.Took, round(now.Sub(p.burst))),
			event.F(event.Detail, "the paths of so many more servers have changed; baton status shows them"))
	}
	p.told, p.omitted = 0, 0
}

// explain says what is wrong, and the command that mends it on the server.
func (w way) explain(r pathcheck.Reason) (detail, mend string) {
	k := w.id.service
	up := "baton realserver up " + k.Address.String()
	if w.forward == ipvs.TUN {
		up += " --mode tun"
		if w.tunnel.Type == ipvs.GRE {
			up = w.greDevice(up)
		}
	}
	switch r {
	case pathcheck.AnswersARP:
		asked := "ARP requests"
		if k.Address.Is6() {
			asked = "neighbour solicitations"
		}
		return fmt.Sprintf("the server answers %s for %s and takes it from the director", asked, k.Address), up
	case pathcheck.Refused:
		return fmt.Sprintf("the server holds %s, but nothing listens on port %d of it", k.Address, k.Port),
			fmt.Sprintf("ss -ltn 'sport = :%d'", k.Port)
	case pathcheck.NotOnLink:
		return `the server is behind a router, which direct routing cannot cross; use lb_kind = "TUN"`, "ip route get " + w.id.server.Address.String()
	}
	if w.forward == ipvs.TUN {
		return fmt.Sprintf("nothing answers for %s port %d through the tunnel: no tunnel device that has the address, a strict rp_filter, or a firewall",
			k.Address, k.Port), up
	}
	return fmt.Sprintf("the server does not answer for %s port %d: it does not hold the address, or a firewall drops what is for it",
		k.Address, k.Port), up
}

// greDevice names the device that takes the tunnel's packets. gre0 takes those
// without a checksum only, so the others need one that is made for them; where
// it is there already its first half does no harm.
func (w way) greDevice(up string) string {
	if w.tunnel.Flags&ipvs.TunnelChecksum == 0 {
		return up + " --interface gre0"
	}
	kind, server := "gre", w.id.server.Address
	if server.Is6() {
		kind = "ip6gre"
	}
	return fmt.Sprintf("ip link add gre1 type %s local %s icsum ocsum; %s --interface gre1", kind, server, up)
}
