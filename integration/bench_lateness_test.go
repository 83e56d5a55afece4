package integration

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// lateness is how regularly the adverts of lvs-a came, and whether lvs-b
// believed in them.
type lateness struct {
	interval time.Duration
	late     []time.Duration // time since the advert before, less the interval; sorted
	gaps     int             // longer than three intervals
	changes  int             // of who sends
	excused  int             // gaps and changes while the machine stood still
	still    []standstill
}

// latenessOf judges adverts of one virtual router.
func latenessOf(seen []heardAdvert, interval time.Duration, still []standstill) lateness {
	l := lateness{interval: interval, still: still}
	for i := 1; i < len(seen); i++ {
		since := seen[i].at.Sub(seen[i-1].at)
		changed := seen[i].source != seen[i-1].source
		switch {
		case changed:
			l.changes++
		case since > 3*interval:
			l.gaps++
		}
		if !changed {
			l.late = append(l.late, since-interval)
		}
		if (changed || since > 3*interval) && l.stoodStill(seen[i].at) {
			l.excused++
		}
	}
	slices.Sort(l.late)
	return l
}

// add puts another run of the same to it.
func (l *lateness) add(m lateness) {
	l.late = append(l.late, m.late...)
	slices.Sort(l.late)
	l.gaps, l.changes, l.excused = l.gaps+m.gaps, l.changes+m.changes, l.excused+m.excused
	l.still = append(l.still, m.still...)
}

// stoodStill says whether the machine did so for more than an interval in the
// eight that ended at a time.
func (l lateness) stoodStill(at time.Time) bool {
	var sum time.Duration
	for _, s := range l.still {
		if s.from.Before(at) && s.to.After(at.Add(-8*l.interval)) {
			sum += s.to.Sub(s.from)
		}
	}
	return sum > l.interval
}

// worst is the longest standstill.
func (l lateness) worst() (worst time.Duration) {
	for _, s := range l.still {
		worst = max(worst, s.to.Sub(s.from)-witnessBeat)
	}
	return worst
}

// quantile is the lateness that a share of the adverts does not exceed.
func (l lateness) quantile(q float64) time.Duration {
	if len(l.late) == 0 {
		return 0
	}
	return l.late[min(len(l.late)-1, int(q*float64(len(l.late))))]
}

// steps are the upper ends of the histogram's classes.
var steps = []time.Duration{100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond,
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 1 << 62}

func (l lateness) histogram() []int {
	out := make([]int, len(steps))
	for _, d := range l.late {
		out[slices.IndexFunc(steps, func(s time.Duration) bool { return d <= s })]++
	}
	return out
}

// BenchmarkLateness is fault 11: adverts every 10 ms while four busy loops for
// each processor run, for a minute (every 100 ms where they are emulated), beside keepalived in the same run, as it is
// by default and with the real-time priority that its manual offers. The times
// are the kernel's, taken where the peer receives. A gap or a change of master
// while a witness of the highest priority could not run either is told, and
// held against nobody.
func BenchmarkLateness(b *testing.B) {
	interval := 10 * time.Millisecond
	if !native(b) {
		interval = 100 * time.Millisecond
	}
	columns := []string{"baton", "keepalived", "keepalived, rt"}
	globals := []string{"", "", "vrrp_rt_priority 50"}
	runs := make([]lateness, len(columns))
	// In turns: what else the machine does in the meantime meets all of them.
	const turns = 3
	for range turns {
		for i, name := range columns {
			b.Run(strings.ReplaceAll(name, ", ", "-"), func(b *testing.B) {
				runs[i].add(measureLateness(b, interval, windowOr(time.Minute)/turns, i > 0, globals[i]))
			})
		}
	}
	if b.Failed() {
		return
	}
	if r := runs[0]; r.gaps+r.changes > r.excused {
		b.Errorf("baton: %d long gaps and %d changes of the sender, %d of them while the machine stood still", r.gaps, r.changes, r.excused)
	}
	var t strings.Builder
	fmt.Fprintf(&t, "\nlateness of adverts every %v for %v, %d busy loops on %d processors\n%-22s", interval,
		windowOr(time.Minute), 4*runtime.NumCPU(), runtime.NumCPU(), "")
	for _, name := range columns {
		fmt.Fprintf(&t, " %15s", name)
	}
	fmt.Fprintf(&t, " %8s\n", "ratio")
	row := func(what, format string, f func(lateness) float64) {
		fmt.Fprintf(&t, "%-22s", what)
		for _, r := range runs {
			fmt.Fprintf(&t, " %15s", fmt.Sprintf(format, f(r)))
		}
		fmt.Fprintf(&t, " %8.3f\n", f(runs[0])/f(runs[1]))
	}
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50, ms", 0.5}, {"p99, ms", 0.99}, {"p99.9, ms", 0.999}, {"max, ms", 1}} {
		row(q.name, "%.3f", func(l lateness) float64 { return ms(l.quantile(q.share)) })
	}
	row("adverts", "%.0f", func(l lateness) float64 { return float64(len(l.late) + 1) })
	row("gaps > 3 intervals", "%.0f", func(l lateness) float64 { return float64(l.gaps) })
	row("changes of master", "%.0f", func(l lateness) float64 { return float64(l.changes) })
	row("both, machine still", "%.0f", func(l lateness) float64 { return float64(l.excused) })
	row("longest standstill, ms", "%.3f", func(l lateness) float64 { return ms(l.worst()) })
	for i, s := range steps {
		name := "late by at most " + s.String()
		if i == len(steps)-1 {
			name = "later"
		}
		row(name, "%.0f", func(l lateness) float64 { return float64(l.histogram()[i]) })
	}
	fmt.Println(t.String())
}

// measureLateness runs one pair for a window with a busy machine.
func measureLateness(b *testing.B, interval, window time.Duration, peer bool, global string) lateness {
	b.Helper()
	r := routers{wires: 1, perWire: 1, addresses: 1, interval: interval}
	l := start(b, lab.Options{Directors: []string{}})
	r.lay(b, l)
	for i, node := range []string{lab.LVSA, lab.LVSB} {
		if peer {
			runKeepalived(b, l, node, r.keepalived([]int{150, 100}[i], global))
		} else {
			r.run(b, l, node, false)
		}
	}
	r.awaitHeld(b, l, lab.LVSA, 1)
	r.awaitHeld(b, l, lab.LVSB, 0)
	told, stop := witness(b), busy(b, 4*runtime.NumCPU())
	rec := record(b, l, lab.LVSB, wireName(0), directorOn(0, 1), directorOn(0, 2))
	time.Sleep(window)
	seen := rec.adverts(b)
	stop()
	return latenessOf(seen, interval, told())
}
