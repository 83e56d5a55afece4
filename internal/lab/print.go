package lab

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// printer tells a person what a drill does. Progress is a line that is
// overwritten on a terminal, and a line every few seconds elsewhere.
type printer struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	open     bool // an unfinished progress line stands on the terminal
	begun    time.Time
}

func newPrinter(out io.Writer, terminal bool) *printer {
	if out == nil {
		out = io.Discard
	}
	return &printer{out: out, terminal: terminal, begun: time.Now()}
}

const clearLine = "\r\x1b[K"

// line writes a whole line. A terminal that is gone does not stop a drill.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.out, clearLine)
		p.open = false
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *printer) opening(l *Lab, o LoadOptions, paced bool) {
	p.line("%s", l.Topology().Drawing())
	p.line("  adverts every %s, VRRP version %d, lvs-a has priority %d, lvs-b %d",
		l.opts.AdvertInterval, l.opts.Version, l.opts.Priorities[LVSA], l.opts.Priorities[LVSB])
	p.line("  a client opens a fresh connection every %s and waits %s for its answer", o.Interval, o.Timeout.Round(time.Millisecond))
	if l.Topology() == NAT {
		p.line("  in this mode answers pass the director: a planned change of master may cost requests in flight")
	}
	if paced && o.Interval > referenceBeat {
		p.line("  (this machine is too slow for one every %s)", referenceBeat)
	}
}

func (p *printer) scenario(s Scenario) {
	p.line("\n== %s: %s", s.Name, s.Sentence)
	p.line("   expected: %s", s.Expect)
}

func (p *printer) step(text string) {
	p.line("   %7.2f s  %s", time.Since(p.begun).Seconds(), text)
}

// follow shows a load's progress until the returned function is called.
func (p *printer) follow(load *Load) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	every := 5 * time.Second
	if p.terminal {
		every = progressEvery
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				p.progress(load.Progress())
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func (p *printer) progress(r Report) {
	text := fmt.Sprintf("%7.2f s  … %d requests, %d failed, longest gap %s",
		time.Since(p.begun).Seconds(), r.Requests, r.Failed(), inMS(r.LongestGap))
	if !p.terminal {
		p.line("   %s", text)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(p.out, clearLine+"   "+text)
	p.open = true
}

// How much of a timeline is printed: its beginning and its end.
const (
	timelineHead = 45
	timelineTail = 15
)

func (p *printer) result(r Result) {
	p.line("\n   timeline (seconds since the first step)")
	for i, e := range r.Timeline {
		if hidden := len(r.Timeline) - timelineHead - timelineTail; hidden > 0 && i >= timelineHead && i < timelineHead+hidden {
			if i == timelineHead {
				p.line("   … %d more, in the JSON report …", hidden)
			}
			continue
		}
		p.line("   %s", e.format(r.Start))
	}
	p.line("")
	p.line("   %s", r.measured())
	for _, text := range r.Wire.lines() {
		p.line("   %s", text)
	}
	if r.Stalls > 0 {
		p.line("   this machine kept a speaker from running %d times; transitions are not judged", r.Stalls)
	}
	if r.Settled > 0 {
		p.line("   one master again %s after the end of the fault", inMS(r.Settled))
	}
	if r.Bound > 0 {
		p.line("   VRRP allows a gap of %s; judged here: %s", inMS(r.Bound), inMS(r.Limit))
	}
	if r.Held {
		p.line("   held")
		return
	}
	for _, problem := range r.Problems {
		p.line("   NOT HELD: %s", problem)
	}
}

func (r Result) measured() string {
	l := r.Load
	text := fmt.Sprintf("%d requests, %d failed%s, longest gap %s, slowest answer %s, answered by %s",
		l.Requests, l.Failed(), parenthesized(failures(l)), inMS(l.LongestGap), inMS(l.Slowest), answers(l))
	if l.Retransmitted > 0 {
		text += fmt.Sprintf(", %d with a packet sent again", l.Retransmitted)
	}
	if l.Missed > 0 {
		text += fmt.Sprintf(", %d beats missed by a busy client", l.Missed)
	}
	return text
}

func (p *printer) summary(r DrillReport) {
	p.line("\n== summary")
	p.line("   %-13s %9s %7s %12s %12s %12s  %-16s %s", "scenario", "requests", "failed", "longest gap", "on the wire", "VRRP allows", "answered by", "expectation")
	for _, x := range r.Results {
		bound, wire, verdict := "-", "-", "held"
		if x.Wire != nil {
			wire = inMS(x.Wire.LongestGap)
		}
		if x.Bound > 0 {
			bound = inMS(x.Bound)
		}
		if !x.Held {
			verdict = "NOT HELD"
		}
		p.line("   %-13s %9d %7d %12s %12s %12s  %-16s %s",
			x.Scenario, x.Load.Requests, x.Load.Failed(), inMS(x.Load.LongestGap), wire, bound, answers(x.Load), verdict)
	}
}

func failures(r Report) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(r.Failures)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, r.Failures[k]))
	}
	return strings.Join(parts, ", ")
}

func answers(r Report) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(r.Answers)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, r.Answers[k]))
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}

func parenthesized(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
