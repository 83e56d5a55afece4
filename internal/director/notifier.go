package director

import (
	"context"
	"slices"
	"sync"
	"time"

	"baton/conf"
	"baton/internal/event"
	"baton/internal/script"
)

// notifyBound is how many transitions of one instance, group or virtual server
// may wait for their scripts.
const notifyBound = 100

// stopNotifyWithin bounds how long a stopping daemon waits for notify scripts.
// The addresses are gone by then; systemd's TimeoutStopSec must be longer.
const stopNotifyWithin = 15 * time.Second

// transition is a change of state with the programs that it runs.
type transition struct {
	key      string // "INSTANCE/VI_1", "GROUP/VG_1", "virtual_server/tcp 192.168.16.200:80": its queue
	what     []event.Field
	to       string
	commands []conf.Command
	env      []string
}

// notifier runs notify scripts, those of one instance or group one after the
// other in the order of its transitions. Nothing waits for it: a script that
// hangs holds up the scripts behind it, until its time-out.
type notifier struct {
	run func(context.Context, conf.Command, []string) script.Result
	say func(event.Name, ...event.Field) // from the queues' goroutines

	mu     sync.Mutex
	queues map[string]*[]transition // those at work
	closed bool
	work   sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

func newNotifier(run func(context.Context, conf.Command, []string) script.Result, say func(event.Name, ...event.Field)) *notifier {
	n := &notifier{run: run, say: say, queues: map[string]*[]transition{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// put queues a transition. What it returns had to give way: the oldest of the
// queue, for it is the newest that the scripts must have seen.
func (n *notifier) put(t transition) (dropped []transition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil // the speaker has ended: nobody is left to change
	}
	q := n.queues[t.key]
	if q == nil {
		q = &[]transition{}
		n.queues[t.key] = q
		n.work.Go(func() { n.serve(t.key, q) })
	}
	if len(*q) >= notifyBound {
		dropped = append(dropped, (*q)[0])
		*q = (*q)[1:]
	}
	*q = append(*q, t)
	return dropped
}

// serve works through a queue and ends with it.
func (n *notifier) serve(key string, q *[]transition) {
	for {
		n.mu.Lock()
		if len(*q) == 0 {
			delete(n.queues, key)
			n.mu.Unlock()
			return
		}
		t := (*q)[0]
		*q = (*q)[1:]
		n.mu.Unlock()
		if n.ctx.Err() != nil {
			tellDropped(n.say, t, "the daemon has stopped")
			continue
		}
		for _, c := range t.commands {
			n.tell(t, c, n.run(n.ctx, c, t.env))
		}
	}
}

func (n *notifier) tell(t transition, c conf.Command, r script.Result) {
	fields := append(slices.Clone(t.what), event.F(event.To, t.to), event.F(event.Command, c.Args[0]))
	if r.OK() {
		n.say(event.NotifyRan, append(fields, event.F(event.Took, round(r.Took)))...)
		return
	}
	n.say(event.NotifyFailed, append(fields, event.F(event.Reason, r.Reason()),
		event.F(event.Took, round(r.Took)), event.F(event.Detail, r.Excerpt()))...)
}

func tellDropped(say func(event.Name, ...event.Field), t transition, reason string) {
	say(event.NotifyDropped, append(slices.Clone(t.what), event.F(event.To, t.to), event.F(event.Reason, reason))...)
}

// stop waits until every script has run, at most for the given time; then it
// ends those that still do.
func (n *notifier) stop(within time.Duration) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	t := time.AfterFunc(within, n.cancel)
	n.work.Wait()
	t.Stop()
	n.cancel()
}
