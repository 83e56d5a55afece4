package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable makes this program another one than the tests.
const (
	roleVariable = "BATON_TEST_ROLE"
	roleBusy     = "busy"
	roleWitness  = "witness"
	roleCheckers = "checkers"
)

// actAs does not return for a role.
func actAs(role string) {
	switch role {
	case roleBusy:
		for n := 0; ; n++ {
			runtime.KeepAlive(n)
		}
	case roleWitness:
		orExit(testify())
	case roleMachine:
		orExit(becomeMachine())
	case roleTrespasser:
		trespass()
	case roleCheckers:
		orExit(checkRealServers())
		os.Exit(0)
	case roleTCPTargets, roleHTTPTargets:
		orExit(answerTargets(role == roleHTTPTargets))
	}
}

func orExit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// again prepares this program in a role, for as long as ctx lives.
func again(ctx context.Context, t testing.TB, role string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = []string{roleVariable + "=" + role, "GOMAXPROCS=1", "GOGC=off"}, os.Stderr
	return cmd
}

// busy keeps the processors busy with n processes until the returned function,
// or the test's end, stops them.
func busy(t testing.TB, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, cmd := range all {
			_ = cmd.Wait() // killed by us
		}
		all = nil
	}
	t.Cleanup(stop)
	for range n {
		cmd := again(ctx, t, roleBusy)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	return stop
}

// standstill is a time in which nothing ran, not even a process of the highest
// priority: the machine was taken away from under its kernel, or the kernel was
// busy with itself. No program can be on time then.
type standstill struct{ from, to time.Time }

const (
	witnessReady = "ready"
	witnessBeat  = 2 * time.Millisecond
	witnessTold  = 2 * time.Millisecond // shorter ones are not worth a line
)

// witness looks for standstills until the returned function tells them.
func witness(t testing.TB) (told func() []standstill) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	cmd := again(ctx, t, roleWitness)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != witnessReady {
		t.Fatalf("witness said %q", lines.Text())
	}
	var all []standstill
	done := make(chan error, 1)
	go func() {
		for lines.Scan() {
			var from, to int64
			if _, err := fmt.Sscan(lines.Text(), &from, &to); err != nil {
				done <- fmt.Errorf("witness said %q: %w", lines.Text(), err)
				return
			}
			all = append(all, standstill{time.Unix(0, from), time.Unix(0, to)})
		}
		done <- nil
	}()
	return func() []standstill {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed by us
		return all
	}
}

// testify is the witness: a process of the highest real-time priority that does
// nothing but ask for a wake-up every witnessBeat.
func testify() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	for _, name := range threads {
		tid, err := strconv.Atoi(name.Name())
		if err != nil {
			return err
		}
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 99}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
			return fmt.Errorf("become witness: %w", err)
		}
	}
	fmt.Println(witnessReady)
	beat := unix.NsecToTimespec(int64(witnessBeat))
	last := time.Now()
	for {
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &beat, nil); err != nil && err != unix.EINTR {
			return err
		}
		now := time.Now()
		if now.Sub(last) > witnessBeat+witnessTold {
			fmt.Println(last.UnixNano(), now.UnixNano())
		}
		last = now
	}
}
