package vrrp

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// EngineOptions is what an Engine works with. Listen, Addresses, Announcer and
// Notify are needed. All are called from the engine's goroutine only.
type EngineOptions struct {
	Listen    func(Endpoint) (Conn, error) // Listen of this package, or a test's
	Addresses Addresses
	Announcer Announcer
	// Notify must neither wait nor call the engine.
	Notify func(Notice)
	// Now is the clock of all deadlines. It must not jump, and should go on
	// while the machine is suspended. nil: CLOCK_BOOTTIME.
	Now func() time.Time
	// Wall stamps notices. nil: Now where that was given, else time.Now.
	Wall func() time.Time
}

// Engine runs virtual routers: one goroutine, that of Run, owns all of them.
// Its methods may be called from any goroutine, before Run as well.
type Engine struct {
	core    *Core
	now     func() time.Time
	kick    chan struct{} // something is in commands or arrived
	done    chan struct{} // Run has returned
	waiters sync.WaitGroup
	late    Lateness // Run's own

	mu       sync.Mutex
	running  bool
	commands []func()
	arrived  []*watched
}

// NewEngine returns an engine without instances.
func NewEngine(opts EngineOptions) *Engine {
	switch {
	case opts.Now == nil:
		opts.Now = bootClock()
		if opts.Wall == nil {
			opts.Wall = time.Now
		}
	case opts.Wall == nil:
		opts.Wall = opts.Now
	}
	e := &Engine{now: opts.Now, kick: make(chan struct{}, 1), done: make(chan struct{})}
	listen := opts.Listen
	opts.Listen = func(at Endpoint) (Conn, error) {
		conn, err := listen(at)
		if err != nil {
			return nil, err
		}
		return e.watch(at, conn), nil
	}
	e.core = NewCore(opts)
	return e
}

// Run works until ctx ends or Shutdown has finished, and returns nil then.
// When ctx ends the instances resign and withdraw their addresses at once. An
// engine runs once.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	again := e.running
	e.running = true
	e.mu.Unlock()
	if again {
		return errors.New("run VRRP engine: it runs already, or has")
	}
	defer close(e.done)
	defer e.waiters.Wait()
	defer e.core.Close()

	timer := time.NewTimer(0)
	defer timer.Stop()
	var commands []func()
	var arrived []*watched
	var due time.Time
	for {
		// What is due is counted before anything else is done, which may well
		// put it off.
		if !due.IsZero() {
			if late := e.now().Sub(due); late >= 0 {
				e.late.note(late)
			}
		}
		e.mu.Lock()
		commands, e.commands = e.commands, commands[:0]
		arrived, e.arrived = e.arrived, arrived[:0]
		e.mu.Unlock()

		for i, run := range commands {
			run()
			commands[i] = nil
		}
		for i, w := range arrived {
			w.read()
			arrived[i] = nil
		}
		e.core.Tick()
		if e.core.Stopped() {
			return nil
		}

		var expired <-chan time.Time
		due = time.Time{}
		if next, ok := e.core.Next(); ok {
			due = next
			timer.Reset(next.Sub(e.now()))
			expired = timer.C
		}
		select {
		case <-ctx.Done():
			e.core.Stop(true)
			return nil
		case <-expired:
		case <-e.kick:
		}
	}
}

// Past is what an instance was under an engine that has ended.
type Past struct {
	Master bool          `json:"master,omitempty"` // and is so at once: its addresses are still here from a speaker that died
	Waited time.Duration `json:"waited,omitempty"` // how long ago it began to wait for its StartupDelay
}

// Apply makes cfgs the instances, whole and idempotently; an instance that is
// missing hands over and goes. One that is new goes on from its past, by name, under
// an engine before this one. An instance whose configuration changes may preempt again whom it was
// handed to. Apply returns Validate's error, and then changes nothing.
//
// An instance that is in one of groups changes together with the others in it.
func (e *Engine) Apply(cfgs []Config, groups []SyncGroup, past map[string]Past) error {
	if err := Validate(cfgs, groups); err != nil {
		return err
	}
	cfgs, groups, past = slices.Clone(cfgs), slices.Clone(groups), maps.Clone(past)
	for i := range cfgs {
		cfgs[i] = cfgs[i].clone()
	}
	for i := range groups {
		groups[i].Members, groups[i].Track = slices.Clone(groups[i].Members), slices.Clone(groups[i].Track)
	}
	e.do(func() { e.core.Apply(cfgs, groups, past) })
	return nil
}

// clone returns a copy that shares nothing with c.
func (c Config) clone() Config {
	c.Peers, c.Addresses, c.Excluded = slices.Clone(c.Peers), slices.Clone(c.Addresses), slices.Clone(c.Excluded)
	c.Routes, c.Rules, c.Track = slices.Clone(c.Routes), slices.Clone(c.Rules), slices.Clone(c.Track)
	if c.VMAC != nil {
		v := *c.VMAC
		c.VMAC = &v
	}
	return c
}

// SetReady opens and closes the ready gates by instance name; a name that is
// missing is not ready. An instance that is not ready listens as backup and
// never becomes master; when its deadline has passed meanwhile it becomes
// master as soon as it is ready. A master stays one.
func (e *Engine) SetReady(ready map[string]bool) {
	ready = maps.Clone(ready)
	e.do(func() { e.core.SetReady(ready) })
}

// SetLink tells the state of an interface, whether instances use it or track
// it. Instances on an interface that was never told of wait one master down
// interval for it before they are in FAULT.
func (e *Engine) SetLink(l LinkState) {
	e.do(func() { e.core.SetLink(l) })
}

// SetTrack tells the state of everything that is tracked, by Track.Key,
// interfaces excepted: those come through SetLink.
func (e *Engine) SetTrack(states map[string]TrackState) {
	states = maps.Clone(states)
	e.do(func() { e.core.SetTrack(states) })
}

// SetTracing makes each advert that is sent, and each valid one that is
// received, a notice, or no longer does. It is for an operator who watches.
func (e *Engine) SetTracing(on bool) {
	e.do(func() { e.core.SetTracing(on) })
}

// Failover begins to hand the instance over to its peer, "" every instance
// that is master, and returns why not when it cannot. How it ends is told by
// NoticeHandoverDone or NoticeHandoverFailed. Afterwards the successor is not
// preempted until it goes, the configuration of the instance changes, or this
// node restarts.
func (e *Engine) Failover(instance string) error {
	err := errors.New("fail over: the VRRP engine does not run")
	e.call(func() { err = e.core.Failover(instance) })
	return err
}

// Shutdown stops every instance with a handover and returns nil when Run has.
// When ctx ends first the addresses are withdrawn at once, and its error is
// returned.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.do(func() { e.core.Stop(false) })
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if !running {
		return nil // Run finds the command and returns
	}
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	e.do(func() { e.core.Stop(true) })
	<-e.done
	return ctx.Err()
}

// Status returns every instance, sorted by name; nil when Run does not run.
func (e *Engine) Status() []Status {
	var out []Status
	e.call(func() { out = e.core.Status() })
	return out
}

// Lateness returns how late the engine came to what was due since Run began;
// nothing when it does not run.
func (e *Engine) Lateness() (l Lateness) {
	e.call(func() { l = e.late })
	return l
}

// do has run called by the engine's goroutine, after all before it.
func (e *Engine) do(run func()) {
	e.mu.Lock()
	e.commands = append(e.commands, run)
	e.mu.Unlock()
	e.wake()
}

// call is do, and waits until run was called. When Run does not run, or ends
// before, run is never called.
func (e *Engine) call(run func()) {
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if !running {
		return
	}
	finished := make(chan struct{})
	e.do(func() {
		run()
		close(finished)
	})
	select {
	case <-finished:
	case <-e.done:
	}
}

func (e *Engine) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// watched is a Conn with a goroutine that tells the engine of arrivals.
type watched struct {
	Conn
	engine *Engine
	at     Endpoint
	again  chan struct{} // what arrived was read
	closed chan struct{}
	broken atomic.Pointer[error]
}

func (e *Engine) watch(at Endpoint, conn Conn) *watched {
	w := &watched{Conn: conn, engine: e, at: at, again: make(chan struct{}, 1), closed: make(chan struct{})}
	e.waiters.Go(w.wait)
	return w
}

func (w *watched) wait() {
	for {
		err := w.Conn.Wait()
		if err != nil {
			w.broken.Store(&err)
		}
		w.engine.mu.Lock()
		w.engine.arrived = append(w.engine.arrived, w)
		w.engine.mu.Unlock()
		w.engine.wake()
		if err != nil {
			return
		}
		select {
		case <-w.again:
		case <-w.closed:
			return
		}
	}
}

// read is called by the engine for what wait has told.
func (w *watched) read() {
	select {
	case <-w.closed:
		return
	default:
	}
	w.engine.core.Receive(w.at)
	// When there is more, wait comes back at once.
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// Receive tells a failure of Wait as its own.
func (w *watched) Receive(buf []byte) ([]byte, Meta, error) {
	message, meta, err := w.Conn.Receive(buf)
	if broken := w.broken.Load(); err == ErrEmpty && broken != nil {
		return nil, Meta{}, *broken
	}
	return message, meta, err
}

// Overhear passes on what not every Conn can do.
func (w *watched) Overhear(device string) error {
	if o, ok := w.Conn.(overhearer); ok {
		return o.Overhear(device)
	}
	return nil
}

// HasSource does so, too.
func (w *watched) HasSource(a netip.Addr) bool {
	s, ok := w.Conn.(sourcer)
	return !ok || s.HasSource(a)
}

// Close ends the goroutine as well.
func (w *watched) Close() error {
	close(w.closed)
	return w.Conn.Close()
}
