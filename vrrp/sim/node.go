package sim

import (
	"errors"
	"net/netip"
	"time"

	"baton/vrrp"
)

// node is one director: its machine, its kernel and its process.
type node struct {
	w      *world
	id     int
	cfg    vrrp.Config // as the operator has it now
	has    vrrp.Config // as the process has it
	engine Engine      // nil: no process
	inst   []instance  // by LAN

	wake time.Duration // when the process runs next
	free time.Duration // until when it is busy
	lag  time.Duration // by how much its time is ahead of the world's while it runs
	todo []func()      // commands that wait for the process

	scriptDown bool // as the process has been told

	again bool // it is to start once it has stopped

	stalled, asleep, unready, failing, unsettable int // faults of that kind that are active
	wall                                          time.Duration
	broken                                        time.Duration // until when failures of Set may still show

	causes nodeCauses
}

// instance is one virtual router on one node.
type instance struct {
	n     *node
	lan   int
	index int // of the interface
	down  int // faults that take the carrier
	deaf  int // faults that break the socket
	held  bool
	open  bool
	inbox []*packet
	read  int // of inbox

	// As the engine told it.
	role    vrrp.Role
	reason  vrrp.Reason
	leaving bool
	started bool // it exists in the engine

	sent     time.Duration // its last advert
	sentPrio int
	zero     bool // priority 0 was sent while it was not leaving

	causes instanceCauses
}

func newNode(w *world, id int) *node {
	n := &node{w: w, id: id, cfg: w.s.Directors[id].Config, wake: never, broken: long}
	n.causes.init()
	for l := range w.lans {
		in := instance{n: n, lan: l, index: 2 + l, role: vrrp.Init, sent: long, sentPrio: -1}
		in.causes.init()
		n.inst = append(n.inst, in)
	}
	return n
}

func (n *node) time() time.Duration { return n.w.now + n.lag }

// start is the director that starts its speaker.
func (n *node) start() { n.launch(false) }

func (n *node) launch(resume bool) {
	if n.engine != nil {
		return
	}
	n.again = false
	n.w.disturb()
	n.w.tell(n, -1, "starts")
	n.causes = nodeCauses{adverts: n.cfg.DownTimerAdverts, interval: n.cfg.AdvertInterval, owner: n.cfg.Priority == vrrp.PriorityOwner}
	n.causes.init()
	past := map[string]vrrp.Past{}
	for l := range n.inst {
		in := &n.inst[l]
		in.role, in.reason, in.leaving, in.zero = vrrp.Init, "", false, false
		in.sent, in.sentPrio = long, -1
		in.causes.init()
		if resume && in.held {
			past[instName(l)] = vrrp.Past{Master: true}
		}
	}
	n.engine = n.w.o.Engine(vrrp.EngineOptions{
		Listen: n.listen, Addresses: n, Announcer: n, Notify: n.notified,
		Now:  func() time.Time { return epoch.Add(n.w.now + n.lag) },
		Wall: func() time.Time { return epoch.Add(n.w.now + n.lag + n.wall) },
	})
	n.todo, n.free = nil, n.w.now
	for l := range n.inst {
		n.tellLink(l)
	}
	n.tellReady()
	n.tellTrack()
	n.apply(past)
}

// do has the process call run, now or as soon as it is scheduled.
func (n *node) do(run func()) {
	if n.engine == nil {
		return
	}
	n.todo = append(n.todo, run)
	if n.stalled == 0 {
		n.wake = min(n.wake, max(n.w.now, n.free))
	}
}

func (n *node) stop(now bool) {
	n.do(func() {
		n.causes.stop = n.time()
		n.engine.Stop(now)
	})
}

func (n *node) tellLink(l int) {
	if n.w.s.Directors[n.id].Lost {
		return
	}
	in := &n.inst[l]
	f := vrrp.LinkState{Interface: lanName(l), Index: in.index, Up: in.carrier(), Primary: address(n.id, l)}
	n.do(func() { in.causes.link = n.time(); n.engine.SetLink(f) })
}

func (n *node) tellReady() {
	ready := map[string]bool{}
	for l := range n.inst {
		ready[instName(l)] = n.unready == 0
	}
	n.do(func() { n.causes.ready = n.time(); n.engine.SetReady(ready) })
}

// script is what scenarios track.
const script = "chk"

func (n *node) tellTrack() {
	track := vrrp.Track{Kind: vrrp.TrackScript, Name: script}
	down := n.failing > 0
	n.do(func() {
		n.causes.track, n.scriptDown = n.time(), down
		n.engine.SetTrack(map[string]vrrp.TrackState{track.Key(): {Up: !down}})
	})
}

// priority is the effective one as it should be under c: configured and changed
// by what is tracked, within 1…254.
func (n *node) priority(c *vrrp.Config) int {
	p := int(c.Priority)
	if p == vrrp.PriorityOwner {
		return p
	}
	for _, t := range c.Track {
		if up := !n.scriptDown; up == (t.Weight > 0) {
			p += t.Weight
		}
	}
	return min(max(p, 1), vrrp.PriorityOwner-1)
}

// inFault says whether the tracked script is a fault under c.
func (n *node) inFault(c *vrrp.Config) bool {
	for _, t := range c.Track {
		if t.Weight == 0 && n.scriptDown {
			return true
		}
	}
	return false
}

func (n *node) apply(past map[string]vrrp.Past) {
	var cfgs []vrrp.Config
	for l := range n.inst {
		cfgs = append(cfgs, onLAN(n.cfg, l))
	}
	n.do(func() {
		if n.causes.stop != long {
			return
		}
		for l := range n.inst {
			if in := &n.inst[l]; in.started {
				n.causes.reload = n.time()
			} else {
				in.started, in.causes.began = true, n.w.now
				n.causes.started = n.time()
			}
		}
		if len(past) > 0 {
			n.causes.resumed = n.time()
		}
		n.has = cfgs[0]
		n.engine.Apply(cfgs, n.w.groups, past)
	})
}

// run is one turn of the process, as Engine.Run has it: commands, arrivals,
// timers.
func (n *node) run() {
	n.lag = 0
	for len(n.todo) > 0 {
		command := n.todo[0]
		n.todo = n.todo[1:]
		command()
	}
	for l := range n.inst {
		if n.inst[l].read < len(n.inst[l].inbox) {
			for n.engine.Receive(n.endpoint(l)) {
				continue
			}
		}
	}
	n.engine.Tick()
	n.ran()
}

// ran looks at what a turn has left, and when the next is to be.
func (n *node) ran() {
	w := n.w
	next, ok := n.engine.Next()
	wake := never
	if ok {
		wake = next.Sub(epoch)
	}
	w.check.turn(n, wake)
	n.free = w.now + n.lag
	n.lag = 0
	if ok {
		wake = max(wake, n.free) + w.late()
	}
	for l := range n.inst {
		if n.inst[l].read < len(n.inst[l].inbox) {
			wake = n.free
		}
	}
	n.wake = wake
	if n.engine.Stopped() {
		n.dies()
		w.tell(n, -1, "has stopped")
		if n.again {
			n.start()
		}
	}
}

// dies is the end of the process; the kernel closes its sockets.
func (n *node) dies() {
	n.engine, n.todo, n.wake = nil, nil, never
	for l := range n.inst {
		in := &n.inst[l]
		in.close()
		in.role, in.leaving, in.zero, in.started = vrrp.Init, false, false, false
	}
	n.w.check.dirty = true
}

func (n *node) endpoint(l int) vrrp.Endpoint {
	return vrrp.Endpoint{Interface: lanNames[l], Family: vrrp.IPv4, Group: vrrp.Group}
}

func (in *instance) carrier() bool { return in.down == 0 }

// The rest is what the engine works with.

var (
	errSocket  = errors.New("no buffer space available")
	errAddress = errors.New("operation not permitted")
)

func (n *node) listen(at vrrp.Endpoint) (vrrp.Conn, error) {
	for l := range n.inst {
		if in := &n.inst[l]; lanNames[l] == at.Interface {
			in.causes.socket = n.time()
			if in.deaf > 0 {
				return nil, errSocket
			}
			in.open = true
			return conn{in}, nil
		}
	}
	return nil, errors.New("no such interface")
}

// conn is the socket of a node on a LAN.
type conn struct{ *instance }

func (c conn) Send(message []byte, d vrrp.Delivery) error {
	in := c.instance
	if in.deaf > 0 {
		return errSocket
	}
	in.n.w.check.sends(in, message)
	if in.carrier() {
		in.n.w.stats.Adverts++
		in.n.w.send(in.n, in.lan, message, d)
	}
	return nil
}

func (c conn) Receive(buf []byte) ([]byte, vrrp.Meta, error) {
	in := c.instance
	if in.deaf > 0 {
		in.causes.socket = in.n.time()
		return nil, vrrp.Meta{}, errSocket
	}
	if in.read == len(in.inbox) {
		return nil, vrrp.Meta{}, vrrp.ErrEmpty
	}
	p := in.inbox[in.read]
	in.read++
	if in.read == len(in.inbox) {
		in.inbox, in.read = in.inbox[:0], 0
	}
	in.causes.hears(&in.n.has, in.n.w.now, p)
	if in.n.w.o.Packets {
		in.n.w.tell(in.n, in.lan, "hears %d from %s", p.data[2], p.meta.Source)
	}
	message := buf[:copy(buf, p.data[:p.n])]
	in.n.w.free = append(in.n.w.free, p)
	return message, p.meta, nil
}

func (conn) Wait() error { return nil }

func (c conn) Close() error {
	c.close()
	return nil
}

func (in *instance) close() {
	in.n.w.free = append(in.n.w.free, in.inbox[in.read:]...)
	in.open, in.inbox, in.read = false, in.inbox[:0], 0
}

func (n *node) named(name string) *instance {
	for l := range n.inst {
		if instName(l) == name {
			return &n.inst[l]
		}
	}
	return nil // a sync group
}

// Set is Addresses.Set.
func (n *node) Set(c vrrp.Config, present bool, h vrrp.Handover) error {
	in := n.named(c.Name)
	if n.unsettable > 0 {
		return errAddress
	}
	if cost := n.w.s.Network.SetCost; cost > 0 {
		n.lag += cost
	}
	if n.w.o.Trace != nil {
		what, side := "withdraws", netip.Addr{}
		if present {
			what = "takes"
		}
		switch {
		case h.Successor.IsValid():
			what, side = what+" for", h.Successor
		case h.Predecessor.IsValid():
			what, side = what+" from", h.Predecessor
		}
		if side.IsValid() {
			what += " " + side.String()
		}
		n.w.tell(n, in.lan, "%s", what)
	}
	in.held = present
	n.w.check.dirty = true
	return nil
}

// Announce is Announcer.Announce.
func (n *node) Announce(c vrrp.Config) error {
	n.w.stats.Announcements++
	n.w.check.announces(n.named(c.Name))
	return nil
}
