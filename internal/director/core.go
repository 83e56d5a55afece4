package director

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/journal"
	"baton/internal/pool"
	"baton/internal/track"
	"baton/ipvs"
	"baton/vrrp"
)

// core holds the director's state. One goroutine, run, owns all of it: every
// other goroutine hands it a function.
type core struct {
	opts    Options
	log     *logger
	levels  levels
	journal *journal.Journal
	prog    *programmer
	steward *steward
	inbox   chan func()
	begun   time.Time
	readers *control.Reading // nil in tests

	cfg        *conf.Config
	started    conf.Global // as of the start: what of it a reload cannot change is this
	loaded     time.Time
	lastReload time.Time
	lastOK     bool
	problems   []string
	reloading  chan struct{} // holds one: who reads the file and puts it in force
	trimmer    *time.Timer   // gives back the memory that reloads leave behind

	verdicts map[string]healthcheck.Verdict
	record   *orderWriter
	pools
	tableState

	settled        settled // the steward's last pass
	settleErr      string
	foreignDaemons map[string]bool

	tracks   map[string]trackState // by vrrp.Track.Key, interfaces excepted
	paths    *pathWatch
	watcher  *track.Scheduler // of what the prober may not run
	notifier *notifier
	notified map[string]string  // the state that notify scripts were told last, by "INSTANCE/name" and "GROUP/name"
	retired  map[string]retired // by name

	speaker   link
	prober    link
	marks     marks
	instances map[string]*instance
	statuses  []vrrp.Status
	figures
	// withdrawIn fires when a dead speaker has not come back in time.
	withdrawIn *time.Timer

	settleWaiters []passWaiter // for the steward
	inspections   inspections
	targets       chan map[netip.Addr][]string // of watchTargets, for watchReach; holds one
	handovers     map[string][]chan<- vrrp.Notice
	stopAt        time.Time // when a stop was asked for
	// stopWithin is the most that the speaker may take to stop, a time.Duration:
	// what a reload has taken out may still be handing over.
	stopWithin atomic.Int64

	lostTold                 time.Time // when dropped log lines were told last
	tracedOps, tracedChanges bucket
}

// instance is what the director remembers of a vrrp_instance.
type instance struct {
	cfg   vrrp.Config
	since time.Time // configured since: the ready gate counts from here
	ready bool
	waits string // what a closed gate waits for
	role  vrrp.Role
	// effective is the priority after tracking, as the speaker said last; 0: it
	// has not yet.
	effective uint8
	// diedAsMaster: the speaker died while this instance was master; the next
	// one resumes it.
	diedAsMaster bool
	diedAt       time.Time
	flaps        pool.Flaps // of its role
}

// resumes says whether a new speaker may go on as master: only while the peer
// cannot have taken over yet.
func (in *instance) resumes() bool {
	return in.diedAsMaster && time.Since(in.diedAt) < time.Duration(in.cfg.DownTimerAdverts)*in.cfg.AdvertInterval
}

func newCore(opts Options, log *logger) *core {
	now := time.Now()
	c := &core{
		opts: opts, log: log, inbox: make(chan func(), 256), begun: now,
		loaded: now, lastReload: now, lastOK: true,
		verdicts: map[string]healthcheck.Verdict{}, pools: newPools(), tableState: tableState{table: ipvs.Table{}}, instances: map[string]*instance{},
		handovers: map[string][]chan<- vrrp.Notice{}, targets: make(chan map[netip.Addr][]string, 1),
		levels:    levels{event.LevelInfo, map[event.Subsystem]levelSet{}},
		tracedOps: bucket{size: tracedOperations}, tracedChanges: bucket{size: tracedChanges},
		tracks: map[string]trackState{}, notified: map[string]string{}, retired: map[string]retired{},
		figures: newFigures(), reloading: make(chan struct{}, 1), trimmer: newTrimmer(debug.FreeOSMemory),
	}
	posted := func(n event.Name, fields ...event.Field) {
		c.postAlways(func() { c.say(n, fields...) })
	}
	c.watcher = track.NewScheduler(track.Options{
		Changed: func(key string, s track.State) { c.postAlways(func() { c.gotTrack(key, s) }) },
		Trouble: func(t track.Trouble) { tellTrouble(posted, t) },
	})
	c.notifier = newNotifier(nil, posted)
	c.paths = newPathWatch(c.say, c.postAlways)
	return c
}

// run executes what the others hand in, and looks once a second at what
// depends on time alone.
func (c *core) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case f := <-c.inbox:
			f()
			c.handle(inboxBatch)
			c.flush()
		case <-tick.C:
			c.look(time.Now())
			c.feelPulses()
			c.flush()
			c.paths.follow(c.cfg.Services, c.verdicts)
			c.paths.calm(time.Now())
		case <-ctx.Done():
			for {
				select {
				case f := <-c.inbox:
					f()
				default:
					return
				}
			}
		}
	}
}

// inboxBatch bounds what is done before its consequences are drawn.
const inboxBatch = 256

// handle executes what waits, up to n of it, and does not wait itself.
func (c *core) handle(n int) {
	for range n {
		select {
		case f := <-c.inbox:
			f()
		default:
			return
		}
	}
}

// flush draws the consequences that several facts may share: a thousand
// verdicts of one moment are one table.
func (c *core) flush() {
	c.settleVerdicts(time.Now())
	if c.changed != nil {
		c.program()
	}
	c.asked = false
	c.saveOrders()
	c.evaluateGates()
}

// errStopping is returned to whoever asks a director that is about to end, and
// errBusy to whoever has waited as long as he would.
var (
	errStopping = errors.New("the director is stopping")
	errBusy     = errors.New("the director has not answered in time (try again; what holds it up is in baton events)")
)

// post hands f to the core and does not wait for it.
func (c *core) post(ctx context.Context, f func()) {
	select {
	case c.inbox <- f:
	case <-ctx.Done():
	}
}

// ask hands f to the core and waits until it has run. After an error it has not,
// and will not: what f writes is the caller's.
func (c *core) ask(ctx context.Context, f func()) error {
	var claimed atomic.Bool // by the core, or by who gives up
	done := make(chan struct{})
	job := func() {
		if claimed.CompareAndSwap(false, true) {
			c.settleVerdicts(time.Now()) // who asks is told what follows from them
			f()
			close(done)
		}
	}
	select {
	case c.inbox <- job:
	case <-ctx.Done():
		return gaveUp(ctx)
	}
	select {
	case <-done:
	case <-ctx.Done():
		if claimed.CompareAndSwap(false, true) {
			return gaveUp(ctx)
		}
		<-done // it runs at this moment
	}
	return nil
}

func gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errBusy
	}
	return errStopping
}

// emit writes an event to the log and to the journal. Both never block.
func (c *core) emit(e event.Event) {
	traced := event.Traced(e.Name)
	if traced && !c.levels.debug(event.SubsystemOf(e.Name)) {
		return // a child has not heard yet that nobody watches any more
	}
	c.events[e.Name]++
	c.deliver(e, traced)
}

// deliver writes an event that has been counted; what is traced the journal only shows.
func (c *core) deliver(e event.Event, traced bool) {
	if c.levels.shows(e) {
		c.log.write(e)
	}
	if traced {
		c.journal.Show(e)
		return
	}
	c.journal.Append(e)
}

func (c *core) say(n event.Name, fields ...event.Field) {
	c.emit(event.New("director", n, fields...))
}

// mention tells at debug what lines of other events have told already. It is counted
// as always, but as what is traced it is not in the journal.
func (c *core) mention(n event.Name, fields ...event.Field) {
	c.events[n]++
	if !c.levels.debug(event.SubsystemOf(n)) {
		return
	}
	e := event.New("director", n, fields...)
	e.Level = event.LevelDebug
	c.deliver(e, true)
}

// adopt puts the first configuration in force over what the kernel holds, of
// which ours is what the director has programmed.
func (c *core) adopt(cfg *conf.Config, observed ipvs.Table, ours ipvs.Ownership) {
	c.table, c.starting = observed.Clone(), true
	c.ours = ours.Has
	c.install(cfg, time.Now())
	c.starting = false
	c.ours = nil
}

// install makes cfg the configuration: the instances, the checks and the table
// follow from it. It returns the number of the table.
func (c *core) install(cfg *conf.Config, now time.Time) uint64 {
	c.retire(cfg)
	if c.cfg == nil {
		c.started = cfg.Global
	}
	told := c.proberKnows(cfg)
	c.cfg, c.loaded = cfg, now
	c.relevel("log_level", func(l *levels) { l.base = cmp.Or(event.Level(cfg.Global.LogLevel), event.LevelInfo) })
	vis := cfg.Instances
	next := make(map[string]*instance, len(vis))
	for _, vi := range vis {
		in := c.instances[vi.Name]
		if in == nil {
			in = &instance{since: now}
		}
		if in.cfg.Priority != vi.Priority {
			in.effective = 0
		}
		in.cfg = vi
		next[vi.Name] = in
	}
	c.instances = next
	c.stopWithin.Store(max(c.stopWithin.Load(), int64(speakerStopWithin(vis))))

	c.paths.stale = true
	c.forgetTracks()
	c.installPools(cfg, now)
	c.settleServiceTracks(now)
	c.asked = true
	seq := c.program()
	c.steward.set(cfg.IPVS)
	c.evaluateGates()
	c.sendSpeaker()
	c.askStatus() // another priority, or track, has another effect
	if !told {
		c.sendProber()
		c.watchTargets()
	}
	return seq
}

func (c *core) sendSpeaker() { c.speaker.send(kindApply, string(kindApply), c.speakerState()) }

func (c *core) speakerState() speakerState {
	st := speakerState{Instances: c.cfg.Instances, Groups: c.cfg.SyncGroups, Track: c.trackStates(), Ready: c.readiness(), Past: map[string]vrrp.Past{},
		Ports: tcpPorts(c.cfg.Instances, c.cfg.Services), RuntimeDir: c.started.RuntimeDir}
	for name, in := range c.instances {
		past := vrrp.Past{Master: in.resumes()}
		if in.cfg.StartupDelay > 0 { // since it was configured: a speaker that is started again does not wait anew
			past.Waited = time.Since(in.since)
		}
		if past != (vrrp.Past{}) {
			st.Past[name] = past
		}
	}
	return st
}

// tcpPorts returns the TCP ports of the virtual services on each instance's
// addresses.
func tcpPorts(instances []vrrp.Config, services []conf.VirtualServer) map[string][]uint16 {
	ports := map[netip.Addr][]uint16{}
	for _, vs := range services {
		for _, k := range vs.Keys {
			if k.Protocol == ipvs.TCP && !slices.Contains(ports[k.Address], k.Port) {
				ports[k.Address] = append(ports[k.Address], k.Port)
			}
		}
	}
	out := map[string][]uint16{}
	for _, vi := range instances {
		for _, a := range vi.All() {
			for _, p := range ports[a.Prefix.Addr()] {
				if !slices.Contains(out[vi.Name], p) {
					out[vi.Name] = append(out[vi.Name], p)
				}
			}
		}
	}
	return out
}

// proberState is what the prober is to do, and what of the tracks is watched here.
func (c *core) proberState() (st proberState, own track.Specs) {
	st = proberState{Checks: c.cfg.Checks(), Doubted: c.doubted(), Known: c.knownTracks()}
	st.Track, own = c.trackSpecs(c.cfg)
	return st, own
}

func (c *core) sendProber() {
	st, own := c.proberState()
	c.marks.learn(st.Checks)
	if !c.prober.fresh {
		st.Unheard = c.unheard(st.Checks)
	}
	c.prober.fresh = false
	if time.Since(c.prober.started) < stable { // a later message may overtake the first
		st.Verdicts = maps.Clone(c.verdicts)
	}
	c.prober.send(kindApply, string(kindApply), st)
	c.watcher.Apply(own, st.Known)
}

// unheard are the checks without a verdict. The prober may have one all the same:
// a reload took the check out, another put it back, and the second one's message
// replaced that of the first before it was sent.
func (c *core) unheard(checks []healthcheck.Spec) []string {
	var ids []string
	for i := range checks {
		if _, heard := c.verdicts[checks[i].ID]; !heard {
			ids = append(ids, checks[i].ID)
		}
	}
	return ids
}

// doubted are the checks of servers that have failed and not come up since.
func (c *core) doubted() []string {
	var ids []string
	for _, s := range c.list {
		for i := range s.Servers {
			if s.known(i).Doubted {
				for _, check := range s.Servers[i].Checks {
					ids = append(ids, check.ID)
				}
			}
		}
	}
	return ids
}

// proberKnows says whether the prober has been told already what cfg wants of it:
// ten thousand checks are megabytes, and most reloads change none.
func (c *core) proberKnows(cfg *conf.Config) bool {
	if c.cfg == nil || time.Since(c.prober.started) < stable || !conf.SameChecks(c.cfg, cfg) {
		return false
	}
	was, ownWas := c.trackSpecs(c.cfg)
	is, ownIs := c.trackSpecs(cfg)
	return reflect.DeepEqual(was, is) && reflect.DeepEqual(ownWas, ownIs)
}

func (c *core) readiness() map[string]bool {
	m := make(map[string]bool, len(c.instances))
	for name, in := range c.instances {
		m[name] = in.ready
	}
	return m
}

// evaluateGates opens the ready gates that nothing holds closed any more.
func (c *core) evaluateGates() {
	opened := false
	for name, in := range c.instances {
		if in.ready {
			continue
		}
		waited := in.waits
		elapsed := time.Since(in.since)
		tracking := in.cfg
		tracking.Track = tracksOf(in.cfg, c.cfg.SyncGroups)
		in.waits = gateWaits(tracking, c.list, c.verdicts, c.programmed(), elapsed, c.cfg.Global.StartupDelayMax)
		if in.waits != "" {
			continue
		}
		in.ready, opened = true, true
		reason := "table programmed, checks answered"
		if elapsed >= c.cfg.Global.StartupDelayMax && waited != "" {
			reason = "startup_delay_max passed while " + waited
		}
		c.say(event.VRRPReady, event.F(event.Instance, name), event.F(event.Reason, reason), event.F(event.Took, round(elapsed)))
	}
	if opened {
		c.speaker.send(kindReady, string(kindReady), c.readiness())
	}
}

// round makes durations readable in a log line.
func round(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
