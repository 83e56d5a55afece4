package healthcheck

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDescriptorsAreRaised: a process whose soft limit is low takes the hard one,
// less what it needs besides.
func TestDescriptorsAreRaised(t *testing.T) {
	const mark = "HEALTHCHECK_TEST_DESCRIPTORS"
	if os.Getenv(mark) != "" {
		fmt.Printf("bound %d\n", defaultDescriptors())
		return
	}
	bound := func(limits string) (n int) {
		cmd := exec.Command("sh", "-c", limits+` && exec "$0" -test.run='^TestDescriptorsAreRaised$'`, os.Args[0])
		cmd.Env = append(os.Environ(), mark+"=1")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if _, err := fmt.Sscanf(string(b), "bound %d\n", &n); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		return n
	}
	if n := bound("ulimit -Sn 200 && ulimit -Hn 900"); n < 800 || n > 900-reservedDescriptors {
		t.Errorf("of 200, raised to 900, it takes %d", n)
	}
	if n := bound("ulimit -n 30"); n != 1 {
		t.Errorf("of 30 it takes %d", n)
	}
}

// TestOutOfDescriptors: the kernel refuses new sockets, and no server changes
// state by that.
func TestOutOfDescriptors(t *testing.T) {
	target := server(t, hold)
	tcp := Spec{ID: "tcp", Kind: TCP, Target: target, Interval: 20 * ms, Timeout: sec}
	web := Spec{ID: "http", Kind: HTTP, Target: server(t, answer("HTTP/1.1 204 No Content\r\n\r\n")), Interval: 20 * ms, Timeout: sec}
	verdicts, reports := make(chan Verdict, 100), make(chan Overload, 100)
	s := NewScheduler(Options{Notify: func(v Verdict) { verdicts <- v }, Overload: func(o Overload) { reports <- o }})
	if err := s.Apply([]Spec{tcp, web}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*sec)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for range 2 {
		if v := <-verdicts; !v.Up {
			t.Fatalf("verdict %+v", v)
		}
	}

	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	// Below every descriptor in use: the next one is one too many.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	lack := overloadWith(ctx, t, reports)
	if lack.ID == "" || lack.Detail != "open socket: too many open files" {
		t.Errorf("report %+v", lack)
	}
	before := s.Stats()
	for s.Stats().Unknown < before.Unknown+10 && ctx.Err() == nil {
		<-time.After(ms)
	}
	for i := range 2 {
		st := s.Status()[i]
		for ; st.Reason != Resources && ctx.Err() == nil; st = s.Status()[i] {
			<-time.After(ms)
		}
		if st.State != Up || st.Reason != Resources {
			t.Errorf("status %+v", st)
		}
	}
	restore()
	for {
		st := s.Status()
		if st[0].Reason == "" && st[1].Reason == "" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("not well again: %+v", st)
		}
		<-time.After(ms)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if len(verdicts) > 0 {
		t.Errorf("verdict %+v", <-verdicts)
	}
}

// TestBlackHolesOnRealSockets: most targets swallow packets, places are few,
// and the healthy ones are still checked in time. Afterwards no descriptor and
// no place is lost.
func TestBlackHolesOnRealSockets(t *testing.T) {
	hole, fine := blackHole(t), server(t, hold)
	before := openDescriptors(t)
	var specs []Spec
	for i := range 150 {
		specs = append(specs, Spec{ID: fmt.Sprint("hole", i), Kind: TCP, Target: hole, Interval: 100 * ms, Timeout: 80 * ms})
	}
	const healthy = 20
	for i := range healthy {
		specs = append(specs, Spec{ID: fmt.Sprint("fine", i), Kind: TCP, Target: fine, Interval: 100 * ms, Timeout: sec})
	}
	verdicts := make(chan Verdict, len(specs))
	s := NewScheduler(Options{Notify: func(v Verdict) { verdicts <- v }, MaxDescriptors: 60})
	if err := s.Apply(specs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*sec)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for range specs {
		select {
		case v := <-verdicts:
			if v.Up != (v.ID[0] == 'f') || !v.Up && v.Reason != Timeout {
				t.Errorf("verdict %+v", v)
			}
		case <-ctx.Done():
			t.Fatal("not every check has answered")
		}
	}
	// All holes are known now. From here every healthy check makes its 10
	// attempts a second, give or take what a busy machine takes.
	attempts := func() (n uint64) {
		for _, st := range s.Status()[150:] {
			n += st.Attempts
		}
		return n
	}
	// A second in which something else had the machine does not count.
	var rate float64
	for range 10 {
		n, start := attempts(), time.Now()
		<-time.After(sec)
		if rate = float64(attempts()-n) / time.Since(start).Seconds() / healthy; rate >= 7 {
			break
		}
	}
	if rate < 7 {
		t.Errorf("a healthy server had %.1f attempts a second of 10, in each of ten seconds", rate)
	}
	if st := s.Stats(); st.InFlight > 60 || st.Waiting == 0 {
		t.Errorf("stats %+v", st)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if len(verdicts) > 0 {
		t.Errorf("verdict %+v", <-verdicts)
	}
	if st := s.Stats(); st.InFlight != 0 || st.Talking != 0 {
		t.Errorf("places lost: %+v", st)
	}
	// The server's side of a reset connection may take a moment to go.
	for deadline := time.Now().Add(5 * sec); openDescriptors(t) > before; <-time.After(ms) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", openDescriptors(t), before)
		}
	}
}

// TestNoGoroutineFreeIsUnknown: a server that answered in time is not down
// because all who could read the answer are busy with others.
func TestNoGoroutineFreeIsUnknown(t *testing.T) {
	hang := Spec{ID: "hang", Kind: HTTPS, Target: server(t, hold), Interval: time.Minute, Timeout: 20 * sec}
	behind := Spec{ID: "behind", Kind: HTTPS, Target: server(t, hold), Interval: time.Minute, Timeout: 50 * ms}
	reports := make(chan Overload, 10)
	first := true
	s := NewScheduler(Options{
		MaxConversations: 1,
		Notify:           func(v Verdict) { t.Errorf("verdict %+v", v) },
		Overload:         func(o Overload) { reports <- o },
		Random: func(time.Duration) time.Duration {
			defer func() { first = false }()
			if first {
				return 0
			}
			return 100 * ms
		},
	})
	if err := s.Apply([]Spec{hang, behind}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(t)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o := overloadWith(ctx, t, reports)
	if o.ID != "behind" || o.Detail != "no answer read: all 1 conversations are with other servers" {
		t.Errorf("report %+v", o)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// overloadWith returns the first report of a lack of resources; a busy machine
// may tell of lateness as well.
func overloadWith(ctx context.Context, t *testing.T, reports <-chan Overload) Overload {
	t.Helper()
	for {
		select {
		case o := <-reports:
			if o.Unknown > 0 {
				return o
			}
		case <-ctx.Done():
			t.Fatal("nobody told of a lack of resources")
		}
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}
