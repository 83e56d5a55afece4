package healthcheck

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serveEnv makes the test binary a server, "tcp" or "http", so that a
// measurement does not count the server's own work.
const serveEnv = "HEALTHCHECK_TEST_SERVE"

func serveForever(mode string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		if mode == "tcp" {
			c.Close()
			continue
		}
		go func() {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n")
			c.Close()
		}()
	}
}

// serverProcess starts such a server and returns its address.
func serverProcess(b *testing.B, mode string) netip.AddrPort {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveEnv+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(line))
}

func BenchmarkTCP10000(b *testing.B) {
	target := serverProcess(b, "tcp")
	measure(b, many(10000, Spec{Kind: TCP, Target: target, Interval: 2 * time.Second, Timeout: time.Second}))
}

// BenchmarkTCP1000 wakes up for nearly every attempt and every answer alone.
func BenchmarkTCP1000(b *testing.B) {
	target := serverProcess(b, "tcp")
	measure(b, many(1000, Spec{Kind: TCP, Target: target, Interval: time.Second, Timeout: time.Second}))
}

// BenchmarkTCP10000BlackHoles has one target of five swallow everything.
func BenchmarkTCP10000BlackHoles(b *testing.B) {
	target, hole := serverProcess(b, "tcp"), blackHole(b)
	specs := many(10000, Spec{Kind: TCP, Target: target, Interval: 2 * time.Second, Timeout: time.Second})
	for i := 0; i < len(specs); i += 5 {
		specs[i].Target = hole
	}
	measure(b, specs)
}

func BenchmarkHTTP2000(b *testing.B) {
	target := serverProcess(b, "http")
	measure(b, many(2000, Spec{
		Kind: HTTP, Target: target, Interval: time.Second, Timeout: time.Second,
		HTTP: &HTTPSpec{HTTPRequest: HTTPRequest{Path: "/healthz", BodyContains: "ok"}},
	}))
}

func many(n int, s Spec) []Spec {
	specs := slices.Repeat([]Spec{s}, n)
	for i := range specs {
		specs[i].ID = "tcp 192.168.16.200:80 192.168.16.103:80 check " + strconv.Itoa(i)
	}
	return specs
}

// measure lets every check answer once and then counts over as many intervals
// as the benchmark asks for.
func measure(b *testing.B, specs []Spec) {
	s := NewScheduler(Options{Notify: func(Verdict) {}})
	if err := s.Apply(specs); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	<-time.After(2 * firstWithin)

	from, cpu, start := s.Stats(), cpuTime(b), time.Now()
	b.ResetTimer()
	<-time.After(time.Duration(b.N) * specs[0].Interval)
	b.StopTimer()
	to, used, took := s.Stats(), cpuTime(b)-cpu, time.Since(start)

	n := float64(to.Attempts - from.Attempts)
	b.ReportMetric(n/took.Seconds(), "checks/s")
	b.ReportMetric(used.Seconds()/n*10000, "CPU-s/10000-checks")
	b.ReportMetric(float64(residentMemory(b))/1e6, "RSS-MB")
	b.ReportMetric(float64(to.Unknown-from.Unknown), "unknown")
	for _, q := range []float64{0.5, 0.99, 0.999} {
		b.ReportMetric(float64(to.LatenessQuantile(from, q))/1e6, fmt.Sprintf("late-p%v-ms", q*100))
	}
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentMemory(b *testing.B) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
