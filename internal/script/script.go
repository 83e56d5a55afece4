// Package script runs a program of the operator's: without a shell, as the
// user that it belongs to, with a bound on its time and on its output, and
// without a process left when its time is over.
package script

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// Command is one run of a program.
type Command struct {
	Args    []string      // Args[0] is an absolute path
	As      *Identity     // nil: the user of this process
	Env     []string      // all that it gets besides PATH, LANG and RunVariable
	Timeout time.Duration // from its start until it is ended, more than 0; without what this process stood still

	// Leave lets processes that the program leaves behind in its process group
	// live on after it has ended by itself in time. Without it they are killed.
	Leave bool
}

// The bounds of a run.
const (
	MaxOutput = 4 << 10                // bytes of output that are kept
	Grace     = 500 * time.Millisecond // between SIGTERM and SIGKILL
	killing   = time.Second            // that SIGKILL is given to work: a process in an uninterruptible sleep outlives it
	lastWords = 100 * time.Millisecond // that a child of an ended program may hold the output open
)

// RunVariable is in the environment of a program and all that it starts. Its
// value is another in each run.
const RunVariable = "BATON_RUN"

// Result is how a run ended.
type Result struct {
	Err      error          // it could not be started
	Exit     int            // exit status; -1: there is none
	Signal   syscall.Signal // that ended it; 0: none
	TimedOut bool           // its time was over
	Canceled bool           // the context ended
	Survived int            // processes of the run that SIGKILL has not ended
	Output   string         // standard output and error, the first MaxOutput bytes
	Dropped  int64          // bytes of output beyond
	Took     time.Duration
	Stood    time.Duration // of that, this process stood still: stopped, starved, or the machine was

	// Gone is closed when the program is gone for good, which is so when Run
	// returns, unless Survived counts it. Nil: it was never started.
	Gone <-chan struct{}
}

// OK says whether the program ended by itself, in time, with status 0.
func (r Result) OK() bool {
	return r.Err == nil && r.Exit == 0 && r.Signal == 0 && !r.TimedOut && !r.Canceled
}

// Reason says in a few words how the run ended: "exit status 1".
func (r Result) Reason() string {
	var s string
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.TimedOut:
		s = fmt.Sprintf("timed out after %v", r.Took.Round(time.Millisecond))
	case r.Canceled:
		s = "interrupted"
	case r.Signal != 0:
		s = fmt.Sprintf("ended by signal %d (%v)", int(r.Signal), r.Signal)
	default:
		s = fmt.Sprintf("exit status %d", r.Exit)
	}
	if r.Survived > 0 {
		s += fmt.Sprintf("; %d of its processes cannot be killed", r.Survived)
	}
	return s
}

// excerptBytes is how much of the output a log line has.
const excerptBytes = 200

// Excerpt is the output's beginning in one line, with what was left out
// counted.
func (r Result) Excerpt() string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(r.Output, "?")), " ")
	more := r.Dropped
	if len(s) > excerptBytes {
		more += int64(len(s) - excerptBytes)
		s = strings.ToValidUTF8(s[:excerptBytes], "")
	}
	if more > 0 {
		s += fmt.Sprintf(" … and %d bytes more", more)
	}
	return s
}
