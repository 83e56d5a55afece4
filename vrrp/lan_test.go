package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lan is a virtual network with directors on it, in a bubble of synctest. It
// writes down what happens, one line for each fact:
//
//	3.414s a BACKUP>MASTER: no advert within the master down interval
type lan struct {
	t     *testing.T
	start time.Time

	mu    sync.Mutex
	ports []*port
	lines []string
}

// delay is how long a packet is under way. It keeps the order of lines certain.
const delay = time.Millisecond

func newLAN(t *testing.T) *lan { return &lan{t: t, start: time.Now()} }

func (l *lan) write(who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Since(l.start).Round(time.Millisecond)
	l.lines = append(l.lines, fmt.Sprintf("%v %s %s", at, who, fmt.Sprintf(format, args...)))
}

// expect lets d pass and compares what was written since the last time.
func (l *lan) expect(d time.Duration, want string) {
	l.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	l.mu.Lock()
	got := l.lines
	l.lines = nil
	l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if g, w := strings.Join(got, "\n"), strings.Join(lines, "\n"); g != w {
		l.t.Fatalf("\n--- got\n%s\n--- want\n%s", g, w)
	}
}

// taken returns what was written since the last time.
func (l *lan) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

// forget drops what was written after d.
func (l *lan) forget(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// deliver puts a packet on the wire.
func (l *lan) deliver(from *port, message []byte, meta Meta) {
	message = append([]byte(nil), message...)
	time.AfterFunc(delay, func() {
		l.mu.Lock()
		ports := append([]*port(nil), l.ports...)
		l.mu.Unlock()
		for _, p := range ports {
			if p != from && (from == nil || p.at.Interface == from.at.Interface) {
				p.arrive(message, meta)
			}
		}
	})
}

// inject sends an advert from outside.
func (l *lan) inject(a Advert, from netip.Addr, addresses []Address) {
	l.deliver(nil, AppendAdvert(nil, a, from, groupOf(from.Is6()), addresses), Meta{Source: from, Destination: groupOf(from.Is6()), TTL: 255})
}

// port is one director's socket.
type port struct {
	lan   *lan
	node  *node
	at    Endpoint
	mu    sync.Mutex
	queue []queued
	more  chan struct{}
	gone  chan struct{}
}

type queued struct {
	message []byte
	meta    Meta
}

func (p *port) arrive(message []byte, meta Meta) {
	p.node.mu.Lock()
	deaf := p.node.deaf || p.node.deafOn[p.at.Interface]
	p.node.mu.Unlock()
	if deaf {
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, queued{message, meta})
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *port) Send(message []byte, d Delivery) error {
	n := p.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sleeps > 0 {
		d := n.sleeps
		n.sleeps = 0
		defer func() {
			n.mu.Unlock()
			time.Sleep(d)
			n.mu.Lock()
		}()
	}
	if n.sendErr != nil {
		return n.sendErr
	}
	n.sent++
	n.lastSent = append(n.lastSent[:0], message...)
	if n.mute || n.muteOn[p.at.Interface] {
		return nil
	}
	if n.lastOf != nil {
		if priority := message[2]; priority != n.lastOf[message[1]] {
			n.lastOf[message[1]] = priority
			p.lan.write(n.name, "%d sends %d", message[1], priority)
		}
	} else if priority := message[2]; priority != n.lastPriority || n.tell {
		n.lastPriority, n.tell = priority, false
		p.lan.write(n.name, "sends %d", priority)
	}
	p.lan.deliver(p, message, Meta{Source: d.Source, Destination: d.Destination, TTL: d.TTL})
	return nil
}

func (p *port) Receive(buf []byte) ([]byte, Meta, error) {
	p.node.mu.Lock()
	err := p.node.receiveErr
	p.node.mu.Unlock()
	if err != nil {
		return nil, Meta{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, Meta{}, ErrEmpty
	}
	q := p.queue[0]
	p.queue = p.queue[1:]
	return buf[:copy(buf, q.message)], q.meta, nil
}

func (p *port) HasSource(netip.Addr) bool {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	return !p.node.noSource
}

func (p *port) Wait() error {
	for {
		p.mu.Lock()
		n := len(p.queue)
		p.mu.Unlock()
		if n > 0 {
			return nil
		}
		select {
		case <-p.more:
		case <-p.gone:
			return errors.New("closed")
		}
	}
}

func (p *port) Close() error {
	close(p.gone)
	p.lan.mu.Lock()
	defer p.lan.mu.Unlock()
	for i, x := range p.lan.ports {
		if x == p {
			p.lan.ports = append(p.lan.ports[:i], p.lan.ports[i+1:]...)
			break
		}
	}
	return nil
}

// node is a director: an engine and the world as it sees it.
type node struct {
	name string
	lan  *lan
	addr netip.Addr
	cfg  Config
	cfgs []Config // of a node with several instances
	*Engine
	stopRun context.CancelFunc
	ran     chan struct{}
	warp    time.Duration // added to its clock

	mu           sync.Mutex
	port         *port
	deaf, mute   bool
	deafOn       map[string]bool // interfaces
	muteOn       map[string]bool
	lastOf       map[uint8]uint8 // by VRID: lines name the instance; nil: there is only one
	tell         bool            // the next advert is to be written
	lastPriority uint8
	lastSent     []byte
	sent         int
	announced    int
	onAnnounce   func(Config)
	sendErr      error
	setErr       error
	setTakes     time.Duration
	sleeps       time.Duration // after its next advert
	receiveErr   error
	listenErr    error
	listenTakes  time.Duration
	noSource     bool // Config.Source is not on it
	notices      []Notice
}

func instanceConfig(priority uint8) Config {
	return Config{
		Name: "VI_1", Interface: "eth0", VRID: 51, Version: V3, Priority: priority,
		AdvertInterval: time.Second, Preempt: true, DownTimerAdverts: 3,
		Checksum: ChecksumAuto, Addresses: vip, GARP: DefaultGARP(),
	}
}

// director makes a node with one instance; run starts it.
func (l *lan) director(name string, addr netip.Addr, cfg Config) *node {
	n := &node{name: name, lan: l, addr: addr, cfg: cfg}
	n.Engine = NewEngine(EngineOptions{
		Listen: n.listen, Addresses: n, Announcer: n, Notify: n.notify,
		Now: func() time.Time {
			n.mu.Lock()
			defer n.mu.Unlock()
			return time.Now().Add(n.warp)
		},
		Wall: time.Now,
	})
	return n
}

func (n *node) run() *node {
	ctx, cancel := context.WithCancel(context.Background())
	n.stopRun, n.ran = cancel, make(chan struct{})
	go func() {
		defer close(n.ran)
		if err := n.Run(ctx); err != nil {
			n.lan.t.Errorf("Run: %v", err)
		}
	}()
	n.lan.t.Cleanup(n.die)
	return n
}

// start is run with everything as it should be.
func (n *node) start() *node {
	n.SetLink(LinkState{Interface: "eth0", Up: true, Primary: n.addr, Index: 2})
	n.SetReady(map[string]bool{n.cfg.Name: true})
	n.apply(nil)
	return n.run()
}

func (n *node) apply(past map[string]Past, cfgs ...Config) {
	n.lan.t.Helper()
	if cfgs == nil {
		cfgs = []Config{n.cfg}
	}
	if err := n.Apply(cfgs, nil, past); err != nil {
		n.lan.t.Fatal(err)
	}
}

// die takes the node off the network without a word, and ends it.
func (n *node) die() {
	n.change(func() { n.mute, n.deaf = true, true })
	n.stopRun()
	<-n.ran
}

func (n *node) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *node) listen(at Endpoint) (Conn, error) {
	time.Sleep(n.listenTakes)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listenErr != nil {
		return nil, n.listenErr
	}
	p := &port{lan: n.lan, node: n, at: at, more: make(chan struct{}, 1), gone: make(chan struct{})}
	n.port = p
	n.lan.mu.Lock()
	n.lan.ports = append(n.lan.ports, p)
	n.lan.mu.Unlock()
	return p, nil
}

func (n *node) Set(cfg Config, present bool, h Handover) error {
	n.mu.Lock()
	err, takes := n.setErr, n.setTakes
	n.tell = true
	quiet := n.mute
	n.mu.Unlock()
	if present {
		time.Sleep(takes)
	}
	what := "withdraws"
	if present {
		what = "takes"
	}
	if h.Predecessor.IsValid() {
		what += " from " + h.Predecessor.String()
	}
	if h.Successor.IsValid() {
		what += " for " + h.Successor.String()
	}
	if err != nil {
		what += ": " + err.Error()
	}
	if !quiet {
		n.lan.write(n.called(cfg.Name), "%s", what)
	}
	return err
}

// called is the node's name in a line, with the instance's where it has several.
func (n *node) called(instance string) string {
	if n.lastOf == nil {
		return n.name
	}
	return n.name + " " + instance
}

func (n *node) Announce(c Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.announced++
	if n.onAnnounce != nil {
		n.onAnnounce(c)
	}
	return nil
}

func (n *node) notify(x Notice) {
	n.mu.Lock()
	n.notices = append(n.notices, x)
	quiet := n.mute && n.deaf
	n.mu.Unlock()
	if !quiet {
		n.lan.write(n.called(x.Instance), "%s", x.brief())
	}
}

// brief is a notice as the tests write it.
func (x Notice) brief() string {
	switch x.Kind {
	case NoticeGroup:
		return fmt.Sprintf("group %s>%s: %s", x.From, x.To, x.Reason)
	case NoticeTransition:
		if x.Detail != "" {
			return fmt.Sprintf("%s>%s: %s (%s)", x.From, x.To, x.Reason, x.Detail)
		}
		return fmt.Sprintf("%s>%s: %s", x.From, x.To, x.Reason)
	case NoticePriorityChanged:
		return fmt.Sprintf("priority %d>%d: %s (%s)", x.Was, x.Priority, x.Reason, x.Detail)
	case NoticeAnnounceSent:
		return "announces"
	}
	s := string(x.Kind)
	for _, part := range []struct {
		show bool
		text string
	}{
		{x.Drop != DropNone, x.Drop.String()},
		{x.Reason != "", x.Reason},
		{x.Peer.IsValid(), x.Peer.String()},
		{x.Count > 1, fmt.Sprintf("x%d", x.Count)},
		{x.Duration != 0, x.Duration.Round(time.Millisecond).String()},
		{x.Err != "", x.Err},
		{x.Detail != "", x.Detail},
	} {
		if part.show {
			s += " " + part.text
		}
	}
	return s
}

// status returns the node's only instance.
func (n *node) status() Status {
	n.lan.t.Helper()
	all := n.Status()
	if len(all) != 1 {
		n.lan.t.Fatalf("%s has %d instances, want 1", n.name, len(all))
	}
	return all[0]
}

// count returns how often the node announced.
func (n *node) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.announced
}

// wire returns the node's last advert and how many it sent.
func (n *node) wire() ([]byte, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]byte(nil), n.lastSent...), n.sent
}

// sockets counts the open ones.
func (l *lan) sockets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ports)
}

// told counts the notices of a kind.
func (n *node) told(kind NoticeKind) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, x := range n.notices {
		if x.Kind == kind {
			count++
		}
	}
	return count
}

// eth0 is where the instances of most tests listen.
var eth0 = Endpoint{Interface: "eth0", Family: IPv4, Group: Group}
