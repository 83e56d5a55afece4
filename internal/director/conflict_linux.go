package director

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"baton/internal/announce"
	"baton/internal/event"
	"baton/vrrp"
)

const (
	// conflictGrace is how long after a claim it is judged: a successor that
	// announces the addresses was heard by then, and they are not ours any more.
	conflictGrace = 200 * time.Millisecond
	// conflictTold is the least time between two lines about one address.
	conflictTold = 10 * time.Second
	// conflictProbe is how often the network is asked for others that have
	// our addresses and keep silent.
	conflictProbe = time.Minute
	// conflictSettle gathers changes of what is watched: a packet socket and
	// its filter are not made while an election waits.
	conflictSettle = 100 * time.Millisecond
)

// conflicts watches for others that claim addresses that masters among our
// instances hold, tells of them and repeats the announcement.
type conflicts struct {
	addrs *addresses
	watch func(dev string, ours func(net.HardwareAddr) bool, report func(announce.Conflict)) (*announce.Watcher, error)

	work     sync.Mutex                   // held while sockets are opened; guards what follows
	watchers map[string]*announce.Watcher // by interface

	mu       sync.Mutex // never held for long: the election takes it; guards what follows
	pending  *time.Timer
	probing  *time.Timer
	leaving  map[string]bool // instances that hand over: another master is what they wait for
	told     map[netip.Addr]time.Time
	counted  map[netip.Addr]int
	stations map[string]string // hardware addresses of our own, by interface
	ended    bool
}

func newConflicts(a *addresses) *conflicts {
	return &conflicts{addrs: a, watch: announce.Watch, watchers: map[string]*announce.Watcher{}, leaving: map[string]bool{},
		told: map[netip.Addr]time.Time{}, counted: map[netip.Addr]int{}, stations: map[string]string{}}
}

// changed has the watch follow what is held, soon.
func (w *conflicts) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == nil && !w.ended {
		w.pending = time.AfterFunc(conflictSettle, w.follow)
	}
}

// station learns the hardware address of an interface of our own; nil: it is
// gone.
func (w *conflicts) station(dev string, mac net.HardwareAddr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mac == nil {
		delete(w.stations, dev)
		return
	}
	w.stations[dev] = mac.String()
}

// reopen is changed for an interface that may be another one by now.
func (w *conflicts) reopen(dev string) {
	w.work.Lock()
	was := w.watchers[dev]
	delete(w.watchers, dev)
	w.work.Unlock()
	if was != nil {
		_ = was.Close()
	}
	w.changed()
}

func (w *conflicts) setLeaving(instance string, leaving bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if leaving {
		w.leaving[instance] = true
	} else {
		delete(w.leaving, instance)
	}
}

func (w *conflicts) follow() {
	w.work.Lock()
	defer w.work.Unlock()
	w.mu.Lock()
	w.pending = nil
	ended := w.ended
	w.mu.Unlock()
	if ended {
		return
	}
	held := w.addrs.heldByDevice()
	for dev, was := range w.watchers {
		if len(held[dev]) == 0 {
			delete(w.watchers, dev)
			_ = was.Close()
		}
	}
	for dev, vips := range held {
		if w.watchers[dev] == nil {
			n, err := w.watch(dev, w.ours, w.claimed)
			if errors.Is(err, announce.ErrNoInterface) {
				continue // its coming is told of
			}
			if err != nil {
				w.addrs.say(event.AnnounceFailed, event.F(event.Interface, dev), event.F(event.Err, err))
				continue
			}
			w.watchers[dev] = n
		}
		if err := w.watchers[dev].Set(vips); err != nil {
			w.addrs.say(event.AnnounceFailed, event.F(event.Interface, dev), event.F(event.Err, err))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.probing == nil && len(held) > 0 && !w.ended {
		w.probing = time.AfterFunc(conflictProbe, w.probe)
	}
}

// probe asks whether anybody else has what we hold.
func (w *conflicts) probe() {
	held := w.addrs.heldByDevice()
	for dev, vips := range held {
		an, err := w.addrs.announcer(dev)
		if err != nil {
			continue
		}
		for _, vip := range vips {
			_ = an.Probe(vip) // what keeps it from being sent keeps announcements, which tell
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probing = nil
	if len(held) > 0 && !w.ended {
		w.probing = time.AfterFunc(conflictProbe, w.probe)
	}
}

// ours says whether a hardware address is one of this node's interfaces.
func (w *conflicts) ours(mac net.HardwareAddr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stations {
		if s == mac.String() {
			return true
		}
	}
	return false
}

func (w *conflicts) claimed(c announce.Conflict) {
	time.AfterFunc(conflictGrace, func() { w.judge(c, time.Now()) })
}

// judge tells of a claim to an address that is still ours, and answers it.
func (w *conflicts) judge(c announce.Conflict, now time.Time) {
	owner, found := w.addrs.owner(c.Interface, c.VIP)
	w.mu.Lock()
	if !found || w.leaving[owner.Name] || w.ended {
		w.mu.Unlock()
		return
	}
	w.counted[c.VIP] += c.Count
	tell := now.Sub(w.told[c.VIP]) >= conflictTold
	count := w.counted[c.VIP]
	if tell {
		w.told[c.VIP], w.counted[c.VIP] = now, 0
	}
	w.mu.Unlock()
	if tell {
		w.addrs.say(event.AnnounceConflict, event.F(event.Instance, owner.Name), event.F(event.Interface, c.Interface),
			event.F(event.Address, c.VIP), event.F(event.MAC, c.MAC), event.F(event.Count, count))
	}
	if err := w.addrs.announceOne(c.Interface, c.VIP); err != nil {
		w.addrs.say(event.AnnounceFailed, event.F(event.Instance, owner.Name), event.F(event.Interface, c.Interface), event.F(event.Err, err))
	}
}

func (w *conflicts) end() {
	w.mu.Lock()
	w.ended = true
	for _, t := range []*time.Timer{w.pending, w.probing} {
		if t != nil {
			t.Stop()
		}
	}
	w.mu.Unlock()
	w.work.Lock()
	defer w.work.Unlock()
	for _, n := range w.watchers {
		_ = n.Close()
	}
	clear(w.watchers) // reopen may still be called: VMACs go after this
}

// heldByDevice are the addresses that masters among our instances hold.
func (a *addresses) heldByDevice() map[string][]netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string][]netip.Addr{}
	for _, c := range a.held {
		for _, v := range c.All() {
			dev := c.AddressDevice(v)
			out[dev] = append(out[dev], v.Prefix.Addr())
		}
	}
	return out
}

// owner is the master that holds an address on an interface.
func (a *addresses) owner(dev string, vip netip.Addr) (vrrp.Config, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.held {
		for _, v := range c.All() {
			if v.Prefix.Addr() == vip && c.AddressDevice(v) == dev {
				return c, true
			}
		}
	}
	return vrrp.Config{}, false
}
