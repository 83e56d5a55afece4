//go:build linux && kernel

package director

import (
	"os"
	"testing"
	"time"

	"baton/internal/metrics"
	"baton/ipvs"
)

// BenchmarkKernelScrape is what a whole scrape of 10,000 servers costs, the
// kernel's counters included.
func BenchmarkKernelScrape(b *testing.B) {
	k, err := ipvs.OpenKernel()
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	cfg := many()
	c := testCore(b, cfg)
	var ops []ipvs.Op
	for _, s := range cfg.Services {
		ops = append(ops, ipvs.Op{Kind: ipvs.AddService, Service: s.Service})
		for _, rs := range s.Servers {
			sv := rs.Server
			sv.Key.Port = s.Keys[0].Port
			ops = append(ops, ipvs.Op{Kind: ipvs.AddServer, Service: s.Service, Server: sv})
		}
	}
	for _, err := range k.Apply(b.Context(), ops) {
		if err != nil {
			b.Fatal(err)
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for _, part := range []string{"read", "whole"} {
		b.Run(part, func(b *testing.B) {
			begun := cpu(b)
			for b.Loop() {
				t, err := k.Read(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if part == "whole" {
					if err := metrics.Write(null, c.snapshot(t, time.Now())); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64((cpu(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/scrape")
		})
	}
}
