package director

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/metrics"
	"baton/ipvs"
)

// figures are counted for the metrics alone. They belong to the core.
type figures struct {
	events       map[event.Name]uint64
	transitions  map[metrics.Transition]uint64
	speakerFacts *speakerFacts // the last, nil: none
	checkFacts   *proberFacts
	reading      *reading
}

func newFigures() figures {
	return figures{events: map[event.Name]uint64{}, transitions: map[metrics.Transition]uint64{}}
}

func (f *figures) speakerUsage() *metrics.Usage {
	if f.speakerFacts == nil {
		return nil
	}
	return f.speakerFacts.Usage
}

func (f *figures) proberUsage() *metrics.Usage {
	if f.checkFacts == nil {
		return nil
	}
	return f.checkFacts.Usage
}

const (
	// readEvery is the least time between two readings of the kernel's counters.
	readEvery = time.Second
	// keepRoom is longer than anybody lets pass between two scrapes: it is some megabytes.
	keepRoom = 5 * time.Minute
	// readWithin is how long a scrape waits for one.
	readWithin = 2 * time.Second
)

// reading shares a reading of the kernel's table between those who scrape at
// the same time: however many there are, the kernel is read once a second. What
// the programmer reads is not used, for it reads only what it is about to
// change, and counters that come partly from an older reading would run
// backwards.
type reading struct {
	kernel ipvs.Kernel

	mu    sync.Mutex
	now   *sharedTable // nil: there is none, or it is too old
	spare *sharedTable // that nobody uses any more: room for the next
}

// sharedTable is one reading.
type sharedTable struct {
	at    time.Time
	table ipvs.Table
	users int
	old   bool
}

// read returns a reading, which is the caller's until he calls done.
func (r *reading) read(ctx context.Context) (t *sharedTable, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		var room ipvs.Table
		if r.spare != nil {
			room = r.spare.table
		}
		r.spare = nil // also if it fails: a request that hangs may yet write there
		ctx, cancel := context.WithTimeout(ctx, readWithin)
		defer cancel()
		table, err := r.kernel.ReadOver(ctx, room)
		if err != nil {
			return &sharedTable{}, func() {}, fmt.Errorf("read ipvs counters: %w", err)
		}
		fresh := &sharedTable{at: time.Now(), table: table}
		r.now = fresh
		time.AfterFunc(readEvery, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			fresh.old, r.now = true, nil
			r.recycle(fresh)
		})
	}
	t = r.now
	t.users++
	return t, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		t.users--
		r.recycle(t)
	}, nil
}

// recycle keeps the room of a reading that nobody gets or has any more, for as long as
// there may be another scrape.
func (r *reading) recycle(t *sharedTable) {
	if !t.old || t.users > 0 {
		return
	}
	r.spare = t
	time.AfterFunc(keepRoom, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.spare == t {
			r.spare = nil
		}
	})
}

// Metrics writes every figure in Prometheus's text format. What a child or the
// kernel does not answer in time is left out.
func (c *core) Metrics(ctx context.Context, w io.Writer) error {
	speaker, prober := make(chan struct{}), make(chan struct{})
	if err := c.ask(ctx, func() {
		c.speaker.question(kindStatus, speaker)
		c.prober.question(kindChecks, prober)
	}); err != nil {
		return err
	}
	// Told by the metrics themselves, and by the programmer with an event.
	shared, done, _ := c.reading.read(ctx)
	defer done()
	answers(ctx, speaker, prober)
	var s *metrics.Snapshot
	if err := c.ask(ctx, func() {
		s = c.snapshot(shared.table, shared.at)
		s.Processes = []metrics.Process{
			{Name: "director", Running: true, Started: c.begun, Usage: usage()},
			c.speaker.process("speaker", isClosed(speaker), c.speakerUsage()),
			c.prober.process("prober", isClosed(prober), c.proberUsage()),
		}
		// What it said before would look like what is: a master that stands still sends nothing.
		if !isClosed(speaker) {
			s.Instances, s.Groups, s.Lateness = nil, nil, nil
		}
		if !isClosed(prober) {
			s.Checks = nil
		}
	}); err != nil {
		return err
	}
	defer s.Release()
	return metrics.Write(w, s)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (l *link) process(name string, answered bool, u *metrics.Usage) metrics.Process {
	p := metrics.Process{Name: name, Running: l.conn != nil && answered, Restarts: l.deaths}
	if l.conn != nil {
		p.Started = l.started
	}
	if p.Running {
		p.Usage = u
	}
	return p
}

// snapshot is what the core knows, beside a reading of the kernel's table, nil
// where there is none.
func (c *core) snapshot(table ipvs.Table, read time.Time) *metrics.Snapshot {
	s := &metrics.Snapshot{
		Version: c.opts.Version, Node: c.cfg.Global.RouterID, KeepalivedNames: c.cfg.Global.KeepalivedNames,
		Config: metrics.Config{Hash: c.cfg.Hash, Loaded: c.loaded, LastReload: c.lastReload, LastOK: c.lastOK, Warnings: len(c.cfg.Warnings)},
		Events: make(map[string]uint64, len(event.Catalogue)), Transitions: map[metrics.Transition]uint64{},
		IPVS: metrics.IPVS{Read: read, Readable: table != nil, OK: c.programmed(), Foreign: len(c.foreign)},
	}
	for _, e := range event.Catalogue {
		s.Events[string(e.Name)] = c.events[e.Name]
	}
	c.electionFigures(s)
	if c.prober.conn != nil && c.checkFacts != nil {
		s.Checks = &c.checkFacts.Checks
	}
	if st := c.ipvsStatus(); st != nil {
		for _, d := range st.Daemons {
			s.IPVS.Daemons = append(s.IPVS.Daemons, metrics.Daemon{Role: d.Role, Interface: d.Interface, SyncID: d.SyncID, Running: d.Running})
		}
	}
	c.tableFigures(s, table)
	return s
}

func (c *core) electionFigures(s *metrics.Snapshot) {
	known := map[string]metrics.Instance{}
	for _, st := range c.statuses {
		known[st.Config.Name] = metrics.Instance{Status: st}
	}
	for _, name := range c.instanceNames() {
		in, i := c.instances[name], known[name]
		if i.Config.Name == "" { // the speaker has not told of it yet
			i.Config, i.Role, i.EffectivePriority = in.cfg, roleWord(in.role), in.cfg.Priority
		}
		i.NotReady = !in.ready
		s.Instances = append(s.Instances, i)
	}
	for t, n := range c.transitions {
		if c.instances[t.Instance] == nil {
			delete(c.transitions, t)
			continue
		}
		s.Transitions[t] = n
	}
	for _, g := range c.cfg.SyncGroups {
		s.Groups = append(s.Groups, metrics.Group{Name: g.Name, State: c.groupStatus(g).State})
	}
	if c.speaker.conn != nil && c.speakerFacts != nil {
		s.Lateness = &c.speakerFacts.Lateness
	}
}

// newReaders serves the read-only part over TCP, where the configuration says so.
func (c *core) newReaders(g conf.Global) *control.Reading {
	return control.NewReading(control.ReadOptions{Address: g.ControlListen, Socket: g.ControlSocket, Reader: c, Notify: c.controlFault(context.Background())})
}

// controlFault tells what goes wrong with a listener of the control interface.
func (c *core) controlFault(ctx context.Context) func(error) {
	return func(err error) {
		c.post(ctx, func() { c.say(event.ControlFailed, event.F(event.Err, err)) })
	}
}
