package track

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"baton/internal/script"
)

// bench is a scheduler in a bubble of fake time, in front of programs, files
// and processes that the test makes up.
type bench struct {
	t       *testing.T
	s       *Scheduler
	mu      sync.Mutex
	begun   time.Time
	lines   []string
	result  script.Result
	takes   time.Duration
	running int
	file    string
	fileErr error
	procs   []Proc
	lists   int           // of the processes
	held    time.Duration // the next list of them is
}

func watching(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, begun: time.Now()}
		b.s = NewScheduler(Options{
			Changed: func(key string, s State) { b.say("%s up=%v value=%d: %s", key, s.Up, s.Value, s.Reason) },
			Trouble: func(x Trouble) { b.say("%s %s %d: %s", x.Key, x.Kind, x.Count, x.Reason) },
			Run:     b.run,
			ReadFile: func(string) ([]byte, error) {
				b.mu.Lock()
				defer b.mu.Unlock()
				return []byte(b.file), b.fileErr
			},
			List: func(visit func(Proc)) error {
				b.mu.Lock()
				held := b.held
				b.held = 0
				b.mu.Unlock()
				time.Sleep(held)
				b.mu.Lock()
				defer b.mu.Unlock()
				b.lists++
				for _, p := range b.procs {
					visit(p)
				}
				return nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.s.Run(ctx) }()
		synctest.Wait()
		f(b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (b *bench) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf("%v ", time.Since(b.begun))+fmt.Sprintf(format, args...))
}

// run is a script that takes b.takes and ends as b.result says.
func (b *bench) run(ctx context.Context, sp Script) script.Result {
	b.mu.Lock()
	b.running++
	if b.running > 1 {
		b.t.Errorf("%d runs at once", b.running)
	}
	r, takes := b.result, b.takes
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		<-time.After(time.Millisecond) // SIGTERM takes a moment
		return script.Result{Canceled: true, Exit: -1}
	}
	r.Took = takes
	return r
}

func (b *bench) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// heard advances the time and returns what was told meanwhile.
func (b *bench) heard(d time.Duration) []string {
	<-time.After(d)
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.lines
	b.lines = nil
	return out
}

func (b *bench) expect(d time.Duration, want ...string) {
	b.t.Helper()
	if got := b.heard(d); !slices.Equal(got, want) {
		b.t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func chk(interval time.Duration, rise, fall int) Script {
	return Script{Name: "chk", Args: []string{"/bin/x"}, Interval: interval, Timeout: time.Second, Rise: rise, Fall: fall}
}

func TestScriptRisesAndFalls(t *testing.T) {
	watching(t, func(b *bench) {
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 2, 3)}}, nil)
		b.expect(500*time.Millisecond, "0s script/chk up=true value=0: exit status 0")
		b.set(func() { b.result.Exit = 1 })
		// Runs at 1 s, 2 s, 3 s fail: told once, down with the third.
		b.expect(3*time.Second, "1s script/chk failed 0: exit status 1", "3s script/chk up=false value=0: exit status 1")
		b.set(func() { b.result.Exit = 0 })
		b.expect(1 * time.Second) // one pass is not enough
		b.set(func() { b.result = script.Result{Exit: -1, Signal: syscall.SIGSEGV} })
		b.expect(1*time.Second, "5s script/chk failed 0: ended by signal 11 (segmentation fault)")
		b.set(func() { b.result = script.Result{} })
		b.expect(2*time.Second, "7s script/chk up=true value=0: exit status 0")
	})
}

func TestFirstRunDecides(t *testing.T) {
	watching(t, func(b *bench) {
		b.result.Exit = 2
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 3, 3)}}, nil)
		b.expect(0, "0s script/chk failed 0: exit status 2", "0s script/chk up=false value=0: exit status 2")
	})
}

// TestKnownStateNeedsFall: a watcher that was restarted does not call down at
// the first failure what its predecessor knew as up.
func TestKnownStateNeedsFall(t *testing.T) {
	watching(t, func(b *bench) {
		b.result.Exit = 1
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 2)}}, map[string]State{"script/chk": {Up: true}})
		b.expect(0, "0s script/chk failed 0: exit status 1")
		b.expect(time.Second, "1s script/chk up=false value=0: exit status 1")
	})
}

func TestLateRunIsSkippedAndTold(t *testing.T) {
	watching(t, func(b *bench) {
		b.takes = 2500 * time.Millisecond
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		// The runs of 1 s and 2 s are skipped, the next begins at 3 s.
		b.expect(2600*time.Millisecond, "2.5s script/chk up=true value=0: exit status 0", "2.5s script/chk late 2: the run took longer than interval")
		b.set(func() { b.takes = 0 })
		b.expect(10 * time.Second) // the run at 3 s was late no more
		b.set(func() { b.takes = 1500 * time.Millisecond })
		// Every run is late from 13 s on, and one is skipped each time: told after
		// a minute, counted.
		b.expect(60*time.Second, "1m2.5s script/chk late 25: the run took longer than interval")
	})
}

func TestTimeoutIsToldOnce(t *testing.T) {
	watching(t, func(b *bench) {
		b.result, b.takes = script.Result{Exit: -1, TimedOut: true}, 500*time.Millisecond
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		b.expect(time.Second, "500ms script/chk failed 0: timed out after 500ms", "500ms script/chk up=false value=0: timed out after 500ms")
		b.set(func() { b.takes = 501 * time.Millisecond })
		b.expect(10 * time.Second)
	})
}

// TestApplyLeavesTheUnchangedAlone: neither its timer nor its state begin anew.
func TestApplyLeavesTheUnchangedAlone(t *testing.T) {
	watching(t, func(b *bench) {
		specs := Specs{Scripts: []Script{chk(10*time.Second, 1, 1)}}
		b.s.Apply(specs, nil)
		b.expect(9*time.Second, "0s script/chk up=true value=0: exit status 0")
		b.set(func() { b.result.Exit = 1 })
		known := map[string]State{"script/chk": {Up: true}}
		b.s.Apply(Specs{Scripts: slices.Clone(specs.Scripts), Files: []File{{Name: "f", Path: "/f", Interval: time.Minute}}}, known)
		b.expect(500*time.Millisecond, "9s file/f unreadable 0: /f counts as 0: it is empty", "9s file/f up=true value=0: /f counts as 0: it is empty")
		b.expect(time.Second, "10s script/chk failed 0: exit status 1", "10s script/chk up=false value=0: exit status 1")
	})
}

// TestForgottenStateIsToldAgain: whoever does not know what was told has dropped it
// with the track, and two changes of its mind have come as one. A first run that is
// under way is left alone.
func TestForgottenStateIsToldAgain(t *testing.T) {
	watching(t, func(b *bench) {
		specs := Specs{Scripts: []Script{chk(10*time.Second, 1, 1)}}
		b.takes = 500 * time.Millisecond
		b.s.Apply(specs, nil)
		b.expect(400 * time.Millisecond)
		b.s.Apply(specs, nil)
		b.expect(200*time.Millisecond, "500ms script/chk up=true value=0: exit status 0")
		b.s.Apply(specs, nil)
		b.expect(time.Second, "1.1s script/chk up=true value=0: exit status 0")
	})
}

// TestChangedScriptWaitsForTheOldRun: two runs of one script are never at once,
// also not when a reload ends one of them (bench.run looks).
func TestChangedScriptWaitsForTheOldRun(t *testing.T) {
	watching(t, func(b *bench) {
		b.takes = time.Minute
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		b.expect(time.Second)
		b.set(func() { b.takes = 0 })
		b.s.Apply(Specs{Scripts: []Script{chk(2*time.Second, 1, 1)}}, map[string]State{"script/chk": {Up: true}})
		b.expect(time.Second) // begins when the old run has ended, 1 ms later
		b.set(func() { b.result.Exit = 1 })
		b.expect(2*time.Second, "3.001s script/chk failed 0: exit status 1", "3.001s script/chk up=false value=0: exit status 1")
		b.s.Apply(Specs{}, nil)
		b.set(func() { b.result.Exit = 0 })
		b.expect(time.Minute) // nothing is watched any more
	})
}

// TestStallIsNoFailureOfAScript: it is run again at once, three times in a row at
// most.
func TestStallIsNoFailureOfAScript(t *testing.T) {
	watching(t, func(b *bench) {
		gone := make(chan struct{})
		close(gone)
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		b.expect(0, "0s script/chk up=true value=0: exit status 0")
		// It could not be killed in time, which was a stall's, and has gone since.
		b.set(func() {
			b.takes, b.result = 100*time.Millisecond, script.Result{Exit: 28, Stood: 90 * time.Millisecond, Survived: 1, Gone: gone}
		})
		again := " script/chk failed 0: exit status 28; this process stood still for 90ms of it: it is run again"
		b.expect(1050 * time.Millisecond)
		b.set(func() { b.result = script.Result{Gone: gone, Stood: time.Second} })
		b.expect(1500*time.Millisecond, "1.1s"+strings.Replace(again, ";", "; 1 of its processes cannot be killed;", 1)) // and then it passes
		b.set(func() { b.result = script.Result{Exit: 28, Stood: 90 * time.Millisecond, Gone: gone} })
		b.expect(950*time.Millisecond, "3.1s"+again,
			"3.4s script/chk failed 0: exit status 28", "3.4s script/chk up=false value=0: exit status 28")
	})
}

// TestHangingScriptFailsInAStall: one that cannot be killed at all is not excused.
func TestHangingScriptFailsInAStall(t *testing.T) {
	watching(t, func(b *bench) {
		gone := make(chan struct{})
		defer close(gone)
		b.result = script.Result{Exit: -1, TimedOut: true, Survived: 1, Stood: time.Second, Gone: gone}
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		b.expect(time.Second, "1s script/chk failed 0: timed out after 0s; 1 of its processes cannot be killed",
			"1s script/chk up=false value=0: timed out after 0s; 1 of its processes cannot be killed")
	})
}

func TestUnkillableScriptIsNotRunAgain(t *testing.T) {
	watching(t, func(b *bench) {
		gone := make(chan struct{})
		b.result = script.Result{Exit: -1, TimedOut: true, Survived: 1, Gone: gone}
		b.s.Apply(Specs{Scripts: []Script{chk(time.Second, 1, 1)}}, nil)
		b.expect(0, "0s script/chk failed 0: timed out after 0s; 1 of its processes cannot be killed",
			"0s script/chk up=false value=0: timed out after 0s; 1 of its processes cannot be killed")
		b.set(func() { b.result = script.Result{} })
		b.expect(5500 * time.Millisecond) // still down, and told so already
		close(gone)
		b.expect(time.Second, "5.5s script/chk late 5: the run took longer than interval", "6s script/chk up=true value=0: exit status 0")
	})
}

func TestFile(t *testing.T) {
	watching(t, func(b *bench) {
		b.fileErr = &fs.PathError{Op: "open", Path: "/f", Err: syscall.ENOENT}
		b.s.Apply(Specs{Files: []File{{Name: "f", Path: "/f", Interval: time.Second}}}, nil)
		missing := "/f counts as 0: no such file or directory"
		b.expect(500*time.Millisecond, "0s file/f unreadable 0: "+missing, "0s file/f up=true value=0: "+missing)
		b.set(func() { b.fileErr, b.file = nil, " 7\n" })
		b.expect(time.Second, "1s file/f up=true value=7: /f holds 7")
		b.set(func() { b.file = "-3" })
		b.expect(time.Second, "2s file/f up=true value=-3: /f holds -3")
		b.set(func() { b.file = "seven" })
		b.expect(time.Second, `3s file/f unreadable 0: /f counts as 0: "seven" is not a number`, `3s file/f up=true value=0: /f counts as 0: "seven" is not a number`)
		b.set(func() { b.file = "0" })
		b.expect(3 * time.Second) // 0 it was
		b.set(func() { b.fileErr = errors.New("broken") })
		b.expect(3*time.Second, "7s file/f unreadable 0: /f counts as 0: broken")
	})
}

func TestParseNumber(t *testing.T) {
	for in, want := range map[string]int{"0": 0, "-254\n": -254, "\t12 ": 12, "+5": 5, "1048576": 1048576} {
		if n, err := parseNumber([]byte(in)); err != nil || n != want {
			t.Errorf("%q is %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"", " ", "1 2", "0x10", "1.5", "1048577", "99999999999999999999", "1" + strings.Repeat(" ", 64)} {
		if n, err := parseNumber([]byte(in)); err == nil {
			t.Errorf("%q is %d", in, n)
		}
	}
}

// TestReadFile: what is no file, or endless, holds up nothing.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	fifo, big := filepath.Join(dir, "fifo"), filepath.Join(dir, "big")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", dir, filepath.Join(dir, "none")} {
		if raw, err := readFile(path); err == nil {
			t.Errorf("%s: %d bytes", path, len(raw))
		}
	}
	if err := os.WriteFile(big, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if raw, err := readFile(big); err != nil || len(raw) != MaxFile+1 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func running(n int) (out []Proc) {
	for range n {
		out = append(out, Proc{Comm: "haproxy"})
	}
	return out
}

func TestProcessQuorumAndDelays(t *testing.T) {
	watching(t, func(b *bench) {
		b.procs = running(2)
		b.s.Apply(Specs{Processes: []Process{{Name: "p", Process: "haproxy", Quorum: 2, QuorumMax: 3,
			Delay: 3 * time.Second, TerminateDelay: 5 * time.Second, Interval: time.Second}}}, nil)
		b.expect(500*time.Millisecond, "0s process/p up=true value=0: 2 running") // the first answer waits for nothing
		b.set(func() { b.procs = running(1) })
		b.expect(4 * time.Second)
		b.set(func() { b.procs = running(2) }) // back before terminate_delay is over
		b.expect(10 * time.Second)
		b.set(func() { b.procs = running(0) }) // seen at 15 s
		b.expect(5 * time.Second)
		b.expect(time.Second, "20s process/p up=false value=0: 0 of at least 2 processes run")
		b.set(func() { b.procs = running(3) }) // seen at 21 s
		b.expect(4*time.Second, "24s process/p up=true value=0: 3 running")
		b.set(func() { b.procs = running(4) }) // seen at 25 s: more is delay
		b.expect(4*time.Second, "28s process/p up=false value=0: 4 processes run, more than 3")
		b.set(func() { b.procs = running(3) }) // seen at 29 s: fewer is terminate_delay
		b.expect(6*time.Second, "34s process/p up=true value=0: 3 running")
	})
}

// TestStallIsNotTheDelayOfAProcess: whoever restarts it stood still, too.
func TestStallIsNotTheDelayOfAProcess(t *testing.T) {
	watching(t, func(b *bench) {
		b.procs = running(1)
		b.s.Apply(Specs{Processes: []Process{{Name: "p", Process: "haproxy", Quorum: 1, TerminateDelay: 3 * time.Second, Interval: time.Second}}}, nil)
		b.expect(500*time.Millisecond, "0s process/p up=true value=0: 1 running")
		b.set(func() { b.procs = running(0) })
		b.expect(time.Second) // seen at 1 s
		b.set(func() { b.held = 20 * time.Second })
		b.expect(21900 * time.Millisecond) // the look of 2 s ends at 22 s
		b.expect(time.Second, "24s process/p up=false value=0: 0 of at least 1 processes run")
	})
}

// TestOneLookAtAllProcessesServesAll who count at the same time, and nobody is
// served what is old.
func TestOneLookAtAllProcessesServesAll(t *testing.T) {
	watching(t, func(b *bench) {
		var specs Specs
		for i := range 20 {
			specs.Processes = append(specs.Processes, Process{Name: fmt.Sprint(i), Process: "haproxy", Quorum: 1, Interval: time.Second})
		}
		specs.Processes = append(specs.Processes, Process{Name: "quick", Process: "haproxy", Quorum: 1, Interval: 20 * time.Millisecond})
		b.s.Apply(specs, nil)
		b.heard(890 * time.Millisecond)
		if b.lists < 40 || b.lists > 46 {
			t.Errorf("%d looks in 0.89 s, want one every 20 ms for the quickest", b.lists)
		}
		// The others may be told what was true 100 ms before they ask at 1 s.
		b.set(func() { b.procs = running(1) })
		if got := b.heard(150 * time.Millisecond); len(got) != 21 {
			t.Errorf("%d of 21 have seen the new process: %q", len(got), got)
		}
	})
}

func TestFits(t *testing.T) {
	proc := func(comm, exe string, command ...string) Proc {
		return Proc{Comm: comm, Command: func() []string { return command }, Exe: func() string { return exe }}
	}
	haproxy := proc("haproxy", "", "/usr/sbin/haproxy", "-W", "-f", "/etc/h.cfg")
	shell := proc("watcher.sh", "/usr/bin/dash", "/bin/sh", "/opt/watcher.sh", "-v")
	nginx := proc("nginx", "/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx")
	long := proc("a-program-with-a", "", "/opt/a-program-with-a-name")
	cut := proc("a-program-with-", "", "/opt/a-program-with-a-name")
	for _, c := range []struct {
		process string
		args    []string
		p       Proc
		want    bool
	}{
		{"haproxy", nil, haproxy, true},
		{"/usr/sbin/haproxy", nil, haproxy, true},
		{"/opt/haproxy", nil, haproxy, false},
		{"hapro", nil, haproxy, false},
		{"haproxy", []string{"-W", "-f", "/etc/h.cfg"}, haproxy, true},
		{"haproxy", []string{"-W"}, haproxy, false},
		{"haproxy", []string{}, haproxy, false},
		{"watcher.sh", nil, shell, true},
		{"/opt/watcher.sh", []string{"-v"}, shell, true},
		{"/opt/watcher.sh", []string{}, shell, false},
		{"sh", nil, shell, false},
		{"nginx", nil, nginx, true},
		{"/usr/sbin/nginx", nil, nginx, true},
		{"/opt/nginx", nil, nginx, false},
		{"a-program-with-a-name", nil, cut, true},
		{"a-program-with-a-game", nil, cut, false},
		{"a-program-with-a-name", nil, long, false},
		{"gone", nil, proc("gone", ""), true},
		{"/bin/gone", nil, proc("gone", ""), false},
	} {
		if got := (Process{Process: c.process, Args: c.args}).fits(c.p); got != c.want {
			t.Errorf("%s %q fits %s: %v", c.process, c.args, c.p.Comm, got)
		}
	}
}

func TestParseComm(t *testing.T) {
	for in, want := range map[string]string{"7 (x) S 1": "x S", "7 (a) (b c)) Z 1 2": "a) (b c) Z", "12 () R 0": " R"} {
		comm, state, ok := parseComm([]byte(in))
		if got := comm + " " + string(state); !ok || got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"", "7 x S", "7 (x)", "7 (x) ", "(x) S", ") (x) S"} {
		if comm, _, ok := parseComm([]byte(in)); ok {
			t.Errorf("%q is %q", in, comm)
		}
	}
}

// TestListFindsThisProcess reads the real /proc.
func TestListFindsThisProcess(t *testing.T) {
	found := 0
	if err := listProcesses(func(p Proc) {
		if slices.Equal(p.Command(), os.Args) && p.Exe() != "" {
			found++
		}
	}); err != nil || found != 1 {
		t.Errorf("found %d times, %v", found, err)
	}
}

// TestSchedulerRunsRealScripts goes through the functions that the other tests
// replace.
func TestSchedulerRunsRealScripts(t *testing.T) {
	dir := t.TempDir()
	states := make(chan string, 16)
	s := NewScheduler(Options{
		Changed: func(key string, st State) { states <- fmt.Sprintf("%s %v %d", key, st.Up, st.Value) },
		Trouble: func(x Trouble) {},
	})
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.Apply(Specs{
		Scripts: []Script{
			{Name: "good", Args: []string{write("good", "#!/bin/sh\n")}, Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1},
			{Name: "bad", Args: []string{write("bad", "#!/bin/sh\nexit 1\n")}, Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1},
			{Name: "nobody", Args: []string{"/bin/true"}, User: "nosuchuser", Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1},
			{Name: "hangs", Args: []string{write("hangs", "#!/bin/sh\nexec tail -f /dev/null\n")}, Interval: time.Hour, Timeout: time.Hour, Rise: 1, Fall: 1},
		},
		Files:     []File{{Name: "f", Path: write("f", "5\n"), Interval: time.Hour}},
		Processes: []Process{{Name: "p", Process: "no-such-process-here", Quorum: 1, Interval: time.Hour}},
	}, nil)
	want := map[string]bool{"script/good true 0": true, "script/bad false 0": true, "script/nobody false 0": true, "file/f true 5": true, "process/p false 0": true}
	got := map[string]bool{}
	for range want {
		select {
		case x := <-states:
			got[x] = true
		case <-time.After(20 * time.Second):
			t.Fatalf("heard only %v", got)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("heard %v", got)
	}
	cancel() // ends the one that hangs
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkListProcesses(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = 0
		if err := listProcesses(func(p Proc) { n++ }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "processes")
}

// FuzzParseNumber: what is read as a number is one, written as people do.
func FuzzParseNumber(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := parseNumber(raw)
		if err != nil {
			return
		}
		if n < -MaxValue || n > MaxValue || len(raw) > MaxFile {
			t.Errorf("%q is %d", raw, n)
		}
		if again, err := parseNumber([]byte(strconv.Itoa(n))); err != nil || again != n {
			t.Errorf("%q is %d and then %d, %v", raw, n, again, err)
		}
	})
}

// FuzzParseComm: a name may hold anything that a user can put there.
func FuzzParseComm(f *testing.F) {
	f.Fuzz(func(t *testing.T, comm string) {
		got, state, ok := parseComm([]byte("7 (" + comm + ") S 1 2 3"))
		if !ok || got != comm || state != 'S' {
			t.Errorf("%q is %q %c %v", comm, got, state, ok)
		}
	})
}
