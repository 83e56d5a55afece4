package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/netif"
	"baton/ipvs"
	"baton/vrrp"
)

var (
	onLink  = netip.MustParseAddr("192.168.16.103")
	remote  = netip.MustParseAddr("10.9.0.1")
	nowhere = netip.MustParseAddr("203.0.113.1")
	gateway = netip.MustParseAddr("192.168.16.1")
)

// paths is a routing table that counts who asks.
type paths struct {
	table map[netip.Addr]netif.Path
	asked int
}

func (p *paths) find(a netip.Addr) (netif.Path, error) {
	p.asked++
	if path, ok := p.table[a]; ok {
		return path, nil
	}
	return netif.Path{}, errors.New("no route")
}

func newPaths() *paths {
	return &paths{table: map[netip.Addr]netif.Path{onLink: {Index: 2}, remote: {Index: 2, Gateway: gateway}}}
}

func watched() map[netip.Addr][]string {
	return map[netip.Addr][]string{onLink: {"a", "b"}, remote: {"c"}, nowhere: {"d"}}
}

func (h hint) String() string {
	slices.Sort(h.IDs)
	return fmt.Sprintf("%s %v %v %q", h.Interface, h.Address, h.IDs, h.Reason)
}

func wantHints(t *testing.T, got []hint, want ...string) {
	t.Helper()
	if g := fmt.Sprint(got); g != fmt.Sprint(want) {
		t.Errorf("hints %v, want %v", g, want)
	}
}

func TestReachKnowsWhoDependsOnWhat(t *testing.T) {
	begun, p := time.Unix(1e9, 0), newPaths()
	r := newReach(p.find)
	r.watch(watched(), begun)
	lost := func(l netif.Loss) []hint {
		l.Interface = "eth0"
		if !r.lost(l, begun) {
			return nil
		}
		return r.take()
	}
	wantHints(t, lost(netif.Loss{Index: 2, Neighbour: onLink}), `eth0 192.168.16.103 [a b] "neighbour does not answer"`)
	wantHints(t, lost(netif.Loss{Index: 2, Neighbour: gateway}), `eth0 192.168.16.1 [c] "neighbour does not answer"`)
	wantHints(t, lost(netif.Loss{Index: 2}), `eth0 invalid IP [a b c] "interface down"`)
	wantHints(t, lost(netif.Loss{Index: 3}))
	wantHints(t, lost(netif.Loss{Index: 2, Neighbour: netip.MustParseAddr("192.168.16.105")}))
	if p.asked != 3 {
		t.Errorf("%d paths asked for, 3 targets", p.asked)
	}
	// The same targets again, as each reload has them, ask for nothing.
	r.watch(watched(), begun)
	if p.asked != 3 {
		t.Errorf("%d paths asked for after a reload without new targets", p.asked)
	}
}

// TestReachLearnsNewGateways: routes change, and a neighbour that no check is
// for may be the gateway now; but strangers do not make it ask all the time.
func TestReachLearnsNewGateways(t *testing.T) {
	begun, p := time.Unix(1e9, 0), newPaths()
	r := newReach(p.find)
	r.watch(watched(), begun)
	other := netip.MustParseAddr("192.168.16.2")
	p.table[remote] = netif.Path{Index: 2, Gateway: other}
	if r.lost(netif.Loss{Index: 2, Neighbour: other}, begun.Add(pathsFresh)) {
		t.Errorf("hints %v", r.take())
	}
	for range 100 {
		r.lost(netif.Loss{Index: 2, Neighbour: other}, begun.Add(pathsFresh+1))
	}
	wantHints(t, r.take(), ` 192.168.16.2 [c] "neighbour does not answer"`)
	if p.asked != 6 {
		t.Errorf("%d paths asked for", p.asked)
	}
}

func TestReachInAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets, losses := make(chan map[netip.Addr][]string, 1), make(chan netif.Loss)
		checks := map[netip.Addr][]string{}
		for i := range 100 {
			checks[netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})] = []string{fmt.Sprint(i)}
		}
		targets <- checks
		begun := time.Now()
		type sent struct {
			at    time.Duration
			hints []hint
		}
		var all []sent
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			newReach(newPaths().find).run(ctx, targets, losses, func(h []hint) { all = append(all, sent{time.Since(begun), h}) })
		}()
		synctest.Wait()
		for range 3 * 20 { // three seconds of all at once, twenty times a second
			for a := range checks {
				losses <- netif.Loss{Interface: "eth0", Index: 2, Neighbour: a}
			}
			<-time.After(50 * time.Millisecond)
		}
		cancel()
		<-done
		if len(all) != 3 || all[0].at != hintDelay || all[1].at-all[0].at != hintGap {
			t.Fatalf("%d messages, at %v …", len(all), all[0].at)
		}
		for _, s := range all {
			n := 0
			for _, h := range s.hints {
				n += len(h.IDs)
			}
			last := s.hints[len(s.hints)-1]
			if n != 100 || len(s.hints) != maxHints || last.Address.IsValid() || last.Reason != "several neighbours do not answer or interfaces are down" {
				t.Errorf("%d checks in %d hints, the last %v", n, len(s.hints), last)
			}
		}
	})
}

// TestTriggerTellsWhatHadAnEffect: over the prober's real connection.
func TestTriggerTellsWhatHadAnEffect(t *testing.T) {
	sched := healthcheck.NewScheduler(healthcheck.Options{Notify: func(healthcheck.Verdict) {}})
	up := healthcheck.Verdict{ID: "a", Up: true, At: time.Now()}
	down := healthcheck.Verdict{ID: "b", At: time.Now()}
	sched.Resume(map[string]healthcheck.Verdict{"a": up, "b": down})
	if err := sched.Apply(checked("a", "b").Checks()); err != nil {
		t.Fatal(err)
	}
	var s said
	trigger(s.tell, sched, []hint{
		{Interface: "eth0", Address: onLink, Reason: "neighbour does not answer", IDs: []string{"a", "b"}},
		{Interface: "eth0", Reason: "interface down", IDs: []string{"b", "gone"}},
	})
	s.want(t, "check.triggered interface=eth0 address=192.168.16.103 count=1 reason=neighbour does not answer")
}

// TestProberIsToldWhatIsNew: a reload that changes no check and nothing that is
// tracked has nothing for the prober; it is told the rest at once.
func TestProberIsToldWhatIsNew(t *testing.T) {
	base := func() *conf.Config {
		cfg := tracking(vrrp.Track{Kind: vrrp.TrackScript, Name: "s"})
		cfg.Scripts = []conf.TrackScript{{Name: "s", Command: conf.Command{Args: []string{"/bin/true"}}, Interval: time.Second}}
		vs := serving(ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("192.168.16.200:80")))
		vs.Servers = []conf.RealServer{server("10.0.0.1:80", 1, "a"), server("10.0.0.2:80", 1, "b")}
		cfg.Services = []conf.VirtualServer{vs}
		return cfg
	}
	for what, edit := range map[string]struct {
		told bool
		of   func(*conf.Config)
	}{
		"nothing":         {false, func(*conf.Config) {}},
		"a weight":        {false, func(c *conf.Config) { c.Services[0].Servers[0].Server.Weight = 7 }},
		"a check":         {true, func(c *conf.Config) { c.Services[0].Servers[1].Checks[0].Interval = time.Hour }},
		"a server":        {true, func(c *conf.Config) { c.Services[0].Servers = c.Services[0].Servers[:1] }},
		"a service":       {true, func(c *conf.Config) { c.Services = nil }},
		"a script":        {true, func(c *conf.Config) { c.Scripts[0].Interval = time.Minute }},
		"what is tracked": {true, func(c *conf.Config) { c.Instances[0].Track = nil }},
	} {
		c := testCore(t, base())
		<-c.targets
		next := base()
		edit.of(next)
		c.install(next, time.Now())
		select {
		case <-c.targets:
			if !edit.told {
				t.Errorf("%s: told", what)
			}
		default:
			if edit.told {
				t.Errorf("%s: not told", what)
			}
		}
		c.prober.started = time.Now() // what it was told first may be on its way
		c.install(next, time.Now())
		if len(c.targets) == 0 {
			t.Errorf("%s: a young prober is not told", what)
		}
	}
}
