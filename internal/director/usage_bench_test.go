package director

import (
	"baton/internal/nstest"
	"fmt"
	"os"
	"testing"
)

// BenchmarkUsage is what a scrape asks of each of the three processes beside its
// figures, with as many open descriptors as a prober has for checks under way.
func BenchmarkUsage(b *testing.B) {
	for _, open := range []int{0, 1000} {
		b.Run(fmt.Sprintf("fds=%d", open), func(b *testing.B) {
			for range open {
				f, err := os.Open(os.DevNull)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = f.Close() })
			}
			b.ReportAllocs()
			begun := nstest.CPU(b)
			for b.Loop() {
				if u := usage(); u.Files < open || u.Threads < 1 || u.Resident == 0 {
					b.Fatalf("usage: %+v", u)
				}
			}
			b.ReportMetric(float64((nstest.CPU(b)-begun).Microseconds())/1e3/float64(b.N), "ms-cpu/scrape")
		})
	}
}
