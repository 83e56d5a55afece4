package director

import (
	"fmt"
	"net/netip"
	"testing"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// many is a configuration of 2,500 services with four servers each.
func many() *conf.Config {
	cfg := tracking()
	for i := range 2500 {
		k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("192.168.16.200"), uint16(i+1)))
		vs := serving(k)
		for j := range 4 {
			vs.Servers = append(vs.Servers, server(fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1+j), 1, fmt.Sprintf("%d/%d", i, j)))
		}
		cfg.Services = append(cfg.Services, vs)
	}
	return cfg
}

// BenchmarkVerdict is what one verdict costs a director with 10,000 servers,
// told and put into the table that the programmer is handed; and what it costs
// when it comes with others.
func BenchmarkVerdict(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d at a time", batch), func(b *testing.B) {
			c := testCore(b, many())
			// An instance that waits for its gate looks at all checks, once for each
			// batch; one that serves does not.
			c.instances["VI_1"].ready = true
			for b.Loop() {
				for i := range batch {
					id := fmt.Sprintf("%d/0", i*25)
					c.judged(healthcheck.Verdict{ID: id, Up: !c.verdicts[id].Up, Reason: healthcheck.Refused})
				}
				c.flush()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/verdict")
		})
	}
}
