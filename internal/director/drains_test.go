package director

import (
	"testing"
	"testing/synctest"
	"time"

	"baton/internal/metrics"
	"baton/internal/pool"
	"baton/ipvs"
)

// TestDrainWaitsForReadings: a pass that has read nothing says nothing of the
// connections that a drain waits for.
func TestDrainWaitsForReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCore(t, two())
		s := c.list[0]
		k := s.Servers[1].Server.Key
		c.observed = holding(s.Servers...)
		c.setOrder(s, k, pool.Order{Drain: new(pool.NewDrain(time.Now(), time.Minute))})
		done := func() bool { return !c.order(s, k).Drain.Done.IsZero() }
		for range 5 {
			later(time.Second)
			c.passed(pass{seq: 1, res: ipvs.Result{Applied: []ipvs.Op{{Kind: ipvs.UpdateServer, Service: ipvs.Service{Key: webKey}, Server: s.Servers[0].Server}}}})
		}
		if done() {
			t.Error("it has ended without a reading")
		}
		for range 2 {
			later(time.Second)
			c.passed(pass{seq: 1, res: ipvs.Result{Keys: s.Keys, Observed: holding(s.Servers...)}})
		}
		if !done() {
			t.Error("two readings without a connection have not ended it")
		}
	})
}

// TestLeavingIsNotForeign: a service that drains to its end is told once in a scrape.
func TestLeavingIsNotForeign(t *testing.T) {
	c := testCore(t, two())
	foreign, table := ipvs.FWMarkKey(7, ipvs.IPv4), holding(c.list[0].Servers...)
	table[foreign] = ipvs.Entry{Service: ipvs.Service{Key: foreign, Scheduler: "rr"}}
	gone := ipvs.FWMarkKey(8, ipvs.IPv4)
	c.leaving[gone] = &departure{service: ipvs.Service{Key: gone, Scheduler: "rr"}}
	table[gone] = ipvs.Entry{Service: c.leaving[gone].service}
	var s metrics.Snapshot
	c.tableFigures(&s, table)
	told := map[ipvs.ServiceKey]int{}
	for _, sv := range s.Services {
		told[sv.Key]++
	}
	if len(s.Services) != 3 || told[webKey] != 1 || told[foreign] != 1 || told[gone] != 1 {
		t.Errorf("told of %v", told)
	}
}
