package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	moby "github.com/moby/ipvs"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

var checkInterval = flag.Duration("checkinterval", time.Second, "delay_loop that BenchmarkChecks begins with; where a program does not keep to it, it goes on with twice as much, and so on")

// slowest is the delay_loop at which BenchmarkChecks gives up.
const slowest = time.Minute

// kept is the part of the wanted checks from which on a program keeps to delay_loop:
// what it costs and how late it is says something then.
const kept = 0.95

// poolSize is how many real servers a virtual_server of the benchmark has.
const poolSize = 100

// targets are real servers for checks alone: pools of poolSize on addresses that
// one process behind one address answers for.
type targets struct {
	kind     string // roleTCPTargets or roleHTTPTargets
	count    int
	interval time.Duration // delay_loop
	timeout  time.Duration // connect_timeout
	holes    int           // percent of them that swallow packets
}

func (c targets) String() string {
	s := fmt.Sprintf("%d %s checks every %v", c.count, strings.TrimSuffix(c.kind, "-targets"), c.interval)
	if c.holes > 0 {
		s += fmt.Sprintf(", %d %% black-holed", c.holes)
	}
	return s
}

// targetPort is where they listen; the lab's own real server has ServicePort.
const targetPort = 8000

func (c targets) pools() int { return c.count / poolSize }

func poolAddress(pool int) string           { return fmt.Sprintf("10.8.0.%d", pool+1) }
func targetAddress(pool, server int) string { return fmt.Sprintf("10.9.%d.%d", pool, server) }

// holesIn is how many servers of a pool swallow packets: the last ones.
func (c targets) holesIn() int { return poolSize * c.holes / 100 }

// toml is the configuration of lvs-a. path_check has no counterpart on the other side.
func (c targets) toml(dir string) string {
	var b strings.Builder
	p := lab.PathsIn(dir, lab.LVSA)
	fmt.Fprintf(&b, "[global]\ncontrol_socket = %q\nruntime_dir = %q\nstate_dir = %q\n", p.Socket, p.Runtime, p.State)
	for pool := range c.pools() {
		fmt.Fprintf(&b, "\n[[virtual_server]]\naddress = \"%s:%d\"\nlb_algo = \"rr\"\nlb_kind = \"DR\"\npath_check = false\ndelay_loop = %q\n", poolAddress(pool), targetPort, c.interval)
		check := "tcp_check]"
		if c.kind == roleHTTPTargets {
			check = "http_get]\npath = \"/healthz\""
		}
		fmt.Fprintf(&b, "[virtual_server.%s\nconnect_timeout = %q\nretry = 0\n", check, c.timeout)
		for server := range poolSize {
			fmt.Fprintf(&b, "[[virtual_server.real_server]]\naddress = \"%s:%d\"\n", targetAddress(pool, server), targetPort)
		}
	}
	return b.String()
}

// keepalived is the same for keepalived.
func (c targets) keepalived() string {
	var b strings.Builder
	b.WriteString("global_defs {\n    script_user root\n}\n")
	check := "TCP_CHECK {\n"
	if c.kind == roleHTTPTargets {
		check = "HTTP_GET {\n            url {\n                path /healthz\n                status_code 200\n            }\n"
	}
	for pool := range c.pools() {
		fmt.Fprintf(&b, "virtual_server %s %d {\n    delay_loop %g\n    lb_algo rr\n    lb_kind DR\n    protocol TCP\n", poolAddress(pool), targetPort, c.interval.Seconds())
		for server := range poolSize {
			fmt.Fprintf(&b, "    real_server %s %d {\n        weight 1\n        %s            connect_timeout %g\n            retry 0\n            delay_before_retry 0\n        }\n    }\n",
				targetAddress(pool, server), targetPort, check, c.timeout.Seconds())
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// lay makes the addresses of all targets those of rs1 and starts what answers
// for them. A server that is a black hole is one that rs1 drops packets to.
func (c targets) lay(t testing.TB, l *lab.Lab) {
	t.Helper()
	run(t, l, lab.LVSA, "ip", "route", "add", "10.9.0.0/16", "via", lab.Address(lab.RS1).String())
	run(t, l, lab.LVSA, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
	run(t, l, lab.RS1, "ip", "route", "add", "local", "10.9.0.0/16", "dev", "lo")
	run(t, l, lab.RS1, "sysctl", "-qw", "net.core.somaxconn=65000", "net.ipv4.tcp_max_syn_backlog=65000")
	for pool := range c.pools() {
		for server := poolSize - c.holesIn(); server < poolSize; server++ {
			c.swallow(t, l, netip.PrefixFrom(netip.MustParseAddr(targetAddress(pool, server)), 32))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := again(ctx, t, c.kind)
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(lab.RS1, cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed by us
	})
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		t.Fatalf("wait for the targets: %v", err)
	}
}

func (c targets) swallow(t testing.TB, l *lab.Lab, p netip.Prefix) {
	t.Helper()
	run(t, l, lab.RS1, "ip", "route", "add", "blackhole", p.String(), "table", "local")
}

// The roles of a process that answers for all targets.
const (
	roleTCPTargets  = "tcp-targets"
	roleHTTPTargets = "http-targets"
)

// answerTargets accepts every connection; its own cost must be small, for it
// has the same processors as what is measured.
func answerTargets(http bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.Bind(fd, &unix.SockaddrInet4{Port: targetPort}), unix.Listen(fd, 65000))
	}
	if err != nil {
		return fmt.Errorf("listen for checks: %w", err)
	}
	fmt.Print("r")
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
	request := make([]byte, 4096)
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		switch {
		case err == unix.EINTR, err == unix.ECONNABORTED:
			continue
		case err != nil:
			return fmt.Errorf("accept checks: %w", err)
		}
		if http {
			// A checker that sends nothing holds up the others for this long.
			_ = unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
			if n, err := unix.Read(c, request); err == nil && n > 0 {
				_, _ = unix.Write(c, answer) // it may be gone already
			}
		}
		unix.Close(c)
	}
}

// openings records who is asked to open a connection, and when.
type openings struct {
	tap
	seen map[netip.Addr][]time.Time
}

// recordOpenings notes the SYNs to every eighth target: to hear all would
// take the processors from what is measured.
func recordOpenings(t testing.TB, l *lab.Lab) *openings {
	t.Helper()
	o := &openings{seen: map[netip.Addr][]time.Time{}}
	const syn, ack = 0x02, 0x10
	o.tap.start(t, l, lab.RS1, lab.LANInterface, []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 9},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 7},
		bpf.LoadAbsolute{Off: 19, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 7, SkipTrue: 5},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: syn | ack},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: syn, SkipTrue: 1},
		bpf.RetConstant{Val: 40},
		bpf.RetConstant{Val: 0},
	}, func(at time.Time, packet []byte) error {
		to := netip.AddrFrom4([4]byte(packet[16:]))
		o.seen[to] = append(o.seen[to], at)
		return nil
	})
	return o
}

// late ends the recording and returns by how much each attempt of a living
// target was later after the one before than it should have been, sorted; 0 for
// one that was not.
func (o *openings) late(t testing.TB, c targets) []time.Duration {
	t.Helper()
	o.tap.end(t)
	var all []time.Duration
	for target, times := range o.seen {
		if int(target.As4()[3]) >= poolSize-c.holesIn() {
			continue // the kernel repeats its SYN
		}
		for i := 1; i < len(times); i++ {
			all = append(all, max(0, times[i].Sub(times[i-1])-c.interval))
		}
	}
	slices.Sort(all)
	return all
}

// checksRun is what one side of BenchmarkChecks found.
type checksRun struct {
	settled   time.Duration // from start until every dead server was out and every living one in
	perSecond float64
	cpu, all  float64 // s for 10,000 checks: the checking process, all of them
	rss, pss  float64 // MiB, of the checking process
	late      []time.Duration
	removed   []time.Duration // after death, sorted
}

func quantileOf(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return ms(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// BenchmarkChecks measures what many health checks cost and how punctual they
// are, beside keepalived with the same targets in the same run, one after the
// other. Lateness is judged on the wire: the time from one SYN to a target to
// the next, less delay_loop. The first delay_loop that both keep to is the last that is
// tried.
func BenchmarkChecks(b *testing.B) {
	second := time.Second
	for _, c := range []targets{
		{kind: roleTCPTargets, count: 1000, timeout: second},
		{kind: roleTCPTargets, count: 10_000, timeout: second},
		{kind: roleTCPTargets, count: 10_000, timeout: second, holes: 20},
		{kind: roleHTTPTargets, count: 2000, timeout: second},
	} {
		// Short, for it is in the path of the control socket.
		b.Run(fmt.Sprintf("%s-%d-%d", c.kind[:3], c.count, c.holes), func(b *testing.B) {
			for c.interval = *checkInterval; ; c.interval *= 2 {
				ours, theirs := c.measure(b, false), c.measure(b, true)
				wanted := float64(c.count) / c.interval.Seconds()
				c.print(ours, theirs)
				if min(ours.perSecond, theirs.perSecond) >= kept*wanted {
					break
				}
				fmt.Printf("%s are too many here: of %.0f a second baton made %.0f, keepalived %.0f\n", c, wanted, ours.perSecond, theirs.perSecond)
				if 2*c.interval > slowest {
					break
				}
			}
		})
	}
}

// print prints the table of one delay_loop.
func (c targets) print(ours, theirs checksRun) {
	var t strings.Builder
	fmt.Fprintf(&t, "\n%-38s %12s %12s %8s\n", c, "baton", "keepalived", "ratio")
	row := func(what, format string, f func(checksRun) float64) {
		x, y := f(ours), f(theirs)
		fmt.Fprintf(&t, "%-38s %12s %12s %8.2f\n", what, fmt.Sprintf(format, x), fmt.Sprintf(format, y), x/y)
	}
	row("checks made, 1/s", "%.0f", func(r checksRun) float64 { return r.perSecond })
	row("CPU for 10,000 checks, checker, s", "%.3f", func(r checksRun) float64 { return r.cpu })
	row("CPU for 10,000 checks, all, s", "%.3f", func(r checksRun) float64 { return r.all })
	row("RSS of the checker, MiB", "%.1f", func(r checksRun) float64 { return r.rss })
	row("PSS of the checker, MiB", "%.1f", func(r checksRun) float64 { return r.pss })
	for _, q := range []float64{0.5, 0.99, 0.999, 1} {
		row(fmt.Sprintf("late, p%v, ms", q*100), "%.2f", func(r checksRun) float64 { return quantileOf(r.late, q) })
	}
	bound := ms(c.interval + c.timeout)
	row("dead to removed, p50, ms", "%.0f", func(r checksRun) float64 { return quantileOf(r.removed, 0.5) })
	row("dead to removed, last, ms", "%.0f", func(r checksRun) float64 { return quantileOf(r.removed, 1) })
	row("  last, less delay_loop + timeout, ms", "%.0f", func(r checksRun) float64 { return quantileOf(r.removed, 1) - bound })
	row("start to all settled, s", "%.1f", func(r checksRun) float64 { return r.settled.Seconds() })
	fmt.Println(t.String())
}

func (c targets) measure(b *testing.B, peer bool) checksRun {
	b.Helper()
	var out checksRun
	b.Run(fmt.Sprintf("%v-keepalived=%v", c.interval, peer), func(b *testing.B) {
		l := start(b, lab.Options{Directors: []string{}})
		c.lay(b, l)
		begun := time.Now()
		if peer {
			runKeepalivedHalf(b, l, lab.LVSA, "-C", c.keepalived())
		} else {
			if err := os.WriteFile(l.ConfigFile(), []byte(c.toml(l.Dir())), 0o644); err != nil {
				b.Fatal(err)
			}
			if err := l.StartDirector(b.Context(), lab.LVSA); err != nil {
				b.Fatal(err)
			}
		}
		alive := c.pools() * (poolSize - c.holesIn())
		within(b, fmt.Sprintf("%d servers to be in the table", alive), func() string {
			if n := serversIn(b, l); n != alive {
				time.Sleep(500 * time.Millisecond) // to look costs as well
				return fmt.Sprintf("%d are", n)
			}
			return ""
		})
		out.settled = time.Since(begun)
		time.Sleep(2*c.interval + c.timeout)

		var mine []process
		within(b, "the checking process", func() string {
			if mine = processes(b, l, lab.LVSA); len(mine) < 2 {
				return "it is not there"
			}
			return ""
		})
		checker := func(p process) bool { return p.prober }
		if peer {
			checker = func(p process) bool {
				return slices.ContainsFunc(mine, func(q process) bool { return q.pid == p.parent })
			}
		}
		syns := recordOpenings(b, l)
		made, alone, all := activeOpens(b, l), used(b, mine, checker), used(b, mine, every)
		from := time.Now()
		time.Sleep(max(windowOr(20*time.Second), 3*c.interval)) // lateness wants several attempts of each
		alone, all = used(b, mine, checker).minus(alone), used(b, mine, every).minus(all)
		took := time.Since(from)
		n := float64(activeOpens(b, l) - made)
		out.late = syns.late(b, c)
		out.perSecond = n / took.Seconds()
		out.cpu, out.all = alone.cpu.Seconds()/n*10_000, all.cpu.Seconds()/n*10_000
		out.rss, out.pss = mib(alone.rss), mib(alone.pss)
		out.removed = c.kill(b, l)
	})
	return out
}

// kill makes the first half of a pool swallow packets at once and returns after
// which time each server was out of the table.
func (c targets) kill(b *testing.B, l *lab.Lab) []time.Duration {
	b.Helper()
	pool := c.pools() / 2
	half := netip.PrefixFrom(netip.MustParseAddr(targetAddress(pool, 0)), 26) // 64 of 100
	died := time.Now()
	c.swallow(b, l, half)
	gone := map[string]time.Duration{}
	var h *moby.Handle
	if err := l.In(lab.LVSA, func() (err error) { h, err = moby.New(""); return err }); err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	service := &moby.Service{AddressFamily: unix.AF_INET, Protocol: unix.IPPROTO_TCP, Address: net.ParseIP(poolAddress(pool)), Port: targetPort}
	for deadline := died.Add(patience); len(gone) < 64; time.Sleep(5 * time.Millisecond) {
		have := map[string]bool{}
		dests, err := h.GetDestinations(service)
		now := time.Since(died)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range dests {
			have[d.Address.String()] = d.Weight > 0
		}
		for server := range 64 {
			if a := targetAddress(pool, server); !have[a] && gone[a] == 0 {
				gone[a] = now
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of 64 dead servers are out of the table", len(gone))
		}
	}
	var out []time.Duration
	for _, d := range gone {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// inNode reads a file of /proc as it is in lvs-a.
func inNode(t testing.TB, l *lab.Lab, name string) (text string) {
	t.Helper()
	err := l.In(lab.LVSA, func() error {
		// thread-self: another thread of this process is in another namespace.
		raw, err := os.ReadFile(filepath.Join("/proc/thread-self/net", name))
		text = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// serversIn counts the real servers with weight in the table of lvs-a.
func serversIn(t testing.TB, l *lab.Lab) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(inNode(t, l, "ip_vs")) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "->" && f[2] == "Route" && f[3] != "0" {
			n++
		}
	}
	return n
}

// activeOpens is how many connections lvs-a has begun to open.
func activeOpens(t testing.TB, l *lab.Lab) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(inNode(t, l, "snmp")) {
		f := strings.Fields(line)
		switch {
		case f[0] != "Tcp:":
		case names == nil:
			names = f
		default:
			n, err := strconv.Atoi(f[slices.Index(names, "ActiveOpens")])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the kernel counts no connections")
	return 0
}
