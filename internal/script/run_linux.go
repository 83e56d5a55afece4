package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var runs atomic.Uint64

// Run runs the program and returns when it has ended or was ended: at its
// time-out, or when ctx ends, it and all that it has started get SIGTERM, and
// after Grace SIGKILL. Processes that made a session of their own are found by
// their ancestors and by RunVariable.
func Run(ctx context.Context, c Command) Result {
	begun := time.Now()
	r := run(ctx, c, begun)
	r.Took = time.Since(begun)
	return r
}

func run(ctx context.Context, c Command, begun time.Time) Result {
	failed := func(err error) Result { return Result{Err: err, Exit: -1} }
	uid := uint32(os.Geteuid())
	if c.As != nil {
		uid = c.As.UID
	}
	if err := checkFile(c.Args[0], uid); err != nil {
		return failed(err)
	}
	cred, err := c.As.credential()
	if err != nil {
		return failed(fmt.Errorf("run %s: %w", c.Args[0], err))
	}
	marker := fmt.Sprintf("%s=%d-%d-%d", RunVariable, os.Getpid(), begun.UnixNano(), runs.Add(1))
	out, in, err := os.Pipe()
	if err != nil {
		return failed(fmt.Errorf("run %s: %w", c.Args[0], err))
	}
	cmd := func() *exec.Cmd {
		return &exec.Cmd{
			Path: c.Args[0], Args: c.Args, Dir: "/",
			Env:    append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", marker}, c.Env...),
			Stdout: in, Stderr: in,
			SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: cred, Pdeathsig: syscall.SIGKILL},
		}
	}
	var child *exec.Cmd
	started := make(chan error, 1)
	gone := make(chan struct{})
	var waited error
	go func() {
		// Pdeathsig strikes when the thread that has started the child ends,
		// so this thread is kept until the child is gone (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		var err error
		child, err = start(ctx, cmd, min(busy, c.Timeout))
		started <- err
		if err == nil {
			waited = child.Wait()
		}
	}()
	err = <-started
	in.Close()
	if err != nil {
		out.Close()
		return failed(fmt.Errorf("run %s: %w", c.Args[0], why(err)))
	}
	collected := collect(out)

	tree := &family{leader: child.Process.Pid, marker: marker}
	end, stood := await(ctx, gone, c.Timeout, time.Now)
	r := Result{Exit: -1, Gone: gone, Stood: stood, TimedOut: end == timedOut, Canceled: end == canceled}
	switch end {
	case exited:
		// Looking through all processes after each run of a healthy program
		// would cost more than the program.
		if !c.Leave && tree.remains() {
			r.Survived = tree.end(nil, 0)
		}
	default:
		r.Survived = tree.end(gone, Grace)
	}
	r.Output, r.Dropped = collected()
	select {
	case <-gone:
		r.Exit, r.Signal = status(child, waited)
	default:
		// In an uninterruptible sleep: its end is told by Gone.
	}
	return r
}

// A program that somebody has open for writing is not executed (ETXTBSY, execve(2)).
// An editor or cp is done with it at once, and no check shall fail for that: the start
// is tried again every retry, until busy is over.
const (
	busy  = time.Second
	retry = 10 * time.Millisecond
)

// start starts what cmd makes: another one each time it is tried.
func start(ctx context.Context, cmd func() *exec.Cmd, patience time.Duration) (*exec.Cmd, error) {
	for end := time.Now().Add(patience); ; {
		child := cmd()
		err := child.Start()
		if !errors.Is(err, unix.ETXTBSY) || !time.Now().Before(end) {
			return child, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retry):
		}
	}
}

// why names the missing interpreter, which the kernel reports as a missing
// program.
func why(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return errors.New("its interpreter is missing: look at its first line")
	}
	if errors.Is(err, unix.ENOEXEC) {
		return errors.New("it is neither a program nor a script: its first line must name an interpreter, as in #!/bin/sh")
	}
	if errors.Is(err, unix.ETXTBSY) {
		return errors.New("somebody has it open for writing: put a new version in its place with mv")
	}
	return rootCause(err)
}

func status(cmd *exec.Cmd, waited error) (exit int, sig syscall.Signal) {
	var ee *exec.ExitError
	if waited != nil && !errors.As(waited, &ee) {
		return -1, 0
	}
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return -1, ws.Signal()
	}
	return cmd.ProcessState.ExitCode(), 0
}

// After freeBytes the output is read no faster than 64 KiB in every pause: the
// program that floods waits, and this process keeps its time for others.
const (
	freeBytes = 1 << 20
	pause     = 10 * time.Millisecond
)

// collect reads the output in a goroutine of its own. What it returns is called
// when the program has ended: it gives the goroutine a moment to read what is
// left, ends it, and returns what was kept and how much was not.
func collect(out *os.File) func() (string, int64) {
	var kept []byte
	var total int64
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, err := out.Read(buf)
			if room := MaxOutput - len(kept); room > 0 {
				kept = append(kept, buf[:min(n, room)]...)
			}
			total += int64(n)
			if err != nil {
				return
			}
			if total > freeBytes {
				select {
				case <-time.After(pause):
				case <-ended:
				}
			}
		}
	}()
	return func() (string, int64) {
		close(ended)
		// A deadline is supported by every pipe.
		_ = out.SetReadDeadline(time.Now().Add(lastWords))
		<-done
		out.Close()
		return string(kept), total - int64(len(kept))
	}
}
