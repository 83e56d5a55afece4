package director

import (
	"context"
	"errors"
	"fmt"
	"time"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/event"
)

// applyWithin bounds how long a reload waits for the kernel's table.
const applyWithin = 15 * time.Second

// Reload reads the configuration file again. A mistake in it refuses the whole
// and nothing changes; else what changed is in force in the speaker's and
// prober's queues and in the kernel's table when it returns.
func (c *core) Reload(ctx context.Context) (control.Reload, error) {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	relax()
	defer c.trimmer.Reset(calm)
	applied := make(chan error, 2) // the table and the settings
	out, err := c.readAgain(ctx, applied)
	if err != nil {
		return out, err
	}
	var refused error
	for range cap(applied) {
		select {
		case err := <-applied:
			refused = errors.Join(refused, err)
		case <-ctx.Done():
			return out, fmt.Errorf("wait for the kernel's table: not programmed within %v, it is tried again", applyWithin)
		}
	}
	if refused != nil {
		return out, fmt.Errorf("apply configuration to the kernel (it is tried again): %w", refused)
	}
	return out, nil
}

// readAgain reads the file and puts it in force, or refuses it; applied gets two
// answers. One reload after the other does so: of two at a time, by SIGHUP and
// through the control socket, the one that has read an older file could else be
// the last.
func (c *core) readAgain(ctx context.Context, applied chan<- error) (out control.Reload, err error) {
	select {
	case c.reloading <- struct{}{}:
		defer func() { <-c.reloading }()
	case <-ctx.Done():
		return out, fmt.Errorf("wait for another reload: %w", ctx.Err())
	}
	// Read outside the core: a slow disk must not hold up anything.
	var old *conf.Config
	if err := c.ask(ctx, func() { old = c.cfg }); err != nil {
		return out, err
	}
	next, problem := conf.Reload(old, c.opts.ConfigFile, c.opts.Node)
	readers, problem := c.openReaders(ctx, next, problem)
	defer func() { readers.Close() }() // unless it is used
	err = c.ask(ctx, func() {
		c.lastReload = time.Now()
		if problem != nil {
			out = c.reject(problem)
			applied <- nil
			applied <- nil
			return
		}
		var seq uint64
		out, seq = c.change(next)
		readers.Use()
		c.passWaiters = append(c.passWaiters, passWaiter{seq, applied})
		_, seq = c.steward.get()
		c.settleWaiters = append(c.settleWaiters, passWaiter{seq, applied})
	})
	return out, err
}

// openReaders listens where a configuration that is valid so far wants readers
// to be served. Where that is not possible the reload is refused: what is in force
// goes on.
func (c *core) openReaders(ctx context.Context, next *conf.Config, invalid error) (*control.Opening, error) {
	if invalid != nil || c.readers == nil {
		return nil, invalid
	}
	o, err := c.readers.Open(ctx, next.Global.ControlListen)
	if err != nil {
		return nil, fmt.Errorf("%s: global.control_listen = %q: %w", c.opts.ConfigFile, next.Global.ControlListen, err)
	}
	return o, nil
}

// maxProblems bounds the lines about one refused reload: a large file can have
// thousands of mistakes, and the journal is for what happens.
const maxProblems = 50

// reject records a refused configuration.
func (c *core) reject(err error) control.Reload {
	lines := problemLines(err)
	c.lastOK, c.problems = false, lines
	c.say(event.ConfigRejected, event.F(event.File, c.opts.ConfigFile), event.F(event.Count, len(lines)),
		event.F(event.Detail, "the configuration of "+c.loaded.Format(time.RFC3339)+" stays in force"))
	for i, l := range lines {
		if i == maxProblems {
			l = fmt.Sprintf("and %s more; baton check prints all", plural(len(lines)-i, "problem"))
		}
		c.say(event.ConfigProblem, event.F(event.File, c.opts.ConfigFile), event.F(event.Detail, l))
		if i == maxProblems {
			break
		}
	}
	return control.Reload{OK: false, Problems: lines}
}

// problemLines renders whatever conf.Load returned.
func problemLines(err error) []string {
	var ps conf.Problems
	if !errors.As(err, &ps) {
		return []string{err.Error()}
	}
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return lines
}

// change puts a valid configuration in force.
func (c *core) change(next *conf.Config) (control.Reload, uint64) {
	begun := time.Now()
	diff := conf.Diff(c.cfg, next)
	c.lastOK, c.problems = true, nil
	// What the last process left to die is no reason to resume anything now.
	for _, in := range c.instances {
		in.diedAsMaster = false
	}
	seq := c.install(next, begun)
	c.tellApplied(diff, begun)
	lines := diff.Lines()
	c.traceChanges(lines)
	c.tellWarnings(next)
	return control.Reload{OK: true, Changes: lines}, seq
}
