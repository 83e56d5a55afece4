package director

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Task is a unit of the daemon: something that runs until its context ends.
// Ready is closed once it does its work.
type Task interface {
	fmt.Stringer
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

// task makes a Task of functions.
type task struct {
	name  string
	run   func(ctx context.Context) error
	ready chan struct{}
}

func newTask(name string, run func(ctx context.Context, ready func()) error) *task {
	t := &task{name: name, ready: make(chan struct{})}
	t.run = func(ctx context.Context) error {
		return run(ctx, func() { close(t.ready) })
	}
	return t
}

func (t *task) String() string                { return t.name }
func (t *task) Ready() <-chan struct{}        { return t.ready }
func (t *task) Run(ctx context.Context) error { return t.run(ctx) }

// runTasks runs all tasks until one fails or ctx ends, and calls allReady once
// when every one of them is.
func runTasks(ctx context.Context, tasks []Task, allReady func()) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error {
			err := t.Run(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("run %s: %w", t, err)
			}
			return nil
		})
	}
	g.Go(func() error {
		for _, t := range tasks {
			select {
			case <-t.Ready():
			case <-ctx.Done():
				return nil
			}
		}
		allReady()
		return nil
	})
	return g.Wait()
}

// after is time.After; it stands alone so that the bound has a name where it
// is used.
func after(d time.Duration) <-chan time.Time { return time.After(d) }

// closeLogWithin bounds how long a stopping daemon waits for a log reader.
const closeLogWithin = time.Second
