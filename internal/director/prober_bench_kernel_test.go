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
	benchHTTP   = flag.Bool("http", false, "they are of kind http, not tcp")
	benchHoles  = flag.Int("holes", 0, "percent of them whose targets swallow everything")
)

// BenchmarkProber measures the prober as the director starts it: CPU and memory
// of the whole process, with so many checks of addresses that this machine
// answers for, or does not. It needs root and no IPVS; run it in a network namespace:
//
//	unshare -n ./director.test -test.run '^$' -test.bench Prober -test.benchtime 5x
func BenchmarkProber(b *testing.B) {
	for _, args := range []string{"link set lo up", "route replace local 10.9.0.0/16 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	acceptAll(b, *benchHTTP)
	makeHoles(b)
	checks := make([]healthcheck.Spec, *benchChecks)
	for i := range checks {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i / 100), byte(i % 100)}), openPort)
		checks[i] = healthcheck.Spec{ID: fmt.Sprintf("tcp 10.8.0.%d:8000 %s tcp_check", i/100, target), Kind: healthcheck.TCP,
			Target: target, Interval: *benchEvery, Timeout: time.Second, Rise: 1}
		if *benchHTTP {
			checks[i].Kind, checks[i].HTTP = healthcheck.HTTP, &healthcheck.HTTPSpec{HTTPRequest: healthcheck.HTTPRequest{Path: "/healthz"}}
		}
		if i%100 >= 100-*benchHoles {
			checks[i].Target = netip.AddrPortFrom(target.Addr(), holePort)
		}
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
	<-time.After(3*time.Second + *benchEvery)
	before, cpu := ask(), cpuOf(b, prober.pid)
	<-time.After(time.Duration(b.N) * *benchEvery)
	after, spent := ask(), cpuOf(b, prober.pid)-cpu

	n := float64(after.Stats.Attempts - before.Stats.Attempts)
	b.ReportMetric(n/(time.Duration(b.N)**benchEvery).Seconds(), "checks/s")
	b.ReportMetric(spent.Seconds()/n*10_000, "CPU-s/10000-checks")
	b.ReportMetric(float64(rssOf(b, prober.pid))/(1<<20), "RSS-MiB")
	b.ReportMetric(float64(after.Stats.Failures-before.Stats.Failures), "failed")
	for _, q := range []float64{0.5, 0.99, 0.999} {
		b.ReportMetric(float64(after.Stats.LatenessQuantile(before.Stats, q))/1e6, fmt.Sprintf("late-p%v-ms", q*100))
	}
	b.ReportMetric(0, "ns/op")
}

const (
	openPort = 8000
	holePort = 8001
)

// listenAt is a socket for every address.
func listenAt(b *testing.B, port, backlog int) int {
	b.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port})
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		b.Fatal(err)
	}
	return fd
}

// makeHoles makes every address a black hole at holePort: where nobody accepts and
// the queue is full, the kernel drops what comes.
func makeHoles(b *testing.B) {
	fd := listenAt(b, holePort, 0)
	b.Cleanup(func() { unix.Close(fd) })
	for range 2 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, &unix.SockaddrInet4{Port: holePort, Addr: [4]byte{127, 0, 0, 1}}); err != nil && err != unix.EINPROGRESS {
			b.Fatal(err)
		}
	}
}

// acceptAll answers for every address, at the least cost.
func acceptAll(b *testing.B, http bool) {
	fd := listenAt(b, openPort, 4096)
	answer, request := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"), make([]byte, 4096)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err == unix.EINVAL {
				return // shut down
			}
			if err != nil {
				continue
			}
			if http { // one that sends nothing holds up the others for this long
				_ = unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
				if n, err := unix.Read(c, request); err == nil && n > 0 {
					_, _ = unix.Write(c, answer)
				}
			}
			unix.Close(c)
		}
	}()
	b.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it only wakes the goroutine
		<-ended
		unix.Close(fd)
	})
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
