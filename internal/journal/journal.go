// Package journal remembers events: the most recent ones in memory for whoever
// asks, and all of them in a bounded set of files that survive a restart.
//
// The director's decisions go through Append, so Append never waits: neither
// for a disk that is full or hangs nor for a reader that does not read. What
// cannot be kept is dropped, counted and reported.
package journal

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"baton/internal/event"
)

// Options say where a journal lies and how large it may become. The zero value
// of each field is its default.
type Options struct {
	// Dir holds events.jsonl and the older events.jsonl.1 and so on. It is made
	// if it is missing. Without it events are kept in memory only.
	Dir string
	// Count is how many events are kept in memory, 4096.
	Count int
	// MaxBytes is the size at which a file is rotated, 4 MiB.
	MaxBytes int64
	// Files is how many files are kept, the current one included, 4.
	Files int
	// Queue is how many events may wait for the disk, 1024.
	Queue int
	// Failed hears, in a goroutine of the journal, that count events did not
	// get into the file since it was last called, and why. It is called at once
	// and then at most once a minute while it goes on. An event.JournalFailed
	// that is lost in its turn is not reported.
	Failed func(err error, count uint64)

	closeWithin time.Duration // tests: less than two seconds
	opened      func()        // tests: the files were opened, the ring is looked at next
}

const (
	fileName    = "events.jsonl"
	maxLine     = 64 << 10 // of an encoded event
	reportEvery = time.Minute
)

// errSlow is the cause when events were dropped because the queue was full.
var errSlow = errors.New("the disk does not keep up")

func (o Options) withDefaults() (Options, error) {
	if o.Count < 0 || o.MaxBytes < 0 || o.Files < 0 || o.Queue < 0 {
		return o, fmt.Errorf("open journal: negative bound in %+v", o)
	}
	if o.Count == 0 {
		o.Count = 4096
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 20
	}
	if o.Files == 0 {
		o.Files = 4
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	if o.closeWithin == 0 {
		o.closeWithin = 2 * time.Second
	}
	if o.opened == nil {
		o.opened = func() {}
	}
	if o.Failed == nil {
		o.Failed = func(error, uint64) {}
	}
	return o, nil
}

// Journal is safe for concurrent use.
type Journal struct {
	opts Options

	mu    sync.Mutex
	ring  []event.Event // oldest at next once it is full
	next  int
	count uint64    // events that were remembered, those that left the ring included
	done  uint64    // of these, the first so many are in the files or dropped
	gone  time.Time // the latest time among those that left the ring
	subs  map[*subscriber]struct{}
	stats Stats
	news  uint64 // drops that were not reported yet

	queue   chan queued
	trouble chan struct{}
	quit    chan struct{}
	once    sync.Once
	written chan struct{} // closed when the writer has ended
}

// queued is an event on its way to the disk.
type queued struct {
	event.Event
	nth uint64 // j.count with it
}

// Stats count what became of the events that were appended.
type Stats struct {
	Written   uint64 // lines in the file
	Dropped   uint64 // not in the file: queue full or write failed
	Rotations uint64
	LastError error // of the last drop, nil if there was none
}

// Open reads back what an earlier run has left and starts to write. A disk
// that fails is no reason for an error: the journal then works from memory and
// says so through Failed. Only bounds that make no sense are refused.
func Open(o Options) (*Journal, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	j := &Journal{
		opts: o, ring: make([]event.Event, 0, o.Count), subs: map[*subscriber]struct{}{},
		queue: make(chan queued, o.Queue), trouble: make(chan struct{}, 1),
		quit: make(chan struct{}), written: make(chan struct{}),
	}
	if o.Dir == "" {
		close(j.written)
		return j, nil
	}
	old, err := readBack(o)
	for _, e := range old {
		j.remember(e)
	}
	j.done = j.count
	if len(old) == o.Count && len(old) > 0 {
		j.gone = old[0].Time // the files may have more
	}
	if err != nil {
		j.dropped(0, err, true)
	}
	go j.write()
	go j.report()
	return j, nil
}

// Append remembers an event. It never blocks.
func (j *Journal) Append(e event.Event) {
	if !j.take(e) {
		j.dropped(1, errSlow, e.Name != event.JournalFailed)
	}
}

// take remembers an event and queues it for the disk, in one step so that the
// files have the order of the ring. It says whether there was room in the queue.
func (j *Journal) take(e event.Event) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.remember(e)
	for s := range j.subs {
		s.offer(e)
	}
	if j.opts.Dir == "" {
		return true
	}
	select {
	case j.queue <- queued{e, j.count}:
		return true
	default:
		return false
	}
}

// remember puts an event into the ring; j.mu is held, or nobody else knows j.
func (j *Journal) remember(e event.Event) {
	j.count++
	if len(j.ring) < j.opts.Count {
		j.ring = append(j.ring, e)
		return
	}
	if t := j.ring[j.next].Time; t.After(j.gone) {
		j.gone = t
	}
	j.ring[j.next] = e
	j.next = (j.next + 1) % len(j.ring)
}

// Since returns the events in memory that happened at t or later, in the order
// in which they were appended. The zero time means all of them.
func (j *Journal) Since(t time.Time) []event.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.since(t)
}

// since is Since with j.mu held.
func (j *Journal) since(t time.Time) []event.Event {
	out := make([]event.Event, 0, len(j.ring))
	for i := range j.ring {
		// Times are not in order: what a child reports happened earlier.
		if e := j.ring[(j.next+i)%len(j.ring)]; !e.Time.Before(t) {
			out = append(out, e)
		}
	}
	return out
}

// Stats returns the counters.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

func (j *Journal) dropped(n uint64, why error, tell bool) {
	j.mu.Lock()
	j.stats.Dropped += n
	j.stats.LastError = why
	j.news += n
	j.mu.Unlock()
	if !tell {
		return
	}
	select {
	case j.trouble <- struct{}{}:
	default:
	}
}

// report runs apart from the writer, which may hang in the kernel just when
// there is something to report.
func (j *Journal) report() {
	for {
		select {
		case <-j.trouble:
		case <-j.quit:
			return
		}
		j.mu.Lock()
		err, n := j.stats.LastError, j.news
		j.news = 0
		j.mu.Unlock()
		j.opts.Failed(err, n)
		select {
		case <-time.After(reportEvery):
		case <-j.quit:
			return
		}
	}
}

// Close writes what is queued and waits for that up to two seconds. Events
// appended afterwards are kept in memory only.
func (j *Journal) Close() error {
	j.once.Do(func() { close(j.quit) })
	select {
	case <-j.written:
		return nil
	case <-time.After(j.opts.closeWithin):
		return fmt.Errorf("close journal in %s: %w", j.opts.Dir, errSlow)
	}
}
