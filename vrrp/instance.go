package vrrp

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// instance is one virtual router: what Step remembers of it, and what is done
// with what Step decides.
type instance struct {
	core *Core
	cfg  Config
	link *link // nil: its place on the interface is still taken by another

	group *group  // nil: in none
	known []Track // what watched was when patience began

	params Params
	state  State
	timer  timer

	tracks   []TrackStatus
	detail   string    // of params.Fault
	patience time.Time // until then what nobody has told of does not count; zero: it counts

	doubt time.Time // when to look whether Config.Source is there; zero: it was

	removing bool    // it goes once it has stopped
	next     *Config // it becomes this once it has stopped
	past     Past    // for when it starts

	want     Want
	out      []outgoing
	outMode  ChecksumMode // that out was made for
	list     []byte       // our addresses as adverts carry them
	claim    claim
	announce announcing
	pacing   pacing
	silent   netip.Addr // the master whose silence made us master
	limits   limits
	peers    peers

	reason Reason
	since  time.Time // wall clock
	count  counters
}

type counters struct {
	sent, received, zeroSent, zeroSeen uint64
	became, released, transitions      uint64
	dropped                            [dropReasons]uint64
}

// configure takes over cfg, which differs from the one before in nothing that
// needs a restart.
func (i *instance) configure(now time.Time, cfg Config) {
	o := &i.cfg
	announced := !slices.Equal(o.Addresses, cfg.Addresses) || !slices.Equal(o.Excluded, cfg.Excluded)
	held := announced || o.NoAccept != cfg.NoAccept || !slices.Equal(o.Routes, cfg.Routes) || !slices.Equal(o.Rules, cfg.Rules)
	i.cfg = cfg
	i.await(now)
	i.list = appendAddresses(i.list[:0], cfg.Addresses)
	i.factsChanged(now, true)
	if held && i.claim.present {
		i.set(now, true, Handover{})
	}
	if announced && i.claim.present {
		i.pacing = pacing{} // what it has left may not be ours any more
		i.announce.start(now, &i.cfg.GARP)
		i.fireAnnounce(now)
	}
	i.reschedule()
}

// factsChanged builds the parameters anew, of a sync group's all, and lets Step
// see them.
func (i *instance) factsChanged(now time.Time, reload bool) {
	i.overhear(now)
	switch {
	case i.link == nil:
	case i.group == nil:
		i.accept(now, i.facts(now), reload)
	case reload:
		i.group.factsChanged(now, i)
	default:
		i.group.factsChanged(now, nil)
	}
}

// facts is what is known that bears on an instance, but for its sync group.
type facts struct {
	verdict
	canSend bool
}

func (i *instance) facts(now time.Time) facts {
	if !i.patience.IsZero() && !now.Before(i.patience) {
		i.patience = time.Time{}
	}
	f := facts{verdict: judge(i.cfg.Priority, i.watched(), i.core.tracked, i.core.facts, !i.patience.IsZero())}
	if !f.unknown {
		i.patience = time.Time{}
	}
	i.doubt = time.Time{}
	link := func(why Reason) { f.fault, f.detail, f.early = why, "", false }
	switch l := i.link; {
	case !l.known:
		link(ReasonLinkUnknown)
		f.early = i.state.role() == Init && (!i.state.Running || now.Before(i.state.Deadline))
	case !l.up:
		link(ReasonLinkDown)
	case !i.source().IsValid():
		link(ReasonNoAddress)
	case l.conn == nil:
		link(ReasonNoSocket)
	case !i.hasSource(now):
		link(ReasonNoAddress)
		f.detail = fmt.Sprintf("%s, which is configured, is no address of this node", i.cfg.Source)
	default:
		f.canSend = true
	}
	return f
}

// sourceRetry is how often a source that is missing is looked for.
const sourceRetry = time.Second

// hasSource says whether adverts can come from where the configuration has them
// come from. A master whose adverts the kernel refuses would be one of two. What
// leaves from a VMAC is not asked for its source.
func (i *instance) hasSource(now time.Time) bool {
	conn, ok := i.link.conn.(sourcer)
	if !ok || !i.cfg.Source.IsValid() || i.delivery(netip.Addr{}).Device != "" || conn.HasSource(i.cfg.Source) {
		return true
	}
	i.doubt = now.Add(sourceRetry)
	return false
}

// await gives what bears on the instance from now on time to be told of.
func (i *instance) await(now time.Time) {
	if w := i.watched(); !slices.Equal(i.known, w) {
		i.known, i.patience = slices.Clone(w), now.Add(i.cfg.patient())
	}
}

// watched is what bears on the instance: what it tracks, in a sync group what
// the group and all others in it do.
func (i *instance) watched() []Track {
	if i.group != nil {
		return i.group.tracks
	}
	return i.cfg.Track
}

// accept makes parameters of f and lets Step see them where they are new.
func (i *instance) accept(now time.Time, f facts, reload bool) {
	c := &i.cfg
	p := Params{
		Version:          c.Version,
		Priority:         f.priority,
		AdvertInterval:   c.AdvertInterval,
		Preempt:          c.Preempt,
		PreemptDelay:     c.PreemptDelay,
		StartupDelay:     c.StartupDelay,
		DownTimerAdverts: c.DownTimerAdverts,
		Source:           i.source(),
		Group:            i.group != nil,
		CanSend:          f.canSend,
		Fault:            f.fault,
		Early:            f.early,
		Ready:            i.core.ready[c.Name],
	}
	i.detail = f.detail
	i.tellPriority(p.Priority, f.tracks, reload)
	if p == i.params && !reload {
		i.reschedule()
		return
	}
	i.params = p
	i.want = i.wanted()
	i.buildAdverts()
	i.step(now, Event{Kind: EventChanged, Reload: reload})
}

// tellPriority tells of a priority that tracking has changed.
func (i *instance) tellPriority(priority uint8, tracks []TrackStatus, reload bool) {
	was, before := i.params.Priority, i.tracks
	i.tracks = tracks
	if was == 0 || priority == was || reload {
		return // it begins, or is as the operator wants it
	}
	reason, detail := changedEffects(before, tracks)
	i.notify(Notice{Kind: NoticePriorityChanged, Was: was, Priority: priority, Reason: string(reason), Detail: detail})
}

// source is the address that our adverts come from. A virtual address must not
// be it: the peer would see another router each time the address moves.
func (i *instance) source() netip.Addr {
	if i.cfg.Source.IsValid() {
		return i.cfg.Source
	}
	primary := i.link.primary
	if i.cfg.Priority == PriorityOwner {
		return primary
	}
	for _, a := range i.cfg.Addresses {
		if a.Prefix.Addr() == primary {
			return i.params.Source
		}
	}
	return primary
}

// hear takes a packet with our VRID.
func (i *instance) hear(now time.Time, message []byte, meta Meta) {
	a, drop := Parse(message, meta, &i.want)
	if drop != DropNone {
		i.count.dropped[drop]++
		n := Notice{Kind: NoticeAdvertDropped, Drop: drop, Peer: meta.Source, Count: 1, mismatch: i.want.mismatch(drop, message, &meta)}
		if drop == DropOwnPacket {
			n.Kind = NoticeOwnAddress
		}
		i.limits.tell(now, int(drop), n, i.notify)
		i.reschedule()
		return
	}
	i.count.received++
	if i.core.tracing {
		i.notify(Notice{Kind: NoticeAdvertReceived, Peer: meta.Source, Priority: a.Priority, Duration: a.Interval})
	}
	if a.Priority == 0 {
		i.count.zeroSeen++
	}
	i.answer(meta.Source, a.Checksum)
	i.peers.heard(now, &a, meta.Source, i.list, i.cfg.AdvertInterval, i.notify)
	since := i.state.Since
	contest := i.state.Role == Master && i.state.Leaving == "" && a.Priority > 0
	i.step(now, Event{Kind: EventAdvert, Advert: a, From: meta.Source})
	n := Notice{Kind: NoticeMasterConflict, Peer: meta.Source, Priority: a.Priority, Count: 1}
	switch {
	case !contest:
		return
	case i.state.Role != Master && i.silent == meta.Source:
		n.Detail = "had fallen silent: it was cut off, or has come back"
	case i.state.Role == Master && now.Sub(since) >= i.params.AdvertInterval: // else it is about to give way
	default:
		return
	}
	i.limits.tell(now, limitContest, n, i.notify)
	i.reschedule()
}

// expired is called when any of the instance's times has come.
func (i *instance) expired(now time.Time) {
	if i.state.Role == Backup && i.link != nil {
		// An advert that arrived before the deadline counts, however late we
		// come to read it.
		i.link.receive(now, drainLimit)
	}
	i.limits.due(now, i.notify)
	if !i.patience.IsZero() && !now.Before(i.patience) || !i.doubt.IsZero() && !now.Before(i.doubt) {
		i.factsChanged(now, false)
	}
	if g := i.group; g != nil && !g.waits.IsZero() && !now.Before(g.waits) {
		g.events.changed = true
		g.settle()
	}
	// Step comes before all that speaks: it may find that we have stalled.
	i.step(now, Event{Kind: EventTick})
	if !i.claim.done && !i.claim.retryAt.IsZero() && !now.Before(i.claim.retryAt) {
		i.retryAddresses(now)
	}
	i.fireAnnounce(now)
	if i.link != nil {
		i.reschedule()
		i.finish(now)
	}
}

// step lets Step decide, and does it.
func (i *instance) step(now time.Time, ev Event) {
	var todo Actions
	before, g := i.state, i.group
	i.state, todo = Step(i.params, i.state, now, ev)
	for k := range todo.n {
		i.do(now, &todo.list[k])
		if todo.list[k].Kind == ActionSetAddresses && todo.list[k].Present {
			// The advert that follows leaves later by what this has taken.
			after := i.core.opts.Now()
			i.state.delay(after.Sub(now))
			now = after
		}
	}
	i.reschedule()
	i.finish(now)
	if g != nil {
		g.saw(now, i, &before)
		g.settle()
	}
}

// finish ends an instance that has stopped. Addresses that could not be
// withdrawn are tried again before: another director may hold them by now.
// Who stops altogether does not wait for that for ever, once nothing else keeps
// it.
func (i *instance) finish(now time.Time) {
	if i.state.role() != Init || i.state.Running || !i.removing && i.next == nil {
		return
	}
	enough := i.core.hurried || i.core.stopping && i.claim.backoff == claimRetryMost && !i.core.anyRunning()
	if i.claim.retryAt.IsZero() || enough {
		i.core.finished(now, i)
	}
}

func (i *instance) reschedule() {
	next := i.announce.at
	if len(i.pacing.left) > 0 {
		next = i.pacing.at // the one before comes first
	}
	at := soonest(next, i.limits.flush)
	if wake, ok := i.state.Wake(); ok {
		at = soonest(at, wake)
	}
	if !i.claim.done {
		at = soonest(at, i.claim.retryAt)
	}
	if i.link != nil {
		at = soonest(soonest(at, i.patience), i.doubt)
	}
	if i.group != nil {
		at = soonest(at, i.group.waits)
	}
	i.core.timers.set(&i.timer, at)
}

func (i *instance) do(now time.Time, a *Action) {
	switch a.Kind {
	case ActionSendAdvert:
		i.send(now, a.Priority)
	case ActionSetAddresses:
		i.set(now, a.Present, a.Handover)
	case ActionAnnounce:
		if a.Lower {
			i.announce.answer(now, &i.cfg.GARP)
		} else {
			i.announce.start(now, &i.cfg.GARP)
		}
		i.fireAnnounce(now)
	case ActionTransition:
		i.transition(now, a)
	case ActionHandoverBegun:
		i.announce.stop()
		i.notify(Notice{Kind: NoticeHandoverBegun, Reason: string(a.Reason)})
	case ActionHandoverDone:
		i.notify(Notice{Kind: NoticeHandoverDone, Peer: a.Peer, Priority: a.Priority, Duration: a.Took})
	case ActionHandoverFailed:
		i.notify(Notice{Kind: NoticeHandoverFailed, Reason: string(a.Reason), Duration: a.Took})
	case ActionPreemptDelayed:
		i.notify(Notice{Kind: NoticePreemptDelayed, Peer: a.Peer, Priority: a.Priority, Duration: a.Took})
	case ActionStalled:
		i.notify(Notice{Kind: NoticeStalled, Duration: a.Took})
	}
}

func (i *instance) transition(now time.Time, a *Action) {
	i.reason, i.since = a.Reason, i.core.opts.Wall()
	i.count.transitions++
	if a.From == Master {
		i.count.released++
		i.announce.stop()
	}
	if a.To == Master {
		i.silent = netip.Addr{}
		if a.Reason == ReasonMasterDown {
			i.silent = a.Peer
		}
		i.count.became++
		i.claim.withholdUntil = now.Add(i.params.downInterval(i.params.AdvertInterval))
	}
	if a.Reason == ReasonMasterDown && a.Peer.IsValid() {
		i.peers.lost(a.Peer)
		i.notify(Notice{Kind: NoticePeerLost, Peer: a.Peer})
	}
	n := Notice{Kind: NoticeTransition, From: a.From, To: a.To, Reason: string(a.Reason), Peer: a.Peer, Priority: a.Priority}
	if a.To == Fault {
		n.Detail = i.detail
	}
	if i.group != nil {
		i.group.cause(a.Reason, n.Detail)
	}
	i.notify(n)
}

func (i *instance) send(now time.Time, priority uint8) {
	if i.link.conn == nil || priority > 0 && i.claim.withholds(now) {
		return
	}
	sent := false
	for k := range i.out {
		o := &i.out[k]
		message := o.normal
		if priority == 0 {
			message = o.resign
		}
		if err := i.link.conn.Send(message, i.delivery(o.to)); err != nil {
			i.limits.tell(now, limitSend, Notice{Kind: NoticeSendFailed, Err: err.Error(), Count: 1}, i.notify)
			continue
		}
		if i.core.tracing {
			i.notify(Notice{Kind: NoticeAdvertSent, Peer: o.to, Priority: priority})
		}
		sent = true
	}
	if !sent {
		if i.cfg.Source.IsValid() {
			i.doubt = now // it may have gone
		}
		return
	}
	i.count.sent++
	if priority == 0 {
		i.count.zeroSent++
	}
}

// set brings the addresses on or off the interface.
func (i *instance) set(now time.Time, present bool, h Handover) {
	i.claim.want(present, h)
	i.apply(now)
}

// apply calls Addresses.Set for what is decided.
func (i *instance) apply(now time.Time) {
	err := i.core.opts.Addresses.Set(i.cfg, i.claim.present, i.claim.handover)
	i.claim.result(now, err)
	if err != nil {
		i.limits.tell(now, limitAddress, Notice{Kind: NoticeAddressFailed, Err: err.Error(), Count: 1}, i.notify)
	}
}

// retryAddresses tries again, and says what had to wait for the addresses.
func (i *instance) retryAddresses(now time.Time) {
	i.apply(now)
	if i.claim.done && i.state.Role == Master && i.state.Leaving == "" {
		i.send(now, i.params.Priority)
		i.announce.start(now, &i.cfg.GARP)
	}
}

// fireAnnounce announces if it is time to. Addresses that we do not have must
// not be announced: traffic would come here to be lost.
func (i *instance) fireAnnounce(now time.Time) {
	if i.state.Role != Master || i.state.Leaving != "" || !i.claim.held {
		i.announce.stop()
		i.pacing = pacing{}
		return
	}
	if len(i.pacing.left) > 0 {
		i.firePaced(now)
		return
	}
	announce, tell := i.announce.due(now, &i.cfg.GARP)
	switch {
	case !announce:
	case i.cfg.GARP.paced():
		i.pacing = pacing{left: i.cfg.All()}
		i.firePaced(now)
	default:
		tell = i.tellNeighbours(now, i.cfg) && tell
	}
	if announce && tell {
		i.notify(Notice{Kind: NoticeAnnounceSent, Count: len(i.cfg.All())})
	}
}

// tellNeighbours announces the addresses of c, and says whether that worked.
func (i *instance) tellNeighbours(now time.Time, c Config) bool {
	if err := i.core.opts.Announcer.Announce(c); err != nil {
		i.limits.tell(now, limitAnnounce, Notice{Kind: NoticeAnnounceFailed, Err: err.Error(), Count: 1}, i.notify)
		return false
	}
	return true
}

func (i *instance) notify(n Notice) {
	n.Instance, n.VRID, n.Interface = i.cfg.Name, i.cfg.VRID, i.cfg.Interface
	i.core.notify(n)
}

// restarts says whether cfg makes another virtual router of i, or one that is
// heard elsewhere.
func (i *instance) restarts(cfg *Config) bool {
	return i.cfg.Endpoint() != cfg.Endpoint() || i.cfg.VRID != cfg.VRID || !reflect.DeepEqual(i.cfg.VMAC, cfg.VMAC)
}
