package sim

import (
	"strings"
	"testing"
	"time"
)

// TestStallCostsNoMaster: machines stand still for any time, from any moment of an
// interval on, and go on. A backup that did so hears its master again, whether
// that went on meanwhile or is on the same host and stood still, too.
func TestStallCostsNoMaster(t *testing.T) {
	for _, tc := range []struct {
		name  string
		kind  Kind
		nodes []int
	}{
		{"the backup's machine", Suspend, []int{b}},
		{"the backup's processes", Stall, []int{b}},
		{"the host of both machines", Suspend, []int{a, b}},
		{"the processes of both", Stall, []int{a, b}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for length := 200 * time.Millisecond; length < 8*time.Second; length += 90 * time.Millisecond {
				for phase := time.Duration(0); phase < time.Second; phase += 130 * time.Millisecond {
					var faults []Fault
					for _, n := range tc.nodes {
						faults = append(faults, Fault{At: at10 + phase, For: length, Node: n, Kind: tc.kind})
					}
					s := with(pairOf(150, 100, faults...), lasting(30*time.Second))
					if _, bad := Run(s, Options{}); bad != nil {
						t.Fatal(bad)
					}
					if got := Transcript(s, Options{}); strings.Contains(got, "b BACKUP>MASTER") {
						t.Fatalf("%v from %v on:\n%s", length, at10+phase, got)
					}
				}
			}
		})
	}
}
