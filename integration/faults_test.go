package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"baton/integration/vm"
	"baton/internal/lab"
)

// TestNetworkAndTime is faults 4, 6, 7, 9 and 10: a node that disappears, a
// network that is broken in the middle, processes and clocks that are not what
// they were.
func TestNetworkAndTime(t *testing.T) {
	l := start(t, lab.Options{AdvertInterval: 250 * time.Millisecond})
	scenarios := []string{"node-gone", "partition", "one-way", "stall", "stall-speaker"}
	if guest(t) {
		scenarios = append(scenarios, "clock")
	} else {
		t.Log("the clock is this machine's own: left alone")
	}
	for _, r := range drill(t, l, scenarios...).Results {
		if r.Wire != nil {
			t.Logf("%s: on the wire %v, across the fault %v, client %v", r.Scenario, r.Wire.LongestGap, r.Wire.Across, r.Load.LongestGap)
		}
	}
}

// guest says whether the kernel, and with it the clock, is that of the tests.
func guest(t *testing.T) bool {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(dir, vm.GuestSource)
}
