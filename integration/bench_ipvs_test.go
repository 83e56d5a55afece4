package integration

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/lab"
	"baton/ipvs"
)

var (
	benchServices = flag.Int("services", 2500, "virtual services in BenchmarkIPVS")
	benchServers  = flag.Int("servers", 4, "real servers of each in BenchmarkIPVS, 120 at the most")
)

// bigTable is a table of services with *benchServers DR servers each, without checks:
// what is measured is programming. path_check is off, as it has no counterpart
// on the other side and goes on all the time.
type bigTable struct {
	services int
	weight   func(service, server int) int
}

func (b bigTable) addresses(service, server int) (vip, rs string) {
	return fmt.Sprintf("10.128.%d.%d", service>>8, service&255), fmt.Sprintf("10.%d.%d.%d", 129+server, service>>8, service&255)
}

func (b bigTable) each(service func(vip string), server func(rs string, weight int)) {
	for i := range b.services {
		for j := range *benchServers {
			vip, rs := b.addresses(i, j)
			if j == 0 {
				service(vip)
			}
			server(rs, b.weight(i, j))
		}
	}
}

func (b bigTable) toml(dir string) string {
	var s strings.Builder
	p := lab.PathsIn(dir, lab.LVSA)
	fmt.Fprintf(&s, "[global]\ncontrol_socket = %q\nruntime_dir = %q\nstate_dir = %q\ncontrol_listen = %q\n", p.Socket, p.Runtime, p.State, readers)
	b.each(func(vip string) {
		fmt.Fprintf(&s, "\n[[virtual_server]]\naddress = \"%s:80\"\nlb_algo = \"wlc\"\nlb_kind = \"DR\"\npath_check = false\n", vip)
	}, func(rs string, weight int) {
		fmt.Fprintf(&s, "[[virtual_server.real_server]]\naddress = \"%s:80\"\nweight = %d\n", rs, weight)
	})
	return s.String()
}

func (b bigTable) keepalived() string {
	var s strings.Builder
	s.WriteString("global_defs {\n    script_user root\n}\n")
	end := ""
	b.each(func(vip string) {
		fmt.Fprintf(&s, "%svirtual_server %s 80 {\n    lb_algo wlc\n    lb_kind DR\n    protocol TCP\n", end, vip)
		end = "}\n"
	}, func(rs string, weight int) {
		fmt.Fprintf(&s, "    real_server %s 80 {\n        weight %d\n    }\n", rs, weight)
	})
	return s.String() + end
}

func (b bigTable) ipvsadm() string {
	var s strings.Builder
	at := ""
	b.each(func(vip string) {
		at = vip
		fmt.Fprintf(&s, "-A -t %s:80 -s wlc\n", vip)
	}, func(rs string, weight int) {
		fmt.Fprintf(&s, "-a -t %s:80 -r %s:80 -g -w %d\n", at, rs, weight)
	})
	return s.String()
}

// expected is the weight that each server should have, by what /proc/net/ip_vs
// calls its service and itself.
func (b bigTable) expected() map[string]string {
	want := map[string]string{}
	at := ""
	b.each(func(vip string) { at = hexOf(vip) }, func(rs string, weight int) { want[at+hexOf(rs)] = fmt.Sprint(weight) })
	return want
}

// inTable counts the servers in a node's table that have their weight. It has the
// same processor as what is measured.
func inTable(t testing.TB, l *lab.Lab, want map[string]string) int {
	t.Helper()
	var raw []byte
	err := l.In(lab.LVSA, func() (err error) {
		raw, err = os.ReadFile("/proc/thread-self/net/ip_vs")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n, at := 0, ""
	for line := range bytes.Lines(raw) {
		f := bytes.Fields(line)
		switch {
		case len(f) >= 3 && string(f[0]) == "TCP":
			at = string(f[1])
		case len(f) >= 4 && string(f[0]) == "->":
			if w, known := want[at+string(f[1])]; known && w == string(f[3]) {
				n++
			}
		}
	}
	return n
}

// programming watches from outside how a program fills an empty table, and tells how
// long it took from its first service, which all three begin with, to its last server;
// nothing if that could not be seen.
func (b bigTable) programming(ctx context.Context, k ipvs.Kernel) <-chan time.Duration {
	took := make(chan time.Duration, 1)
	go func() {
		defer close(took)
		begun := time.Time{}
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // more often takes a processor
			service := 0
			if !begun.IsZero() {
				service = b.services - 1
			}
			e, err := b.read(ctx, k, service)
			switch now := time.Now(); {
			case err != nil:
				return
			case begun.IsZero():
				if e.Service.Scheduler != "" {
					begun = now
				}
			case len(e.Servers) == *benchServers:
				took <- now.Sub(begun)
				return
			}
		}
	}()
	return took
}

// seen waits for what programming tells.
func seen(b *testing.B, filled <-chan time.Duration) time.Duration {
	b.Helper()
	took, told := <-filled
	if !told {
		b.Fatal("the first service and the last server were not seen in the table")
	}
	return took
}

// read reads a service, the zero Entry if it is not there.
func (b bigTable) read(ctx context.Context, k ipvs.Kernel, service int) (ipvs.Entry, error) {
	vip, _ := b.addresses(service, 0)
	key := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(netip.MustParseAddr(vip), 80))
	table, err := k.ReadServices(ctx, []ipvs.ServiceKey{key})
	return table[key], err
}

// openIPVS opens the table of lvs-a.
func openIPVS(b *testing.B, l *lab.Lab) (kernel ipvs.Kernel) {
	b.Helper()
	if err := l.In(lab.LVSA, func() error {
		k, err := ipvs.OpenKernel()
		if err == nil {
			kernel = k
			b.Cleanup(func() { k.Close() })
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return kernel
}

// isThere says whether a server has its weight. While a program works only one
// server is asked for, that which comes last: reading the whole table again and
// again would take the processor from what is measured, and the lock of the table.
func (b bigTable) isThere(t testing.TB, k ipvs.Kernel, service, server int) bool {
	t.Helper()
	_, rs := b.addresses(service, server)
	e, err := b.read(t.Context(), k, service)
	if err != nil {
		t.Fatal(err)
	}
	s, there := e.Servers.Get(ipvs.ServerKey{Address: netip.MustParseAddr(rs), Port: 80})
	return there && s.Weight == b.weight(service, server)
}

// hexOf is how /proc/net/ip_vs prints an address, here with port 80.
func hexOf(addr string) string {
	var b [4]byte
	_, _ = fmt.Sscanf(addr, "%d.%d.%d.%d", &b[0], &b[1], &b[2], &b[3])
	return fmt.Sprintf("%02X%02X%02X%02X:0050", b[0], b[1], b[2], b[3])
}

// cost is what one step took.
type cost struct {
	wall, cpu time.Duration
	table     time.Duration // of wall, from the first service to the last server
}

// ipvsSide is one of the programs that are compared.
type ipvsSide struct {
	steps map[string]cost
	pass  time.Duration // of the first programming, what the director says of it: the reading before and after included
	mem   usage

	scrape      time.Duration // CPU of one, of the director
	scrapeBytes int
}

// The steps, in the order in which they run and are printed.
const (
	stepFirst = "programmed on an empty table"
	stepNoop  = "reload, nothing changed"
	stepOne   = "reload, one server changed"
	stepChurn = "reload, 10 % of the servers changed"
)

var ipvsSteps = []string{stepFirst, stepNoop, stepOne, stepChurn}

// BenchmarkIPVS programs *benchServices services, and changes
// some by reload, beside keepalived and ipvsadm -R with the same table in the
// same run. CPU is that of all processes of the director on both sides,
// reading the configuration included.
func BenchmarkIPVS(b *testing.B) {
	ours, theirs := measureIPVS(b, false), measureIPVS(b, true)
	var tool cost
	b.Run("ipvsadm", func(b *testing.B) { tool = measureRestore(b) })
	var t strings.Builder
	fmt.Fprintf(&t, "\n%d services with %d servers each\n%-46s %10s %10s %10s %8s %8s\n", *benchServices, *benchServers,
		"", "baton", "keepalived", "ipvsadm -R", "ratio", "ratio -R")
	row := func(what, format string, a, k, i float64) {
		last, ratio := "-", "-"
		if i > 0 {
			last, ratio = fmt.Sprintf(format, i), fmt.Sprintf("%.2f", a/i)
		}
		fmt.Fprintf(&t, "%-46s %10s %10s %10s %8.2f %8s\n", what, fmt.Sprintf(format, a), fmt.Sprintf(format, k), last, a/k, ratio)
	}
	for _, s := range ipvsSteps {
		r := cost{}
		if s == stepFirst {
			r = tool
		}
		if s != stepNoop { // of which the table does not tell when it has ended
			row(s+", ms", "%.0f", ms(ours.steps[s].wall), ms(theirs.steps[s].wall), ms(r.wall))
		}
		if s == stepFirst {
			row("  of it from first service to last server, ms", "%.0f", ms(ours.steps[s].table), ms(theirs.steps[s].table), ms(tool.table))
			fmt.Fprintf(&t, "%-46s %10.0f %10s\n", "  the pass, with what it reads, ms", ms(ours.pass), "-")
		}
		row(s+", CPU, ms", "%.0f", ms(ours.steps[s].cpu), ms(theirs.steps[s].cpu), ms(r.cpu))
	}
	fmt.Fprintf(&t, "%-46s %10.0f %10s\n", fmt.Sprintf("a scrape of %d KiB, CPU, ms", ours.scrapeBytes>>10), ms(ours.scrape), "-")
	row("director's memory, RSS, MiB", "%.1f", mib(ours.mem.rss), mib(theirs.mem.rss), 0)
	row("director's memory, PSS, MiB", "%.1f", mib(ours.mem.pss), mib(theirs.mem.pss), 0)
	fmt.Println(t.String())
}

// isDirector says whether a process is Baton's director, or keepalived's.
func (p process) isDirector() bool { return !p.speaker && !p.prober }

func measureIPVS(b *testing.B, peer bool) ipvsSide {
	b.Helper()
	out := ipvsSide{steps: map[string]cost{}}
	b.Run(fmt.Sprintf("keepalived=%v", peer), func(b *testing.B) {
		l := start(b, lab.Options{Directors: []string{}})
		table := bigTable{*benchServices, func(int, int) int { return 1 }}
		file, text := l.ConfigFile(), func() string { return table.toml(l.Dir()) }
		if peer {
			file, text = filepath.Join(b.TempDir(), "keepalived.conf"), func() string { return table.keepalived() }
		}
		write := func() {
			if err := os.WriteFile(file, []byte(text()), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		reload := func() {
			for _, p := range processes(b, l, lab.LVSA) {
				if p.isDirector() && p.isRoot(b, l) {
					if err := syscall.Kill(p.pid, syscall.SIGHUP); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		kernel := openIPVS(b, l)
		// last are the service and the server that change last.
		measure := func(step string, last [2]int, do func()) {
			before := time.Duration(0)
			if step != stepFirst {
				before = cpuOf(b, l)
			}
			want := table.expected()
			var wall, alone time.Duration
			var filled <-chan time.Duration
			if step == stepFirst {
				filled = table.programming(b.Context(), kernel)
			}
			begun := time.Now()
			do()
			if filled != nil {
				alone = seen(b, filled)
			}
			within(b, "the table", func() string {
				if !table.isThere(b, kernel, last[0], last[1]) {
					time.Sleep(50 * time.Millisecond)
					return "its last server is not as it should be"
				}
				wall = time.Since(begun)
				if n := inTable(b, l, want); n != *benchServers*table.services {
					return fmt.Sprintf("%d servers are as they should be", n)
				}
				return ""
			})
			time.Sleep(afterReload)
			out.steps[step] = cost{wall, atRest(b, l) - before, alone}
		}
		write()
		end := [2]int{*benchServices - 1, *benchServers - 1}
		measure(stepFirst, end, func() {
			if peer {
				runKeepalivedFile(b, l, lab.LVSA, "-C", file)
			} else if err := l.StartDirector(b.Context(), lab.LVSA); err != nil {
				b.Fatal(err)
			}
		})
		if !peer {
			out.pass = tableTook(b, l)
		}
		measure(stepNoop, end, func() { write(); reload() })
		table.weight = func(i, j int) int { return 1 + count(i == 17 && j == 2) }
		measure(stepOne, [2]int{17, 2}, func() { write(); reload() })
		table.weight = func(i, _ int) int { return 1 + count(i%10 == 3) }
		measure(stepChurn, [2]int{(*benchServices-4)/10*10 + 3, *benchServers - 1}, func() { write(); reload() })
		out.mem = used(b, processes(b, l, lab.LVSA), process.isDirector)
		if !peer {
			out.scrape, out.scrapeBytes = measureScrape(b, l)
		}
	})
	return out
}

// afterReload is longer than the director waits before it gives back what a reload has
// left behind, which is a part of its cost.
const afterReload = 1500 * time.Millisecond

// measureScrape returns the director's CPU for one of several scrapes, each of which
// reads the kernel's table, and the bytes that it got.
func measureScrape(b *testing.B, l *lab.Lab) (cpu time.Duration, size int) {
	b.Helper()
	const scrapes = 10
	before := atRest(b, l)
	for range scrapes {
		code, body, err := overTCP(b, l, lab.LVSA, readers, "GET", "/metrics")
		if err != nil || code != 200 || strings.Count(body, "\nbaton_ipvs_backend_connections_total{") != *benchServers**benchServices {
			b.Fatalf("scrape: %d, %v, %d bytes", code, err, len(body))
		}
		size = len(body)
		time.Sleep(afterReload) // as long as the kernel's counters are kept for other scrapes, and more
	}
	return (atRest(b, l) - before) / scrapes, size
}

// tableTook is how long the director says that its last pass over the table took.
func tableTook(t testing.TB, l *lab.Lab) time.Duration {
	t.Helper()
	client, err := l.Director(lab.LVSA)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var took time.Duration
	within(t, "ipvs.applied", func() string {
		if err := client.Events(t.Context(), control.EventsQuery{}, func(e event.Event) (err error) {
			if e.Name == event.IPVSApplied {
				took, err = time.ParseDuration(e.Get(event.Took))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if took == 0 {
			return "it is not told"
		}
		return ""
	})
	return took
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// isRoot says whether no other director process in the node is its parent.
func (p process) isRoot(t testing.TB, l *lab.Lab) bool {
	for _, q := range processes(t, l, lab.LVSA) {
		if q.pid == p.parent {
			return false
		}
	}
	return true
}

// cpuOf is what the director in the node has used.
func cpuOf(t testing.TB, l *lab.Lab) time.Duration {
	t.Helper()
	return used(t, processes(t, l, lab.LVSA), process.isDirector).cpu
}

// atRest waits until the director does next to nothing and returns what it has used.
func atRest(t testing.TB, l *lab.Lab) time.Duration {
	t.Helper()
	last := cpuOf(t, l)
	within(t, "the director to be at rest", func() string {
		time.Sleep(400 * time.Millisecond)
		now := cpuOf(t, l)
		spent := now - last
		last = now
		if spent > 4*time.Millisecond {
			return fmt.Sprintf("it used %v in 400 ms", spent)
		}
		return ""
	})
	return last
}

func measureRestore(b *testing.B) cost {
	b.Helper()
	l := start(b, lab.Options{Directors: []string{}})
	table := bigTable{*benchServices, func(int, int) int { return 1 }}
	kernel := openIPVS(b, l)
	cmd := l.Command(b.Context(), "ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(table.ipvsadm())
	filled := table.programming(b.Context(), kernel)
	begun := time.Now()
	if err := l.Start(lab.LVSA, cmd); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	wall, alone := time.Since(begun), seen(b, filled)
	if n := inTable(b, l, table.expected()); n != *benchServers*table.services {
		b.Fatalf("%d servers after ipvsadm -R", n)
	}
	return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), alone}
}
