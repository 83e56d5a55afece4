package sim

import (
	"slices"
	"time"

	"baton/vrrp"
)

// minRespawn is the director's: how long a restarted speaker is given before
// its addresses are withdrawn, when the interval is shorter.
const minRespawn = 50 * time.Millisecond

// begin makes f happen.
func (w *world) begin(f Fault) {
	w.stats.Faults[f.Kind.String()]++
	w.tell(nil, -1, "%v", f)
	w.disturb()
	n := w.nodes[f.Node]
	switch f.Kind {
	case WallJump:
		n.wall += time.Duration(f.Value) * time.Second
	case Priority, Interval, Preempt, PreemptDelay, Addresses:
		w.reload(f)
	case Failover:
		n.do(func() {
			n.causes.failover = n.time()
			_ = n.engine.Failover("") // not being master is no fault of the cluster
		})
	case Stop:
		if n.engine == nil {
			return
		}
		n.stop(false)
	case MachineDies, AllKilled, SpeakerKilled:
		w.kill(n, f)
		return
	case Start:
		n.start()
	case Inject:
		w.inject(n, f)
	default:
		w.apply(f, 1)
	}
	if f.For > 0 {
		w.active = append(w.active, f)
		w.after(f.For, func() { w.end(f) })
		w.shape()
	} else if f.lasts() {
		w.active = append(w.active, f)
		w.shape()
	}
}

// lasts says whether f is a state rather than a moment.
func (f *Fault) lasts() bool {
	switch f.Kind {
	case Loss, Duplicate, Delay, Partition, OneWay:
		return true
	}
	return false
}

// end is when a fault is over.
func (w *world) end(f Fault) {
	w.tell(nil, -1, "over: %v", f)
	w.disturb()
	if k := slices.Index(w.active, f); k >= 0 {
		w.active = slices.Delete(w.active, k, k+1)
	}
	n := w.nodes[f.Node]
	switch f.Kind {
	case Stop:
		switch {
		case n.engine == nil:
			n.start()
		case n.stalled > 0: // it cannot even be told: it is killed
			n.dies()
			n.start()
		default:
			n.again = true
			n.stop(true)
		}
	case Recreate, Priority, Interval, Preempt, PreemptDelay, Addresses, Failover, WallJump, Start, Inject:
	default:
		w.apply(f, -1)
	}
	w.shape()
}

// apply counts a fault that is a state of a node in or out.
func (w *world) apply(f Fault, by int) {
	n := w.nodes[f.Node]
	in := &n.inst[f.LAN]
	switch f.Kind {
	case LinkDown:
		in.down += by
		n.tellLink(f.LAN)
	case Recreate:
		in.index += 100
		in.close()
		n.tellLink(f.LAN)
	case SocketBreaks:
		in.deaf += by
		n.do(func() { n.engine.Receive(n.endpoint(f.LAN)) })
		w.check.unsettled(openRetryMost)
	case Stall, Suspend:
		n.stalled += by
		if f.Kind == Suspend {
			n.asleep += by
		}
		if n.stalled > 0 {
			n.wake = never
		} else if n.engine != nil {
			n.causes.awake = w.now
			n.wake = max(w.now, n.free)
		}
	case Unready:
		n.unready += by
		n.tellReady()
	case ScriptFails:
		n.failing += by
		n.tellTrack()
	case SetFails:
		n.unsettable += by
		n.broken = w.now + claimRetryMost
		w.check.unsettled(claimRetryMost)
	case Delay:
		w.check.slow = max(w.check.slow, time.Duration(f.Value)*time.Millisecond)
		w.check.unsettled(time.Duration(f.Value) * time.Millisecond)
	}
}

const (
	// The engine's back-offs at their longest: so long after it can work again
	// a fault may still show.
	openRetryMost  = 5 * time.Second
	claimRetryMost = 5 * time.Second
)

// reload changes a node's configuration and has it applied.
func (w *world) reload(f Fault) {
	n := w.nodes[f.Node]
	change := []*node{n}
	switch f.Kind {
	case Priority:
		n.cfg.Priority = uint8(f.Value)
	case Interval:
		if n.cfg.Version == vrrp.V2 {
			change = w.nodes // it has to be everybody's
		}
		for _, n := range change {
			n.cfg.AdvertInterval = time.Duration(f.Value) * time.Millisecond
		}
	case Preempt:
		n.cfg.Preempt = f.Value != 0
	case PreemptDelay:
		n.cfg.PreemptDelay = time.Duration(f.Value) * time.Millisecond
	case Addresses:
		n.cfg.Addresses = virtual(0, f.Value)
	}
	for _, n := range change {
		w.check.learn(&n.cfg)
		n.causes.configured(&n.cfg)
		n.apply(nil)
	}
}

// kill ends a node's process without its doing, and starts it again after For.
func (w *world) kill(n *node, f Fault) {
	if n.engine == nil {
		return
	}
	resume := false
	withdraw := func() {
		for l := range n.inst {
			n.inst[l].held = false
		}
	}
	switch f.Kind {
	case MachineDies:
		withdraw()
	case SpeakerKilled:
		for l := range n.inst {
			resume = resume || n.inst[l].role == vrrp.Master
		}
		// What the director does: supervision_linux.go.
		patience := max(n.cfg.AdvertInterval, minRespawn)
		if resume && (f.For == 0 || f.For >= patience) {
			w.after(patience, func() {
				if n.engine == nil {
					w.tell(n, -1, "its director withdraws the addresses")
					withdraw()
				}
			})
		}
		resume = f.For < patience && f.For < time.Duration(n.cfg.DownTimerAdverts)*n.cfg.AdvertInterval
	}
	n.dies()
	w.shape()
	if f.For > 0 {
		w.after(f.For, func() { n.launch(resume) })
	}
}

// inject sends an advert in a node's name.
func (w *world) inject(n *node, f Fault) {
	c := onLAN(n.cfg, f.LAN)
	source := address(f.Node, f.LAN)
	a := vrrp.Advert{Version: c.Version, VRID: c.VRID, Priority: uint8(f.Value), Interval: c.AdvertInterval, Checksum: vrrp.ChecksumPseudo}
	message := vrrp.AppendAdvert(nil, a, source, vrrp.Group, c.Addresses)
	w.send(n, f.LAN, message, vrrp.Delivery{Source: source, Destination: vrrp.Group, TTL: vrrp.TTL})
}

// shape computes what the LANs do from the faults that are active, and who can
// hear whom.
func (w *world) shape() {
	for l := range w.lans {
		lan := &w.lans[l]
		*lan = lan0(w.s.Network)
		for _, f := range w.active {
			if f.LAN != l {
				continue
			}
			share := float64(f.Value) / 100
			for from := range w.nodes {
				for to := range w.nodes {
					p := &lan.loss[from][to]
					switch {
					case f.Kind == Loss:
						*p = max(*p, share)
					case f.Kind == Partition && f.Value>>from&1 != f.Value>>to&1:
						*p = 1
					case f.Kind == OneWay && from == f.Node && to == f.Value:
						*p = 1
					}
				}
				if f.Kind == Partition {
					lan.group[from] = lan.group[from]<<1 | f.Value>>from&1
				}
			}
			switch f.Kind {
			case Duplicate:
				lan.duplicate = max(lan.duplicate, share)
			case Delay:
				lan.extra = max(lan.extra, time.Duration(f.Value)*time.Millisecond)
			}
		}
	}
	w.check.shape()
}

// lan0 is a LAN without faults.
func lan0(n Network) lan {
	l := lan{duplicate: n.Duplicate}
	for from := range l.loss {
		for to := range l.loss[from] {
			l.loss[from][to] = n.Loss
		}
	}
	return l
}
