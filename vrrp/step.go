package vrrp

import (
	"net/netip"
	"time"
)

// Step is the state machine of RFC 9568 section 6.4, and of RFC 3768 section
// 6.4 for version 2. It is pure and total: every event is answered in every
// state, and what is to be done comes back as actions, in order.
//
// It departs from the RFC in what it does with the addresses, so that passing
// them on costs nobody a connection: a new master has them before it says so,
// and an old one that leaves on purpose keeps them until it hears its
// successor. It adds the state Fault, the ready gate, preempt_delay, sync groups,
// and that who has stalled listens before it speaks.
//
//	state    event                      action                          next
//	INIT     Startup, owner             take addresses, advert, announce MASTER
//	INIT     Startup                    withdraw addresses               BACKUP
//	BACKUP   deadline, ready            take addresses, advert, announce MASTER
//	BACKUP   advert 0, the first        deadline = skew time             BACKUP
//	BACKUP   advert accepted            deadline = down interval         BACKUP
//	BACKUP   has stood still            deadline ≥ two intervals, skew   BACKUP
//	MASTER   deadline                   advert                           MASTER
//	MASTER   advert 0                   advert                           MASTER
//	MASTER   advert lower               advert, announce                 MASTER
//	MASTER   advert higher              withdraw addresses               BACKUP
//	MASTER   Failover, Shutdown         advert 0                         MASTER, leaving
//	leaving  advert                     withdraw addresses               BACKUP or INIT
//	leaving  no successor               Failover: advert, announce       MASTER
//	leaving  no successor               Shutdown: withdraw addresses     INIT
//	leaving  no successor               Leave: withdraw addresses        BACKUP
//	BACKUP   Take                       take addresses, advert, announce MASTER
//	MASTER   Leave                      advert 0                         MASTER, leaving
//	any      fault                      advert 0, withdraw addresses     FAULT
//	FAULT    fault cleared              as Startup
func Step(p Params, s State, now time.Time, ev Event) (State, Actions) {
	m := machine{State: s, p: p, now: now}
	m.stall()
	m.fault()
	switch m.role() {
	case Init:
		m.inInit(&ev)
	case Backup:
		m.inBackup(&ev)
	case Master:
		m.inMaster(&ev)
	case Fault:
		m.inFault(&ev)
	}
	return m.State, m.out
}

type machine struct {
	State
	p   Params
	now time.Time
	out Actions
}

// inInit is section 6.4.1, Initialize.
func (m *machine) inInit(ev *Event) {
	switch {
	case ev.Kind == EventShutdown:
		if m.Resume {
			m.withdraw(netip.Addr{})
		}
		m.Running, m.Resume, m.Deadline = false, false, time.Time{}
	case ev.Kind == EventStartup && !m.Running:
		m.Running, m.Resume, m.Started = true, ev.Resume, m.now.Add(-ev.Waited)
		m.Deadline = m.now.Add(m.p.downInterval(m.p.AdvertInterval))
		m.initialize()
	case m.Running:
		m.initialize()
	}
}

func (m *machine) initialize() {
	switch {
	case (m.p.Fault == ReasonLinkUnknown || m.p.Early) && m.now.Before(m.Deadline):
		// The interface may yet be found: what a restarted speaker is to
		// resume must not be withdrawn before.
	case m.p.Fault != "":
		m.withdraw(netip.Addr{})
		m.enter(Fault, m.p.Fault)
	default:
		m.begin(ReasonStartup)
	}
}

// begin is the Startup event of section 6.4.1 once nothing is in its way.
func (m *machine) begin(why Reason) {
	delay := m.p.downInterval(m.p.AdvertInterval)
	owner := m.p.Priority == PriorityOwner
	if owner {
		delay = 0
	}
	// It is for a network that is not itself yet when the machine boots: an
	// interface that goes down and up meanwhile must not cut it short.
	if left := m.Started.Add(m.p.StartupDelay).Sub(m.now); left > 0 && m.p.StartupDelay > 0 {
		delay += left
	}
	switch {
	case m.Resume:
		m.becomeMaster(ReasonResume)
	case owner && delay == 0 && m.p.Ready && !m.p.Group:
		m.becomeMaster(ReasonOwner)
	default:
		m.withdraw(netip.Addr{})
		m.enter(Backup, why)
		m.Deadline = m.now.Add(delay)
		m.Expired = delay == 0
	}
}

// inBackup is section 6.4.2, Backup.
func (m *machine) inBackup(ev *Event) {
	switch ev.Kind {
	case EventShutdown:
		if m.Holding {
			m.withdraw(netip.Addr{})
		}
		m.stopped()
	case EventAdvert:
		m.backupHears(&ev.Advert, ev.From)
	case EventTake:
		m.take(ev.Reason)
	case EventLeave:
		if m.Holding {
			m.Holding = false
			m.withdraw(netip.Addr{})
			m.waitAgain()
		}
	case EventHurry:
		m.hurry()
	case EventStood:
		m.stood(ev.Lost)
	case EventChanged:
		if latest := m.now.Add(m.p.StartupDelay + m.p.downInterval(m.p.activeInterval(&m.State))); m.Deadline.After(latest) {
			m.Deadline = latest // the interval was made shorter
		}
		if latest := m.now.Add(m.p.downInterval(m.p.activeInterval(&m.State))); m.PeerUntil.After(latest) {
			m.PeerUntil = latest
		}
		if ev.Reload {
			m.YieldTo = netip.Addr{}
		}
		if m.hears(m.now) && m.Deadline.Before(m.PeerUntil) && m.spares(m.PeerPriority, m.Peer) {
			// It was being preempted, and is not to be any more.
			m.Deadline, m.Expired = m.PeerUntil, false
		}
		m.backupExpires()
	default:
		m.backupExpires()
	}
}

// backupExpires looks whether Active_Down_Timer has fired.
func (m *machine) backupExpires() {
	if m.now.Before(m.Deadline) {
		return
	}
	if m.p.Group {
		if !m.Expired && (m.p.Ready || m.Holding) {
			m.Cause = m.cause()
		}
		m.Expired = true
		return
	}
	if !m.p.Ready && !m.Holding {
		m.Expired = true
		return
	}
	m.becomeMaster(m.cause())
}

// cause is why a backup whose deadline has passed becomes master.
func (m *machine) cause() Reason {
	switch alive := m.now.Before(m.PeerUntil); {
	case m.Cause != "":
		return m.Cause
	case m.Holding:
		return ReasonSilence
	case m.p.Priority == PriorityOwner && !alive && (m.Expired || !m.Peer.IsValid()):
		return ReasonOwner // it waited for itself, not for anybody's adverts
	case m.Expired:
		return ReasonReady
	case alive && m.PeerPriority == 0:
		return ReasonMasterLeft
	case alive && m.PeerPriority < m.p.Priority:
		return ReasonPreempt
	default:
		return ReasonMasterDown
	}
}

// take makes a member master because its sync group becomes so.
func (m *machine) take(why Reason) {
	if !m.p.Ready && (!m.Holding || why != "") || !m.Expired && why == "" {
		return
	}
	if why == "" {
		why = m.cause()
	}
	m.becomeMaster(why)
}

// hurry shortens the wait when the master of another in the sync group has
// resigned. All of a group resign together, so a resignation that is missing
// here was lost, or could not be sent: one advert more that does not come is
// enough to believe it.
func (m *machine) hurry() {
	if m.Expired || m.Holding || m.Listening || m.PeerPriority == 0 || !m.Deadline.Equal(m.PeerUntil) {
		return
	}
	spare := time.Duration(m.p.DownTimerAdverts-1) * m.p.activeInterval(&m.State)
	m.Deadline, m.Cause = m.Deadline.Add(-spare), ReasonMasterLeft
	m.backupExpires()
}

// waitAgain gives others a whole down interval to be heard.
func (m *machine) waitAgain() {
	m.Deadline = m.now.Add(m.p.downInterval(m.p.activeInterval(&m.State)))
	m.Expired, m.Listening, m.Cause = false, false, ""
}

func (m *machine) backupHears(a *Advert, from netip.Addr) {
	again := m.PeerPriority == 0 && m.now.Before(m.PeerUntil)
	m.heard(a, from)
	if a.Priority == 0 {
		// Said again it puts nothing off: who leaves says it once for each of its
		// own intervals, and our skew may be longer than that.
		if !again {
			m.Deadline = m.now.Add(skewTime(m.p.Version, m.p.Priority, m.p.activeInterval(&m.State)))
			m.Expired, m.Cause = false, ""
		}
		m.PreemptSince = time.Time{}
		if from == m.YieldTo {
			m.YieldTo = netip.Addr{}
		}
		return
	}
	if m.Holding {
		m.Holding = false
		m.withdraw(from)
		m.accept(a)
		return
	}
	switch {
	case m.spares(a.Priority, from):
		m.PreemptSince = time.Time{}
		if from != m.YieldTo {
			m.YieldTo = netip.Addr{}
		}
		m.accept(a)
	case m.preemptDelayed(a, from):
		m.accept(a)
	default:
		// Discarded: the deadline runs out.
	}
}

// spares says whether a master is left in its place.
func (m *machine) spares(priority uint8, from netip.Addr) bool {
	return !m.p.preempts() || priority >= m.p.Priority || from == m.YieldTo
}

// accept resets Active_Down_Timer for the master that sent a.
func (m *machine) accept(a *Advert) {
	m.ActiveInterval = a.Interval
	m.Stalls = 0
	m.waitAgain()
}

// preemptDelayed says whether preempt_delay still protects a lower master. It
// runs from the first advert of such a master.
func (m *machine) preemptDelayed(a *Advert, from netip.Addr) bool {
	if m.p.PreemptDelay <= 0 {
		return false
	}
	if m.PreemptSince.IsZero() {
		m.PreemptSince = m.now
		m.out.add(Action{Kind: ActionPreemptDelayed, Peer: from, Priority: a.Priority, Took: m.p.PreemptDelay})
	}
	return m.now.Before(m.PreemptSince.Add(m.p.PreemptDelay))
}

// inMaster is section 6.4.3, Active.
func (m *machine) inMaster(ev *Event) {
	switch ev.Kind {
	case EventShutdown:
		switch {
		case ev.Now:
			m.resign()
			m.withdraw(netip.Addr{})
			m.handoverFailed(ReasonStop)
			m.stopped()
		case m.Leaving != ReasonStop:
			m.leave(ReasonStop)
		}
	case EventFailover:
		if m.Leaving == "" {
			m.leave(ReasonFailover)
		}
	case EventLeave:
		switch m.Leaving {
		case "":
			m.leave(ReasonGroup)
		case ReasonFailover:
			m.Follow = true
		}
	case EventStartup:
		if m.Leaving != "" {
			m.handoverFailed(ReasonStartup)
			m.assert(true)
		}
	case EventAdvert:
		m.masterHears(&ev.Advert, ev.From)
	case EventChanged:
		if latest := m.now.Add(m.p.AdvertInterval); m.Deadline.After(latest) {
			m.Deadline = latest
		}
		if m.Leaving == "" && m.Said != m.p.Priority && m.now.Before(m.Deadline) {
			m.assert(false) // a better backup need not wait for our next advert
		}
		m.masterExpires()
	default:
		m.masterExpires()
	}
}

// masterExpires looks whether Adver_Timer has fired, or a leaving master has
// waited long enough.
func (m *machine) masterExpires() {
	switch {
	case m.Leaving == ReasonStop && !m.now.Before(m.LeaveBy):
		m.withdraw(netip.Addr{})
		m.handoverFailed(ReasonNoSuccessor)
		m.stopped()
	case (m.Leaving == ReasonGroup || m.Follow) && !m.now.Before(m.LeaveBy):
		m.withdraw(netip.Addr{})
		m.handoverFailed(ReasonNoSuccessor)
		m.enter(Backup, ReasonGroup)
		m.waitAgain()
	case m.Leaving != "" && !m.now.Before(m.LeaveBy):
		m.handoverFailed(ReasonNoSuccessor)
		m.assert(true)
	case m.now.Before(m.Deadline):
	case m.Leaving != "":
		// Said again each interval: one lost packet must not cost the
		// successor the whole down interval.
		next := m.p.nextAdvert(&m.State, m.now)
		m.resign()
		m.Deadline = earlier(next, m.LeaveBy)
	default:
		next := m.p.nextAdvert(&m.State, m.now)
		m.advertise(m.p.Priority)
		m.Deadline = next
	}
}

func (m *machine) masterHears(a *Advert, from netip.Addr) {
	if m.Leaving != "" {
		if a.Priority > 0 {
			m.succeeded(a, from)
		}
		return
	}
	switch {
	case a.Priority == 0:
		m.assert(false)
	case a.Priority > m.p.Priority:
		m.yield(a, from, ReasonHigherPriority)
	case a.Priority < m.p.Priority:
		m.answer()
	case from.Compare(m.p.Source) > 0:
		m.yield(a, from, ReasonHigherAddress)
	case from.Compare(m.p.Source) < 0:
		m.answer()
	}
}

// assert tells another master that we are it (section 6.4.3), and where the
// other may have misled them tells the neighbours as well.
func (m *machine) assert(announce bool) {
	m.advertise(m.p.Priority)
	m.Deadline = m.now.Add(m.p.AdvertInterval)
	if announce {
		m.out.add(Action{Kind: ActionAnnounce})
	}
}

// answer is assert towards a lower master.
func (m *machine) answer() {
	m.assert(false)
	m.out.add(Action{Kind: ActionAnnounce, Lower: true})
}

// yield is what a master does that hears a better one.
func (m *machine) yield(a *Advert, from netip.Addr, why Reason) {
	if m.Reason == ReasonMasterDown {
		// The other may have been there all along, and we have misled the
		// neighbours: one last advert makes it tell them again.
		m.advertise(m.p.Priority)
	}
	m.heard(a, from)
	m.withdraw(from)
	m.enter(Backup, why)
	m.accept(a)
}

// leave resigns and keeps the addresses for the successor.
func (m *machine) leave(why Reason) {
	if m.Leaving == "" {
		m.LeavingSince = m.now
	}
	if (m.Leaving == "" || m.Leaving == ReasonGroup) && why != ReasonGroup {
		m.out.add(Action{Kind: ActionHandoverBegun, Reason: why})
	}
	m.Leaving = why
	m.LeaveBy = m.now.Add(m.p.leaveWindow())
	m.resign()
	m.Deadline = earlier(m.now.Add(m.p.AdvertInterval), m.LeaveBy)
}

// succeeded ends leaving: the successor is heard, so it has the addresses.
func (m *machine) succeeded(a *Advert, from netip.Addr) {
	m.heard(a, from)
	m.withdraw(from)
	if m.Leaving == ReasonGroup {
		m.enter(Backup, ReasonGroup)
		m.accept(a)
		return
	}
	m.out.add(Action{Kind: ActionHandoverDone, Peer: from, Priority: a.Priority, Took: m.now.Sub(m.LeavingSince)})
	if m.Leaving == ReasonStop {
		m.stopped()
		return
	}
	m.enter(Backup, ReasonFailover)
	m.YieldTo = from
	m.accept(a)
}

// inFault is an instance whose fault was cleared, or not yet.
func (m *machine) inFault(ev *Event) {
	switch {
	case ev.Kind == EventShutdown:
		m.stopped()
	case m.p.Fault != "":
		m.Reason = m.p.Fault // the fault that is cleared last names the transition
	case m.Reason == ReasonLinkDown || m.Reason == ReasonLinkUnknown:
		m.begin(ReasonLinkUp)
	case m.Reason == ReasonGroupFault:
		m.begin(ReasonGroup)
	default:
		m.begin(ReasonFaultCleared)
	}
}

// fault takes an instance out at once. It comes before the event, which then
// meets the state Fault.
func (m *machine) fault() {
	if m.p.Fault == "" || m.p.Early || m.Role != Backup && m.Role != Master {
		return
	}
	if m.Role == Master && m.p.CanSend {
		m.resign()
	}
	if m.Role == Master || m.Holding {
		m.withdraw(netip.Addr{})
	}
	stopping := m.Leaving == ReasonStop
	m.handoverFailed(m.p.Fault)
	if stopping {
		m.stopped()
		return
	}
	m.enter(Fault, m.p.Fault)
}

// stall makes an instance listen before it speaks when it has slept through
// what others take for its death, or through what they may have sent. It keeps
// the addresses meanwhile: if nobody has taken over they are still in use.
// It comes before the event, which may be an advert that lay waiting.
func (m *machine) stall() {
	switch {
	case m.Role == Master && m.Leaving != ReasonStop && m.p.masterStalled(&m.State, m.now):
		m.out.add(Action{Kind: ActionStalled, Took: m.now.Sub(m.LastAdvert)})
		m.handoverFailed(ReasonStalled)
		m.enter(Backup, ReasonStalled)
		m.Listening, m.Holding = true, true
		m.Deadline = m.now.Add(m.p.AdvertInterval)
	case m.Role == Backup && !m.Expired && m.Stalls < maxStalls && m.p.backupStalled(&m.State, m.now):
		m.listen(m.now.Sub(m.Deadline))
	}
}

// listen gives others time to be heard after a stall of ours.
func (m *machine) listen(lost time.Duration) {
	m.out.add(Action{Kind: ActionStalled, Took: lost})
	m.Listening = true
	m.Stalls++
	m.Deadline = m.now.Add(m.p.listenTime(&m.State))
}

// stood is a stall from which a backup woke before its deadline, or a little after.
// The adverts that it has not heard may have been sent, and where it shares a host
// with the master that could not send any.
func (m *machine) stood(lost time.Duration) {
	if !m.Expired && m.Stalls < maxStalls && m.p.stood(&m.State, lost) && m.Deadline.Before(m.now.Add(m.p.listenTime(&m.State))) {
		m.listen(lost)
	}
}

// becomeMaster is the transition to Active of sections 6.4.1 and 6.4.2, with
// the addresses first: the old master lets go when it hears our advert.
func (m *machine) becomeMaster(why Reason) {
	var from Handover
	if m.now.Before(m.PeerUntil) {
		from.Predecessor = m.Peer
	}
	m.enter(Master, why)
	m.out.add(Action{Kind: ActionSetAddresses, Present: true, Handover: from})
	m.assert(true)
}

// delay tells a master that its advert left later than Step was told the time.
func (s *State) delay(by time.Duration) {
	if s.Role == Master && by > 0 {
		s.LastAdvert = s.LastAdvert.Add(by)
		s.Deadline = s.Deadline.Add(by)
	}
}

// stopped ends an instance.
func (m *machine) stopped() {
	m.enter(Init, ReasonStop)
	m.Running = false
}

// enter is the only way from one role to another. What belongs to the old one
// is forgotten.
func (m *machine) enter(to Role, why Reason) {
	m.out.add(Action{Kind: ActionTransition, From: m.role(), To: to, Reason: why, Peer: m.Peer, Priority: m.PeerPriority})
	m.State = State{
		Role: to, Reason: why, Since: m.now, Running: m.Running, Started: m.Started,
		Peer: m.Peer, PeerPriority: m.PeerPriority, PeerUntil: m.PeerUntil,
	}
	if to != Backup {
		m.Peer, m.PeerPriority, m.PeerUntil = netip.Addr{}, 0, time.Time{}
	}
}

// heard remembers who sent the last advert and until when it is taken to live.
func (m *machine) heard(a *Advert, from netip.Addr) {
	interval := a.Interval
	if m.p.Version == V2 {
		interval = m.p.AdvertInterval
	}
	m.Peer, m.PeerPriority = from, a.Priority
	m.PeerUntil = m.now.Add(m.p.downInterval(interval))
}

func (m *machine) withdraw(successor netip.Addr) {
	m.out.add(Action{Kind: ActionSetAddresses, Handover: Handover{Successor: successor}})
}

func (m *machine) handoverFailed(why Reason) {
	if m.Leaving != "" && m.Leaving != ReasonGroup {
		m.out.add(Action{Kind: ActionHandoverFailed, Reason: why, Took: m.now.Sub(m.LeavingSince)})
	}
	m.Leaving, m.Follow = "", false
}

func (m *machine) resign() { m.advertise(0) }

func (m *machine) advertise(priority uint8) {
	m.out.add(Action{Kind: ActionSendAdvert, Priority: priority})
	m.LastAdvert = m.now
	if priority > 0 {
		m.Said = priority
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
