package sim

import (
	"net/netip"
	"time"

	"baton/vrrp"
)

// nodeCauses is when what may move an election last happened to a node, in its
// own time.
type nodeCauses struct {
	started, resumed, ready, track, reload, failover, stop, awake, moved time.Duration

	adverts  int           // least down_timer_adverts since it started
	interval time.Duration // least advert_int since it started
	owner    bool          // it was the address owner since it started
	yielded  bool          // it has handed over and may not preempt
}

func (c *nodeCauses) init() {
	*c = nodeCauses{adverts: c.adverts, interval: c.interval, owner: c.owner, started: long, resumed: long, ready: long, track: long, reload: long, failover: long, stop: long, awake: long, moved: long}
}

func (c *nodeCauses) configured(cfg *vrrp.Config) {
	c.adverts, c.interval = min(c.adverts, cfg.DownTimerAdverts), min(c.interval, cfg.AdvertInterval)
}

// instanceCauses is the same for an instance.
type instanceCauses struct {
	link, socket time.Duration // news of them
	began        time.Duration // backup, or started, without having heard anybody
	stalled      time.Duration // it found that it had stalled

	heard         time.Duration // the last advert that the engine has read
	heardPrio     uint8
	heardInterval time.Duration
	heardFrom     netip.Addr
}

func (c *instanceCauses) init() {
	*c = instanceCauses{link: long, socket: long, began: long, stalled: long, heard: long}
}

// hears reads the advert that the engine is given. In version 2 one with
// another interval is to be dropped.
func (c *instanceCauses) hears(cfg *vrrp.Config, now time.Duration, p *packet) {
	interval := time.Duration(int(p.data[4])<<8|int(p.data[5])) * 10 * time.Millisecond
	if cfg.Version == vrrp.V2 {
		if interval = time.Duration(p.data[5]) * time.Second; interval != cfg.AdvertInterval {
			return
		}
	}
	c.heard, c.heardPrio, c.heardFrom, c.heardInterval = now, p.data[2], p.meta.Source, interval
}

// justified says whether something has happened that is a cause for the
// transition x of in.
func (in *instance) justified(x *vrrp.Notice) bool {
	n, c := in.n, &in.causes
	now, cfg := n.time(), &n.has
	within := func(at, window time.Duration) bool { return at <= now && at >= now-n.lag-window }
	silence := now - max(c.heard, c.began)
	window := downInterval(cfg, max(cfg.AdvertInterval, c.heardInterval)) + time.Second
	news := within(n.causes.track, 0) || within(n.causes.reload, 0)
	for l := range n.inst {
		if o := &n.inst[l].causes; o == c || n.w.s.Group {
			news = news || within(o.link, 0) || within(o.socket, 0)
		}
	}
	if n.w.s.Group {
		// A member waits for the others: what made it agree may be long ago.
		switch vrrp.Reason(x.Reason) {
		case vrrp.ReasonMasterDown, vrrp.ReasonMasterLeft, vrrp.ReasonPreempt, vrrp.ReasonReady, vrrp.ReasonSilence:
			interval := n.causes.interval
			if c.heardInterval > 0 {
				interval = min(interval, c.heardInterval)
			}
			return max(silence, now-c.began) >= skew(n.weighed(cfg), interval)/2
		case vrrp.ReasonGroup:
			return news || within(n.causes.moved, n.w.check.settleBound())
		case vrrp.ReasonGroupFault, vrrp.ReasonLinkUp, vrrp.ReasonFaultCleared:
			return news || within(n.causes.started, 0)
		}
	}
	switch vrrp.Reason(x.Reason) {
	case vrrp.ReasonStartup:
		return within(n.causes.started, window)
	case vrrp.ReasonOwner:
		return n.causes.owner &&
			(within(n.causes.ready, 0) || within(n.causes.started, window) || news || silence >= min(cfg.StartupDelay, in.patience()))
	case vrrp.ReasonResume:
		return within(n.causes.resumed, window)
	case vrrp.ReasonMasterDown:
		return silence >= in.patience()
	case vrrp.ReasonMasterLeft:
		return c.heardPrio == 0 && within(c.heard, window)
	case vrrp.ReasonPreempt:
		return c.heardPrio > 0 && int(c.heardPrio) < n.priority(cfg) && within(c.heard, window)
	case vrrp.ReasonReady:
		return within(n.causes.ready, 0)
	case vrrp.ReasonHigherPriority:
		return within(c.heard, 0) && int(c.heardPrio) > n.priority(cfg)
	case vrrp.ReasonHigherAddress:
		return within(c.heard, 0) && int(c.heardPrio) == n.priority(cfg) && c.heardFrom.Compare(address(n.id, in.lan)) > 0
	case vrrp.ReasonLinkDown, vrrp.ReasonLinkUnknown, vrrp.ReasonNoAddress:
		return within(c.link, 0)
	case vrrp.ReasonLinkUp:
		return within(c.link, 0)
	case vrrp.ReasonNoSocket:
		return within(c.socket, 0)
	case vrrp.ReasonFaultCleared:
		return news
	case vrrp.ReasonTrackScript:
		return n.inFault(cfg) && (within(n.causes.started, 0) || news)
	case vrrp.ReasonStop:
		return n.causes.stop != long
	case vrrp.ReasonFailover:
		return within(n.causes.failover, leaveWindow(&n.w.check.longest)+time.Second) || n.causes.failover != long && within(n.causes.awake, 0)
	case vrrp.ReasonStalled:
		return within(n.causes.awake, n.w.s.Network.Late)
	case vrrp.ReasonSilence:
		return within(c.stalled, window)
	}
	return false
}

// patience is how long a backup must have heard nobody before it may take the
// master for dead: exactly, if nothing was reloaded meanwhile.
func (in *instance) patience() time.Duration {
	n, c := in.n, &in.causes
	interval := n.has.AdvertInterval
	if c.heard >= c.began && n.has.Version == vrrp.V3 {
		interval = c.heardInterval
	}
	if n.causes.owner && c.heard < c.began {
		return min(n.has.StartupDelay, downInterval(n.weighed(&n.has), interval)) // an owner waits for nobody
	}
	if max(n.causes.reload, n.causes.track) >= max(c.heard, c.began) {
		interval = min(interval, n.causes.interval)
		return time.Duration(n.causes.adverts) * interval
	}
	return downInterval(n.weighed(&n.has), interval)
}

// weighed is c with the effective priority.
func (n *node) weighed(c *vrrp.Config) *vrrp.Config {
	w := *c
	w.Priority = uint8(n.priority(c))
	return &w
}

// The protocol's arithmetic once more, from RFC 9568 section 6.1: the
// simulation does not take the engine's word for it.

func downInterval(c *vrrp.Config, interval time.Duration) time.Duration {
	return time.Duration(c.DownTimerAdverts)*interval + skew(c, interval)
}

func skew(c *vrrp.Config, interval time.Duration) time.Duration {
	if c.Version == vrrp.V2 {
		interval = time.Second
	}
	return time.Duration(256-int(c.Priority)) * interval / 256
}

// leaveWindow is how long a master that leaves waits for its successor.
func leaveWindow(c *vrrp.Config) time.Duration {
	least := *c
	least.Priority = 1
	return max(downInterval(&least, c.AdvertInterval), 500*time.Millisecond)
}
