package director

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"baton/healthcheck"
	"baton/internal/script"
)

// programsAtOnce bounds the programs of exec checks that run at a time: ten
// thousand checks that fall due together must not be ten thousand processes.
const programsAtOnce = 32

// programs returns what runs the programs of exec checks, as the user of this
// process.
func programs() healthcheck.Runner {
	places := make(chan struct{}, programsAtOnce)
	return func(ctx context.Context, p healthcheck.Program) healthcheck.Ended {
		asked := time.Now()
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-ctx.Done():
			return healthcheck.Ended{Exit: -1, Reason: healthcheck.Resources, Err: fmt.Errorf("run %s: %d other programs are running", p.Args[0], programsAtOnce)}
		}
		waited := time.Since(asked)
		return ended(ctx, p, waited, script.Run(ctx, script.Command{Args: p.Args, Env: p.Env, Timeout: p.Timeout}))
	}
}

// ended says what a run means for the check: a program that cannot be started,
// or that got less than its time, says nothing about the server.
func ended(ctx context.Context, p healthcheck.Program, waited time.Duration, r script.Result) healthcheck.Ended {
	// The check's own time ends a moment before the run's.
	if r.Canceled && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.Canceled, r.TimedOut = false, true
	}
	e := healthcheck.Ended{Err: r.Err, TimedOut: r.TimedOut, Exit: r.Exit, Text: r.Reason(), Output: r.Excerpt()}
	if r.Survived > 0 {
		e.Gone = r.Gone
	}
	switch {
	case errors.Is(r.Err, syscall.EAGAIN), errors.Is(r.Err, syscall.ENOMEM), errors.Is(r.Err, syscall.EMFILE), errors.Is(r.Err, syscall.ENFILE):
		e.Reason = healthcheck.Resources
	case r.Err != nil:
		e.Reason = healthcheck.Config
	case r.TimedOut && waited > p.Timeout/10:
		e.Err = fmt.Errorf("%s, after it waited %v for one of %d places", e.Text, waited.Round(time.Millisecond), programsAtOnce)
		e.Reason = healthcheck.Resources
	}
	return e
}
