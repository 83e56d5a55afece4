//go:build linux && kernel

package director

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/healthcheck"
	"baton/internal/ipc"
)

var (
	benchChecks = flag.Int("checks", 10_000, "how many checks BenchmarkProber makes")
	benchEvery  = flag.Duration("delayloop", 2*time.Second, "their delay_loop")
)

// BenchmarkProber measures the prober as the director starts it: CPU and memory
// of the whole process, with so many TCP checks of addresses that this machine
// answers for. It needs root and no IPVS; run it in a network namespace:
//
//	unshare -n ./director.test -test.run '^$' -test.bench Prober -test.benchtime 5x
func BenchmarkProber(b *testing.B) {
	for _, args := range []string{"link set lo up", "route replace local 10.9.0.0/16 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	accept(b)
	checks := make([]healthcheck.Spec, *benchChecks)
	for i := range checks {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i / 100), byte(i % 100)}), 8000)
		checks[i] = healthcheck.Spec{ID: fmt.Sprintf("tcp 10.8.0.%d:8000 %s tcp_check", i/100, target), Kind: healthcheck.TCP,
			Target: target, Interval: *benchEvery, Timeout: time.Second, Rise: 1}
	}
	c := &core{inbox: make(chan func(), 100)}
	s, err := c.proberChild("nobody")
	if err != nil {
		b.Fatal(err)
	}
	type started struct {
		pid  int
		conn *ipc.Conn
	}
	up, facts := make(chan started, 1), make(chan proberFacts, 1)
	s.Started = func(pid int, conn *ipc.Conn) {
		if err := conn.Send(kindApply, proberState{Checks: checks}); err != nil {
			b.Error(err)
		}
		up <- started{pid, conn}
	}
	s.Message = func(m ipc.Message) {
		var f proberFacts
		if m.Kind == kindChecks && m.Decode(&f) == nil {
			facts <- f
		}
	}
	s.Exited = func(int, string) {}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Supervise(ctx, stopChild) }()
	defer func() { cancel(); <-ended }()
	prober := <-up
	ask := func() proberFacts {
		if err := prober.conn.Send(kindChecks, nil); err != nil {
			b.Fatal(err)
		}
		return <-facts
	}
	time.Sleep(3*time.Second + *benchEvery)
	before, cpu := ask(), cpuOf(b, prober.pid)
	time.Sleep(time.Duration(b.N) * *benchEvery)
	after, spent := ask(), cpuOf(b, prober.pid)-cpu

	n := float64(after.Stats.Attempts - before.Stats.Attempts)
	b.ReportMetric(n/(time.Duration(b.N)**benchEvery).Seconds(), "checks/s")
	b.ReportMetric(spent.Seconds()/n*10_000, "CPU-s/10000-checks")
	b.ReportMetric(float64(rssOf(b, prober.pid))/(1<<20), "RSS-MiB")
	b.ReportMetric(float64(after.Stats.Failures-before.Stats.Failures), "failed")
	for _, q := range []float64{0.5, 0.99, 0.999} {
		b.ReportMetric(float64(latenessOf(before.Stats, after.Stats, q))/1e6, fmt.Sprintf("late-p%v-ms", q*100))
	}
	b.ReportMetric(0, "ns/op")
}

// accept answers for every address, at the least cost.
func accept(b *testing.B) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: 8000})
	}
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == unix.EINVAL {
				return // shut down
			}
			if err == nil {
				unix.Close(c)
			}
		}
	}()
	b.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it only wakes the goroutine
		<-ended
		unix.Close(fd)
	})
}

// latenessOf is the upper bound of the bucket that holds quantile q.
func latenessOf(from, to healthcheck.Stats, q float64) time.Duration {
	var all, sum uint64
	for i := range to.Lateness {
		all += to.Lateness[i] - from.Lateness[i]
	}
	for i, bound := range healthcheck.LatenessBuckets {
		sum += to.Lateness[i] - from.Lateness[i]
		if float64(sum) >= q*float64(all) {
			return bound
		}
	}
	return to.MaxLateness
}

// cpuOf is what a process has used, in clock ticks of 10 ms.
func cpuOf(b *testing.B, pid int) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+2:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		b.Fatal(f)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func rssOf(b *testing.B, pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
