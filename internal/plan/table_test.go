package plan

import (
	"slices"
	"testing"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/pool/pooltest"
	"baton/ipvs"
)

// TestWhatADirectorIsAt: a plan beside a running director leaves what that has under
// way: a weight that rises, and the entry of a failed server, which only finishes where
// the new file keeps it no longer.
func TestWhatADirectorIsAt(t *testing.T) {
	now := time.Date(2026, 11, 27, 3, 4, 5, 0, time.UTC)
	rising, failed := pooltest.Server("192.168.16.103:80", 10, "a"), pooltest.Server("192.168.16.104:80", 1, "b")
	rising.SlowStart = time.Minute
	vs := conf.VirtualServer{Name: pooltest.Web.String(), Service: ipvs.Service{Key: pooltest.Web, Scheduler: "rr"}, Keys: []ipvs.ServiceKey{pooltest.Web},
		Servers: []conf.RealServer{rising, failed}, Quorum: 1, DrainTimeout: time.Minute}
	there := vs.Servers
	there[0].Server.Weight = 5
	there[1].Server.Weight = 0
	table := pooltest.Holding(there...)
	vs.Servers = []conf.RealServer{rising, failed}
	status := &control.Status{Services: []control.Service{{Name: vs.Name, Quorum: &control.Quorum{State: "up"}, Servers: []control.Server{
		{Address: "192.168.16.103:80", Health: string(healthcheck.Up), Kernel: new(5), Ramp: new(now.Add(-30 * time.Second))},
		{Address: "192.168.16.104:80", Health: string(healthcheck.Down), Why: "failed", Kernel: new(0)}}}}}
	if got := Make(&conf.Config{Services: []conf.VirtualServer{vs}}, Situation{Time: now, Table: table, Status: status}).Commands; got != nil {
		t.Errorf("planned is %q", got)
	}
	status.Services[0].Servers[0].Ramp = nil
	status.Services[0].Servers[1].Why = ""
	want := []string{"ipvsadm -e -t 192.168.16.200:80 -r 192.168.16.103:80 -g -w 10", "ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.104:80"}
	if got := Make(&conf.Config{Services: []conf.VirtualServer{vs}}, Situation{Time: now, Table: table, Status: status}).Commands; !slices.Equal(got, want) {
		t.Errorf("of neither under way planned is %q, want %q", got, want)
	}
}
