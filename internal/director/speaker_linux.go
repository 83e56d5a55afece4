package director

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/netif"
	"baton/vrrp"
)

// speaker is the process that speaks VRRP. It takes its desired state from
// the director and sends facts back; it survives a director that is slow, and
// when the director is gone it hands its addresses over and ends.
type speaker struct {
	conn   *ipc.Conn
	out    *ipc.Outbox
	engine *vrrp.Engine
	netif  *netif.Manager
	addrs  *addresses
	// claimed is the lock that had to be waited for; it is held until the
	// process ends.
	claimed atomic.Pointer[os.File]
	traced  bucket // adverts

	mu         sync.Mutex
	interfaces map[string]bool            // that the election is told of; true: and the log
	links      map[string]netif.LinkState // last reported
	configs    map[string]vrrp.Config
}

// factsBound is how many unsent facts the speaker keeps for a director that
// does not read: each of 5,000 addresses that come or go is one.
const factsBound = 16384

// RunSpeaker is the speaker process. It returns when it was told to stop, or
// the director is gone, and every handover has ended.
func RunSpeaker(ctx context.Context) error {
	ignoreTerminalSignals(signal.Ignore)
	// A service manager that ends what a dead director left asks with SIGTERM,
	// one that gives up on a stuck director with SIGABRT: the addresses are
	// handed over in both cases.
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGABRT)
	defer stop()
	// One processor may be inside a system call while the other keeps time.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	conn, err := ipc.Inherited()
	if err != nil {
		return err
	}
	s := &speaker{conn: conn, out: ipc.NewOutbox(factsBound), traced: bucket{size: tracedAdverts},
		interfaces: map[string]bool{}, links: map[string]netif.LinkState{}, configs: map[string]vrrp.Config{}}
	sending, stopSending := context.WithCancel(context.Background())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// The reader of the other direction notices a broken connection.
		_ = s.out.Run(sending, conn, func(err error) { s.limit(err, "the director does not hear of it") })
	}()
	err = s.run(ctx)
	stopSending()
	<-sent
	return err
}

func (s *speaker) say(n event.Name, fields ...event.Field) {
	s.out.Put(kindEvent, "", event.New("speaker", n, fields...))
}

// limit reports what this process has to do without.
func (s *speaker) limit(err error, remedy string) {
	if err != nil {
		s.say(event.ChildLimited, event.F(event.Child, "speaker"), event.F(event.Reason, err), event.F(event.Detail, remedy))
	}
}

func (s *speaker) run(ctx context.Context) error {
	first, err := s.firstState()
	if err != nil {
		return err
	}
	s.netif, err = newNetif(first.RuntimeDir)
	if err != nil {
		return err
	}
	defer s.netif.Close()
	s.addrs = newAddresses(s.netif, s.say)
	defer s.claim(first.RuntimeDir)()
	s.limit(realtime(), "without real-time scheduling and locked memory a busy machine delays adverts: give the unit CAP_SYS_NICE and CAP_IPC_LOCK, or keep advert_int at 100 ms or more")
	s.limit(keepCapabilities(speakerCaps), "the speaker keeps privileges that it does not need")
	s.limit(noNewPrivileges(), "")
	if _, err := s.netif.CleanLeftovers(); err != nil {
		s.say(event.RelayFailed, event.F(event.Err, err))
	}
	if _, err := s.netif.ProbeRelay(); err != nil {
		s.say(event.RelayFailed, event.F(event.Err, err))
	}
	s.engine = vrrp.NewEngine(vrrp.EngineOptions{
		Listen:    listen,
		Addresses: s.addrs, Announcer: s.addrs,
		Notify: s.notify,
	})

	// The engine outlives ctx: it ends when every handover has.
	ended := make(chan error, 1)
	go func() { ended <- s.engine.Run(context.Background()) }()
	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	watched := make(chan error, 1)
	go func() { watched <- s.netif.Watch(watching, s.fact) }()
	go func() {
		s.limit(s.netif.WatchRoutes(watching, s.addrs.pathsVanished), "virtual routes and rules that somebody deletes are not put back")
	}()
	s.addrs.cleanStrays(first.Instances)
	s.apply(first)
	s.out.Put(kindHello, "", os.Getpid())

	lost := make(chan error, 1)
	go func() { lost <- s.listenToDirector() }()
	var failure error
	select {
	case <-ctx.Done(): // SIGTERM
	case err := <-lost:
		if err != nil && !errors.Is(err, io.EOF) {
			failure = err
		}
	case err := <-watched:
		failure = fmt.Errorf("watch the interfaces: %w", err)
	case err := <-ended:
		return fmt.Errorf("run the election: %w", errors.Join(err, errors.New("ended on its own")))
	}
	// Bounded by the protocol: a handover ends with the master down interval.
	failure = errors.Join(failure, s.engine.Shutdown(context.Background()), <-ended)
	s.addrs.wait()
	s.addrs.conflicts.end()
	s.addrs.vmacs.want(nil)
	s.addrs.reconcileVMACs()
	return failure
}

// claim takes the lock that says that a speaker may hold addresses, for whoever
// cleans up after a director, and returns what gives it back. A speaker of the
// director before may still have it, and then gives it up soon.
func (s *speaker) claim(runtimeDir string) (release func()) {
	name := filepath.Join(runtimeDir, speakerLock)
	f, err := lockFile(name, false)
	var held *errHeld
	if errors.As(err, &held) {
		go func() {
			f, err := lockFile(name, true)
			s.limit(err, "baton cleanup would not wait for this speaker")
			s.claimed.Store(f)
		}()
		return func() {}
	}
	s.limit(err, "baton cleanup would not wait for this speaker")
	return func() { f.Close() } // without a file it does nothing
}

// firstState waits for the director's first word, which must be the state.
func (s *speaker) firstState() (speakerState, error) {
	var st speakerState
	m, err := s.conn.Receive()
	if err != nil {
		return st, fmt.Errorf("wait for the first configuration: %w", err)
	}
	if m.Kind != kindApply {
		return st, fmt.Errorf("wait for the first configuration: got a %s message", m.Kind)
	}
	return st, m.Decode(&st)
}

// listenToDirector acts on messages until the director says stop, which
// returns nil, or is gone.
func (s *speaker) listenToDirector() error {
	for {
		m, err := s.conn.Receive()
		if err != nil {
			return err
		}
		switch m.Kind {
		case kindApply:
			var st speakerState
			if err := m.Decode(&st); err != nil {
				return err
			}
			s.apply(st)
		case kindReady:
			var ready map[string]bool
			if err := m.Decode(&ready); err != nil {
				return err
			}
			s.engine.SetReady(ready)
		case kindTrack:
			var states map[string]vrrp.TrackState
			if err := m.Decode(&states); err != nil {
				return err
			}
			s.engine.SetTrack(states)
		case kindFailover:
			var name string
			if err := m.Decode(&name); err != nil {
				return err
			}
			if err := s.engine.Failover(name); err != nil {
				s.out.Put(kindRefused, "", refusal{name, err.Error()})
			}
		case kindTrace:
			var on bool
			if err := m.Decode(&on); err != nil {
				return err
			}
			s.engine.SetTracing(on)
		case kindAlive:
			isAlive(s.out)
		case kindStatus:
			s.out.Put(kindStatus, string(kindStatus), speakerFacts{Instances: s.engine.Status(), Lateness: s.engine.Lateness(), Usage: usage()})
		case kindStop:
			return nil
		}
	}
}

// apply takes over a whole desired state.
func (s *speaker) apply(st speakerState) {
	used := map[string]bool{}
	configs := map[string]vrrp.Config{}
	for _, c := range st.Instances {
		configs[c.Name] = c
		if c.VMAC != nil {
			used[c.VMAC.Name] = false
		}
	}
	for _, c := range st.Instances {
		used[c.Interface] = true
		tracked(used, c.Track)
	}
	for _, g := range st.Groups {
		tracked(used, g.Track)
	}
	s.mu.Lock()
	s.interfaces, s.configs = used, configs
	links := make([]netif.LinkState, 0, len(used))
	for name := range used {
		if l, ok := s.links[name]; ok {
			links = append(links, l)
		}
	}
	s.mu.Unlock()
	s.addrs.setPorts(st.Ports, st.Instances)
	s.addrs.vmacs.want(append([]vrrp.Config{}, st.Instances...))
	s.addrs.reconcileVMACs()
	s.engine.SetTrack(st.Track)
	// Readiness first: an instance must not start as ready by an old answer.
	s.engine.SetReady(st.Ready)
	if err := s.engine.Apply(st.Instances, st.Groups, st.Past); err != nil {
		s.say(event.ConfigProblem, event.F(event.Detail, err))
	}
	for _, l := range links {
		s.engine.SetLink(linkState(l))
	}
}

// tracked adds the interfaces that are tracked.
func tracked(used map[string]bool, tracks []vrrp.Track) {
	for _, t := range tracks {
		if t.Kind == vrrp.TrackInterface {
			used[t.Name] = true
		}
	}
}

func linkState(l netif.LinkState) vrrp.LinkState {
	return vrrp.LinkState{Interface: l.Name, Index: l.Index, Up: l.Up, Primary: l.Primary, LinkLocal: l.LinkLocal}
}

// fact takes over an observation of the network configuration.
func (s *speaker) fact(f netif.Fact) {
	switch f.Kind {
	case netif.LinkChanged, netif.LinkGone:
		s.linkFact(f)
	case netif.AddressRemoved:
		s.addrs.vanished(f.Link, f.Prefix)
	}
}

func (s *speaker) linkFact(f netif.Fact) {
	l := f.Link
	gone := f.Kind == netif.LinkGone
	s.mu.Lock()
	was, seen := s.links[l.Name]
	log, used := s.interfaces[l.Name]
	if gone {
		delete(s.links, l.Name)
		l.Up, l.Primary, l.LinkLocal, l.Index = false, netip.Addr{}, netip.Addr{}, 0
	} else {
		s.links[l.Name] = l
	}
	s.mu.Unlock()
	s.addrs.conflicts.station(l.Name, l.MAC) // none of a link that is gone
	if gone || was.Index != l.Index || was.Up != l.Up {
		s.addrs.linkChanged(l.Name)
		s.addrs.conflicts.reopen(l.Name)
		if self, parent := s.addrs.vmacs.concerns(l.Name); self || parent {
			s.addrs.reconcileVMACs()
		}
		if l.Up {
			s.addrs.returned(l.Name)
		}
	}
	if seen && !gone && !bytes.Equal(was.MAC, l.MAC) {
		s.addrs.restationed(l.Name, l.Up)
	}
	if !used {
		return
	}
	s.engine.SetLink(linkState(l))
	switch {
	case !log:
	case l.Up && (!seen || !was.Up):
		s.say(event.LinkUp, event.F(event.Interface, l.Name), event.F(event.Address, l.Primary))
	case gone:
		s.say(event.LinkDown, event.F(event.Interface, l.Name), event.F(event.Reason, "the interface is gone"))
	case !l.Up && (!seen || was.Up):
		s.say(event.LinkDown, event.F(event.Interface, l.Name), event.F(event.Reason, "no carrier or administratively down"))
	}
}

// notify passes a notice of the election on. It runs in the engine's
// goroutine: nothing here may wait.
func (s *speaker) notify(n vrrp.Notice) {
	if tracedNotice(n.Kind) {
		omitted, ok := s.traced.room(n.Time)
		if !ok {
			return
		}
		n.Count = omitted
	}
	if consequential(n.Kind) {
		s.out.PutAlways(kindNotice, n)
	} else {
		s.out.Put(kindNotice, "", n)
	}
	switch n.Kind {
	case vrrp.NoticeHandoverBegun:
		s.addrs.conflicts.setLeaving(n.Instance, true)
	case vrrp.NoticeHandoverDone, vrrp.NoticeHandoverFailed:
		s.addrs.conflicts.setLeaving(n.Instance, false)
	case vrrp.NoticePeerFound:
		s.mu.Lock()
		c, ok := s.configs[n.Instance]
		s.mu.Unlock()
		if ok {
			go s.addrs.learn(c, n.Peer)
		}
	}
}

// consequential says whether the director does more with a notice than to log
// it: each of these counts, and the protocol bounds how many there are.
func consequential(k vrrp.NoticeKind) bool {
	switch k {
	case vrrp.NoticeTransition, vrrp.NoticeGroup, vrrp.NoticePriorityChanged,
		vrrp.NoticeHandoverBegun, vrrp.NoticeHandoverDone, vrrp.NoticeHandoverFailed:
		return true
	}
	return false
}

// refusal is the body of a kindRefused message.
type refusal struct{ Instance, Reason string }

// listen opens the election's socket on an interface.
func listen(at vrrp.Endpoint) (vrrp.Conn, error) { return vrrp.Listen(at) }
