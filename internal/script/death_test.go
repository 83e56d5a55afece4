package script

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hangingEnv makes this test binary the parent of a program that hangs, until
// it is killed itself.
const hangingEnv = "SCRIPT_TEST_HANGING"

func TestMain(m *testing.M) {
	if file := os.Getenv(hangingEnv); file != "" {
		Run(context.Background(), Command{Args: []string{"/bin/sh", "-c", "echo $$ >" + file + "; exec tail -f /dev/null >/dev/null 2>&1"}, Timeout: time.Hour})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestProgramDiesWithUs: who is killed cannot end what it runs; the kernel does.
func TestProgramDiesWithUs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), hangingEnv+"="+file)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := started(t, file, 1, nil)[0]
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	gone := time.After(20 * time.Second)
	for alive(pid) {
		select {
		case <-time.After(time.Millisecond):
		case <-gone:
			_ = unix.Kill(pid, unix.SIGKILL)
			t.Fatal("the program lives on")
		}
	}
}

// TestProgramOutlivesOtherThreads: the kernel's signal comes when a thread of
// ours ends, and threads end all the time.
func TestProgramOutlivesOtherThreads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Result, 8)
	var pids []int
	for range cap(done) {
		file := filepath.Join(t.TempDir(), "pid")
		c := sh(t, `echo $$ >"$1"; exec tail -f /dev/null`, file)
		go func() { done <- Run(ctx, c) }()
		pids = append(pids, started(t, file, 1, nil)...)
	}
	for range 20 {
		var threads sync.WaitGroup
		for range 20 {
			threads.Go(func() {
				runtime.LockOSThread() // not unlocked: the thread ends
			})
		}
		threads.Wait()
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d has died", pid)
		}
	}
	cancel()
	for range pids {
		if r := <-done; !r.Canceled || r.Signal != unix.SIGTERM {
			t.Errorf("result is %+v", r)
		}
	}
}
