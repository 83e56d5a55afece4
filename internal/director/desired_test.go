package director

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
	webKey = pooltest.Web

	server, up, down, holding = pooltest.Server, pooltest.Up, pooltest.Down, pooltest.Holding
)

func web(servers ...conf.RealServer) []conf.VirtualServer {
	return []conf.VirtualServer{serving(webKey, servers...)}
}

func serving(k ipvs.ServiceKey, servers ...conf.RealServer) conf.VirtualServer {
	return conf.VirtualServer{Name: k.String(), Service: ipvs.Service{Key: k, Scheduler: "rr"}, Keys: []ipvs.ServiceKey{k},
		Servers: servers, Alpha: true, Quorum: 1, DrainTimeout: time.Minute}
}

func TestGateWaits(t *testing.T) {
	vi := instanceOn("192.168.16.200/24")
	other := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.201:80"))
	cfg := tracking()
	cfg.Services = append(web(server("192.168.16.103:80", 1, "a1"), server("192.168.16.104:80", 1, "b1")),
		serving(other, server("192.168.16.105:80", 1, "c1")))
	marked := *cfg
	marked.Services = append(web(server("192.168.16.103:80", 1, "a1"), server("192.168.16.104:80", 1, "b1")),
		serving(ipvs.FWMarkKey(7, ipvs.IPv4), server("192.168.16.105:0", 1, "c1")))
	group := *cfg
	group.Services = []conf.VirtualServer{serving(other, server("192.168.16.105:80", 1, "c1"))}
	group.Services[0].Keys = append(group.Services[0].Keys, webKey)
	const limit = 30 * time.Second
	for _, tc := range []struct {
		name       string
		cfg        *conf.Config
		verdicts   map[string]healthcheck.Verdict
		programmed bool
		elapsed    time.Duration
		want       string
	}{
		{"table not programmed", cfg, up("a1", "b1"), false, 0, "the IPVS table is not programmed yet"},
		{"no answer", cfg, up(), true, 0, "2 health checks have not answered yet, among them a1"},
		{"one answer", cfg, up("a1"), true, 0, "1 health checks have not answered yet, among them b1"},
		{"all of this instance's services answered, one with a failure", cfg, down(up("a1"), "b1"), true, 0, ""},
		{"a firewall mark is every instance's", &marked, up("a1", "b1"), true, 0, "1 health checks have not answered yet, among them c1"},
		{"a group counts for the instance of any of its addresses", &group, up(), true, 0, "1 health checks have not answered yet, among them c1"},
		{"the limit has passed", cfg, up(), false, limit, ""},
	} {
		c := testCore(t, tc.cfg)
		for _, v := range tc.verdicts {
			c.judged(v)
		}
		c.settleVerdicts(time.Now())
		if got := gateWaits(vi, c.list, c.verdicts, tc.programmed, tc.elapsed, limit); got != tc.want {
			t.Errorf("%s: waits for %q, want %q", tc.name, got, tc.want)
		}
	}
}
