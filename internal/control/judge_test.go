package control

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// well is a status in which there is nothing to report.
func well(now time.Time) Status {
	return Status{Node: "lvs-a", Time: now, Config: Config{LastOK: true},
		Children:  []Child{{Name: "speaker", PID: 2, Started: now.Add(-2 * time.Hour), Restarts: 3}, {Name: "prober", PID: 3}},
		Instances: []Instance{{Name: "VI_1", State: "BACKUP", Master: "192.168.16.102", AdvertInterval: "1s", Ready: true, Link: true, Since: now.Add(-time.Hour)}},
		Services: []Service{{Name: "tcp 192.168.16.200:80", Programmed: true, Quorum: &Quorum{State: "up", Weight: 2, Needed: 1},
			Sorry:   &Sorry{Address: "192.168.16.99:80"},
			Servers: []Server{{Address: "192.168.16.103:80", State: "up", Health: "up"}, {Address: "192.168.16.104:80", State: "unknown", Health: "unknown"}}}}}
}

// TestFindings changes one thing of a status that is well, and expects one
// finding.
func TestFindings(t *testing.T) {
	now := time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC)
	server := func(s *Status) *Server { return &s.Services[0].Servers[0] }
	for name, c := range map[string]struct {
		change func(*Status)
		want   string // "" for nothing
	}{
		"well":             {func(*Status) {}, ""},
		"speaker gone":     {func(s *Status) { s.Children[0].PID = 0 }, "CRITICAL speaker does not run"},
		"prober gone":      {func(s *Status) { s.Children[1].PID = 0 }, "WARNING prober does not run"},
		"speaker silent":   {func(s *Status) { s.Children[0].SilentSince = now.Add(-18 * time.Second) }, "CRITICAL speaker 2 does not answer for 18s: kill -9 it"},
		"prober silent":    {func(s *Status) { s.Children[1].SilentSince = now.Add(-18 * time.Second) }, "WARNING prober 3 does not answer for 18s: kill -9 it"},
		"restarted lately": {func(s *Status) { s.Children[0].Started = now.Add(-59 * time.Minute) }, "WARNING speaker was restarted 59m0s ago"},
		"reload refused":   {func(s *Status) { s.Config.LastOK, s.Config.Problems = false, []string{"a", "b"} }, "WARNING last reload refused, baton check tells why"},
		"fault":            {func(s *Status) { s.Instances[0].State, s.Instances[0].Reason = "FAULT", "eth0 is down" }, "CRITICAL VI_1 FAULT: eth0 is down"},
		"master":           {func(s *Status) { s.Instances[0].State, s.Instances[0].Master = "MASTER", "" }, ""},
		"no master":        {func(s *Status) { s.Instances[0].Master = "" }, "CRITICAL VI_1 BACKUP: no master known"},
		"no master yet":    {func(s *Status) { s.Instances[0].Master, s.Instances[0].Since = "", now.Add(-3*time.Second) }, "WARNING VI_1 BACKUP: no master known yet"},
		"starting": {func(s *Status) {
			s.Instances[0] = Instance{Name: "VI_1", State: "INIT", AdvertInterval: "1s", Ready: true}
		}, "WARNING VI_1 INIT: no master known yet"},
		"not ready": {func(s *Status) { s.Instances[0].Ready, s.Instances[0].NotReady = false, "1 check" }, "WARNING VI_1 not ready: 1 check"},
		"tracked costs": {func(s *Status) {
			s.Instances[0].Tracks = []Track{{Kind: "script", Name: "chk", Weight: -20, State: "down", Reason: "exit status 1"}}
		}, "WARNING VI_1: script chk is down: exit status 1"},
		"tracked is a fault": {func(s *Status) { s.Instances[0].Tracks = []Track{{Kind: "script", Name: "chk", State: "down"}} }, ""},
		"tracked reversed": {func(s *Status) {
			s.Instances[0].Tracks = []Track{{Kind: "script", Name: "chk", Weight: 5, State: "down", Reverse: true}}
		}, ""},
		"tracked file":   {func(s *Status) { s.Instances[0].Tracks = []Track{{Kind: "file", Name: "f", Weight: 1, State: "down"}} }, ""},
		"started lately": {func(s *Status) { s.Children[0].Started, s.Children[0].Restarts = now.Add(-time.Minute), 0 }, ""},
		"tracked by a group": {func(s *Status) {
			s.Groups = []Group{{Name: "G", Tracks: []Track{{Kind: "process", Name: "p", Weight: 5, State: "down"}}}}
		}, "WARNING group G: process p is down: "},
		"not programmed":       {func(s *Status) { s.Services[0].Programmed = false }, "CRITICAL tcp 192.168.16.200:80 is not in the kernel's table"},
		"quorum lost":          {func(s *Status) { s.Services[0].Quorum.State = "down" }, "CRITICAL tcp 192.168.16.200:80 quorum lost: weight 2 of 1"},
		"sorry":                {func(s *Status) { s.Services[0].Quorum.State, s.Services[0].Sorry.In = "down", true }, "CRITICAL tcp 192.168.16.200:80 quorum lost: sorry server 192.168.16.99:80 stands in"},
		"leaving":              {func(s *Status) { s.Services[0].Programmed, s.Services[0].Leaving = false, true }, ""},
		"quorum flaps":         {func(s *Status) { s.Services[0].Flapping = &Flapping{} }, "WARNING tcp 192.168.16.200:80 quorum is flapping"},
		"server down":          {func(s *Status) { server(s).State, server(s).Health, server(s).Reason = "down", "down", "refused" }, "WARNING tcp 192.168.16.200:80 192.168.16.103:80 down: refused"},
		"server drained":       {func(s *Status) { server(s).State = "drained" }, "WARNING tcp 192.168.16.200:80 192.168.16.103:80 drained"},
		"server leaves":        {func(s *Status) { server(s).State, server(s).Leaving = "draining", true }, ""},
		"server flaps":         {func(s *Status) { server(s).Flapping = &Flapping{} }, "WARNING tcp 192.168.16.200:80 192.168.16.103:80 is flapping"},
		"path broken":          {func(s *Status) { server(s).Path = &Path{State: "broken", Reason: "no-answer"} }, "WARNING tcp 192.168.16.200:80 192.168.16.103:80 path broken: no-answer"},
		"path ok":              {func(s *Status) { server(s).Path = &Path{State: "ok"} }, ""},
		"ipvs settings":        {func(s *Status) { s.IPVS = &IPVS{Problem: "read-only"} }, "WARNING ipvs settings: read-only"},
		"sync daemon":          {func(s *Status) { s.IPVS = &IPVS{Daemons: []SyncDaemon{{Role: "backup", Configured: true}}} }, "WARNING connection sync backup does not run"},
		"somebody else's sync": {func(s *Status) { s.IPVS = &IPVS{Daemons: []SyncDaemon{{Role: "backup"}}} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			st := well(now)
			c.change(&st)
			var got []string
			for _, f := range st.Findings() {
				got = append(got, fmt.Sprint(f.Severity, " ", f.Text))
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("findings are %q, want %q", text, c.want)
			}
		})
	}
}

// TestWorstFindingComesFirst: the exit code is that of the first.
func TestWorstFindingComesFirst(t *testing.T) {
	st := well(time.Now())
	st.Config.LastOK = false
	st.Services[0].Programmed = false
	if f := st.Findings(); len(f) != 2 || f[0].Severity != Critical || f[1].Severity != Warning {
		t.Errorf("findings are %v", f)
	}
}
