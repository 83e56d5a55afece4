package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// BenchmarkTakeover measures what a client notices when the master is stopped
// and when its cable is pulled, beside keepalived in the same run, in the same
// lab. The table at the end has the ratios; times are the longest gap between
// two answered requests.
func BenchmarkTakeover(b *testing.B) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-12s %-10s %12s %8s %12s %8s %8s %12s\n",
		"event", "advert_int", "baton gap", "failed", "keepalived", "failed", "ratio", "VRRP allows")
	for _, interval := range []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond} {
		for _, event := range []string{"stop", "link-down"} {
			ours := measure(b, interval, event, false)
			theirs := measure(b, interval, event, true)
			allowed := "-"
			if event == "link-down" {
				allowed = fmt.Sprintf("%.1f ms", ms(3*interval+interval*156/256))
			}
			fmt.Fprintf(&table, "%-12s %-10s %9.1f ms %8d %9.1f ms %8d %8.2f %12s\n", event, interval,
				ms(ours.LongestGap), ours.Failed(), ms(theirs.LongestGap), theirs.Failed(),
				float64(ours.LongestGap)/float64(theirs.LongestGap), allowed)
		}
	}
	// Not b.Log: the log of a benchmark with sub-benchmarks is not printed.
	fmt.Println(table.String())
}

// benchBeat is the client's. A longer one would hide gaps of its own length.
const benchBeat = 10 * time.Millisecond

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure runs one event in a lab of its own, with two Batons or with two
// keepalived, and returns what the client saw from the event on.
func measure(b *testing.B, interval time.Duration, event string, peer bool) lab.Report {
	b.Helper()
	var report lab.Report
	// A benchmark that runs as a sub-benchmark takes its lab down at its end.
	b.Run(fmt.Sprintf("%s/%v/keepalived=%v", event, interval, peer), func(b *testing.B) {
		o := lab.Options{AdvertInterval: interval}
		if peer {
			o.Directors = []string{}
		}
		l := start(b, o)
		var master *keepalived
		if peer {
			master = startKeepalived(b, l, lab.LVSA, 3, 150, interval)
			startKeepalived(b, l, lab.LVSB, 3, 100, interval)
		}
		holds(b, l, lab.LVSA)
		stop := loadAt(b, l, lab.LoadOptions{Interval: benchBeat})
		switch {
		case event == "link-down":
			if err := l.Cut(lab.LVSA); err != nil {
				b.Fatal(err)
			}
		case peer:
			master.stop(b)
		default:
			if err := l.StopDirector(b.Context(), lab.LVSA); err != nil {
				b.Fatal(err)
			}
		}
		within(b, "the successor to hold the address", func() string {
			if held, err := l.HoldsVIP(lab.LVSB); err != nil || !held {
				return "it does not"
			}
			return ""
		})
		report = stop()
	})
	return report
}
