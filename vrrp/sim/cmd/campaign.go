package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"baton/vrrp/sim"
)

// progress is how often a campaign says how far it is.
const progress = 10 * time.Second

// campaign is many seeds.
type campaign struct {
	first   uint64
	size    sim.Size
	workers int
	days    time.Duration // of clusters
	limit   time.Duration // on the clock
	out     io.Writer
	options sim.Options
}

// run runs seeds until enough is simulated, and says whether all invariants
// held. Which seeds are run is not left to chance: they are counted up.
func (c *campaign) run() bool {
	var (
		mu     sync.Mutex
		total  sim.Stats
		next   = c.first
		bad    *sim.Violation
		failed uint64
		begun  = time.Now()
		told   = begun
		wait   sync.WaitGroup
	)
	for range c.workers {
		wait.Go(func() {
			for {
				mu.Lock()
				done := bad != nil || total.Simulated >= c.days || c.limit > 0 && time.Since(begun) > c.limit
				seed := next
				next++
				mu.Unlock()
				if done {
					return
				}
				stats, v := sim.Run(sim.Random(seed, c.size), c.options)
				mu.Lock()
				total.Add(&stats)
				if v != nil && (bad == nil || seed < failed) {
					bad, failed = v, seed
				}
				if time.Since(told) > progress {
					told = time.Now()
					fmt.Fprintf(c.out, "%v: %d seeds, %.0f of %.0f cluster-days\n", told.Sub(begun).Round(time.Second), total.Runs, inDays(total.Simulated), inDays(c.days))
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	fmt.Fprintf(c.out, "seeds %d to %d\n", c.first, c.first+uint64(total.Runs)-1)
	table(c.out, &total, time.Since(begun))
	if bad == nil {
		fmt.Fprintln(c.out, "violations            0")
		return true
	}
	fmt.Fprintf(c.out, "violations            1: seed %d\n", failed)
	fmt.Fprint(c.out, sim.Report(sim.Random(failed, c.size), bad, c.options))
	return false
}

func inDays(d time.Duration) float64 { return d.Hours() / 24 }

// table prints what was done.
func table(out io.Writer, s *sim.Stats, took time.Duration) {
	fmt.Fprintf(out, "cluster-days          %.1f in %d runs\n", inDays(s.Simulated), s.Runs)
	for _, interval := range slices.Sorted(maps.Keys(s.Intervals)) {
		fmt.Fprintf(out, "  %11.1f  with advert_int %v\n", inDays(s.Intervals[interval]), interval)
	}
	fmt.Fprintf(out, "took                  %v: %.0f cluster-days a minute\n", took.Round(time.Millisecond), inDays(s.Simulated)/took.Minutes())
	fmt.Fprintf(out, "events                %d\n", s.Events)
	fmt.Fprintf(out, "adverts               %d sent, %d delivered, %d lost\n", s.Adverts, s.Delivered, s.Lost)
	fmt.Fprintf(out, "announcements         %d\n", s.Announcements)
	fmt.Fprintf(out, "found at rest         %d times\n", s.Settled)
	fmt.Fprintln(out, "faults")
	counts(out, s.Faults)
	fmt.Fprintln(out, "transitions by reason")
	counts(out, s.Transitions)
}

func counts(out io.Writer, of map[string]uint64) {
	names := slices.Sorted(maps.Keys(of))
	slices.SortStableFunc(names, func(a, b string) int { return int(int64(of[b]) - int64(of[a])) })
	for _, name := range names {
		fmt.Fprintf(out, "  %11d  %s\n", of[name], name)
	}
}
