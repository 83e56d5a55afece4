//go:build linux && kernel

package director

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"baton/conf"
	"baton/internal/metrics"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// BenchmarkKernelScrape is what a whole scrape of 10,000 servers costs, the
// kernel's counters included, of many services and of few.
func BenchmarkKernelScrape(b *testing.B) {
	for _, n := range []int{2500, 250, 100} {
		each := 10_000 / n
		b.Run(fmt.Sprintf("%dx%d", n, each), func(b *testing.B) { benchmarkKernelScrape(b, services(n, each)) })
	}
}

func benchmarkKernelScrape(b *testing.B, cfg *conf.Config) {
	k := ipvstest.OpenKernel(b)
	c := testCore(b, cfg)
	var ops, undo []ipvs.Op
	for _, s := range cfg.Services {
		ops = append(ops, ipvs.Op{Kind: ipvs.AddService, Service: s.Service})
		undo = append(undo, ipvs.Op{Kind: ipvs.DeleteService, Service: s.Service})
		for _, rs := range s.Servers {
			ops = append(ops, ipvs.Op{Kind: ipvs.AddServer, Service: s.Service, Server: conf.ServerAt(s.Keys[0], rs.Server)})
		}
	}
	apply := func(ctx context.Context, ops []ipvs.Op) {
		for _, err := range k.Apply(ctx, ops) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	apply(b.Context(), ops)
	if t, err := k.Read(b.Context()); err != nil || len(c.snapshot(t, time.Now()).Servers) != 10_000 {
		b.Fatalf("not 10,000 servers, or %v", err)
	}
	defer apply(context.Background(), undo)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for _, part := range []string{"read", "whole"} {
		b.Run(part, func(b *testing.B) {
			begun := nstest.CPU(b)
			var t ipvs.Table
			for b.Loop() {
				var err error
				if t, err = k.ReadOver(b.Context(), t); err != nil {
					b.Fatal(err)
				}
				if part == "whole" {
					s := c.snapshot(t, time.Now())
					if err := metrics.Write(null, s); err != nil {
						b.Fatal(err)
					}
					s.Release()
				}
			}
			b.ReportMetric(float64((nstest.CPU(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/scrape")
		})
	}
}
