// Package vm runs commands on a kernel that has IPVS: on the running one if
// we are root and it has ip_vs or can load it, else in QEMU on Debian's cloud
// kernel, from an initramfs that holds the commands, the tools that they call
// and the shared libraries of both. See Choose for the order, Bundle for where
// kernel and tools come from.
package vm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"baton/integration/vm/wire"
)

// File is a file or a directory tree of the host and its place in the guest.
// An ELF executable brings the libraries that it is linked to.
type File struct {
	Host  string
	Guest string
	// Skip leaves out parts of a tree; nil takes everything.
	Skip func(path string, d fs.DirEntry) bool
}

// Command is one program to run. In the guest Env is added to a small
// environment of the guest's own; on the running kernel to ours.
type Command struct {
	Args    []string
	Env     []string
	Dir     string
	Timeout time.Duration // 0: the job's
}

// Job is a list of commands to run one after the other, whether or not those
// before have failed, on one kernel.
type Job struct {
	Files    []File
	Commands []Command

	// Timeout bounds the whole job, boot included; 0 means 15 minutes.
	Timeout time.Duration
	// Package is the Debian package of the guest's kernel, "" for the usual one.
	Package string
	// MemoryMiB is the guest's memory, 0 means 2048.
	MemoryMiB int
	// Path lists directories of the host that come first in PATH when the
	// commands run on the running kernel.
	Path []string
	// OutDir receives what the commands wrote to the directory that they find
	// in $BATON_OUT; "" throws it away.
	OutDir string

	Stdout, Stderr io.Writer // nil: the process's own
	// Progress receives one line for each step of getting and starting the
	// kernel; nil writes them to standard error.
	Progress func(line string)
	// Before and After are called around each command, with its index.
	Before func(i int)
	After  func(i int, e Exit)
}

// Exit is the end of one command. Code is as a shell gives it: 128 plus the
// signal's number, 124 for a time-out, 127 for a program that is not there.
type Exit = wire.Exit

// Timeouts that the caller does not choose.
const (
	defaultTimeout = 15 * time.Minute
	defaultMemory  = 2048
)

// Run runs the job on the kernel that Choose picks and returns one Exit for
// each command that ran. The error says why not all of them did.
func Run(ctx context.Context, where Where, job Job) ([]Exit, error) {
	job.setDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, job.Timeout, fmt.Errorf("time-out of %s", job.Timeout))
	defer cancel()
	switch where {
	case Running:
		return runHere(ctx, job)
	case Guest:
		return runGuest(ctx, job)
	}
	return nil, fmt.Errorf("run job: unknown kernel %q, want %q or %q", where, Running, Guest)
}

func (j *Job) setDefaults() {
	if j.Timeout == 0 {
		j.Timeout = defaultTimeout
	}
	if j.MemoryMiB == 0 {
		j.MemoryMiB = defaultMemory
	}
	if j.Stdout == nil {
		j.Stdout = os.Stdout
	}
	if j.Stderr == nil {
		j.Stderr = os.Stderr
	}
	if j.Progress == nil {
		j.Progress = PrintProgress
	}
	if j.Before == nil {
		j.Before = func(int) {}
	}
	if j.After == nil {
		j.After = func(int, Exit) {}
	}
	for i := range j.Commands {
		if j.Commands[i].Timeout == 0 {
			j.Commands[i].Timeout = j.Timeout
		}
	}
}

var started = time.Now()

// PrintProgress writes a line with the seconds since the program's start to
// standard error.
func PrintProgress(line string) {
	fmt.Fprintf(os.Stderr, "vm: %5.1f s  %s\n", time.Since(started).Seconds(), line)
}
