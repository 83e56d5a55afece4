package vrrp

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func chk(weight int) Track { return Track{Kind: TrackScript, Name: "chk", Weight: weight} }

func TestJudge(t *testing.T) {
	reversed := func(x Track) Track { x.Reverse = true; return x }
	file := func(weight int) Track { return Track{Kind: TrackFile, Name: "load", Weight: weight} }
	uplink := Track{Kind: TrackInterface, Name: "eth9"}
	up, down := TrackState{Up: true}, TrackState{Reason: "exit 1"}
	says := func(n int) TrackState { return TrackState{Up: true, Value: n} }
	for _, x := range []struct {
		name   string
		base   uint8
		track  Track
		state  *TrackState
		want   uint8
		fault  Reason
		detail string
	}{
		{"well", 100, chk(0), &up, 100, "", ""},
		{"failed, no weight", 100, chk(0), &down, 100, ReasonTrackScript, "chk failed: exit 1"},
		{"unknown, no weight", 100, chk(0), nil, 100, ReasonTrackScript, "chk unknown: not heard of yet"},
		{"reverse and failed", 100, reversed(chk(0)), &down, 100, "", ""},
		{"reverse and well", 100, reversed(chk(0)), &up, 100, ReasonTrackScript, "chk up (reverse)"},
		{"reverse and unknown", 100, reversed(chk(0)), nil, 100, ReasonTrackScript, "chk unknown: not heard of yet (reverse)"},
		{"+ and well", 100, chk(20), &up, 120, "", ""},
		{"+ and failed", 100, chk(20), &down, 100, "", ""},
		{"+ and unknown", 100, chk(20), nil, 100, "", ""},
		{"- and well", 100, chk(-20), &up, 100, "", ""},
		{"- and failed", 100, chk(-20), &down, 80, "", ""},
		{"- and unknown", 100, chk(-20), nil, 80, "", ""},
		{"+ reverse and well", 100, reversed(chk(20)), &up, 80, "", ""},
		{"+ reverse and failed", 100, reversed(chk(20)), &down, 100, "", ""},
		{"- reverse and well", 100, reversed(chk(-20)), &up, 100, "", ""},
		{"- reverse and failed", 100, reversed(chk(-20)), &down, 120, "", ""},
		{"not below 1", 100, chk(-254), &down, 1, "", ""},
		{"not above 254", 100, chk(254), &up, 254, "", ""},
		{"the owner keeps 255", 255, chk(-20), &down, 255, "", ""},
		{"the owner faults", 255, chk(0), &down, 255, ReasonTrackScript, "chk failed: exit 1"},
		{"file times weight", 100, file(3), ptr(says(7)), 121, "", ""},
		{"file reversed", 100, reversed(file(3)), ptr(says(7)), 79, "", ""},
		{"file negative", 100, file(-3), ptr(says(7)), 79, "", ""},
		{"file beyond all", 100, file(2), ptr(says(math.MaxInt)), 254, "", ""},
		{"file beyond all, negative", 100, file(254), ptr(says(math.MinInt)), 100, ReasonTrackFile, "load up with -9223372036854775808"},
		{"file takes the most", 254, file(1), ptr(says(-253)), 1, "", ""},
		{"file takes more", 254, file(1), ptr(says(-254)), 254, ReasonTrackFile, "load up with -254"},
		{"file takes more, reverse", 254, reversed(file(127)), ptr(says(2)), 254, ReasonTrackFile, "load up with 2 (reverse)"},
		{"file 0, no weight", 100, file(0), ptr(says(0)), 100, "", ""},
		{"file 1, no weight", 100, file(0), ptr(says(1)), 100, ReasonTrackFile, "load up with 1"},
		{"file 0, no weight, reverse", 100, reversed(file(0)), ptr(says(0)), 100, ReasonTrackFile, "load up with 0 (reverse)"},
		{"file unreadable, no weight", 100, file(0), &down, 100, ReasonTrackFile, "load failed: exit 1"},
		{"file unreadable, reverse", 100, reversed(file(0)), &down, 100, ReasonTrackFile, "load failed: exit 1 (reverse)"},
		{"file unreadable, +", 100, file(20), &down, 100, "", ""},
		{"file unreadable, -", 100, file(-20), &down, 80, "", ""},
		{"interface", 100, uplink, nil, 100, ReasonTrackInterface, "eth9 unknown: not heard of yet"},
		{"process", 100, Track{Kind: TrackProcess, Name: "p"}, nil, 100, ReasonTrackProcess, "p unknown: not heard of yet"},
		{"server", 100, Track{Kind: TrackVirtualServer, Name: "v"}, nil, 100, ReasonTrackServer, "v unknown: not heard of yet"},
	} {
		states := map[string]TrackState{}
		if x.state != nil {
			states[x.track.Key()] = *x.state
		}
		v := judge(x.base, []Track{x.track}, states, nil, false)
		if v.priority != x.want || v.fault != x.fault || v.detail != x.detail || v.early {
			t.Errorf("%s: priority %d fault %q (%s) early %v, want %d %q (%s)", x.name, v.priority, v.fault, v.detail, v.early, x.want, x.fault, x.detail)
		}
		if x.state == nil {
			if v := judge(x.base, []Track{x.track}, nil, nil, true); v.priority != x.base || v.fault != "" && !v.early {
				t.Errorf("%s, with patience: priority %d, fault %q", x.name, v.priority, v.fault)
			}
		}
	}
	links := map[string]LinkState{"eth9": {Up: false}}
	if v := judge(100, []Track{chk(0), uplink}, nil, links, true); v.fault != ReasonTrackInterface || v.early || v.detail != "eth9 failed: link down" {
		t.Errorf("what is known comes before what is not: %+v", v)
	}
}

func ptr[T any](v T) *T { return &v }

// TestJudgeBounds: whatever is tracked, a priority that is no owner's never
// becomes 0 or an owner's, and an owner's never changes.
func TestJudgeBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := []TrackKind{TrackInterface, TrackScript, TrackFile, TrackProcess, TrackVirtualServer}
		states, links := map[string]TrackState{}, map[string]LinkState{}
		var tracks []Track
		sum, faults := 0, 0
		for range rapid.IntRange(0, 6).Draw(t, "tracks") {
			x := Track{
				Kind:    rapid.SampledFrom(kinds).Draw(t, "kind"),
				Name:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"),
				Weight:  rapid.IntRange(-254, 254).Draw(t, "weight"),
				Reverse: rapid.Bool().Draw(t, "reverse"),
			}
			tracks = append(tracks, x)
			states[x.Key()] = TrackState{Up: rapid.Bool().Draw(t, "up"), Value: rapid.Int().Draw(t, "value")}
			links[x.Name] = LinkState{Up: rapid.Bool().Draw(t, "link")}
		}
		base := rapid.Uint8Range(1, 255).Draw(t, "base")
		v := judge(base, tracks, states, links, rapid.Bool().Draw(t, "patience"))
		for _, s := range v.tracks {
			sum += s.Effect
			if s.Effect < -254 || s.Effect > 254 {
				t.Fatalf("%s has the effect %d", s, s.Effect)
			}
			if s.Fault {
				faults++
			}
			if s.Fault && s.Weight != 0 && s.Kind != TrackFile {
				t.Fatalf("%s is a fault with a weight", s)
			}
		}
		switch {
		case v.priority == 0, base != 255 && v.priority == 255, base == 255 && v.priority != 255:
			t.Fatalf("priority %d became %d", base, v.priority)
		case base != 255 && int(base)+sum >= 1 && int(base)+sum <= 254 && int(v.priority) != int(base)+sum:
			t.Fatalf("priority %d and %d make %d", base, sum, v.priority)
		case (faults > 0) != (v.fault != ""), (v.fault == "") != (v.detail == ""):
			t.Fatalf("%d faults: %q (%s)", faults, v.fault, v.detail)
		}
	})
}

func (n *node) track(name string, s TrackState) {
	n.SetTrack(map[string]TrackState{name: s})
	synctest.Wait()
}

func TestTracking(t *testing.T) {
	well, ill := TrackState{Up: true}, TrackState{Reason: "exit 1"}
	bubble(t, "a lowered priority hands over when the other is heard", func(t *testing.T, l *lan) {
		ca, cb := instanceConfig(150), instanceConfig(100)
		ca.Track = []Track{chk(-60)}
		a := l.director("a", addrA, ca).start()
		a.track("script/chk", well)
		l.director("b", addrB, cb).start()
		l.forget(11 * time.Second)
		a.change(func() { a.tell = true })
		a.track("script/chk", ill)
		l.expect(4*time.Second, `
			11s a priority 150>90: tracked script failed (chk failed: exit 1, -60)
			11s a sends 90
			11.001s b peer_changed 192.168.16.102 priority 150 is now 90
			14.024s b BACKUP>MASTER: preempted a lower priority
			14.024s b takes from 192.168.16.102
			14.024s b sends 100
			14.024s b announces
			14.025s a peer_found 192.168.16.112
			14.025s a withdraws for 192.168.16.112
			14.025s a MASTER>BACKUP: advert of a higher priority`)
		if s := a.status(); s.EffectivePriority != 90 || s.Tracks[0].Effect != -60 || s.Tracks[0].State != "failed" || s.Tracks[0].Reason != "exit 1" {
			t.Errorf("status of a: %+v", s)
		}
		a.track("script/chk", well)
		l.expect(5*time.Second, `
			15s a priority 90>150: tracked script succeeded (chk up, +0)
			17.676s a BACKUP>MASTER: preempted a lower priority
			17.676s a takes from 192.168.16.112
			17.676s a sends 150
			17.676s a announces
			17.677s b peer_changed 192.168.16.102 priority 90 is now 150
			17.677s b withdraws for 192.168.16.102
			17.677s b MASTER>BACKUP: advert of a higher priority`)
	})
	bubble(t, "without a weight it is a fault, and priority 0", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.SetTrack(map[string]TrackState{"script/chk": well})
		a.cfg.Track = []Track{chk(0)}
		a.apply(nil)
		l.expect(0, ``)
		a.track("script/chk", ill)
		l.expect(time.Second, `
			11s a sends 0
			11s a withdraws
			11s a MASTER>FAULT: tracked script failed (chk failed: exit 1)
			11.61s b BACKUP>MASTER: master resigned
			11.61s b takes from 192.168.16.102
			11.61s b sends 100
			11.61s b announces
			11.611s a peer_found 192.168.16.112`)
		if s := a.status(); s.Detail != "chk failed: exit 1" {
			t.Errorf("status of a: %+v", s)
		}
		a.track("script/chk", well)
		l.expect(500*time.Millisecond, `
			12s a withdraws
			12s a FAULT>BACKUP: fault cleared`)
	})
	bubble(t, "who starts waits for the first answer", func(t *testing.T, l *lan) {
		c := instanceConfig(150)
		c.Track = []Track{chk(0)}
		a := l.director("a", addrA, c).start()
		l.expect(2*time.Second, ``)
		a.track("script/chk", well)
		l.expect(3*time.Second, `
			2s a withdraws
			2s a INIT>BACKUP: startup`)
	})
	bubble(t, "but not for ever", func(t *testing.T, l *lan) {
		c := instanceConfig(150)
		c.Track = []Track{{Kind: TrackInterface, Name: "eth9"}}
		a := l.director("a", addrA, c).start()
		l.expect(4*time.Second, `
			3.414s a withdraws
			3.414s a INIT>FAULT: tracked interface failed (eth9 unknown: not heard of yet)`)
		a.SetLink(LinkState{Interface: "eth9", Up: true})
		l.expect(time.Second, `
			4s a withdraws
			4s a FAULT>BACKUP: fault cleared`)
		a.SetLink(LinkState{Interface: "eth9"})
		l.expect(time.Second, `
			5s a BACKUP>FAULT: tracked interface failed (eth9 failed: link down)`)
	})
	bubble(t, "a resumed master is not withdrawn for want of an answer", func(t *testing.T, l *lan) {
		c := instanceConfig(150)
		c.Track = []Track{chk(0)}
		a := l.director("a", addrA, c)
		a.SetLink(LinkState{Interface: "eth0", Up: true, Primary: addrA, Index: 2})
		a.apply(map[string]Past{"VI_1": {Master: true}})
		a.run()
		l.expect(time.Second, ``)
		a.track("script/chk", well)
		l.expect(time.Second, `
			1s a INIT>MASTER: resumed after restart
			1s a takes
			1s a sends 150
			1s a announces`)
	})
	bubble(t, "a track that a reload adds has until the down interval to answer", func(t *testing.T, l *lan) {
		a, _ := pair(l)
		a.cfg.Track = []Track{chk(0), {Kind: TrackFile, Name: "f", Weight: -10}}
		a.apply(nil)
		l.expect(3*time.Second, ``)
		l.expect(time.Second, `
			14.414s a priority 150>140: tracked file failed (f unknown: not heard of yet, -10)
			14.414s a sends 0
			14.414s a withdraws
			14.414s a MASTER>FAULT: tracked script failed (chk unknown: not heard of yet)`)
	})
}

// preempt_delay runs on through a reload and through what tracking does, as
// long as the other stays the lower one.
func TestPreemptDelaySurvives(t *testing.T) {
	bubble(t, "reload and tracking", func(t *testing.T, l *lan) {
		ca := instanceConfig(150)
		ca.PreemptDelay, ca.Track = 20*time.Second, []Track{chk(-20)}
		l.director("b", addrB, instanceConfig(100)).start()
		l.forget(10 * time.Second)
		a := l.director("a", addrA, ca)
		a.SetTrack(map[string]TrackState{"script/chk": {Up: true}})
		a.start()
		l.expect(5*time.Second, `
			10s a withdraws
			10s a INIT>BACKUP: startup
			10.61s a peer_found 192.168.16.112
			10.61s a preempt_delayed 192.168.16.112 20s`)
		a.cfg.GARP.MasterRefresh = 2 * time.Minute
		a.apply(nil)
		l.expect(5*time.Second, ``)
		a.track("script/chk", TrackState{})
		l.expect(5*time.Second, `20s a priority 150>130: tracked script failed (chk failed, -20)`)
		a.cfg.Priority = 151
		a.apply(nil)
		l.expect(10*time.Second, `
			33.099s a BACKUP>MASTER: preempted a lower priority
			33.099s a takes from 192.168.16.112
			33.099s a sends 131
			33.099s a announces
			33.1s b peer_found 192.168.16.102
			33.1s b withdraws for 192.168.16.102
			33.1s b MASTER>BACKUP: advert of a higher priority`)
	})
}
