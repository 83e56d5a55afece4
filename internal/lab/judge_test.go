package lab

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
)

func transitionTo(node, to string) Entry {
	return Entry{Time: at(1), Node: node, Event: event.VRRPTransition, Fields: map[event.Key]string{event.From: "BACKUP", event.To: to}}
}

// good is the result of a takeover by lvs-b as it should be.
func good() Result {
	after := Report{Name: phaseAfter, Answers: map[string]int{RS1: 50, RS2: 50}}
	return Result{
		After: LVSB, Timeline: []Entry{transitionTo(LVSB, "MASTER")},
		Load: Report{Answers: map[string]int{RS1: 90, RS2: 90}, LongestGap: 3600 * time.Millisecond, Phases: []Report{after}},
	}
}

func testBench() *bench {
	o, _ := Options{}.withDefaults()
	return &bench{lab: &Lab{opts: o}, master: LVSA, backup: LVSB}
}

func TestExpectationsAreJudged(t *testing.T) {
	takeover := func(r *Result) { r.takeover(testBench(), LVSB) }
	planned := func(r *Result) { r.planned(testBench(), LVSB) }
	translated := func(r *Result) {
		b := testBench()
		b.lab.opts.Topology = NAT
		r.planned(b, LVSB)
	}
	second := transitionTo(LVSB, "MASTER")
	second.Fields[event.Instance] = "VI_2"
	quiet := func(r *Result) { r.noTransition() }
	for name, c := range map[string]struct {
		judge  func(*Result)
		change func(*Result)
		want   string // part of the problem; "" for none
	}{
		"takeover":                    {takeover, func(*Result) {}, ""},
		"takeover with failures":      {takeover, func(r *Result) { r.Load.Failures = map[Failure]int{TimedOut: 700} }, ""},
		"takeover that lasts":         {takeover, func(r *Result) { r.Load.LongestGap = 13 * time.Second }, "no answer for 13000.0 ms"},
		"failures afterwards":         {takeover, func(r *Result) { r.Load.Phases[0].Failures = map[Failure]int{TimedOut: 1} }, "1 requests failed after"},
		"phase never reached":         {takeover, func(r *Result) { r.Load.Phases = nil }, "after the takeover"},
		"one server does not answer":  {takeover, func(r *Result) { delete(r.Load.Phases[0].Answers, RS1) }, "rs1 did not answer"},
		"nobody is master":            {takeover, func(r *Result) { r.After = "" }, "nobody is master"},
		"the old master again":        {takeover, func(r *Result) { r.After = LVSA }, "lvs-a is master"},
		"both became master":          {takeover, func(r *Result) { r.Timeline = append(r.Timeline, transitionTo(LVSA, "MASTER")) }, "transitions to MASTER: lvs-b and lvs-a"},
		"nobody became master":        {takeover, func(r *Result) { r.Timeline = nil }, "transitions to MASTER: nobody"},
		"a speaker stalled meanwhile": {takeover, func(r *Result) { r.Stalls, r.Timeline = 1, append(r.Timeline, transitionTo(LVSB, "MASTER")) }, ""},
		"planned":                     {planned, func(*Result) {}, ""},
		"planned with one failure":    {planned, func(r *Result) { r.Load.Failures = map[Failure]int{WasReset: 1} }, "1 requests failed (reset 1)"},
		"NAT loses what is in flight": {translated, func(r *Result) { r.Load.Failures = map[Failure]int{WasReset: 1} }, ""},
		"NAT loses more than that":    {translated, func(r *Result) { r.Load.Phases[0].Failures = map[Failure]int{WasReset: 1} }, "1 requests failed after"},
		"NAT moves two instances":     {translated, func(r *Result) { r.Timeline = append(r.Timeline, second) }, ""},
		"no transition":               {quiet, func(r *Result) { r.Timeline = nil }, ""},
		"a transition":                {quiet, func(*Result) {}, "lvs-b went from BACKUP to MASTER"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			c.change(&r)
			c.judge(&r)
			got := strings.Join(r.Problems, "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems are %q, want %q", got, c.want)
			}
		})
	}
}

func TestBoundIsVRRPsArithmetic(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want time.Duration
	}{
		{Options{}, 3*time.Second + 609375*time.Microsecond},
		{Options{AdvertInterval: 10 * time.Millisecond}, 36093750 * time.Nanosecond},
		{Options{AdvertInterval: 2 * time.Second, Version: 2}, 6*time.Second + 609375*time.Microsecond},
		{Options{Priorities: map[string]int{LVSA: 255, LVSB: 254}}, 3*time.Second + 7812500*time.Nanosecond},
	} {
		o, err := c.o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Lab{opts: o}).Bound(LVSB); got != c.want {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
		}
	}
}

func TestReportHoldsOnlyIfAllDo(t *testing.T) {
	if (DrillReport{}).Held() {
		t.Error("nothing was drilled, yet it held")
	}
	r := DrillReport{Results: []Result{{Held: true}, {Held: true}}}
	if !r.Held() {
		t.Error("all held")
	}
	r.Results[1].Held = false
	if r.Held() {
		t.Error("one did not hold")
	}
}

func TestTwoMastersAreJudged(t *testing.T) {
	peer := func(n int, node, of string) Entry {
		return Entry{Time: at(n), Node: node, Event: event.VRRPPeerFound, Fields: map[event.Key]string{event.Peer: Address(of).String()}}
	}
	back := transitionTo(LVSB, "BACKUP")
	back.Time = at(6)
	healed := func() Result {
		return Result{
			After: LVSA, Load: good().Load, Timeline: []Entry{
				transitionTo(LVSB, "MASTER"), {Time: at(5), Node: drillNode, Text: phaseHealed},
				peer(6, LVSA, LVSB), peer(6, LVSB, LVSA), back,
			},
		}
	}
	for name, c := range map[string]struct {
		scenario Scenario
		change   func(*Result)
		want     string
	}{
		"partition":                 {partition(), func(*Result) {}, ""},
		"one way":                   {oneWay(), func(*Result) {}, ""},
		"the wrong one remains":     {partition(), func(r *Result) { r.After = LVSB }, "lvs-b is master"},
		"both remain":               {partition(), func(r *Result) { r.After, r.Timeline = "", r.Timeline[:4] }, "did not go back"},
		"the backup stays too long": {partition(), func(r *Result) { r.Timeline[4].Time = at(8000) }, "lvs-b stayed master for"},
		"the master is not told":    {partition(), func(r *Result) { r.Timeline[2].Node = "router" }, "lvs-a did not tell"},
		"told before it healed":     {partition(), func(r *Result) { r.Timeline[3].Time = at(4) }, "lvs-b did not tell"},
		"failures afterwards": {oneWay(), func(r *Result) { r.Load.Phases[0].Failures = map[Failure]int{WasReset: 1} },
			"1 requests failed after the network had healed"},
		"a storm of lines": {oneWay(), func(r *Result) {
			for range mostLines {
				r.Timeline = append(r.Timeline, peer(4, LVSA, LVSB))
			}
		}, "logged 44 lines"},
		"the old master became master again": {oneWay(), func(r *Result) { r.Timeline = append(r.Timeline, transitionTo(LVSA, "MASTER")) },
			"lvs-b and lvs-a, want lvs-b's alone"},
	} {
		t.Run(name, func(t *testing.T) {
			r := healed()
			c.change(&r)
			c.scenario.judge(testBench(), &r)
			got := strings.Join(r.Problems, "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems are %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhoSpeaksBeforeListeningIsFound(t *testing.T) {
	advert := func(n int, sent bool) Frame { return Frame{Time: at(n), Sent: sent, Advert: &Advert{}} }
	announced := Frame{Time: at(3), ARP: &ARP{SenderIP: VIP, TargetIP: VIP}}
	other := Frame{Time: at(3), ARP: &ARP{SenderIP: VIP, TargetIP: Address(RouterNode)}}
	for name, c := range map[string]struct {
		frames []Frame
		want   bool
	}{
		"silent":                          {nil, false},
		"spoke before the stall was over": {[]Frame{advert(1, false)}, false},
		"listened":                        {[]Frame{advert(1, true), advert(3, true), advert(4, false)}, false},
		"advert":                          {[]Frame{advert(1, true), advert(3, false), advert(4, true)}, true},
		"announcement":                    {[]Frame{announced, advert(4, true)}, true},
		"answer of its kernel":            {[]Frame{other, advert(4, true)}, false},
	} {
		if f, got := spokeUnheard(c.frames, at(2)); got != c.want {
			t.Errorf("%s: %v, %s", name, got, f)
		}
	}
}

func TestScenariosAreChosenByName(t *testing.T) {
	all, err := choose(nil)
	if err != nil || len(all) != len(Scenarios())-1 {
		t.Errorf("%d scenarios, %v", len(all), err)
	}
	for _, s := range Scenarios() {
		if s.Name == "" || s.Sentence == "" || s.Expect == "" || s.Faults == "" {
			t.Errorf("%q does not say what it does, what must come of it and which fault it is", s.Name)
		}
		if chosen := slices.ContainsFunc(all, func(x Scenario) bool { return x.Name == s.Name }); chosen == s.OnRequest {
			t.Errorf("%s is chosen without being named: %v", s.Name, chosen)
		}
	}
	if one, err := choose([]string{"clock"}); err != nil || len(one) != 1 {
		t.Errorf("a scenario that is named: %v, %v", one, err)
	}
	two, err := choose([]string{"stop", "link-down"})
	if err != nil || len(two) != 2 || two[0].Name != "stop" {
		t.Errorf("%v, %v", two, err)
	}
	if _, err := choose([]string{"earthquake"}); err == nil || !strings.Contains(err.Error(), "link-down, stop, failover, kill, node-gone, recover, ") {
		t.Errorf("%v", err)
	}
}

func TestStepsEndAtTheFirstFailure(t *testing.T) {
	b := &bench{print: newPrinter(nil, false)}
	var done []string
	do := func(name string, err error) func() error {
		return b.step(name, func() error { done = append(done, name); return err })
	}
	err := inOrder(do("one", nil), do("two", fmt.Errorf("no")), do("three", nil))
	if err == nil || err.Error() != "two: no" || strings.Join(done, " ") != "one two" || len(b.steps) != 2 {
		t.Errorf("%v after %v", err, done)
	}
}

func TestLongTimelineIsPrintedInPart(t *testing.T) {
	r := good()
	r.Start = origin
	for i := range 200 {
		r.Timeline = append(r.Timeline, Entry{Time: at(i), Node: "drill", Text: fmt.Sprintf("entry %d.", i)})
	}
	var out bytes.Buffer
	p := newPrinter(&out, true)
	p.progress(r.Load)
	p.result(r)
	text := out.String()
	if !strings.Contains(text, "entry 0.") || !strings.Contains(text, "entry 199.") || strings.Contains(text, "entry 100.") || !strings.Contains(text, "… 141 more") {
		t.Errorf("printed:\n%s", text)
	}
	if !strings.Contains(text, "answered by rs1 90, rs2 90") {
		t.Errorf("printed:\n%s", text)
	}
	if strings.Count(text, clearLine) != 2 {
		t.Errorf("a progress line was left standing: %q", text[:200])
	}
}
