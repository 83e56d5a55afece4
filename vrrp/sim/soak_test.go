package sim

import (
	"math"
	"runtime"
	"testing"
	"time"

	"baton/vrrp"
)

// TestFalseTakeovers is fault 8: 100 ms adverts of which 30 % are lost, for
// ten days. A backup takes over when it hears none of three adverts in a row,
// since the fourth comes after its skew; no more often than that happens by
// itself.
func TestFalseTakeovers(t *testing.T) {
	t.Parallel()
	const loss, row = 0.3, 3
	length := 10 * 24 * time.Hour
	if raceEnabled {
		length /= 10
	}
	s := pairOf(150, 100)
	for i := range s.Directors {
		s.Directors[i].Config.AdvertInterval = 100 * time.Millisecond
	}
	s.Network.Loss, s.Length = loss, length

	// What is counted: takeovers of b, and the adverts that a sent to it before
	// each of them. Adverts that follow one another at once, answers to b's
	// own, are one chance only.
	trials, role, last := 0, vrrp.Init, long
	now := func() time.Duration { return 0 }
	stats, bad := Run(s, Options{Engine: func(o vrrp.EngineOptions) Engine {
		clock := o.Now
		now = func() time.Duration { return clock().Sub(epoch) }
		first := now() == 0 && role == vrrp.Init
		if first {
			role = vrrp.Backup // a is made first: its adverts are the trials
			listen := o.Listen
			o.Listen = func(at vrrp.Endpoint) (vrrp.Conn, error) {
				conn, err := listen(at)
				return tap{Conn: conn, send: func(m []byte, d vrrp.Delivery) error {
					if role == vrrp.Backup && now()-last >= 50*time.Millisecond {
						trials++
					}
					last = now()
					return conn.Send(m, d)
				}}, err
			}
			return vrrp.NewCore(o)
		}
		notify := o.Notify
		o.Notify = func(n vrrp.Notice) {
			notify(n)
			if n.Kind == vrrp.NoticeTransition {
				role = n.To
			}
		}
		return vrrp.NewCore(o)
	}})
	if bad != nil {
		t.Fatal(bad)
	}
	takeovers := float64(stats.Transitions[string(vrrp.ReasonMasterDown)] - 1) // the first was a's
	// Trials until a run of losses (Feller, An Introduction to Probability
	// Theory, XIII.7): mean and variance.
	run := math.Pow(loss, row)
	mean := (1 - run) / ((1 - loss) * run)
	variance := 1/math.Pow((1-loss)*run, 2) - (2*row+1)/((1-loss)*run) - loss/math.Pow(1-loss, 2)
	expected := float64(trials) / mean
	sigma := math.Sqrt(expected*variance) / mean
	t.Logf("%d adverts, %.0f takeovers, expected %.0f ± %.0f", trials, takeovers, expected, sigma)
	if math.Abs(takeovers-expected) > 6*sigma {
		t.Errorf("%.0f takeovers, which is %.1f sigma from %.0f", takeovers, (takeovers-expected)/sigma, expected)
	}
	if perDay := takeovers / (length.Hours() / 24); perDay < 1000 {
		t.Errorf("%.0f takeovers a day: nothing was tested", perDay)
	}
}

// TestNoGrowth is fault 40: 24 months with a fault now and then, and no more
// memory in use at the end than after the first of them.
func TestNoGrowth(t *testing.T) {
	months := 24
	if raceEnabled {
		months = 2
	}
	const month = 730 * time.Hour
	r := Random(7, Small)
	var kinds []Fault
	for seed := range uint64(50) {
		for _, f := range Random(seed, Small).Faults {
			if len(r.Directors) > f.Node && f.Node < 2 && f.LAN == 0 && f.Kind != Interval && f.Kind != Partition {
				kinds = append(kinds, f)
			}
		}
	}
	s := pairOf(150, 100)
	for i := range s.Directors {
		s.Directors[i].Config.AdvertInterval = 20 * time.Second
		tracking(-60)(&s.Directors[i].Config)
	}
	s.Network.Loss = 0.0001
	s.Length = time.Duration(months) * month
	for at, k := time.Hour, 0; at < s.Length; at, k = at+3*time.Hour, k+1 {
		f := kinds[k%len(kinds)]
		f.At, f.For = at, min(f.For, 20*time.Minute)
		if f.Kind == OneWay {
			f.Value = 1 - f.Node
		}
		s.Faults = append(s.Faults, f)
	}
	type use struct{ bytes, objects uint64 }
	var uses []use
	measure := func() {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		uses = append(uses, use{m.HeapAlloc, m.HeapObjects})
	}
	var w *world
	begun := time.Duration(0)
	stats, bad := Run(s, Options{watch: func(x *world) {
		if w = x; x.now-begun >= month {
			begun = x.now
			measure()
		}
	}})
	if bad != nil {
		t.Fatal(bad)
	}
	first, last := uses[0], uses[len(uses)-1]
	t.Logf("%d months, %d adverts, %d faults; after the first %+v, at the end %+v", len(uses), stats.Adverts, len(s.Faults), first, last)
	if len(uses) < months-1 {
		t.Fatalf("measured %d times in %d months", len(uses), months)
	}
	if last.bytes > first.bytes+64<<10 || last.objects > first.objects+500 {
		t.Errorf("from %+v it grew to %+v", first, last)
	}
	for _, n := range w.nodes {
		if len(n.todo) > 10 || len(n.inst[0].inbox) > socketBuffer {
			t.Errorf("%s has %d commands and %d packets before it", nodeName(n.id), len(n.todo), len(n.inst[0].inbox))
		}
	}
	if len(w.alarms) > 10 || len(w.active) > 10 || len(w.flight) > 100 || len(w.free) > 2000 {
		t.Errorf("%d alarms, %d faults, %d packets on their way, %d spare", len(w.alarms), len(w.active), len(w.flight), len(w.free))
	}
}

// BenchmarkDay is a day of a pair with adverts every second: 86,400 times an
// advert that is sent, carried and heard.
func BenchmarkDay(b *testing.B) {
	s := pairOf(150, 100)
	s.Length = 24 * time.Hour
	var adverts uint64
	for b.Loop() {
		stats, bad := Run(s, Options{})
		if bad != nil {
			b.Fatal(bad)
		}
		adverts += stats.Adverts
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(adverts), "ns/advert")
}
