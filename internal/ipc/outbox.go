package ipc

import (
	"context"
	"errors"
	"sync"
)

// Outbox decouples whoever states facts from the socket that carries them: Put
// never blocks, one goroutine sends. The speaker must not wait for a director
// that is slow to read. At the bound the oldest fact goes and is counted;
// facts with a key replace an unsent one with the same key, so that verdicts
// are bounded by the number of checks and none is lost. Facts of which each one
// counts are put by PutAlways: whoever states them bounds them.
type Outbox struct {
	mu      sync.Mutex
	queue   []fact
	keys    map[string]int // key → sequence number of its unsent fact
	first   int            // sequence number of queue[0]
	kept    int            // facts in queue that must not be dropped
	limit   int
	dropped uint64
	wake    chan struct{}
}

type fact struct {
	kind Kind
	key  string
	kept bool // by PutAlways
	body any
}

// NewOutbox makes an outbox that holds at most limit facts without a key.
func NewOutbox(limit int) *Outbox {
	return &Outbox{keys: map[string]int{}, limit: limit, wake: make(chan struct{}, 1)}
}

// Put queues a fact. A key other than "" makes it replace the unsent fact of
// that key, in the older one's place.
func (o *Outbox) Put(kind Kind, key string, body any) {
	o.mu.Lock()
	if at, ok := o.keys[key]; ok && key != "" {
		o.queue[at-o.first].body = body
		o.mu.Unlock()
		return
	}
	if key == "" && len(o.queue)-len(o.keys)-o.kept >= o.limit {
		o.dropOldest()
	}
	if key != "" {
		o.keys[key] = o.first + len(o.queue)
	}
	o.queue = append(o.queue, fact{kind: kind, key: key, body: body})
	o.mu.Unlock()
	o.awake()
}

// PutAlways queues a fact that is never dropped.
func (o *Outbox) PutAlways(kind Kind, body any) {
	o.mu.Lock()
	o.queue = append(o.queue, fact{kind: kind, kept: true, body: body})
	o.kept++
	o.mu.Unlock()
	o.awake()
}

func (o *Outbox) awake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// dropOldest removes the oldest fact that has no key and need not be kept. Those
// before it, of which there are few, move up. With o.mu held.
func (o *Outbox) dropOldest() {
	for i, f := range o.queue {
		if f.key != "" || f.kept {
			continue
		}
		copy(o.queue[1:], o.queue[:i])
		o.queue[0] = fact{}
		o.queue = o.queue[1:]
		o.first++
		for k, at := range o.keys {
			if at-o.first+1 < i {
				o.keys[k] = at + 1
			}
		}
		o.dropped++
		return
	}
}

// Dropped returns how many facts were given up at the bound so far.
func (o *Outbox) Dropped() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

func (o *Outbox) take() (fact, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return fact{}, false
	}
	f := o.queue[0]
	o.queue[0] = fact{}
	o.queue = o.queue[1:]
	o.first++
	if f.key != "" {
		delete(o.keys, f.key)
	}
	if f.kept {
		o.kept--
	}
	return f, true
}

// Run sends what is put until ctx ends, then what is still queued. It returns
// the first error of the connection. A fact that no connection could carry is
// left out, and unsendable is called with why, from this goroutine.
func (o *Outbox) Run(ctx context.Context, c *Conn, unsendable func(error)) error {
	for {
		ended := ctx.Err() != nil // before what is queued is sent, so that all of it is
		for f, ok := o.take(); ok; f, ok = o.take() {
			if err := c.Send(f.kind, f.body); errors.Is(err, ErrUnsendable) {
				unsendable(err)
			} else if err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
		}
	}
}
