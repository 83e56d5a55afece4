//go:build linux

// Command guest is the init of the virtual machine in which Baton's tests
// run: it loads the modules, runs the job's commands, reports over the
// virtio-serial port and switches the machine off.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"baton/integration/vm/still"
	"baton/integration/vm/wire"
)

func main() {
	debug.SetGCPercent(400)
	if os.Getpid() != 1 {
		if err := work(); err != nil {
			fmt.Fprintf(os.Stderr, "init: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if err := first(); err != nil {
		fmt.Fprintf(os.Stderr, "init: %v\n", err)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintf(os.Stderr, "init: power off: %v\n", err)
	}
}

// first is process 1: it starts the worker and reaps whatever is orphaned, so
// that the worker's own waits are not disturbed.
func first() error {
	if err := mountAll(); err != nil {
		return err
	}
	worker, err := os.StartProcess("/init", []string{"worker"}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Env: []string{"PATH=" + wire.Path}})
	if err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == worker.Pid {
			return err
		}
	}
}

func work() error {
	raw, err := os.ReadFile(wire.JobFile)
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	var job wire.Job
	if err := json.Unmarshal(raw, &job); err != nil {
		return fmt.Errorf("decode job: %w", err)
	}
	for _, m := range job.Transport {
		if err := load(m); err != nil {
			return err
		}
	}
	port, err := openPort(wire.PortName)
	if err != nil {
		return err
	}
	defer port.Close()
	w := wire.NewWriter(port)
	if err := w.SendJSON(wire.KindHello, hello()); err != nil {
		return err
	}
	if err := prepare(w, job); err != nil {
		return err
	}
	go still.Watch(context.Background(), func(d time.Duration) {
		_ = w.Send(wire.KindStderr, []byte(still.Line(d))) // its next frame tells of a port that has gone
	})
	for _, c := range job.Commands {
		if err := w.SendJSON(wire.KindExit, run(w, c)); err != nil {
			return err
		}
	}
	if err := sendFiles(w, wire.OutDir); err != nil {
		return err
	}
	return w.Send(wire.KindDone, nil)
}

func hello() wire.Hello {
	var uts unix.Utsname
	var info unix.Timespec
	_ = unix.Uname(&uts)                              // fails on a bad address only
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &info) // as above
	return wire.Hello{Release: unix.ByteSliceToString(uts.Release[:]), Uptime: time.Duration(info.Nano())}
}

// graceAfterQuit is the time in which a program may print its goroutines.
const graceAfterQuit = 10 * time.Second

// run runs one command, then kills what it left behind.
func run(w *wire.Writer, c wire.Command) wire.Exit {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = w.Stream(wire.KindStdout), w.Stream(wire.KindStderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	begin := time.Now()
	fail := func(code int, err error) wire.Exit {
		_ = w.Send(wire.KindStderr, fmt.Appendf(nil, "run %s: %v\n", c.Args[0], err))
		return wire.Exit{Code: code, Took: time.Since(begin)}
	}
	if err := cmd.Start(); err != nil {
		return fail(127, err)
	}
	result := make(chan error, 1)
	go func() { result <- cmd.Wait() }()
	var err error
	timedOut := false
	select {
	case err = <-result:
	case <-time.After(c.Timeout):
		timedOut = true
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGQUIT)
		select {
		case <-result:
		case <-time.After(graceAfterQuit):
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			<-result
		}
	}
	// Everything but process 1 and this one; a test's daemons do not outlive it.
	_ = unix.Kill(-1, unix.SIGKILL)
	e := wire.Exit{Took: time.Since(begin), TimedOut: timedOut}
	var ee *exec.ExitError
	switch {
	case timedOut:
		e.Code = 124
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &ee):
		e.Code = ee.ExitCode()
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.Code = 128 + int(ws.Signal())
		}
	default:
		return fail(126, err)
	}
	return e
}
