package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/pathcheck"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

func pathService(t *testing.T, protocol ipvs.Protocol, at string, servers ...ipvs.Server) conf.VirtualServer {
	t.Helper()
	k := ipvs.AddressKey(protocol, netip.MustParseAddrPort(at))
	vs := conf.VirtualServer{Service: ipvs.Service{Key: k}, Keys: []ipvs.ServiceKey{k}, PathCheck: time.Minute}
	for _, s := range servers {
		vs.Servers = append(vs.Servers, conf.RealServer{Server: s, Checks: []healthcheck.Spec{{ID: s.Key.String()}}})
	}
	return vs
}

func realServer(at string, f ipvs.Forward) ipvs.Server {
	return ipvs.Server{Key: ipvs.MakeServerKey(netip.MustParseAddrPort(at)), Forward: f, Weight: 1}
}

func allUp(ids ...string) map[string]healthcheck.Verdict {
	m := map[string]healthcheck.Verdict{}
	for _, id := range ids {
		m[id] = healthcheck.Verdict{ID: id, Up: true}
	}
	return m
}

func TestWhoIsAskedAboutThePath(t *testing.T) {
	gue := realServer("192.168.17.104:80", ipvs.TUN)
	gue.Tunnel = ipvs.Tunnel{Type: ipvs.GUE, Port: 5555, Flags: ipvs.TunnelChecksum}
	vs := pathService(t, ipvs.TCP, "192.168.16.200:80", realServer("192.168.16.103:80", ipvs.DR), realServer("192.168.16.104:80", ipvs.NAT), gue)
	group := pathService(t, ipvs.TCP, "192.168.16.201:80", realServer("192.168.16.103:0", ipvs.DR))
	group.Keys = append(group.Keys, ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.201:443")), ipvs.FWMarkKey(7, ipvs.IPv4))
	udp := pathService(t, ipvs.UDP, "192.168.16.200:53", realServer("192.168.16.103:53", ipvs.DR))
	off := pathService(t, ipvs.TCP, "192.168.16.202:80", realServer("192.168.16.103:80", ipvs.DR))
	off.PathCheck = 0
	verdicts := allUp("192.168.16.103:80", "192.168.16.103:0", "192.168.16.103:53", "192.168.16.104:80", "192.168.17.104:80")
	asked := func(verdicts map[string]healthcheck.Verdict) []string {
		p := newPathWatch(nil, nil)
		p.stale = true
		p.follow([]conf.VirtualServer{vs, group, udp, off}, verdicts)
		var out []string
		for id := range p.asked {
			out = append(out, id)
		}
		slices.Sort(out)
		return out
	}
	want := []string{
		"tcp 192.168.16.200:80 192.168.16.103:80", "tcp 192.168.16.200:80 192.168.17.104:80",
		"tcp 192.168.16.201:443 192.168.16.103:443", "tcp 192.168.16.201:80 192.168.16.103:80", "udp 192.168.16.200:53 192.168.16.103:53",
	}
	if got := asked(verdicts); !slices.Equal(got, want) {
		t.Errorf("asked are %q, want %q", got, want)
	}
	delete(verdicts, "192.168.16.103:0")
	verdicts["192.168.16.103:80"] = healthcheck.Verdict{ID: "192.168.16.103:80"}
	if got := asked(verdicts); !slices.Equal(got, []string{want[1], want[4]}) {
		t.Errorf("with servers down and unknown asked are %q", got)
	}

	tt, _, _ := pathTarget(vs, vs.Keys[0], vs.Servers[2])
	if tun := (pathcheck.Tunnel{Encapsulation: pathcheck.GUE, Port: 5555, Checksum: true}); tt.Tunnel == nil || *tt.Tunnel != tun || tt.Port != 80 {
		t.Errorf("through gue the target is %+v", tt)
	}
	if tt, _, _ := pathTarget(udp, udp.Keys[0], udp.Servers[0]); tt.Port != 0 || tt.Tunnel != nil {
		t.Errorf("of udp the target is %+v", tt)
	}
}

// TestPathIsAskedAfterServerUp: each time that a server comes up it is asked, and
// while it is down it is not.
func TestPathIsAskedAfterServerUp(t *testing.T) {
	s := site{ipvstest.New(""), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		cfg := two()
		cfg.Services[0].PathCheck = time.Minute
		s.directing(t, cfg, func(c *core) {
			asked := func(when string, want ...string) {
				t.Helper()
				later(2 * time.Second)
				var got []string
				if err := c.ask(t.Context(), func() {
					for _, w := range c.paths.asked {
						got = append(got, w.id.server.String())
					}
				}); err != nil {
					t.Fatal(err)
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s: asked are %q, want %q", when, got, want)
				}
			}
			asked("before the first verdict")
			c.tell(t, up("a", "b"))
			asked("both are up", "192.168.16.103:80", "192.168.16.104:80")
			c.tell(t, down(up(), "b"))
			asked("one is down", "192.168.16.103:80")
			c.tell(t, up("b"))
			asked("it is back", "192.168.16.103:80", "192.168.16.104:80")
		})
	})
}

// Each change is told once, with the command that mends it.
func TestPathIsToldOncePerChange(t *testing.T) {
	var said []string
	p := newPathWatch(func(n event.Name, fields ...event.Field) {
		line := string(n)
		for _, f := range fields {
			line += fmt.Sprintf(" %s=%s", f.Key, f.Value)
		}
		said = append(said, line)
	}, nil)
	tun := realServer("192.168.16.104:80", ipvs.TUN)
	vs := pathService(t, ipvs.TCP, "192.168.16.200:80", realServer("192.168.16.103:80", ipvs.DR), tun)
	follow := func() {
		p.stale = true
		p.follow([]conf.VirtualServer{vs}, allUp("192.168.16.103:80", "192.168.16.104:80"))
	}
	follow()
	dr, viaTunnel := "tcp 192.168.16.200:80 192.168.16.103:80", "tcp 192.168.16.200:80 192.168.16.104:80"
	bad := func(r pathcheck.Reason) pathcheck.Outcome { return pathcheck.Outcome{Reason: r} }
	for _, tt := range []struct {
		id   string
		o    pathcheck.Outcome
		want string // parts of what is said, by |; "": nothing is
	}{
		{dr, pathcheck.Outcome{OK: true}, ""},
		{dr, bad(pathcheck.NoAnswer), "server=192.168.16.103:80 from=ok to=broken reason=no-answer|command=baton realserver up 192.168.16.200"},
		{dr, bad(pathcheck.NoAnswer), ""},
		{dr, bad(pathcheck.AnswersARP), "from=broken to=broken reason=answers-arp|takes it from the director|command=baton realserver up 192.168.16.200"},
		{dr, bad(pathcheck.Refused), "reason=refused|nothing listens on port 80|command=ss -ltn 'sport = :80'"},
		{dr, pathcheck.Outcome{OK: true}, "from=broken to=ok reason= "},
		{dr, pathcheck.Outcome{OK: true}, ""},
		{viaTunnel, bad(pathcheck.NoAnswer), "from=unknown to=broken|command=baton realserver up 192.168.16.200 --mode tun"},
		{dr, bad(pathcheck.NotOnLink), `reason=not-on-link|use lb_kind = "TUN"|command=ip route get 192.168.16.103`},
		{"of another time", bad(pathcheck.NoAnswer), ""},
	} {
		said = nil
		p.found(tt.id, tt.o, time.Now())
		if (tt.want == "") != (len(said) == 0) || len(said) > 1 {
			t.Errorf("%s %+v: said %q", tt.id, tt.o, said)
			continue
		}
		for part := range strings.SplitSeq(tt.want, "|") {
			if tt.want != "" && !strings.Contains(said[0]+" ", part) {
				t.Errorf("%s %+v: said %q, want %q", tt.id, tt.o, said[0], part)
			}
		}
	}
	vs.PathCheck = 0
	follow()
	if len(p.is) > 0 {
		t.Errorf("what is not checked any more is still known: %v", p.is)
	}
}

// The command names a device that takes what the tunnel sends: gre0 drops what
// has a checksum.
func TestMendNamesTheTunnelsDevice(t *testing.T) {
	for _, tt := range []struct {
		server, vip string
		tunnel      ipvs.Tunnel
		want        string
	}{
		{"192.168.17.104:80", "192.168.16.200:80", ipvs.Tunnel{}, "baton realserver up 192.168.16.200 --mode tun"},
		{"192.168.17.104:80", "192.168.16.200:80", ipvs.Tunnel{Type: ipvs.GUE, Port: 5555, Flags: ipvs.TunnelChecksum},
			"baton realserver up 192.168.16.200 --mode tun"},
		{"192.168.17.104:80", "192.168.16.200:80", ipvs.Tunnel{Type: ipvs.GRE},
			"baton realserver up 192.168.16.200 --mode tun --interface gre0"},
		{"192.168.17.104:80", "192.168.16.200:80", ipvs.Tunnel{Type: ipvs.GRE, Flags: ipvs.TunnelChecksum},
			"ip link add gre1 type gre local 192.168.17.104 icsum ocsum; baton realserver up 192.168.16.200 --mode tun --interface gre1"},
		{"[2001:db8::4]:80", "[2001:db8::200]:80", ipvs.Tunnel{Type: ipvs.GRE, Flags: ipvs.TunnelChecksum},
			"ip link add gre1 type ip6gre local 2001:db8::4 icsum ocsum; baton realserver up 2001:db8::200 --mode tun --interface gre1"},
	} {
		w := way{forward: ipvs.TUN, tunnel: tt.tunnel, id: serverID{
			ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort(tt.vip)), ipvs.MakeServerKey(netip.MustParseAddrPort(tt.server))}}
		if _, got := w.explain(pathcheck.NoAnswer); got != tt.want {
			t.Errorf("%s through %s: mended by %q, want %q", tt.vip, tt.tunnel, got, tt.want)
		}
	}
}

// TestPathsOfManyServersAreOneFact: of a thousand that change at once fifty
// have a line, and one line says how many more there were.
func TestPathsOfManyServersAreOneFact(t *testing.T) {
	var said []string
	p := newPathWatch(func(n event.Name, fields ...event.Field) { said = append(said, fmt.Sprint(n, fields)) }, nil)
	now := time.Now()
	for i := range 1000 {
		id := fmt.Sprint(i)
		k, _ := ipvs.ParseServiceKey("tcp 192.0.2.1:80")
		p.asked[id] = way{id: serverID{k, ipvs.MakeServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80))}, forward: ipvs.DR}
		p.found(id, pathcheck.Outcome{Reason: pathcheck.NotOnLink}, now)
	}
	p.calm(now.Add(pathBurst - 1))
	if len(said) != pathLines {
		t.Fatalf("%d lines within the minute, want %d", len(said), pathLines)
	}
	p.calm(now.Add(pathBurst))
	p.calm(now.Add(2 * pathBurst))
	if len(said) != pathLines+1 || !strings.Contains(said[pathLines], "{count 950}") {
		t.Fatalf("then %q", said[pathLines:])
	}
	p.found("7", pathcheck.Outcome{OK: true}, now.Add(2*pathBurst))
	if len(said) != pathLines+2 {
		t.Errorf("a change in the next minute has no line")
	}
}
