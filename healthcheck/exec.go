package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Program is one run of an exec check's program, without a shell.
type Program struct {
	Args    []string
	Env     []string      // besides what every program gets
	Timeout time.Duration // after which it and all that it has started are ended
}

// Ended is how a run went.
type Ended struct {
	Err      error  // it could not be started
	Reason   Reason // of Err, Config or Resources
	TimedOut bool
	Exit     int             // its exit status; -1: it was ended by a signal
	Text     string          // how it ended, in a few words
	Output   string          // the beginning of what it wrote, in one line
	Gone     <-chan struct{} // closed when all of it is gone; nil: it is
}

// Runner runs programs. It returns when the program has ended or was ended,
// which it is when ctx ends.
type Runner func(ctx context.Context, p Program) Ended

// Bounds of an ExecSpec.
const (
	maxArgs     = 64
	maxArgBytes = 8 << 10
)

// program is the checker of kind exec.
type program struct {
	what    Program
	dynamic bool
	run     Runner
	last    *int            // weight, of the last pass
	gone    <-chan struct{} // of a run that could not be ended
}

// newExec returns the checker of kind exec.
func newExec(b *builder) Checker {
	e := b.spec.Exec
	if e == nil || len(e.Args) == 0 {
		b.problem("Exec.Args", "name a program by its absolute path", "is empty")
		return nil
	}
	if p := e.Args[0]; !filepath.IsAbs(p) || filepath.Clean(p) != p {
		b.problem("Exec.Args", "begin it with / and leave . and .. out", "%.60q is not an absolute path", p)
	}
	total := 0
	for _, a := range e.Args {
		total += len(a) + 1
		if strings.ContainsRune(a, 0) {
			b.problem("Exec.Args", "leave it out", "%.60q has a zero byte", a)
		}
	}
	if len(e.Args) > maxArgs || total > maxArgBytes {
		b.problem("Exec.Args", fmt.Sprintf("use up to %d of up to %d bytes in all", maxArgs, maxArgBytes), "%d arguments of %d bytes are too many", len(e.Args), total)
	}
	t := b.spec.Target
	return &program{dynamic: e.Dynamic, run: b.run, what: Program{
		Args: e.Args, Timeout: b.spec.Timeout,
		Env: []string{
			"BATON_ADDRESS=" + t.Addr().String(),
			fmt.Sprintf("BATON_PORT=%d", t.Port()),
			"BATON_CHECK=" + strings.ReplaceAll(b.spec.ID, "\x00", ""),
		},
	}}
}

// Check runs the program.
func (p *program) Check(ctx context.Context) error {
	if p.run == nil {
		return failure(Config, "nothing here runs programs")
	}
	if p.gone != nil {
		select {
		case <-p.gone:
			p.gone = nil
		default:
			return failure(Resources, "a process of an earlier run cannot be killed")
		}
	}
	r := p.run(ctx, p.what)
	p.gone = r.Gone
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	weight, err := verdictOf(r, p.dynamic)
	if err == nil {
		p.last = weight
	}
	return err
}

// weight is what the last pass said.
func (p *program) weight() *int { return p.last }

// verdictOf decides about a run.
func verdictOf(r Ended, dynamic bool) (weight *int, err error) {
	said := ""
	if r.Output != "" {
		said = ": " + r.Output
	}
	switch {
	case r.Err != nil:
		return nil, failure(r.Reason, "%v", r.Err)
	case r.TimedOut:
		return nil, failure(Timeout, "%s%s", r.Text, said)
	case r.Exit == 0:
		return nil, nil
	case dynamic && r.Exit >= 2 && r.Exit <= 255:
		w := r.Exit - 2
		return &w, nil
	default:
		return nil, failure(ExitStatus, "%s%s", r.Text, said)
	}
}
