package pool

import (
	"net/netip"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/pool/pooltest"
	"baton/ipvs"
)

var (
	epoch  = time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC)
	webKey = pooltest.Web

	server, up, down, holding = pooltest.Server, pooltest.Up, pooltest.Down, pooltest.Holding
)

func web(servers ...conf.RealServer) conf.VirtualServer {
	return conf.VirtualServer{Name: webKey.String(), Service: ipvs.Service{Key: webKey, Scheduler: "rr"},
		Keys: []ipvs.ServiceKey{webKey}, Servers: servers, Alpha: true, Quorum: 1}
}

func weight(n int) *int { return &n }

func knownOf(st State, rs conf.RealServer) Server {
	s, _ := st.Servers.Get(rs.Server.Key, 0)
	return s
}

// TestEntryAtStart: what a director that starts makes of the kernel's table.
func TestEntryAtStart(t *testing.T) {
	a, b := server("192.168.16.103:80", 3, "a1", "a2"), server("192.168.16.104:80", 2, "b1")
	inhibited, quiet := b, b
	inhibited.InhibitOnFailure = true
	quiet.Server.Weight = 0
	trusting := web(a, b)
	trusting.Alpha = false
	const (
		service = "-A -t 192.168.16.200:80 -s rr\n"
		hasA    = "-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 3\n"
		hasB    = "-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 2\n"
		quietB  = "-a -t 192.168.16.200:80 -r 192.168.16.104:80 -g -w 0\n"
	)
	for _, tc := range []struct {
		name     string
		vs       conf.VirtualServer
		verdicts map[string]healthcheck.Verdict
		before   ipvs.Table
		leaving  []Leaving
		want     string // in ipvsadm-save's words
	}{
		{"nothing is known and nothing was there: new servers wait", web(a, b), up(), nil, nil, service},
		{"without alpha they do not wait", trusting, up(), nil, nil, service + hasA + hasB},
		{"without alpha, missing from a service that was there: it had failed", trusting, up(), holding(a), nil, service + hasA},
		{"nothing is known but the kernel has them: they stand", web(a, b), up(), holding(a, b), nil, service + hasA + hasB},
		{"one of two checks passed: not up yet", web(a), up("a1"), nil, nil, service},
		{"all checks passed", web(a), up("a1", "a2"), nil, nil, service + hasA},
		{"one of two checks failed", web(a, b), down(up("a1", "b1"), "a2"), holding(a, b), nil, service + hasB},
		{"inhibit_on_failure keeps the entry", web(inhibited), down(up(), "b1"), holding(b), nil, service + quietB},
		{"an inhibited server stays so until a check has answered", web(inhibited), up(), holding(quiet), nil, service + quietB},
		{"no checks: always up", web(server("192.168.16.104:80", 2)), up(), nil, nil, service + hasB},
		{"a leaving server has weight 0", web(a), up("a1", "a2"), holding(a, b),
			[]Leaving{{Service: web().Service, Server: b.Server}}, service + hasA + quietB},
		{"a service that is gone stays for what is leaving it", conf.VirtualServer{}, up(), holding(b),
			[]Leaving{{Service: web().Service, Server: b.Server}}, service + quietB},
		{"configured again while it was leaving", web(b), up("b1"), holding(quiet),
			[]Leaving{{Service: web().Service, Server: b.Server}}, service + hasB},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := Next(tc.vs, State{}, Inputs{Verdicts: tc.verdicts, Table: tc.before, Start: true, Now: epoch})
			services := []conf.VirtualServer{tc.vs}
			if got := Table(services, map[string]State{tc.vs.Name: st}, tc.leaving).String(); got != tc.want {
				t.Errorf("table is\n%swant\n%s", got, tc.want)
			}
		})
	}
}

func TestHealthNamesTheFailure(t *testing.T) {
	rs := server("192.168.16.103:80", 1, "a1", "a2")
	h := HealthOf(&rs, down(up("a1"), "a2"))
	if h.State != healthcheck.Down || h.Check != "a2" {
		t.Errorf("health is %+v", h)
	}
}

// TestUnwantedServersLeave: those that the configuration has no place for, of
// services that are ours.
func TestUnwantedServersLeave(t *testing.T) {
	a, b := server("192.168.16.103:80", 1), server("192.168.16.104:80", 1)
	ours, foreign := func(ipvs.ServiceKey) bool { return true }, func(ipvs.ServiceKey) bool { return false }
	sorry := web(a)
	sorry.Sorry = &b
	for _, tc := range []struct {
		name     string
		services []conf.VirtualServer
		ours     func(ipvs.ServiceKey) bool
		want     int
	}{
		{"one server", []conf.VirtualServer{web(a)}, foreign, 1},
		{"the sorry server stays", []conf.VirtualServer{sorry}, ours, 0},
		{"a whole service", nil, ours, 2},
		{"a service that is not ours", nil, foreign, 0},
	} {
		if got := Unwanted(holding(a, b), tc.services, tc.ours); len(got) != tc.want {
			t.Errorf("%s: leaving are %v, want %d", tc.name, got, tc.want)
		}
	}
}

// TestGroupSharesOnePool: a server without a port has its service's, and the
// services of a group hold the same.
func TestGroupSharesOnePool(t *testing.T) {
	vs := web(server("192.168.16.103:0", 1, "a"))
	tls := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:443"))
	vs.Keys = []ipvs.ServiceKey{webKey, tls, ipvs.FWMarkKey(7, ipvs.IPv4)}
	st := Next(vs, State{}, Inputs{Verdicts: up("a"), Now: epoch})
	want := `-A -t 192.168.16.200:80 -s rr
-a -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 1
-A -t 192.168.16.200:443 -s rr
-a -t 192.168.16.200:443 -r 192.168.16.103:443 -g -w 1
-A -f 7 -s rr
-a -f 7 -r 192.168.16.103:0 -g -w 1
`
	if got := Table([]conf.VirtualServer{vs}, map[string]State{vs.Name: st}, nil).String(); got != want {
		t.Errorf("table is\n%swant\n%s", got, want)
	}
}
