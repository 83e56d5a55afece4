package vrrp

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawParams(t *rapid.T) Params {
	p := Params{
		Version:          rapid.SampledFrom([]Version{V2, V3}).Draw(t, "version"),
		Priority:         rapid.SampledFrom([]uint8{1, 50, 100, 150, 254, 255}).Draw(t, "priority"),
		AdvertInterval:   time.Duration(rapid.IntRange(1, 4).Draw(t, "interval")) * time.Second,
		Preempt:          rapid.Bool().Draw(t, "preempt"),
		PreemptDelay:     time.Duration(rapid.IntRange(0, 1).Draw(t, "delay")) * 5 * time.Second,
		StartupDelay:     time.Duration(rapid.IntRange(0, 1).Draw(t, "startup")) * 5 * time.Second,
		DownTimerAdverts: rapid.IntRange(1, 4).Draw(t, "adverts"),
		Source:           addrB,
		Group:            rapid.Bool().Draw(t, "group"),
		Fault:            rapid.SampledFrom([]Reason{"", "", "", "", ReasonLinkDown, ReasonLinkUnknown, "script failed"}).Draw(t, "fault"),
		Ready:            rapid.SampledFrom([]bool{true, true, false}).Draw(t, "ready"),
	}
	p.Early = p.Fault == "script failed" && rapid.Bool().Draw(t, "early")
	p.CanSend = p.Fault != ReasonLinkDown && p.Fault != ReasonLinkUnknown
	return p
}

func drawEvent(t *rapid.T) Event {
	ev := Event{Kind: EventKind(rapid.IntRange(0, int(eventKinds)-1).Draw(t, "event"))}
	switch ev.Kind {
	case EventAdvert:
		ev.From = rapid.SampledFrom([]netip.Addr{addrA, addrB, addrC}).Draw(t, "from")
		ev.Advert = Advert{
			Version:  V3,
			Priority: rapid.SampledFrom([]uint8{0, 1, 50, 100, 150, 254, 255}).Draw(t, "heard"),
			Interval: time.Duration(rapid.IntRange(0, 4).Draw(t, "theirs")) * time.Second,
		}
	case EventStartup:
		ev.Resume = rapid.Bool().Draw(t, "resume")
	case EventShutdown:
		ev.Now = rapid.Bool().Draw(t, "now")
	case EventTake:
		ev.Reason = rapid.SampledFrom([]Reason{"", ReasonGroup}).Draw(t, "take")
	case EventChanged:
		ev.Reload = rapid.Bool().Draw(t, "reload")
	}
	return ev
}

// TestStepProperties plays anything that can happen, in any order, and looks at
// every step.
func TestStepProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s, now := drawParams(t), State{}, t0
		have := false // the addresses, as far as the actions say
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 1e6, 1e8, 1e9, 3e9, 6e10}).Draw(t, "pass")))
			ev := drawEvent(t)
			if ev.Kind == EventChanged {
				p = drawParams(t)
			}
			if wake, ok := s.Wake(); ok && rapid.Bool().Draw(t, "punctual") && wake.Before(now) && wake.After(now.Add(-time.Hour)) {
				ev = Event{Kind: EventTick}
			}
			before := s
			var todo Actions
			s, todo = Step(p, s, now, ev)
			have = checkStep(t, p, before, s, now, ev, &todo, have)

			tick := Event{Kind: EventTick}
			before = s
			s, todo = Step(p, s, now, tick)
			have = checkStep(t, p, before, s, now, tick, &todo, have)
			if wake, ok := s.Wake(); ok && !wake.After(now) {
				t.Fatalf("%s wants to be woken at %v, which is past: it would spin", s.role(), wake.Sub(now))
			}
			again, todo := Step(p, s, now, tick)
			if todo.n != 0 || again != s {
				t.Fatalf("a second look at the same time does: %s", describe(&todo))
			}
		}
	})
}

func checkStep(t *rapid.T, p Params, before, s State, now time.Time, ev Event, todo *Actions, have bool) bool {
	role, announced := before.role(), false
	for _, a := range todo.All() {
		switch a.Kind {
		case ActionTransition:
			if a.Reason == "" {
				t.Fatalf("transition %s to %s without a reason", a.From, a.To)
			}
			if a.From != role || a.To == role {
				t.Fatalf("transition %s to %s from %s", a.From, a.To, role)
			}
			role = a.To
			if role == Master && p.Group && ev.Kind != EventTake && a.Reason != ReasonResume {
				t.Fatalf("a member of a group became master by itself: %s", a.Reason)
			}
			if role == Master && !p.Ready && a.Reason != ReasonResume && a.Reason != ReasonSilence {
				t.Fatalf("not ready, became master: %s", a.Reason)
			}
			if role == Master && p.Fault != "" && !p.Early {
				t.Fatalf("became master with the fault %q", p.Fault)
			}
		case ActionSetAddresses:
			have = a.Present
			if a.Present && announced {
				t.Fatal("spoke before it had the addresses")
			}
			if a.Present && role != Master || a.Handover.Predecessor.IsValid() && !a.Present || a.Handover.Successor.IsValid() && a.Present {
				t.Fatalf("as %s: %s", role, a.describe())
			}
		case ActionSendAdvert:
			announced = true
			switch {
			case a.Priority == 0 && before.Role != Master:
				t.Fatalf("resigned as %s", before.role())
			case a.Priority == 0 && s.Role == Master && s.Leaving == "":
				t.Fatal("resigned and stays master")
			case a.Priority != 0 && (role != Master || s.Leaving != "" || a.Priority != p.Priority):
				t.Fatalf("advert %d as %s, leaving %q", a.Priority, role, s.Leaving)
			case !p.CanSend && !ev.Now && before.Leaving == "" && ev.Kind != EventShutdown && ev.Kind != EventFailover:
				t.Fatalf("advert %d that cannot be sent", a.Priority)
			}
		case ActionAnnounce:
			if role != Master || !have || s.Leaving != "" {
				t.Fatalf("announced as %s, addresses %v, leaving %q", role, have, s.Leaving)
			}
		}
	}
	if role != s.role() {
		t.Fatalf("transitions end in %s, the state is %s", role, s.role())
	}
	switch role {
	case Master:
		if s.Deadline.IsZero() {
			t.Fatal("a master without a deadline")
		}
		if !have {
			t.Fatal("a master without addresses")
		}
		if p.Fault != "" && !p.Early {
			t.Fatalf("a master with the fault %q", p.Fault)
		}
	case Backup:
		if s.Deadline.IsZero() {
			t.Fatal("a backup without a deadline")
		}
		if have != s.Holding {
			t.Fatalf("a backup with addresses %v, holding %v", have, s.Holding)
		}
	case Fault, Init:
		if have {
			t.Fatalf("addresses left in %s", role)
		}
	}
	return have
}

// TestStepTotal gives Step states that no sequence of events leads to.
func TestStepTotal(t *testing.T) {
	times := []time.Time{{}, t0.Add(-time.Hour), t0, t0.Add(time.Hour)}
	rapid.Check(t, func(t *rapid.T) {
		at := func(what string) time.Time { return rapid.SampledFrom(times).Draw(t, what) }
		s := State{
			Role:         rapid.SampledFrom([]Role{"", Init, Backup, Master, Fault, "NONSENSE"}).Draw(t, "role"),
			Reason:       rapid.SampledFrom([]Reason{"", ReasonLinkDown}).Draw(t, "reason"),
			Running:      rapid.Bool().Draw(t, "running"),
			Resume:       rapid.Bool().Draw(t, "resume"),
			Deadline:     at("deadline"),
			Peer:         rapid.SampledFrom([]netip.Addr{{}, addrA}).Draw(t, "peer"),
			PeerUntil:    at("until"),
			Expired:      rapid.Bool().Draw(t, "expired"),
			Listening:    rapid.Bool().Draw(t, "listening"),
			Holding:      rapid.Bool().Draw(t, "holding"),
			PreemptSince: at("since"),
			YieldTo:      rapid.SampledFrom([]netip.Addr{{}, addrA}).Draw(t, "yield"),
			LastAdvert:   at("last"),
			Leaving:      rapid.SampledFrom([]Reason{"", ReasonStop, ReasonFailover, ReasonGroup}).Draw(t, "leaving"),
			LeavingSince: at("leaving since"),
			LeaveBy:      at("leave by"),
		}
		p := drawParams(t)
		if rapid.Bool().Draw(t, "empty") {
			p = Params{}
		}
		Step(p, s, t0, drawEvent(t))
	})
}
