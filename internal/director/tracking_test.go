package director

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/journal"
	"baton/internal/script"
	"baton/internal/track"
	"baton/ipvs"
	"baton/vrrp"
)

// testCore is a core without processes and kernel whose events are collected.
func testCore(t testing.TB, cfg *conf.Config) *core {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(null, "json")
	t.Cleanup(func() { log.close(); null.Close() })
	c := newCore(Options{}, log)
	c.journal, err = journal.Open(journal.Options{Dir: t.TempDir(), Failed: func(err error, _ uint64) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.journal.Close() })
	c.prog = &programmer{wake: make(chan struct{}, 1)}
	c.steward = &steward{latest: newLatest[conf.IPVS]()}
	c.install(cfg, time.Now())
	return c
}

// told returns the lines of the named events, without their times.
func (c *core) told(names ...event.Name) []string {
	var out []string
	for _, e := range c.journal.Since(time.Time{}) {
		if !slices.Contains(names, e.Name) {
			continue
		}
		line := string(e.Name)
		for _, f := range e.Fields {
			line += fmt.Sprintf(" %s=%s", f.Key, f.Value)
		}
		out = append(out, line)
	}
	return out
}

func tracking(tracks ...vrrp.Track) *conf.Config {
	vi := instanceOn("192.168.16.200/24")
	vi.Track = tracks
	return &conf.Config{Instances: []vrrp.Config{vi}, Global: conf.Global{ProberUser: "baton", StartupDelayMax: 30 * time.Second}}
}

func TestTrackSpecsAreDividedByUser(t *testing.T) {
	script := func(name, user, group string) conf.TrackScript {
		return conf.TrackScript{Name: name, Command: conf.Command{Args: []string{"/x"}, User: user, Group: group, Timeout: time.Second}, Interval: time.Second, Rise: 1, Fall: 2}
	}
	cfg := tracking()
	for _, n := range []string{"plain", "prober", "root", "group", "twice"} {
		cfg.Instances[0].Track = append(cfg.Instances[0].Track, vrrp.Track{Kind: vrrp.TrackScript, Name: n})
	}
	cfg.SyncGroups = []vrrp.SyncGroup{{Name: "g", Track: []vrrp.Track{{Kind: vrrp.TrackFile, Name: "f"}, {Kind: vrrp.TrackProcess, Name: "p"}, {Kind: vrrp.TrackScript, Name: "twice"}}}}
	cfg.Scripts = []conf.TrackScript{script("plain", "", ""), script("prober", "baton", ""), script("root", "root", ""), script("group", "", "ops"), script("unused", "", ""), script("twice", "", "")}
	cfg.Files = []conf.TrackFile{{Name: "f", Path: "/f", Interval: time.Second}, {Name: "unused"}}
	cfg.Processes = []conf.TrackProcess{{Name: "p", Process: "haproxy", Quorum: 2, Delay: 3, TerminateDelay: 4, Interval: time.Second}, {Name: "unused"}}
	prober, own := testCore(t, cfg).trackSpecs(cfg)
	spec := func(name, user, group string) track.Script {
		return track.Script{Name: name, Args: []string{"/x"}, User: user, Group: group, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2}
	}
	if want := (track.Specs{
		Scripts:   []track.Script{spec("plain", "", ""), spec("prober", "", ""), spec("twice", "", "")},
		Files:     []track.File{{Name: "f", Path: "/f", Interval: time.Second}},
		Processes: []track.Process{{Name: "p", Process: "haproxy", Quorum: 2, Delay: 3, TerminateDelay: 4, Interval: time.Second}},
	}); !reflect.DeepEqual(prober, want) {
		t.Errorf("prober watches %+v", prober)
	}
	if want := (track.Specs{Scripts: []track.Script{spec("root", "root", ""), spec("group", "baton", "ops")}}); !reflect.DeepEqual(own, want) {
		t.Errorf("director watches %+v", own)
	}
}

func TestServiceTrack(t *testing.T) {
	const u, d, q = healthcheck.Up, healthcheck.Down, healthcheck.Unknown
	good := trackState{TrackState: vrrp.TrackState{Up: true, Reason: "it was"}, known: true}
	for _, tc := range []struct {
		servers   []healthcheck.State
		quorum    int
		was       trackState
		waited    bool
		up, known bool
		reason    string
	}{
		{[]healthcheck.State{d, u}, 1, trackState{}, false, true, true, "1 of 2 servers up"},
		{[]healthcheck.State{q, u}, 1, trackState{}, false, true, true, "1 of 2 servers up"},
		{[]healthcheck.State{d, u}, 2, trackState{}, false, false, true, "1 of 2 servers up, their weights sum up to 1, the quorum is 2"},
		{[]healthcheck.State{d, d}, 1, good, false, false, true, "no server is up"},
		{nil, 1, good, false, false, true, "no servers"},
		{[]healthcheck.State{d, q}, 1, good, true, true, true, "it was"},
		{[]healthcheck.State{d, q}, 1, trackState{}, false, true, false, "not answered yet"},
		{[]healthcheck.State{q, q}, 1, trackState{}, true, false, true, "2 servers unknown when"},
	} {
		cfg, verdicts := tracking(), map[string]healthcheck.Verdict{}
		var servers []conf.RealServer
		for i, state := range tc.servers {
			id := strconv.Itoa(i)
			servers = append(servers, server("192.168.16.10"+id+":80", 1, id))
			if state != q {
				verdicts[id] = healthcheck.Verdict{ID: id, Up: state == u}
			}
		}
		cfg.Services = web(servers...)
		cfg.Services[0].Quorum = tc.quorum
		c := testCore(t, cfg)
		for _, v := range verdicts {
			c.judged(v)
		}
		c.settleVerdicts(time.Now())
		got := serviceTrack(c.list[0], tc.was, tc.waited)
		if got.Up != tc.up || got.known != tc.known || !strings.Contains(got.Reason, tc.reason) {
			t.Errorf("%v after %+v, waited %v: %+v", tc.servers, tc.was, tc.waited, got)
		}
	}
}

// TestStatesStandAndAreToldOnce: a state comes once, is told once, survives a
// reload and the prober, and is forgotten with what it belongs to.
func TestStatesStandAndAreToldOnce(t *testing.T) {
	chk := vrrp.Track{Kind: vrrp.TrackScript, Name: "chk"}
	file := vrrp.Track{Kind: vrrp.TrackFile, Name: "f", Weight: 1}
	cfg := tracking(chk, file)
	c := testCore(t, cfg)
	if got := c.trackStates(); len(got) != 0 {
		t.Errorf("before the first answer the election is told %v", got)
	}
	c.gotTrack("script/chk", track.State{Up: true, Reason: "exit status 0"})
	c.gotTrack("script/chk", track.State{Up: true, Reason: "exit status 0"})
	c.gotTrack("script/chk", track.State{Reason: "exit status 1"})
	c.gotTrack("file/f", track.State{Up: true, Value: 7, Reason: "/f holds 7"})
	c.gotTrack("file/f", track.State{Up: true, Value: -3, Reason: "/f holds -3"})
	c.gotTrack("script/stranger", track.State{Up: true})
	want := []string{
		"track.changed track=script/chk from=unknown to=up reason=exit status 0",
		"track.changed track=script/chk from=up to=down reason=exit status 1",
		"track.changed track=file/f from=unknown to=7 reason=/f holds 7",
		"track.changed track=file/f from=7 to=-3 reason=/f holds -3",
	}
	if got := c.told(event.TrackChanged); !slices.Equal(got, want) {
		t.Errorf("told\n%s", strings.Join(got, "\n"))
	}
	c.install(tracking(chk), time.Now())
	if got := c.trackStates(); !reflect.DeepEqual(got, map[string]vrrp.TrackState{"script/chk": {Reason: "exit status 1"}}) {
		t.Errorf("after the reload the election is told %v", got)
	}
	if got := c.knownTracks(); !reflect.DeepEqual(got, map[string]track.State{"script/chk": {Reason: "exit status 1"}}) {
		t.Errorf("a new prober starts from %v", got)
	}
}

// TestTrackedServiceFaultsNobodyBeforeItsChecks: a director that starts is not
// put into FAULT because its checks have not answered yet; the gate holds it.
func TestTrackedServiceFaultsNobodyBeforeItsChecks(t *testing.T) {
	cfg := tracking()
	// Not on the instance's own address: the gate looks at what is tracked too.
	other := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort("10.0.0.9:80"))
	vs := serving(other, server("192.168.16.103:80", 1, "a"), server("192.168.16.104:80", 1, "b"))
	cfg.Services = []conf.VirtualServer{vs}
	cfg.SyncGroups = []vrrp.SyncGroup{{Name: "g", Members: []string{"VI_1", "VI_2"}, Track: []vrrp.Track{{Kind: vrrp.TrackVirtualServer, Name: vs.Name}}}}
	c := testCore(t, cfg)
	c.last.seq = 1
	key := "virtual_server/" + vs.Name
	state := func() vrrp.TrackState { return c.trackStates()[key] }
	if s := state(); !s.Up || !strings.Contains(s.Reason, "not answered") {
		t.Errorf("at the start: %+v", s)
	}
	if c.evaluateGates(); c.instances["VI_1"].ready {
		t.Error("the gate is open before the checks of what is tracked have answered")
	}
	c.judged(healthcheck.Verdict{ID: "a", Reason: healthcheck.Refused})
	c.flush()
	if s := state(); !s.Up {
		t.Errorf("with one unknown: %+v", s)
	}
	c.judged(healthcheck.Verdict{ID: "b", Reason: healthcheck.Refused})
	c.flush()
	if s := state(); s.Up || s.Reason != "no server is up" {
		t.Errorf("with both down: %+v", s)
	}
	if !c.instances["VI_1"].ready {
		t.Errorf("the gate waits for %s", c.instances["VI_1"].waits)
	}
	c.judged(healthcheck.Verdict{ID: "b", Up: true})
	c.flush()
	want := []string{
		"track.changed track=" + key + " from=unknown to=down reason=no server is up",
		"track.changed track=" + key + " from=down to=up reason=1 of 2 servers up",
	}
	if got := c.told(event.TrackChanged); !slices.Equal(got, want) {
		t.Errorf("told\n%s", strings.Join(got, "\n"))
	}
}

func TestTrackedServiceIsDownWhenTheWaitIsOver(t *testing.T) {
	cfg := tracking(vrrp.Track{Kind: vrrp.TrackVirtualServer, Name: webKey.String()})
	cfg.Services = web(server("192.168.16.103:80", 1, "a"))
	c := testCore(t, cfg)
	c.settleServiceTracks(c.loaded.Add(29 * time.Second))
	if s := c.trackStates()["virtual_server/"+webKey.String()]; !s.Up {
		t.Errorf("before: %+v", s)
	}
	if !c.settleServiceTracks(c.loaded.Add(30 * time.Second)) {
		t.Error("the election is not told")
	}
	if s := c.trackStates()["virtual_server/"+webKey.String()]; s.Up {
		t.Errorf("after: %+v", s)
	}
}

func TestTroubleHasItsEvent(t *testing.T) {
	for _, k := range []track.TroubleKind{track.Failed, track.Late, track.Unreadable} {
		var got event.Name
		var fields []event.Field
		tellTrouble(func(n event.Name, f ...event.Field) { got, fields = n, f },
			track.Trouble{Key: "script/chk", Kind: k, Reason: "r", Detail: "d", Count: 2, Took: time.Second})
		if got == "" {
			t.Errorf("%s has no event", k)
		}
		if listed := event.Listed(got, slices.Clone(fields)); !reflect.DeepEqual(listed, fields) {
			t.Errorf("%s: %v are not all in the catalogue", got, fields)
		}
	}
}

// TestStatusShowsTracksAndGroups: with their states, the interfaces' from the
// speaker.
func TestStatusShowsTracksAndGroups(t *testing.T) {
	eth1 := vrrp.Track{Kind: vrrp.TrackInterface, Name: "eth1"}
	cfg := tracking(vrrp.Track{Kind: vrrp.TrackScript, Name: "chk", Weight: -20, Reverse: true}, eth1)
	cfg.SyncGroups = []vrrp.SyncGroup{{Name: "VG", Members: []string{"VI_1"}, Track: []vrrp.Track{{Kind: vrrp.TrackFile, Name: "f", Weight: 2}}}}
	c := testCore(t, cfg)
	c.gotTrack("script/chk", track.State{Reason: "exit status 1"})
	c.gotTrack("file/f", track.State{Up: true, Value: 7})
	c.gotStatus(speakerFacts{Instances: []vrrp.Status{{Config: cfg.Instances[0], Role: vrrp.Master, EffectivePriority: 130,
		Tracks: []vrrp.TrackStatus{{Track: eth1, State: "failed", Reason: "link down"}}}}})
	c.instances["VI_1"].role = vrrp.Master
	st := c.status()
	for i := range st.Instances[0].Tracks {
		st.Instances[0].Tracks[i].Since = time.Time{}
	}
	st.Groups[0].Tracks[0].Since = time.Time{}
	if want := []control.Track{
		{Kind: "script", Name: "chk", Weight: -20, Reverse: true, State: "down", Reason: "exit status 1"},
		{Kind: "interface", Name: "eth1", State: "down", Reason: "link down"},
	}; !reflect.DeepEqual(st.Instances[0].Tracks, want) || st.Instances[0].Group != "VG" || st.Instances[0].EffectivePriority != 130 {
		t.Errorf("instance is %+v", st.Instances[0])
	}
	if want := []control.Group{{Name: "VG", State: "MASTER", Members: []string{"VI_1"},
		Tracks: []control.Track{{Kind: "file", Name: "f", Weight: 2, State: "up", Value: 7}}}}; !reflect.DeepEqual(st.Groups, want) {
		t.Errorf("groups are %+v", st.Groups)
	}
}

// TestScriptsOfTheProberIgnoreNoSignal but those that this process was started
// to ignore: a script with a pipe in it relies on SIGPIPE.
func TestScriptsOfTheProberIgnoreNoSignal(t *testing.T) {
	ignored := func(status []byte) (mask uint64) {
		t.Helper()
		_, rest, _ := bytes.Cut(status, []byte("SigIgn:"))
		if _, err := fmt.Sscanf(string(rest), "%x", &mask); err != nil {
			t.Fatalf("read %q: %v", status, err)
		}
		return mask
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	ignoreTerminalSignals(swallow)
	defer signal.Reset()
	r := script.Run(t.Context(), script.Command{Args: []string{"/bin/sh", "-c", "grep SigIgn /proc/self/status"}, Timeout: time.Minute})
	if more := ignored([]byte(r.Excerpt())) &^ ignored(own); more != 0 {
		t.Errorf("%s: it ignores %#x as well", r.Reason(), more)
	}
}

// TestVerdictsOfAMomentAreOneDecision: a server that comes up while the other one
// fails costs no quorum; but nothing that a check has said is passed over.
func TestVerdictsOfAMomentAreOneDecision(t *testing.T) {
	cfg := tracking()
	cfg.Services = web(server("192.168.16.103:80", 1, "a"), server("192.168.16.104:80", 1, "b"))
	c := testCore(t, cfg)
	down := func(id string) healthcheck.Verdict { return healthcheck.Verdict{ID: id, Reason: healthcheck.Refused} }
	up := func(id string) healthcheck.Verdict { return healthcheck.Verdict{ID: id, Up: true} }
	moment := func(verdicts ...healthcheck.Verdict) (lines []string) {
		before := len(c.told(event.ServerUp, event.ServerDown, event.ServiceQuorum))
		for _, v := range verdicts {
			c.judged(v)
		}
		c.flush()
		for _, line := range c.told(event.ServerUp, event.ServerDown, event.ServiceQuorum)[before:] {
			name, _, _ := strings.Cut(line, " ")
			_, check, _ := strings.Cut(line, "check=")
			check, _, _ = strings.Cut(check, " ")
			lines = append(lines, strings.TrimSpace(name+" "+check))
		}
		return lines
	}
	for _, tc := range []struct {
		verdicts []healthcheck.Verdict
		want     []string
	}{
		{[]healthcheck.Verdict{up("a"), down("b")}, []string{"server.up a", "server.down b"}},
		{[]healthcheck.Verdict{down("a"), up("b")}, []string{"server.down a", "server.up b"}},
		{[]healthcheck.Verdict{down("b"), up("b")}, []string{"server.down b", "service.quorum", "server.up b", "service.quorum"}},
		{nil, nil},
	} {
		if got := moment(tc.verdicts...); !slices.Equal(got, tc.want) {
			t.Errorf("%v told %q, want %q", tc.verdicts, got, tc.want)
		}
	}
}

// TestSpeakerIsToldWhatHasBeenWaited: of vrrp_startup_delay, by each instance since it
// was configured, which is not since a speaker was started.
func TestSpeakerIsToldWhatHasBeenWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := tracking()
		cfg.Instances[0].StartupDelay = time.Minute
		c := testCore(t, cfg)
		<-time.After(50 * time.Second)
		later := *cfg
		later.Instances = append(slices.Clone(cfg.Instances), vrrp.Config{Name: "later", StartupDelay: time.Minute}, vrrp.Config{Name: "at once"})
		c.change(&later)
		<-time.After(2 * time.Second)
		want := map[string]vrrp.Past{cfg.Instances[0].Name: {Waited: 52 * time.Second}, "later": {Waited: 2 * time.Second}}
		if got := c.speakerState().Past; !maps.Equal(got, want) {
			t.Errorf("it is told %v, want %v", got, want)
		}
	})
}

// TestReloadMovesNothingThatTheStartHasFixed: where the speaker keeps its records, and
// whom the prober runs as, are what they were, as a reload says.
func TestReloadMovesNothingThatTheStartHasFixed(t *testing.T) {
	cfg := tracking(vrrp.Track{Kind: vrrp.TrackScript, Name: "s"})
	cfg.Global.RuntimeDir = "/run/a"
	cfg.Scripts = []conf.TrackScript{{Name: "s", Command: conf.Command{Args: []string{"/x"}, User: "other", Timeout: time.Second}, Interval: time.Second, Rise: 1, Fall: 1}}
	c := testCore(t, cfg)
	next := *cfg
	next.Global.RuntimeDir, next.Global.ProberUser = "/run/b", "other"
	c.change(&next)
	if got := c.speakerState().RuntimeDir; got != "/run/a" {
		t.Errorf("the speaker is told to use %s, and the director uses /run/a", got)
	}
	prober, own := c.trackSpecs(c.cfg)
	if len(prober.Scripts) != 0 || len(own.Scripts) != 1 || own.Scripts[0].User != "other" {
		t.Errorf("the prober, which runs as baton, watches %v; the director watches %v", prober.Scripts, own.Scripts)
	}
}
