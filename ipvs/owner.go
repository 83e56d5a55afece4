package ipvs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxStuck is how many hung goroutines are given up before new work is refused.
const maxStuck = 3

// looks is how often progress is looked for in the time-out. What stops between two is
// given up at the end of the time-out that begins with the second.
const looks = 10

// session is a set of netlink sockets, which only one goroutine may use.
type session interface {
	abort() // from another goroutine: make a blocked call return if that is possible
	close() // by the owning goroutine, at its end
}

// owner has one goroutine that uses the session, and watches it: if a request
// makes no progress for the time-out, the goroutine and its sockets are given
// up and the next request opens new ones.
type owner[S session] struct {
	open    func() (S, error)
	timeout time.Duration

	turn   chan struct{} // holds one token; whoever has it owns worker and closed
	worker *worker[S]
	closed bool

	stuck atomic.Int32
	ended sync.WaitGroup // workers that were not given up
}

type worker[S session] struct {
	session S
	jobs    chan func(S) error
	answer  chan error
	beats   atomic.Uint64 // signs of progress, counted: a clock for each of thousands would cost more
}

func newOwner[S session](open func() (S, error), timeout time.Duration) *owner[S] {
	return &owner[S]{open: open, timeout: timeout, turn: make(chan struct{}, 1)}
}

// do runs a job on the session. It waits for its turn as long as ctx lets it;
// a job that has begun is waited for until it ends or hangs.
func (o *owner[S]) do(ctx context.Context, job func(s S, beat func()) error) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.turn }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := o.ready(); err != nil {
		return err
	}
	w := o.worker
	w.jobs <- func(s S) error { return job(s, w.progress) }
	watch := time.NewTicker(o.timeout / looks)
	defer watch.Stop()
	for seen, quiet := w.beats.Load(), 0; ; {
		select {
		case err := <-w.answer:
			if broken(err) {
				o.retire()
			}
			return err
		case <-watch.C:
			if now := w.beats.Load(); now != seen {
				seen, quiet = now, 0
				continue
			}
			if quiet++; quiet < looks {
				continue
			}
			o.giveUp()
			return fmt.Errorf("%w: %v without progress", ErrHung, o.timeout)
		}
	}
}

// ready sees to it that there is a worker.
func (o *owner[S]) ready() error {
	switch {
	case o.closed:
		return errors.New("ipvs kernel is closed")
	case o.worker != nil:
		return nil
	}
	if n := o.stuck.Load(); n >= maxStuck {
		return fmt.Errorf("%w: %d earlier requests still hang in the kernel", ErrHung, n)
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	w := &worker[S]{session: s, jobs: make(chan func(S) error), answer: make(chan error, 1)}
	o.worker = w
	o.ended.Go(w.run)
	return nil
}

func (w *worker[S]) run() {
	defer w.session.close()
	for job := range w.jobs {
		w.answer <- job(w.session)
	}
}

func (w *worker[S]) progress() { w.beats.Add(1) }

// retire lets the idle worker end.
func (o *owner[S]) retire() {
	close(o.worker.jobs)
	o.worker = nil
}

// giveUp leaves a hung worker to itself. It ends when the kernel lets go.
func (o *owner[S]) giveUp() {
	w := o.worker
	o.retire()
	o.stuck.Add(1)
	o.ended.Go(func() {
		w.session.abort()
		<-w.answer
		o.stuck.Add(-1)
	})
}

// close ends the worker and waits for it, but not for one that hangs.
func (o *owner[S]) close() {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	if o.closed {
		return
	}
	o.closed = true
	if o.worker != nil {
		o.retire()
	}
	if o.stuck.Load() == 0 {
		o.ended.Wait()
	}
}

// broken says whether an error may have left the sockets out of step. An
// errno is an answer of the kernel, and a cancelled reading has ended between
// two requests.
func broken(err error) bool {
	var errno syscall.Errno
	if errors.Is(err, errOutOfStep) {
		return true
	}
	return err != nil && !errors.As(err, &errno) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}
