package director

import (
	"net/netip"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

func server(addr string, weight int, checks ...string) conf.RealServer {
	rs := conf.RealServer{Server: ipvs.Server{
		Key: ipvs.MakeServerKey(netip.MustParseAddrPort(addr)), Weight: weight, Forward: ipvs.DR}}
	for _, id := range checks {
		rs.Checks = append(rs.Checks, healthcheck.Spec{ID: id})
	}
	return rs
}

var webKey = ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:80"))

func web(servers ...conf.RealServer) []conf.VirtualServer {
	return []conf.VirtualServer{{Name: webKey.String(), Service: ipvs.Service{Key: webKey, Scheduler: "rr"}, Servers: servers}}
}

func up(ids ...string) map[string]healthcheck.Verdict {
	m := map[string]healthcheck.Verdict{}
	for _, id := range ids {
		m[id] = healthcheck.Verdict{ID: id, Up: true}
	}
	return m
}

func down(m map[string]healthcheck.Verdict, ids ...string) map[string]healthcheck.Verdict {
	for _, id := range ids {
		m[id] = healthcheck.Verdict{ID: id, Reason: healthcheck.Refused}
	}
	return m
}

func holding(servers ...conf.RealServer) ipvs.Table {
	e := ipvs.Entry{Service: ipvs.Service{Key: webKey, Scheduler: "rr"}, Servers: map[ipvs.ServerKey]ipvs.Server{}}
	for _, s := range servers {
		e.Servers[s.Server.Key] = s.Server
	}
	return ipvs.Table{webKey: e}
}

func TestDesiredTable(t *testing.T) {
	a, b := server("192.168.16.103:80", 3, "a1", "a2"), server("192.168.16.104:80", 2, "b1")
	inhibited := b
	inhibited.InhibitOnFailure = true
	quiet := b
	quiet.Server.Weight = 0
	for _, tc := range []struct {
		name     string
		services []conf.VirtualServer
		verdicts map[string]healthcheck.Verdict
		before   ipvs.Table
		drains   map[drainKey]drain
		want     string // in ipvsadm-save's words
	}{
		{"nothing is known and nothing was there: new servers wait", web(a, b), up(), nil, nil,
			"-A -t 192.168.16.200:80 -s rr\n"},
		{"nothing is known but the kernel has them: they stand", web(a, b), up(), holding(a, b), nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 3\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2\n"},
		{"one of two checks passed: not up yet", web(a), up("a1"), nil, nil,
			"-A -t 192.168.16.200:80 -s rr\n"},
		{"all checks passed", web(a), up("a1", "a2"), nil, nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 3\n"},
		{"one of two checks failed", web(a, b), down(up("a1", "b1"), "a2"), holding(a, b), nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2\n"},
		{"inhibit_on_failure keeps the entry", web(inhibited), down(up(), "b1"), holding(b), nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 0\n"},
		{"an inhibited server stays so until a check has answered", web(inhibited), up(), holding(quiet), nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 0\n"},
		{"no checks: always up", web(server("192.168.16.105:80", 1)), up(), nil, nil,
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.105:80 -g -w 1\n"},
		{"a draining server has weight 0", web(a), up("a1", "a2"), holding(a, b),
			map[drainKey]drain{{webKey, b.Server.Key}: {server: b.Server}},
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 3\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 0\n"},
		{"a drain ends with its service", nil, up(), holding(b),
			map[drainKey]drain{{webKey, b.Server.Key}: {server: b.Server}}, ""},
		{"configured again while draining", web(b), up("b1"), holding(quiet),
			map[drainKey]drain{{webKey, b.Server.Key}: {server: b.Server}},
			"-A -t 192.168.16.200:80 -s rr\n-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := desiredTable(tc.services, tc.verdicts, tc.before, tc.drains).String(); got != tc.want {
				t.Errorf("table is\n%swant\n%s", got, tc.want)
			}
		})
	}
}

func TestOnlyServersWhoseServiceStaysDrain(t *testing.T) {
	a, b := server("192.168.16.103:80", 1), server("192.168.16.104:80", 1)
	if got := newDrains(web(a), holding(a, b)); len(got) != 1 || got[drainKey{webKey, b.Server.Key}].Key != b.Server.Key {
		t.Errorf("drains are %v, want %s alone", got, b.Server.Key)
	}
	if got := newDrains(nil, holding(a, b)); len(got) != 0 {
		t.Errorf("drains of a service that goes as a whole: %v", got)
	}
}

func TestServerHealthNamesTheFailure(t *testing.T) {
	h := serverHealth(server("192.168.16.103:80", 1, "a1", "a2"), down(up("a1"), "a2"))
	if h.state != healthcheck.Down || h.verdict.ID != "a2" || h.verdict.Reason != healthcheck.Refused {
		t.Errorf("health is %+v", h)
	}
}

func TestGateWaits(t *testing.T) {
	vi := instanceOn("192.168.16.200/24")
	services := web(server("192.168.16.103:80", 1, "a1"), server("192.168.16.104:80", 1, "b1"))
	other := services[0]
	other.Service.Key = ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.201:80"))
	other.Servers = []conf.RealServer{server("192.168.16.105:80", 1, "c1")}
	services = append(services, other)
	const limit = 30 * time.Second
	for _, tc := range []struct {
		name       string
		verdicts   map[string]healthcheck.Verdict
		programmed bool
		elapsed    time.Duration
		want       string
	}{
		{"table not programmed", up("a1", "b1"), false, 0, "the IPVS table is not programmed yet"},
		{"no answer", up(), true, 0, "2 health checks have not answered yet, among them a1"},
		{"one answer", up("a1"), true, 0, "1 health checks have not answered yet, among them b1"},
		{"all of this instance's services answered, one with a failure", down(up("a1"), "b1"), true, 0, ""},
		{"the limit has passed", up(), false, limit, ""},
	} {
		if got := gateWaits(vi, services, tc.verdicts, tc.programmed, tc.elapsed, limit); got != tc.want {
			t.Errorf("%s: waits for %q, want %q", tc.name, got, tc.want)
		}
	}
}
