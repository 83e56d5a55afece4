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
	at    time.Time
	table ipvs.Table
}

func (r *reading) read(ctx context.Context) (ipvs.Table, time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table != nil {
		return r.table, r.at, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	t, err := r.kernel.Read(ctx)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read ipvs counters: %w", err)
	}
	r.at, r.table = time.Now(), t
	time.AfterFunc(readEvery, func() { // some megabytes that nobody needs until the next scrape
		r.mu.Lock()
		r.table = nil
		r.mu.Unlock()
	})
	return t, r.at, nil
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
	table, read, _ := c.reading.read(ctx)
	answers(ctx, speaker, prober)
	var s *metrics.Snapshot
	if err := c.ask(ctx, func() {
		s = c.snapshot(table, read)
		s.Processes = []metrics.Process{
			{Name: "director", Running: true, Started: c.begun, Usage: usage()},
			c.speaker.process("speaker", isClosed(speaker), c.speakerUsage()),
			c.prober.process("prober", isClosed(prober), c.proberUsage()),
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
