package pathcheck

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// errUnresolved: the server's hardware address is not known yet.
var errUnresolved = errors.New("the server's hardware address is not known")

// hop is how a server is reached.
type hop struct {
	iface   string
	index   int
	mac     net.HardwareAddr // our own there
	station net.HardwareAddr // the server's, nil behind a router
	own     netip.Addr       // our address, of the virtual address's family, none that is virtual
	outer   netip.Addr       // our address towards the server, of a tunnel's packet
	routed  bool             // behind a router
	local   bool             // the server is this host
}

// wire is where questions are put and answers heard.
type wire interface {
	// resolve finds how a target is reached. errUnresolved means: try again.
	resolve(t Target, virtual func(netip.Addr) bool) (hop, error)
	// listen sees to it that what answers through h is heard.
	listen(h hop) error
	frame(h hop, f []byte) error          // sends a frame
	packet(to netip.Addr, p []byte) error // sends a packet by the kernel's routes
	rest()                                // closes what listen opened
}

// Options configure a Checker.
type Options struct {
	// Found is called with each round's result, from one goroutine; a target
	// that cannot be judged has none.
	Found func(id string, o Outcome)
	// Failed is called, once until it works again, when no question can be put.
	Failed func(err error)

	wire func(heard func(answer)) wire // tests
}

// Checker asks its targets in turn. Set and Run are safe for concurrent use.
type Checker struct {
	opts    Options
	answers chan answer
	wake    chan struct{}

	mu   sync.Mutex
	next []Target // set, and not yet taken over
	set  bool
}

// New makes a checker; nothing is asked before Run.
func New(o Options) *Checker {
	if o.wire == nil {
		o.wire = newKernel
	}
	return &Checker{opts: o, answers: make(chan answer, 256), wake: make(chan struct{}, 1)}
}

// Set says what to ask, all of it. A target that is new is asked within two
// seconds; one that is in force already keeps its turn.
func (c *Checker) Set(targets []Target) {
	c.mu.Lock()
	c.next, c.set = targets, true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// question is what a round asks.
type question struct {
	Target
	hop  hop
	port uint16
	seq  uint32
}

// job is a target with where its round is.
type job struct {
	question
	at    int // in its queue
	due   time.Time
	bad   int  // rounds in a row
	try   int  // of this round, 0: none is on its way
	heard kind // of TCP
	claim bool
}

// run is the state of Run, in its goroutine.
type run struct {
	*Checker
	wire    wire
	jobs    map[string]*job
	idle    queue               // whose round has not begun
	busy    queue               // whose round has
	asking  map[uint16]*job     // by source port
	recent  map[uint16]question // whose round has ended, by source port
	virtual map[netip.Addr]bool
	port    uint16
	free    time.Time // before that nothing new is asked
	closeAt time.Time // zero: nothing is open, or somebody needs it
	failed  bool
}

// Run asks until ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	r := &run{Checker: c, jobs: map[string]*job{}, asking: map[uint16]*job{}, recent: map[uint16]question{}, virtual: map[netip.Addr]bool{},
		port: uint16(rand.IntN(portCount))}
	r.wire = c.opts.wire(func(a answer) {
		select {
		case c.answers <- a:
		default: // of a flood the rest is not needed
		}
	})
	defer r.wire.rest()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
			r.take()
		case a := <-c.answers:
			r.hear(a, time.Now())
		case <-timer.C:
			r.work(time.Now())
		}
		timer.Reset(r.wait(time.Now()))
	}
}

// take takes over what was set.
func (r *run) take() {
	r.mu.Lock()
	targets, set := r.next, r.set
	r.next, r.set = nil, false
	r.mu.Unlock()
	if !set {
		return
	}
	now := time.Now()
	was := r.jobs
	r.jobs, r.idle, r.busy = make(map[string]*job, len(targets)), nil, nil
	clear(r.virtual)
	for _, t := range targets {
		j := was[t.ID]
		if j == nil || j.Server != t.Server || j.VIP != t.VIP || j.Port != t.Port || !sameTunnel(j.Tunnel, t.Tunnel) {
			j = &job{due: now.Add(settle + rand.N(spread))}
		} else {
			delete(was, t.ID)
		}
		j.Target = t
		r.jobs[t.ID] = j
		r.virtual[t.VIP] = true
		heap.Push(r.of(j), j)
	}
	for _, j := range was {
		r.release(j, now)
	}
}

func sameTunnel(a, b *Tunnel) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// of is the queue that a job is in.
func (r *run) of(j *job) *queue {
	if j.try == 0 {
		return &r.idle
	}
	return &r.busy
}

// wait is how long there is nothing to do.
func (r *run) wait(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	if len(r.busy) > 0 {
		next = r.busy[0].due
	}
	if len(r.idle) > 0 {
		// A round begins when it is due, and the one before is far enough away.
		begin := r.idle[0].due
		if begin.Before(r.free) {
			begin = r.free
		}
		if begin.Before(next) {
			next = begin
		}
	}
	if !r.closeAt.IsZero() && r.closeAt.Before(next) {
		next = r.closeAt
	}
	return max(0, next.Sub(now))
}

// work does what is due: rounds that wait for nothing more end, others go on,
// and at most one begins.
func (r *run) work(now time.Time) {
	for len(r.busy) > 0 && !r.busy[0].due.After(now) {
		r.step(r.busy[0], now)
	}
	if len(r.idle) > 0 && !r.idle[0].due.After(now) && !now.Before(r.free) {
		r.free = now.Add(pace)
		if j := r.idle[0]; r.begin(j) {
			r.step(j, now)
		} else {
			j.due = now.Add(tryEvery)
			heap.Fix(&r.idle, j.at)
		}
	}
	if !r.closeAt.IsZero() && !r.closeAt.After(now) {
		r.closeAt = time.Time{}
		r.wire.rest()
		clear(r.recent)
	}
}

// step asks, once more, or ends the round. The job is in the right place of its
// queue afterwards.
func (r *run) step(j *job, now time.Time) {
	heap.Remove(r.of(j), j.at)
	defer func() { heap.Push(r.of(j), j) }()
	if j.heard != 0 || j.claim || j.try == tries {
		// A process that stood still has not read what has come meanwhile.
		if late := now.Sub(j.due) > grace; late && j.heard == 0 {
			j.due = now.Add(grace)
			return
		}
		r.end(j, now)
		return
	}
	j.try++
	j.due = now.Add(tryEvery)
	switch err := r.ask(j); {
	case err == nil:
		r.failed = false
	case errors.Is(err, errRouted):
		r.conclude(j, now, Outcome{Reason: NotOnLink}, true)
	case errors.Is(err, errUnresolved):
	default:
		if !r.failed && r.opts.Failed != nil {
			r.opts.Failed(err)
		}
		r.failed = true
		r.conclude(j, now, Outcome{}, false)
	}
}

// begin takes a port for the round, and says whether there was one.
func (r *run) begin(j *job) bool {
	for range portCount {
		r.port = (r.port + 1) % portCount
		p := firstPort + r.port
		if r.asking[p] == nil {
			r.asking[p] = j
			delete(r.recent, p)
			j.port, j.seq, j.heard, j.claim, j.hop = p, rand.Uint32(), 0, false, hop{}
			r.closeAt = time.Time{}
			return true
		}
	}
	return false
}

func (r *run) release(j *job, now time.Time) {
	if j.try == 0 {
		return
	}
	j.try = 0
	delete(r.asking, j.port)
	r.recent[j.port] = j.question
	if len(r.asking) == 0 {
		r.closeAt = now.Add(linger)
	}
}

var errRouted = errors.New("the server is behind a router")

// ask puts the question of a round, again if need be.
func (r *run) ask(j *job) error {
	h, err := r.wire.resolve(j.Target, func(a netip.Addr) bool { return r.virtual[a] })
	switch {
	case err != nil:
		return err
	case h.local:
		return errUnresolved // IPVS delivers here itself
	case h.routed && j.Tunnel == nil:
		return errRouted
	}
	if err := r.wire.listen(h); err != nil {
		return err
	}
	j.hop = h
	if h.station != nil {
		f, err := whoHas(j.VIP, h.own, h.mac, h.station)
		if err == nil {
			err = r.wire.frame(h, f)
		}
		if err != nil {
			return err
		}
	}
	if j.Port == 0 {
		return nil
	}
	return r.send(&j.question, j.seq, flagSYN)
}

// send sends a segment of a round as IPVS would pass it on.
func (r *run) send(q *question, seq uint32, flags byte) error {
	ip := segment(netip.AddrPortFrom(q.hop.own, q.port), netip.AddrPortFrom(q.VIP, q.Port), seq, flags)
	if q.Tunnel != nil {
		return r.wire.packet(q.Server, q.Tunnel.encapsulate(q.hop.outer, q.Server, q.port, ip))
	}
	f, err := inFrame(q.hop.station, q.hop.mac, ip)
	if err == nil {
		err = r.wire.frame(q.hop, f)
	}
	return err
}

// hear finds the question of an answer.
func (r *run) hear(a answer, now time.Time) {
	if a.kind == claim {
		for _, j := range r.asking {
			if j.VIP == a.vip.Addr() && string(j.hop.station) == string(a.mac[:]) {
				j.claim = true
			}
		}
		return
	}
	j, q := r.asking[a.local.Port()], question{}
	if j != nil {
		q = j.question
	} else {
		q = r.recent[a.local.Port()] // too late to count
	}
	if !q.hop.own.IsValid() || a.local.Addr() != q.hop.own || a.vip != netip.AddrPortFrom(q.VIP, q.Port) || a.ack != q.seq+1 {
		return
	}
	if a.kind == synAck {
		// The server waits for the third packet: it is told that none comes
		// (RFC 9293 §3.10.7.4). What is lost of that, its own timer mends.
		_ = r.send(&q, a.ack, flagRST)
	}
	if j == nil {
		return
	}
	if j.heard == 0 {
		j.heard = a.kind
		j.due = now.Add(grace)
		heap.Fix(&r.busy, j.at)
	}
}

// end ends a round with what was heard in it.
func (r *run) end(j *job, now time.Time) {
	switch {
	case j.claim:
		r.conclude(j, now, Outcome{Reason: AnswersARP}, true)
	case !j.hop.own.IsValid(): // nothing was asked
		r.conclude(j, now, Outcome{}, false)
	case j.heard == synAck, j.Port == 0:
		r.conclude(j, now, Outcome{OK: true}, true)
	case j.heard == reset:
		r.conclude(j, now, Outcome{Reason: Refused}, j.bad+1 >= badRounds)
	default:
		r.conclude(j, now, Outcome{Reason: NoAnswer}, j.bad+1 >= badRounds)
	}
}

// conclude tells an outcome that is sure, and says when the next round begins.
func (r *run) conclude(j *job, now time.Time, o Outcome, sure bool) {
	r.release(j, now)
	j.due = now.Add(j.Interval - j.Interval/20 + rand.N(j.Interval/10+1))
	switch {
	case o.OK:
		j.bad = 0
	case o.Reason != "":
		j.bad++
		if !sure {
			j.due = now.Add(min(again, j.Interval))
		}
	}
	if sure {
		r.opts.Found(j.ID, o)
	}
}

// queue is a heap of jobs by due.
type queue []*job

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, k int) bool { return q[i].due.Before(q[k].due) }
func (q queue) Swap(i, k int)      { q[i], q[k] = q[k], q[i]; q[i].at, q[k].at = i, k }

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	j := x.(*job)
	j.at = len(*q)
	*q = append(*q, j)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	j := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return j
}
