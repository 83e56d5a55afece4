package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/integration/vm/still"
)

// HostProbes answers for the machine that we run on.
func HostProbes() Probes {
	return Probes{
		Root:       func() bool { return os.Geteuid() == 0 },
		Namespaces: probeNamespace,
		Family: func() error {
			_, err := netlink.GenlFamilyGet("IPVS")
			return err
		},
		Load: modprobe,
	}
}

// probeNamespace makes a network namespace on a thread of its own, which ends
// with it.
func probeNamespace() error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-result
}

func modprobe() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		out, err := exec.CommandContext(ctx, dir+"modprobe", "ip_vs").CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("modprobe ip_vs: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	}
	return errors.New("modprobe is not installed")
}

// runHere runs the job's commands as children on the running kernel.
func runHere(ctx context.Context, job Job) ([]Exit, error) {
	tools, err := missingTools(ctx, job.Progress)
	if err != nil {
		return nil, err
	}
	path := strings.Join(append(append(job.Path, os.Getenv("PATH"), "/usr/sbin:/sbin"), tools...), ":")
	out := job.OutDir
	if out == "" {
		if out, err = os.MkdirTemp("", "baton-out-"); err != nil {
			return nil, fmt.Errorf("create output directory: %w", err)
		}
		defer os.RemoveAll(out)
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("create output directory: %w", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go still.Watch(watching, func(d time.Duration) { fmt.Fprint(job.Stderr, still.Line(d)) })
	var exits []Exit
	for i, c := range job.Commands {
		job.Before(i)
		e, err := runChild(ctx, c, job, path, guestVariables(out))
		if err != nil {
			return exits, err
		}
		exits = append(exits, e)
		job.After(i, e)
		if ctx.Err() != nil {
			return exits, context.Cause(ctx)
		}
	}
	return exits, nil
}

// guestVariables tells a program that it runs on a kernel with IPVS.
func guestVariables(out string) []string {
	env := []string{"BATON_KERNEL=1", "BATON_OUT=" + out}
	if v, ok := os.LookupEnv("CI"); ok {
		env = append(env, "CI="+v)
	}
	return env
}

// runChild runs one command with a PATH that is not ours.
func runChild(ctx context.Context, c Command, job Job, path string, env []string) (Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookPath(c.Args[0], path), c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, job.Stdout, job.Stderr
	cmd.Env = append(append(append(os.Environ(), "PATH="+path), env...), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	err := startAndWait(cmd)
	e := Exit{Took: time.Since(begin), TimedOut: errors.Is(ctx.Err(), context.DeadlineExceeded)}
	var ee *exec.ExitError
	switch {
	case e.TimedOut:
		e.Code = 124
	case err == nil:
	case errors.As(err, &ee):
		e.Code = exitCode(ee.ProcessState)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(job.Stderr, "%v\n", err)
		e.Code = 127
	default:
		return e, fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	return e, nil
}

// lookPath finds a program in a PATH, or leaves its name for exec to refuse.
func lookPath(name, path string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(path) {
		p := filepath.Join(dir, name)
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
	}
	return name
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// startAndWait runs a command that the kernel kills when we die. The signal is
// tied to the thread that forked, so that thread waits as well.
func startAndWait(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		result <- cmd.Run()
	}()
	return <-result
}
