// Package pooltest is what tests of pools begin with: a service, its servers, what
// their checks say and what the kernel's table holds.
package pooltest

import (
	"net/netip"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// Web is the key of the service that Holding has.
var Web = ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:80"))

// Server is one at ADDRESS:PORT, for DR, with checks of these identifiers.
func Server(at string, weight int, checks ...string) conf.RealServer {
	rs := conf.RealServer{Server: ipvs.Server{
		Key: ipvs.MakeServerKey(netip.MustParseAddrPort(at)), Weight: weight, Forward: ipvs.DR}}
	for _, id := range checks {
		rs.Checks = append(rs.Checks, healthcheck.Spec{ID: id})
	}
	return rs
}

// Up are the verdicts of checks that pass.
func Up(ids ...string) map[string]healthcheck.Verdict {
	m := map[string]healthcheck.Verdict{}
	for _, id := range ids {
		m[id] = healthcheck.Verdict{ID: id, Up: true}
	}
	return m
}

// Down makes checks among the verdicts fail.
func Down(m map[string]healthcheck.Verdict, ids ...string) map[string]healthcheck.Verdict {
	for _, id := range ids {
		m[id] = healthcheck.Verdict{ID: id, Reason: healthcheck.Refused}
	}
	return m
}

// Holding is a kernel's table with the service and the servers.
func Holding(servers ...conf.RealServer) ipvs.Table {
	e := ipvs.Entry{Service: ipvs.Service{Key: Web, Scheduler: "rr"}}
	for _, s := range servers {
		e.Servers.Put(s.Server)
	}
	return ipvs.Table{Web: e}
}
