package director

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/ipvs"
	"baton/vrrp"
)

func TestOutlook(t *testing.T) {
	spec := healthcheck.Spec{ID: "c", Retry: 2, Rise: 3}
	once := healthcheck.Spec{ID: "c"}
	type status = healthcheck.CheckStatus
	for _, tt := range []struct {
		spec healthcheck.Spec
		st   status
		want string
	}{
		{spec, status{State: healthcheck.Up}, "c takes it out when it has failed 3 times in a row"},
		{once, status{State: healthcheck.Up}, "c takes it out when it has failed once"},
		{spec, status{State: healthcheck.Up, Fails: 2, Reason: healthcheck.Timeout}, "c has failed 2 times; it takes it out with 3 in a row"},
		{spec, status{State: healthcheck.Down, Reason: healthcheck.Timeout}, "c brings it back when it has passed 3 times in a row"},
		{spec, status{State: healthcheck.Down, Passes: 1}, "c brings it back when it has passed 3 times in a row; it has once"},
		{once, status{State: healthcheck.Down}, "c brings it back when it has passed once"},
		{spec, status{State: healthcheck.Unknown}, "c has not answered yet: the first answer decides"},
		{spec, status{State: healthcheck.Unknown, Fails: 1, Reason: healthcheck.Refused}, "c has failed once; it is down after 3 in a row, and up with the first that passes"},
		{spec, status{State: healthcheck.Unknown, Doubted: true, Fails: 1, Reason: healthcheck.Refused}, "c has failed once; it is down after 3 in a row, and up when it has passed 3 times in a row"},
		{spec, status{State: healthcheck.Unknown, Doubted: true, Passes: 1}, "c brings it back when it has passed 3 times in a row; it has once"},
		{spec, status{State: healthcheck.Up, Reason: healthcheck.Resources}, "c could not be made: this machine, not the server, is in the way (resources); its state stays"},
	} {
		if got := outlook(tt.spec, tt.st); got != tt.want {
			t.Errorf("%+v\ngot  %s\nwant %s", tt.st, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var l healthcheck.Latencies
	if q := quantile(l, 0.5); q != 0 {
		t.Errorf("of none %v", q)
	}
	l[2], l[len(l)-1] = 99, 1
	if p50, p99, all := quantile(l, 0.5), quantile(l, 0.99), quantile(l, 1); p50 != time.Millisecond || p99 != time.Millisecond || all != 5*time.Second {
		t.Errorf("%v %v %v", p50, p99, all)
	}
}

func TestExplainedByName(t *testing.T) {
	st := control.Status{Services: []control.Service{
		{Name: "tcp 192.168.16.200:80", Servers: []control.Server{{Address: "192.168.16.103:80"}, {Address: "192.168.16.104:80"}}},
		{Name: "tcp [fd00::200]:80", Servers: []control.Server{{Address: "[fd00::103]:80"}, {Address: "192.168.16.103:80"}}},
	}}
	for name, want := range map[string]string{
		"192.168.16.103:80":     "192.168.16.103:80 192.168.16.103:80",
		"192.168.16.104":        "192.168.16.104:80",
		"fd00::103":             "[fd00::103]:80",
		"[fd00::103]:80":        "[fd00::103]:80",
		"tcp 192.168.16.200:80": "192.168.16.103:80 192.168.16.104:80",
		"[fd00::200]:80":        "[fd00::103]:80 192.168.16.103:80",
		"192.168.16.1":          "",
		"":                      "",
	} {
		var got []string
		for _, s := range explained(st, name) {
			got = append(got, s.Address)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q: %q, want %q", name, g, want)
		}
	}
	var e *control.Error
	if err := unknownName(st, "192.168.16.105"); !errors.As(err, &e) || e.Status != 404 || e.Remedy != "known are 192.168.16.103:80, 192.168.16.104:80, [fd00::103]:80" {
		t.Errorf("%v", err)
	}
}

func TestWhyInstance(t *testing.T) {
	in := control.Instance{Name: "VI_1", Interface: "eth0", State: "BACKUP", Reason: "preempted", Ready: true, Link: true,
		Priority: 100, EffectivePriority: 110, Master: "192.168.16.102", MasterPriority: 150, AdvertInterval: "1s", Group: "VG"}
	script := vrrp.TrackStatus{Track: vrrp.Track{Kind: vrrp.TrackScript, Name: "a", Weight: 10}, State: "up", Effect: 10}
	missing := vrrp.TrackStatus{Track: vrrp.Track{Kind: vrrp.TrackScript, Name: "b", Weight: 5}, State: "down", Reason: "exit status 1"}
	broken := vrrp.TrackStatus{Track: vrrp.Track{Kind: vrrp.TrackInterface, Name: "eth1"}, State: "down", Fault: true}
	idle := vrrp.TrackStatus{Track: vrrp.Track{Kind: vrrp.TrackScript, Name: "c", Weight: -5}, State: "up"}
	why := func(change func(*control.Instance), preempts bool, tracks ...vrrp.TrackStatus) string {
		i := in
		change(&i)
		return strings.Join(whyInstance(i, tracks, preempts, 3*time.Second), "\n")
	}
	const quiet, together = "it takes over when it hears nothing for 3s and its skew", "it changes together with the other members of VG"
	for _, tt := range []struct{ got, want string }{
		{why(func(*control.Instance) {}, true, script, missing, broken, idle), `it is BACKUP: preempted
192.168.16.102 is master with priority 150, ours is 110
` + quiet + `
its priority is 100 by configuration and 110 with what it tracks
script a up: changes the priority by +10
script b down: exit status 1: its +5 of priority is missing
interface eth1 down: a fault until it is mended
` + together},
		{why(func(i *control.Instance) { i.MasterPriority, i.Priority = 90, 110 }, false), `it is BACKUP: preempted
192.168.16.102 is master with priority 90 below our 110, and nopreempt leaves it so
` + quiet + "\n" + together},
		{why(func(i *control.Instance) { i.MasterPriority, i.Priority = 90, 110 }, true), `it is BACKUP: preempted
192.168.16.102 is master with priority 90 below our 110: it is about to be taken over from
` + quiet + "\n" + together},
		{why(func(i *control.Instance) {
			i.Master, i.Priority, i.Group, i.Ready, i.NotReady = "", 110, "", false, "3 health checks have not answered yet"
		}, true), `it is BACKUP: preempted
it hears no master; it takes over when it has heard none for 3s and its skew
it may not become master yet: 3 health checks have not answered yet`},
		{why(func(i *control.Instance) {
			i.State, i.Priority, i.Group, i.Handover, i.Reason = "MASTER", 110, "", true, ""
		}, true),
			`it holds the addresses and sends an advert every 1s with priority 110
it is handing over: the addresses stay until the successor is heard`},
		{why(func(i *control.Instance) {
			i.State, i.Priority, i.Group, i.Link, i.Reason = "FAULT", 110, "", false, "link down"
		}, true),
			"it is FAULT: link down\neth0 has no link: it returns when that is up"},
	} {
		if tt.got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", tt.got, tt.want)
		}
	}
}

// TestExplainedCheck: everything that the prober keeps of a check is handed on.
func TestExplainedCheck(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	spec := healthcheck.Spec{ID: "a", Kind: healthcheck.HTTP, Target: netip.MustParseAddrPort("192.0.2.1:80"), Interval: 6 * time.Second, Timeout: 3 * time.Second, Rise: 2}
	r := healthcheck.Report{
		CheckStatus: healthcheck.CheckStatus{ID: "a", Kind: healthcheck.HTTP, State: healthcheck.Down, Since: at(3), Next: at(9), Attempts: 5, Failures: 3, Reason: healthcheck.Status, Passes: 1},
		Runs: []healthcheck.Run{
			{Count: 2, From: at(1), To: at(2), Latency: 1, Longest: 2},
			{Reason: healthcheck.Status, Detail: "status 503", Count: 3, From: at(3), To: at(5), Latency: 3, Longest: 4},
		},
		Latencies: healthcheck.Latencies{1: 5},
		Reasons:   map[healthcheck.Reason]uint64{healthcheck.Status: 3},
	}
	var got control.ServerExplained
	explainServer(&got, []healthcheck.Spec{spec}, map[string]healthcheck.Report{"a": r})
	want := []control.CheckExplained{{
		Name: "a", Kind: "http", Target: "192.0.2.1:80", State: "down", Since: at(3), Interval: 6 * time.Second, Timeout: 3 * time.Second,
		Next: at(9), Attempts: 5, Failed: map[string]uint64{"status": 3}, P50: 500 * time.Microsecond, P99: 500 * time.Microsecond,
		Runs: []control.Run{{Count: 2, From: at(1), To: at(2), Latency: 1, Longest: 2}, {Reason: "status", Detail: "status 503", Count: 3, From: at(3), To: at(5), Latency: 3, Longest: 4}},
	}}
	if d := cmp.Diff(want, got.Checks); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if want := []string{"a brings it back when it has passed 2 times in a row; it has once"}; !slices.Equal(got.Why, want) {
		t.Errorf("why: %q", got.Why)
	}
}

// TestExplain: what the director, its journal and the prober know comes
// together, for a server of two services and for an instance.
func TestExplain(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:80")
	service := func(vip string, checks ...healthcheck.Spec) conf.VirtualServer {
		s := ipvs.Service{Key: ipvs.ServiceKey{Protocol: ipvs.TCP, Address: netip.MustParseAddr(vip), Port: 80}, Scheduler: "rr"}
		return conf.VirtualServer{Name: s.Key.String(), Service: s, Keys: []ipvs.ServiceKey{s.Key}, Quorum: 1,
			Servers: []conf.RealServer{{Server: ipvs.Server{Key: ipvs.ServerKey{Address: target.Addr(), Port: target.Port()}, Weight: 1}, Checks: checks}}}
	}
	check := healthcheck.Spec{ID: "a", Kind: healthcheck.TCP, Target: target, Interval: time.Second, Timeout: time.Second, Rise: 2}
	c := running(t, &conf.Config{
		Instances: []vrrp.Config{instanceOn("192.0.2.200/24")},
		Services:  []conf.VirtualServer{service("192.0.2.200", check), service("192.0.2.201")},
	})
	out, err := c.Explain(t.Context(), "192.0.2.1")
	if err != nil || len(out.Servers) != 2 || len(out.Servers[0].Checks) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if why := out.Servers[0].Why[0]; why != "the prober does not say how a is: it is being started, or does not answer" {
		t.Errorf("why: %s", why)
	}

	at := time.Unix(1e9, 0)
	judged := healthcheck.Verdict{ID: "a", Reason: healthcheck.Refused, Detail: "closed", At: at, First: true, Attempts: 1}
	if err := c.ask(t.Context(), func() { c.judged(judged) }); err != nil {
		t.Fatal(err)
	}
	giveProber(t, c, healthcheck.NewScheduler(healthcheck.Options{}))
	if out, err = c.Explain(t.Context(), "192.0.2.1:80"); err != nil {
		t.Fatal(err)
	}
	s, other := out.Servers[0], out.Servers[1]
	if s.State != "down" || s.Reason != "refused" || s.Detail != "closed" || len(s.Why) != 1 || s.Why[0] != "a brings it back when it has passed 2 times in a row" {
		t.Errorf("server %+v", s)
	}
	if k := s.Checks[0]; k.State != "down" || !k.Since.Equal(at) || k.Target != target.String() || k.Interval != time.Second || k.Next.IsZero() {
		t.Errorf("check %+v", k)
	}
	if len(s.History) != 1 || s.History[0].Name != event.ServerDown {
		t.Errorf("history %+v", s.History)
	}
	if len(other.Why) != 1 || !strings.Contains(other.Why[0], "no check") || len(other.History) != 0 {
		t.Errorf("the other service's %+v", other)
	}

	out, err = c.Explain(t.Context(), "VI_1")
	if err != nil || out.Instance == nil || out.Instance.Priority != 150 || len(out.Servers) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	var e *control.Error
	if _, err = c.Explain(t.Context(), "VI_2"); !errors.As(err, &e) || !strings.Contains(e.Remedy, "VI_1") {
		t.Errorf("%v", err)
	}
}
