package director

import (
	"context"
	"sync"
	"time"
)

// latest hands values to one goroutine that acts on the last of them: whoever
// sets one does not wait, and what was overtaken is never seen.
type latest[T any] struct {
	mu   sync.Mutex
	want T
	seq  uint64        // of want; 0: nothing was set yet
	wake chan struct{} // holds one
}

func newLatest[T any]() *latest[T] { return &latest[T]{wake: make(chan struct{}, 1)} }

// set makes v the value and returns its number.
func (l *latest[T]) set(v T) uint64 {
	l.mu.Lock()
	l.want = v
	l.seq++
	seq := l.seq
	l.mu.Unlock()
	l.poke()
	return seq
}

// poke wakes the goroutine without a new value.
func (l *latest[T]) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// get returns the value and its number.
func (l *latest[T]) get() (T, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want, l.seq
}

// each calls once when woken and every interval until ctx ends; after a failure
// sooner, at first after a second, then in steps that double. It is ready after
// the first call, however that went: what cannot be done is told, and must not
// keep the rest from working.
func (l *latest[T]) each(ctx context.Context, interval time.Duration, ready func(), once func(context.Context) error) error {
	first := sync.OnceFunc(ready)
	retry := min(time.Second, interval)
	t := time.NewTimer(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-t.C:
		}
		if err := once(ctx); err != nil {
			t.Reset(retry)
			retry = min(2*retry, interval)
		} else {
			retry = min(time.Second, interval)
			t.Reset(interval)
		}
		first()
	}
}
