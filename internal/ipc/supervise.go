package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Child describes a process to keep running.
type Child struct {
	Name string   // for messages
	Path string   // the binary
	Args []string // without the program's name
	Attr *syscall.SysProcAttr
	Env  []string
	// Confine, if set, runs in the thread that starts the child, which ends
	// afterwards: what it gives up there the child never has, and this process
	// keeps.
	Confine func() error
	// Records, if set, is called in a goroutine of its own with one end of a
	// second socket, SOCK_SEQPACKET, whose other end the child finds by
	// InheritedRecords. The end is closed when the child is gone, which ends
	// what Records does with it.
	Records func(c *net.UnixConn)
	// Backoff returns how long to wait before restart number n (1 is the first
	// after a run that lasted less than Stable).
	Backoff func(n int) time.Duration
	// Stable is the run time after which a death counts as the first again.
	Stable time.Duration
	// StopWithin returns how long the child may take to end before it is killed.
	// It is asked when the child is told to, or has ceased to talk.
	StopWithin func() time.Duration

	Started func(pid int, c *Conn)           // connected; send it its desired state now
	Message func(m Message)                  // each message, in order
	Exited  func(pid int, reason string)     // the process is gone
	Waiting func(n int, delay time.Duration) // about to be restarted
	Failed  func(err error)                  // could not be started; it is tried again
}

// Supervise keeps the child running until ctx ends. Then it calls stop with
// the connection, which asks the child to finish, waits at most StopWithin and
// kills it. It returns when no process is left.
func (c *Child) Supervise(ctx context.Context, stop func(*Conn)) error {
	failures := 0
	for ctx.Err() == nil {
		begun := time.Now()
		err := c.runOnce(ctx, stop)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			c.Failed(err)
		}
		if time.Since(begun) >= c.Stable {
			failures = 0
		}
		failures++
		delay := c.Backoff(failures)
		c.Waiting(failures, delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return nil
}

func (c *Child) runOnce(ctx context.Context, stop func(*Conn)) error {
	conn, theirs, err := Pair()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer conn.Close()
	cmd := &exec.Cmd{
		Path: c.Path, Args: append([]string{"baton"}, c.Args...), Env: c.Env,
		Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{theirs}, SysProcAttr: c.Attr,
	}
	if c.Records != nil {
		ours, other, err := pair(unix.SOCK_SEQPACKET)
		if err != nil {
			theirs.Close()
			return fmt.Errorf("start %s: %w", c.Name, err)
		}
		defer ours.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, other)
		if uc, ok := ours.(*net.UnixConn); ok { // as the kernel says
			go c.Records(uc)
		}
	}
	err = c.start(cmd)
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	pid := cmd.Process.Pid
	gone := make(chan string, 1)
	go func() { gone <- exitReason(cmd.Wait()) }()
	read := make(chan error, 1)
	go func() { read <- c.read(conn) }()
	c.Started(pid, conn)

	var reason string
	select {
	case reason = <-gone:
		<-read // what it still said counts
	case err := <-read:
		// It closed its end or sent rubbish: it cannot be talked to any more, and
		// learns so.
		conn.Close()
		reason = c.end(cmd, gone)
		if err != nil && !errors.Is(err, io.EOF) {
			reason = err.Error()
		}
	case <-ctx.Done():
		stop(conn)
		reason = c.end(cmd, gone)
		conn.Close()
		<-read
	}
	c.Exited(pid, reason)
	return nil
}

// start starts the child, in a thread of its own where that has to be confined.
func (c *Child) start(cmd *exec.Cmd) error {
	if c.Confine == nil {
		return cmd.Start()
	}
	return apart(func() error {
		if err := c.Confine(); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// apart runs f in a thread that ends afterwards. The process's first one cannot end, and
// is what ps and /proc/PID/status show of the process: it is kept busy meanwhile.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked but in the first: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			done <- apart(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// end waits for a child that is on its way out and kills it at the bound.
func (c *Child) end(cmd *exec.Cmd, gone <-chan string) string {
	within := c.StopWithin()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case r := <-gone:
		return r
	case <-t.C:
		// The only error is that it is gone already.
		_ = cmd.Process.Kill()
		<-gone
		return fmt.Sprintf("killed: not gone within %v", within)
	}
}

func (c *Child) read(conn *Conn) error {
	for {
		m, err := conn.Receive()
		if err != nil {
			return err
		}
		c.Message(m)
	}
}

// exitReason puts a process's end into words.
func exitReason(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "exit 0"
	case errors.As(err, &exit):
		return exit.ProcessState.String()
	default:
		return err.Error()
	}
}
