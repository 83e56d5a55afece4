package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"baton/internal/event"
)

// Scenario is one way to break the lab, and what must come of it.
type Scenario struct {
	Name     string
	Sentence string // what is done
	Expect   string // what must come of it
	// Faults are the numbers of what the scenario shows in docs/faults.md.
	Faults string
	// OnRequest scenarios touch more than the lab: they run only if named.
	OnRequest bool

	run     func(ctx context.Context, b *bench) error
	judge   func(b *bench, r *Result)
	restore func(ctx context.Context, b *bench) error
}

// Result is how one scenario went.
type Result struct {
	Scenario string    `json:"scenario"`
	Sentence string    `json:"sentence"`
	Expect   string    `json:"expectation"`
	Held     bool      `json:"held"`
	Problems []string  `json:"problems,omitempty"`
	Start    time.Time `json:"start"` // of the first step
	Master   string    `json:"master_before"`
	After    string    `json:"master_after"`
	Load     Report    `json:"load"`
	// Bound is the gap that VRRP's arithmetic allows; 0 where there must be no
	// failed request at all. A machine slower than real ones may exceed it, so
	// only Limit is judged.
	Bound time.Duration `json:"bound_ns,omitempty"`
	Limit time.Duration `json:"limit_ns,omitempty"`
	// Stalls counts how often the machine kept a speaker from running for
	// longer than VRRP allows. A director that stalled steps back and its peer
	// may take over: then the number of transitions is not judged.
	Stalls int `json:"stalls,omitempty"`
	// Settled is how long it took from the end of the fault to one master.
	Settled time.Duration `json:"settled_ns,omitempty"`
	// Wire is the same gap as the network saw it, nil where the clock jumped.
	Wire     *Wire   `json:"wire,omitempty"`
	Timeline []Entry `json:"timeline"`
}

// DrillReport is what a drill found.
type DrillReport struct {
	Lab            string        `json:"lab"`
	AdvertInterval time.Duration `json:"advert_interval_ns"`
	Results        []Result      `json:"results"`
}

// Held says whether every expectation held.
func (r DrillReport) Held() bool {
	return len(r.Results) > 0 && !slices.ContainsFunc(r.Results, func(x Result) bool { return !x.Held })
}

// WriteJSON writes the report, indented.
func (r DrillReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// DrillOptions says what a drill does and where it tells of it.
type DrillOptions struct {
	Scenarios []string    // names; default all but those on request
	Load      LoadOptions // zero: as Pace finds
	Out       io.Writer
	Terminal  bool // Out is one: progress is a line that is overwritten
}

// bench is one scenario on its way.
type bench struct {
	lab            *Lab
	load           *Load
	master, backup string // when it began
	steps          []Entry
	print          *printer
	capture        *Capture                  // of the scenarios that look at the wire themselves
	speaker        int                       // pid, of the scenario that stops it
	setClock       func(time.Duration) error // off what it should be, of the scenario that does
}

const drillNode = "drill" // of the entries that are steps

// step is one thing that is done, told with the time at which it was begun.
func (b *bench) step(text string, do func() error) func() error {
	return func() error {
		b.steps = append(b.steps, Entry{Time: time.Now(), Node: drillNode, Text: text})
		b.print.step(text)
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		return nil
	}
}

// mark begins a phase of the load's report.
func (b *bench) mark(ctx context.Context, phase string) func() error {
	return func() error { return b.load.Mark(ctx, phase) }
}

// answers waits for n more answers, or what a slow machine has instead.
func (b *bench) answers(ctx context.Context, n int) func() error {
	return func() error { return b.load.AwaitEnough(ctx, n) }
}

func inOrder(steps ...func() error) error {
	for _, do := range steps {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// Drill runs scenarios on a lab at rest, one after the other, and leaves it at
// rest. An error means that a drill could not be carried out; expectations
// that did not hold are in the report.
func (l *Lab) Drill(ctx context.Context, o DrillOptions) (DrillReport, error) {
	report := DrillReport{Lab: l.Name(), AdvertInterval: l.opts.AdvertInterval}
	scenarios, err := choose(o.Scenarios)
	if err != nil {
		return report, err
	}
	p := newPrinter(o.Out, o.Terminal)
	if err := l.Settle(ctx); err != nil {
		return report, err
	}
	paced := o.Load == LoadOptions{}
	if paced {
		if o.Load, err = l.Pace(ctx); err != nil {
			return report, err
		}
	}
	p.opening(l, o.Load.withDefaults(), paced)
	for _, s := range scenarios {
		r, err := l.drillOne(ctx, s, o, p)
		if err != nil {
			return report, fmt.Errorf("drill %s: %w", s.Name, err)
		}
		report.Results = append(report.Results, r)
		p.result(r)
	}
	p.summary(report)
	return report, nil
}

func choose(names []string) ([]Scenario, error) {
	all := Scenarios()
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(s Scenario) bool { return s.OnRequest }), nil
	}
	var out []Scenario
	for _, n := range names {
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == n })
		if i < 0 {
			var known []string
			for _, s := range all {
				known = append(known, s.Name)
			}
			return nil, fmt.Errorf("drill %q: there are %s", n, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

func (l *Lab) drillOne(ctx context.Context, s Scenario, o DrillOptions, p *printer) (Result, error) {
	p.scenario(s)
	r := Result{Scenario: s.Name, Sentence: s.Sentence, Expect: s.Expect}
	if err := l.Settle(ctx); err != nil {
		return r, err
	}
	b := &bench{lab: l, master: l.Masters(ctx)[0], print: p}
	b.backup = other(b.master)
	r.Master = b.master
	logs := []*logReader{{path: l.Paths(LVSA).Log, node: LVSA}, {path: l.Paths(LVSB).Log, node: LVSB}}
	for _, log := range logs {
		if err := log.skip(); err != nil {
			return r, err
		}
	}
	var err error
	if b.load, err = l.StartLoad(ctx, o.Load); err != nil {
		return r, err
	}
	service := netip.AddrPortFrom(VIP, ServicePort)
	wire, err := l.watchOpenings(service)
	if err != nil {
		_, stopErr := b.load.Stop(ctx)
		return r, errors.Join(err, stopErr)
	}
	stopProgress := p.follow(b.load)
	err = b.measure(ctx, s)
	stopProgress()
	captured := time.Now()
	frames, stopErr := wire.close()
	load, loadErr := b.load.Stop(ctx)
	stopErr = errors.Join(stopErr, loadErr)
	if stopErr != nil || len(b.steps) == 0 || ctx.Err() != nil {
		return r, errors.Join(err, stopErr, b.undo(ctx, s))
	}
	r.Load, r.Start = load, b.steps[0].Time
	if m := l.Masters(ctx); len(m) == 1 {
		r.After = m[0]
	}
	var logErr error
	if b.setClock == nil {
		w := wireOf(frames, service, load.Start, r.Start, captured)
		r.Wire = &w
	}
	if r.Timeline, logErr = b.timeline(logs, load, r.Wire); logErr != nil {
		return r, logErr
	}
	for _, e := range r.Timeline {
		if e.Event == event.VRRPStalled {
			r.Stalls++
		}
	}
	// What was waited for and did not come is what a drill is there to find.
	if err != nil {
		r.problem("%v", err)
	} else {
		s.judge(b, &r)
	}
	r.Held = len(r.Problems) == 0
	return r, b.undo(ctx, s)
}

func (b *bench) measure(ctx context.Context, s Scenario) error {
	return inOrder(
		b.answers(ctx, 40),
		func() error { return b.load.Restart(ctx) },
		b.mark(ctx, phaseBroken),
		func() error { return s.run(ctx, b) },
		b.mark(ctx, phaseAfter),
		b.answers(ctx, 100),
	)
}

// The phases that every scenario's report ends with.
const (
	phaseBroken = "broken"
	phaseAfter  = "after"
)

func (b *bench) undo(ctx context.Context, s Scenario) error {
	if s.restore != nil {
		if err := s.restore(ctx, b); err != nil {
			return fmt.Errorf("restore lab: %w", err)
		}
	}
	return b.lab.Settle(ctx)
}

func (b *bench) timeline(logs []*logReader, load Report, wire *Wire) ([]Entry, error) {
	var events []Entry
	for _, log := range logs {
		got, err := log.next()
		if err != nil {
			return nil, err
		}
		events = append(events, got...)
	}
	// What a director logged before the first step belongs to no scenario.
	start := b.steps[0].Time
	if b.setClock == nil {
		events = slices.DeleteFunc(events, func(e Entry) bool { return e.Time.Before(start) })
	}
	gap := Entry{Time: load.GapStart, Node: "client", Text: fmt.Sprintf("longest gap begins, %s without an answer", inMS(load.LongestGap))}
	seen := []Entry{gap}
	if wire != nil && !wire.Announced.IsZero() {
		seen = append(seen, Entry{Time: wire.Announced, Node: "router", Text: "gratuitous ARP for the VIP"})
	}
	return merge(b.steps, events, seen), nil
}

// problem notes that an expectation did not hold.
func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// became returns the nodes that logged a transition to MASTER, in order. Of
// several instances, which move together, the first one counts.
func (r *Result) became() []string {
	var (
		out      []string
		instance string
	)
	for _, e := range r.Timeline {
		if e.Event != event.VRRPTransition || e.Get(event.To) != "MASTER" {
			continue
		}
		if len(out) == 0 {
			instance = e.Get(event.Instance)
		}
		if e.Get(event.Instance) == instance {
			out = append(out, e.Node)
		}
	}
	return out
}

func inMS(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
