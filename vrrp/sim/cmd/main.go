// Command cmd runs simulated clusters of directors by seed, on all processors,
// until the days that were asked for have been simulated. A violation is
// shrunk, printed with its transcript, and makes the exit code 1.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"baton/vrrp/sim"
)

func main() {
	var (
		seed    = flag.Uint64("seed", 1, "the first seed; with -days 0 the only one")
		days    = flag.Float64("days", 10_000, "cluster-days to simulate; 0: one seed")
		limit   = flag.Duration("for", 0, "stop after this time on the clock; 0: when the days are done")
		workers = flag.Int("workers", runtime.NumCPU(), "seeds that run at the same time")
		small   = flag.Bool("small", false, "the small scenarios of go test")
		verbose = flag.Bool("v", false, "with one seed: print the transcript")
		packets = flag.Bool("vv", false, "with one seed: print the transcript with every advert")
		profile = flag.String("cpuprofile", "", "write a CPU profile to this file")
	)
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		_ = pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	size := sim.Large
	if *small {
		size = sim.Small
	}
	if *days == 0 {
		if !one(*seed, size, *verbose || *packets, *packets) {
			os.Exit(1)
		}
		return
	}
	run := campaign{
		first: *seed, size: size, workers: *workers, limit: *limit,
		days: time.Duration(*days * 24 * float64(time.Hour)), out: os.Stdout,
	}
	if !run.run() {
		pprof.StopCPUProfile()
		os.Exit(1)
	}
}

// one runs one seed and says whether all invariants held.
func one(seed uint64, size sim.Size, verbose, packets bool) bool {
	s := sim.Random(seed, size)
	o := sim.Options{Packets: packets}
	if verbose {
		fmt.Print(s)
		o.Trace = func(line string) { fmt.Println(line) }
	}
	begun := time.Now()
	stats, bad := sim.Run(s, o)
	table(os.Stdout, &stats, time.Since(begun))
	if bad != nil {
		fmt.Print(sim.Report(s, bad, sim.Options{}))
		return false
	}
	return true
}
