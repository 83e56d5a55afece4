package integration

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

var (
	window = flag.Duration("window", 0, "how long a benchmark of VRRP measures; 0: as it finds right")
	size   = flag.Int("routers", 250, "virtual routers on each of four interfaces in BenchmarkInstances")
)

// windowOr is the window that was asked for.
func windowOr(d time.Duration) time.Duration {
	if *window > 0 {
		return *window
	}
	return d
}

// instancesRun is what one side of BenchmarkInstances found.
type instancesRun struct {
	start, takeover time.Duration
	node            [2]usage // lvs-a, the master; lvs-b
	speaker         [2]usage
	perSecond       float64 // adverts on the wire
	wrong           int     // adverts of the backup
}

// BenchmarkInstances is fault 39: many virtual routers with adverts every
// second on one node, and what they cost master and backup, beside keepalived
// with the same configuration in the same run.
func BenchmarkInstances(b *testing.B) {
	r := routers{wires: 4, perWire: *size, addresses: 1, interval: time.Second}
	ours, theirs := measureInstances(b, r, false), measureInstances(b, r, true)
	var t strings.Builder
	fmt.Fprintf(&t, "\n%v, adverts every %v\n%-34s %12s %12s %8s\n", r, r.interval, "", "baton", "keepalived", "ratio")
	row := func(what, format string, a, b float64) {
		fmt.Fprintf(&t, "%-34s %12s %12s %8.2f\n", what, fmt.Sprintf(format, a), fmt.Sprintf(format, b), a/b)
	}
	seconds := windowOr(30 * time.Second).Seconds()
	row("start to all addresses, s", "%.2f", ours.start.Seconds(), theirs.start.Seconds())
	row("killed to all taken over, s", "%.2f", ours.takeover.Seconds(), theirs.takeover.Seconds())
	row("adverts on the wire, 1/s", "%.1f", ours.perSecond, theirs.perSecond)
	for i, role := range []string{"master", "backup"} {
		row(role+": CPU, all processes, s/s", "%.4f", ours.node[i].cpu.Seconds()/seconds, theirs.node[i].cpu.Seconds()/seconds)
		row(role+": CPU, speaker alone, s/s", "%.4f", ours.speaker[i].cpu.Seconds()/seconds, theirs.node[i].cpu.Seconds()/seconds)
		row(role+": RSS, all processes, MiB", "%.1f", mib(ours.node[i].rss), mib(theirs.node[i].rss))
		row(role+": PSS, all processes, MiB", "%.1f", mib(ours.node[i].pss), mib(theirs.node[i].pss))
		row(role+": PSS, speaker alone, MiB", "%.1f", mib(ours.speaker[i].pss), mib(theirs.node[i].pss))
	}
	fmt.Println(t.String())
}

func mib(kib int) float64 { return float64(kib) / 1024 }

func measureInstances(b *testing.B, r routers, peer bool) instancesRun {
	b.Helper()
	var out instancesRun
	b.Run(fmt.Sprintf("keepalived=%v", peer), func(b *testing.B) {
		l := start(b, lab.Options{Directors: []string{}})
		r.lay(b, l)
		begun := time.Now()
		r.run(b, l, lab.LVSA, peer)
		r.awaitHeld(b, l, lab.LVSA, r.total())
		out.start = time.Since(begun)
		r.run(b, l, lab.LVSB, peer)
		time.Sleep(4 * r.interval) // until every backup has heard its master
		var recorders []*recorder
		for w := range r.wires {
			recorders = append(recorders, record(b, l, lab.LVSB, wireName(w), directorOn(w, 1), directorOn(w, 2)))
		}
		nodes := []string{lab.LVSA, lab.LVSB}
		var all [2][]process
		for i, node := range nodes {
			all[i] = processes(b, l, node)
			out.node[i] = used(b, all[i], every)
			out.speaker[i] = used(b, all[i], process.isSpeaker)
		}
		time.Sleep(windowOr(30 * time.Second))
		for i := range nodes {
			out.node[i] = used(b, all[i], every).minus(out.node[i])
			out.speaker[i] = used(b, all[i], process.isSpeaker).minus(out.speaker[i])
		}
		n := 0
		for w, rec := range recorders {
			for _, a := range rec.adverts(b) {
				if n++; a.source != directorOn(w, 1) {
					out.wrong++
				}
			}
		}
		out.perSecond = float64(n) / windowOr(30*time.Second).Seconds()
		if out.wrong > 0 || r.held(b, l, lab.LVSB) > 0 {
			b.Errorf("the backup sent %d adverts and holds %d addresses", out.wrong, r.held(b, l, lab.LVSB))
		}
		begun = time.Now()
		kill(b, l, lab.LVSA)
		r.awaitHeld(b, l, lab.LVSB, r.total())
		out.takeover = time.Since(begun)
	})
	return out
}

// directorOn is a director's own address on a wire, 1 for lvs-a, 2 for lvs-b.
func directorOn(wire, n int) netip.Addr { return netip.MustParseAddr(wireAddress(wire, 0, n)) }

func (p process) isSpeaker() bool { return p.speaker }

// run starts Baton or keepalived on a node.
func (r routers) run(t testing.TB, l *lab.Lab, node string, peer bool) {
	t.Helper()
	if peer {
		runKeepalived(t, l, node, r.keepalived([]int{150, 100}[slices.Index([]string{lab.LVSA, lab.LVSB}, node)], ""))
		return
	}
	if err := os.WriteFile(l.ConfigFile(), []byte(r.toml(l.Dir())), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDirector(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}
