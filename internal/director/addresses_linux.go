package director

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"baton/internal/announce"
	"baton/internal/event"
	"baton/internal/netif"
	"baton/internal/plan"
	"baton/vrrp"
)

// setWithin bounds one change of addresses.
const setWithin = 2 * time.Second

// restoreTries bounds how often an address that somebody takes away is put
// back within restoreWindow: two programs that fight over an address must not
// keep the machine busy.
const (
	restoreTries  = 20
	restoreWindow = time.Minute
)

// addresses carries the election's decisions into the kernel: it is the
// speaker's vrrp.Addresses and vrrp.Announcer.
type addresses struct {
	netif *netif.Manager
	say   func(event.Name, ...event.Field)

	mu         sync.Mutex
	ports      map[string][]uint16 // TCP services on an instance's addresses
	held       map[string]vrrp.Config
	holders    map[place][]string              // the instances in held that have an address
	macs       map[netip.Addr]net.HardwareAddr // of masters, learned while backup
	announcers map[string]*announce.Announcer  // by interface
	fading     map[string]*fading              // by instance and kind: relays and lingers in force
	restores   limiter
	waiting    map[string]*time.Timer // for the window of a limit to pass
	vmacs      *vmacs
	conflicts  *conflicts
	untagged   bool // that the kernel forgets tags was told
	done       sync.WaitGroup
}

// place is an address on an interface.
type place struct {
	dev    string
	prefix netip.Prefix
}

// fading is a relay or a linger that ends after the instance's linger time.
type fading struct {
	timer *time.Timer
	end   func()       // removes it
	vips  []netip.Addr // a linger's
}

func newAddresses(m *netif.Manager, say func(event.Name, ...event.Field)) *addresses {
	a := &addresses{netif: m, say: say, ports: map[string][]uint16{}, held: map[string]vrrp.Config{}, holders: map[place][]string{},
		macs: map[netip.Addr]net.HardwareAddr{}, announcers: map[string]*announce.Announcer{},
		fading: map[string]*fading{}, restores: limiter{}, waiting: map[string]*time.Timer{}, vmacs: newVMACs(m, say)}
	a.vmacs.again = a.reconcileVMACs
	a.conflicts = newConflicts(a)
	return a
}

// setPorts takes over a reload's ports. An instance that the reload has dropped,
// or renamed, keeps those it had until it has given its addresses away: what it
// is in the middle of is handed over like anybody's.
func (a *addresses) setPorts(ports map[string][]uint16, instances []vrrp.Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := maps.Clone(ports)
	if next == nil {
		next = map[string][]uint16{}
	}
	for name := range a.held {
		if !slices.ContainsFunc(instances, func(c vrrp.Config) bool { return c.Name == name }) {
			next[name] = a.ports[name]
		}
	}
	a.ports = next
}

// prefixes are the instance's addresses on one interface.
func prefixes(c vrrp.Config, dev string) []netip.Prefix {
	out := []netip.Prefix{}
	for _, a := range plan.Addresses(c)[dev] {
		out = append(out, a.Prefix)
	}
	return out
}

// vips4 are the instance's IPv4 addresses: relay and linger know no others.
func vips4(c vrrp.Config) []netip.Addr {
	var out []netip.Addr
	for _, a := range c.All() {
		if ip := a.Prefix.Addr(); ip.Is4() {
			out = append(out, ip)
		}
	}
	return out
}

// refuses says whether the instance drops what no virtual service takes. An
// owner accepts in any case (RFC 9568 section 6.1).
func refuses(c vrrp.Config) bool { return c.NoAccept && c.Priority != vrrp.PriorityOwner }

func vips(c vrrp.Config) []netip.Addr {
	var out []netip.Addr
	for _, a := range c.All() {
		out = append(out, a.Prefix.Addr())
	}
	return out
}

// Set makes the instance's addresses present or absent. A planned change of
// master brings its counterpart along: the new master relays what it does not
// know to the old one, before the first neighbour learns of the change; the old
// one lingers to forward it, before its addresses go. What an earlier change
// left in force ends when it is in the way, else in its own time.
func (a *addresses) Set(c vrrp.Config, present bool, h vrrp.Handover) error {
	defer a.conflicts.changed()
	a.mu.Lock()
	defer a.mu.Unlock()
	if present {
		a.relay(c, h.Predecessor)
	} else {
		a.linger(c, h.Successor)
	}
	err := a.set(c, present)
	if present {
		a.tellTags()
		a.hold(c)
		// Lingering looks like the addresses to TCP: it may end only now that
		// they are here.
		a.end(c.Name + "/linger")
	} else {
		a.release(c.Name)
		if c.VMAC != nil {
			// It may be one that a reload has dropped. Not now: deleting an
			// interface takes its time.
			a.done.Go(a.reconcileVMACs)
		}
	}
	return err
}

// tellTags tells once what an old kernel costs.
func (a *addresses) tellTags() {
	if a.untagged || !a.netif.LosesTags() {
		return
	}
	a.untagged = true
	a.say(event.ChildLimited, event.F(event.Child, "speaker"), event.F(event.Reason, "the kernel does not keep the tag of addresses (IFA_PROTO, Linux 5.18)"),
		event.F(event.Detail, "which addresses are Baton's is remembered in addresses.json of runtime_dir instead: leave it there"))
}

// reconcileVMACs sees to it that the VMACs are there.
func (a *addresses) reconcileVMACs() {
	a.mu.Lock()
	held := map[string]vmac{}
	for _, c := range a.held {
		if w, ok := vmacOf(c); ok {
			held[w.Name] = w
		}
	}
	a.mu.Unlock()
	a.vmacs.reconcile(held)
}

func (a *addresses) set(c vrrp.Config, present bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), setWithin)
	defer cancel()
	desired := plan.Addresses(c)
	was := a.held[c.Name] // a reload may have taken addresses out
	for dev := range plan.Addresses(was) {
		if _, ok := desired[dev]; !ok && dev != "" {
			desired[dev] = nil
		}
	}
	var errs []error
	if present {
		errs = append(errs, a.removePaths(was, c))
	} else {
		errs = append(errs, a.removePaths(was, vrrp.Config{}), a.removePaths(c, vrrp.Config{}))
	}
	if present && refuses(c) {
		// Before the addresses: nothing gets in between.
		errs = append(errs, a.netif.InstallNoAccept(c.Name, vips(c)))
	}
	for dev, want := range desired {
		if !present {
			want = nil
		}
		own := a.notOthers(c.Name, dev, append(prefixes(c, dev), prefixes(was, dev)...))
		change, err := a.setOn(ctx, c, dev, want, own)
		a.tell(c.Name, dev, change)
		if err != nil {
			errs = append(errs, err)
		}
	}
	if !present && refuses(c) || refuses(was) && !refuses(c) {
		errs = append(errs, a.netif.RemoveNoAccept(c.Name))
	}
	if present {
		_, err := a.addPaths(c, event.RouteAdded)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// notOthers leaves out what other masters of ours hold on the interface: an
// address may have moved from one instance to another.
func (a *addresses) notOthers(instance, dev string, ps []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(ps, func(p netip.Prefix) bool {
		return slices.ContainsFunc(a.holders[place{dev, p}], func(name string) bool { return name != instance })
	})
}

// setOn is SetAddresses, which a VMAC needs to be made ready for.
func (a *addresses) setOn(ctx context.Context, c vrrp.Config, dev string, want []netif.Addr, own []netip.Prefix) (netif.Change, error) {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	if c.VMAC == nil || dev != c.VMAC.Name || !slices.ContainsFunc(own, is6) {
		return a.netif.SetAddresses(ctx, dev, want, own)
	}
	if len(want) > 0 {
		return a.addTo(ctx, dev, want, own)
	}
	there, err := a.netif.OwnedAddresses(dev)
	silent := a.netif.VMACEnableIPv6(dev, false)
	change, err2 := a.netif.SetAddresses(ctx, dev, nil, own)
	for _, p := range there {
		if silent == nil && is6(p) && slices.Contains(own, p) {
			change.Removed = append(change.Removed, p)
		}
	}
	return change, errors.Join(err, silent, err2)
}

// addTo adds addresses to an interface that may be a VMAC, which has no IPv6
// while it is not needed.
func (a *addresses) addTo(ctx context.Context, dev string, want []netif.Addr, own []netip.Prefix) (netif.Change, error) {
	if slices.ContainsFunc(want, func(w netif.Addr) bool { return w.Prefix.Addr().Is6() }) {
		if self, _ := a.vmacs.concerns(dev); self {
			if err := a.netif.VMACEnableIPv6(dev, true); err != nil {
				return netif.Change{}, err
			}
		}
	}
	return a.netif.SetAddresses(ctx, dev, want, own)
}

func (a *addresses) tell(instance, dev string, ch netif.Change) {
	say := func(name event.Name, p netip.Prefix, more ...event.Field) {
		a.say(name, append([]event.Field{event.F(event.Instance, instance), event.F(event.Interface, dev), event.F(event.Address, p)}, more...)...)
	}
	for _, p := range ch.Added {
		say(event.AddressAdded, p)
	}
	for _, p := range ch.Removed {
		say(event.AddressRemoved, p)
	}
	for _, p := range ch.Foreign {
		say(event.AddressForeign, p, event.F(event.Reason, "it was here before and will not be removed when this director is backup"))
	}
}

// relay sets up the relay to the old master of a planned takeover. It is a
// courtesy to connections in flight: without it the takeover goes on.
func (a *addresses) relay(c vrrp.Config, old netip.Addr) {
	ports, vips := a.ports[c.Name], vips4(c)
	if !old.Is4() || len(ports) == 0 || len(vips) == 0 || c.HandoverLinger <= 0 {
		return
	}
	begun := time.Now()
	mac := a.macs[old]
	if mac == nil {
		mac = a.ask(c.Interface, old, askWithin)
	}
	err := a.netif.InstallRelay(netif.Relay{Name: c.Name, VIPs: vips, Ports: ports,
		Interface: c.Interface, OldMaster: old, OldMAC: mac})
	if err != nil {
		a.say(event.RelayFailed, event.F(event.Instance, c.Name), event.F(event.Peer, old), event.F(event.Err, err))
		return
	}
	a.say(event.RelayInstalled, event.F(event.Instance, c.Name), event.F(event.Peer, old), event.F(event.Took, round(time.Since(begun))))
	a.fade(c, "relay", nil, func() error { return a.netif.RemoveRelay(c.Name) })
}

// linger keeps forwarding what the successor relays. It must stand before the
// addresses go.
func (a *addresses) linger(c vrrp.Config, successor netip.Addr) {
	vips := vips4(c)
	if !successor.Is4() || len(a.ports[c.Name]) == 0 || len(vips) == 0 || c.HandoverLinger <= 0 {
		return
	}
	if _, ours := a.held[c.Name]; !ours {
		return
	}
	devices := slices.Sorted(maps.Keys(plan.Addresses(c)))
	if err := a.netif.InstallLinger(netif.Linger{VIPs: vips, Interfaces: devices}); err != nil {
		a.say(event.RelayFailed, event.F(event.Instance, c.Name), event.F(event.Peer, successor), event.F(event.Err, err))
		return
	}
	a.fade(c, "linger", vips, func() error { return a.netif.RemoveLinger(a.notLingering(vips)) })
}

// notLingering leaves out the addresses that another instance's linger needs
// still: that of an instance with the name that it had before a reload.
func (a *addresses) notLingering(vips []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(vips), func(vip netip.Addr) bool {
		for _, f := range a.fading {
			if slices.Contains(f.vips, vip) {
				return true
			}
		}
		return false
	})
}

// fade ends what was set up when the instance's linger time is over. One of
// the same kind that is still in force is replaced by it, not removed first.
// A linger is of vips.
func (a *addresses) fade(c vrrp.Config, what string, vips []netip.Addr, remove func() error) {
	key := c.Name + "/" + what
	if was := a.fading[key]; was != nil && was.timer.Stop() {
		a.done.Done()
	}
	f := &fading{vips: vips}
	a.done.Add(1)
	f.end = func() {
		defer a.done.Done()
		if err := remove(); err != nil {
			a.say(event.RelayFailed, event.F(event.Instance, c.Name), event.F(event.Err, fmt.Errorf("remove %s: %w", what, err)))
		}
	}
	f.timer = time.AfterFunc(c.HandoverLinger, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.fading[key] == f {
			delete(a.fading, key)
			f.end()
			return
		}
		a.done.Done() // replaced in this very moment
	})
	a.fading[key] = f
}

// end removes now what would fade later.
func (a *addresses) end(key string) {
	f := a.fading[key]
	if f == nil {
		return
	}
	delete(a.fading, key)
	if f.timer.Stop() {
		f.end()
		return
	}
	// The timer has fired and waits for the lock: it will find that it is not
	// in force any more, and only counts itself out.
	a.done.Add(1)
	f.end()
}

// wait returns when no relay and no linger is in force any more.
func (a *addresses) wait() { a.done.Wait() }

// askWithin bounds asking for a link-layer address while an election waits. An
// old master that gives way on purpose answers within a millisecond.
const askWithin = 50 * time.Millisecond

// maxMACs bounds the masters whose link-layer address is remembered.
const maxMACs = 4096

// learn looks a master's link-layer address up as soon as it is heard: in the
// moment of a takeover there is no time to lose.
func (a *addresses) learn(c vrrp.Config, peer netip.Addr) {
	mac := a.ask(c.Interface, peer, setWithin)
	if mac == nil {
		return
	}
	a.mu.Lock()
	if len(a.macs) >= maxMACs { // somebody invents masters; what is gone is asked for again
		for old := range a.macs {
			delete(a.macs, old)
			break
		}
	}
	a.macs[peer] = mac
	a.mu.Unlock()
	a.say(event.VRRPPeerStation, event.F(event.Instance, c.Name), event.F(event.Interface, c.Interface), event.F(event.Peer, peer), event.F(event.MAC, mac))
}

// ask returns nil where there is no answer; the relay then says what it lacks.
func (a *addresses) ask(dev string, peer netip.Addr, within time.Duration) net.HardwareAddr {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	mac, err := a.netif.Neighbour(ctx, dev, peer)
	if err != nil {
		return nil
	}
	return mac
}

// Announce sends one announcement for each address, with the hardware address
// of the interface that it is on.
func (a *addresses) Announce(c vrrp.Config) error {
	var errs []error
	router := map[string]bool{}
	for _, v := range c.All() {
		dev, ip := c.AddressDevice(v), v.Prefix.Addr()
		if _, known := router[dev]; !known && ip.Is6() {
			router[dev] = netif.Forwards6(dev) // what the kernel's own advertisements say
		}
		if err := a.announceAs(dev, ip, router[dev]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// announceOne is Announce for one address.
func (a *addresses) announceOne(dev string, ip netip.Addr) error {
	return a.announceAs(dev, ip, netif.Forwards6(dev))
}

// announceAs sends gratuitous ARP, or an unsolicited neighbour advertisement.
func (a *addresses) announceAs(dev string, ip netip.Addr, router bool) error {
	an, err := a.announcer(dev)
	if err != nil {
		return err
	}
	if ip.Is4() {
		return an.GARP(ip, nil)
	}
	return an.NA(ip, nil, router)
}

func (a *addresses) announcer(dev string) (*announce.Announcer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if an := a.announcers[dev]; an != nil {
		return an, nil
	}
	an, err := announce.New(dev)
	if err == nil {
		a.announcers[dev] = an
	}
	return an, err
}

// linkChanged drops what was prepared for an interface that may be another
// one of the same name by now.
func (a *addresses) linkChanged(dev string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if an := a.announcers[dev]; an != nil {
		an.Reset()
	}
}

// restationed announces what the masters among our instances hold on an interface
// that was given another hardware address: a bond with fail_over_mac has that of
// another port after each failover. What was prepared says the old one.
func (a *addresses) restationed(dev string, up bool) {
	a.linkChanged(dev)
	if !up {
		return // whoever becomes master when it is announces
	}
	a.mu.Lock()
	held := slices.Collect(maps.Values(a.held))
	a.mu.Unlock()
	for _, c := range held {
		var errs []error
		count := 0
		for _, v := range c.All() {
			if c.AddressDevice(v) == dev {
				count++
				errs = append(errs, a.announceOne(dev, v.Prefix.Addr()))
			}
		}
		switch err := errors.Join(errs...); {
		case err != nil:
			a.say(event.AnnounceFailed, event.F(event.Instance, c.Name), event.F(event.Interface, dev), event.F(event.Err, err))
		case count > 0:
			a.say(event.AnnounceSent, event.F(event.Instance, c.Name), event.F(event.Interface, dev), event.F(event.Count, count))
		}
	}
}

// vanished puts an address back that somebody else has removed from a master.
// The kernel itself takes IPv6 addresses off an interface that goes down:
// those come back with it, see returned.
func (a *addresses) vanished(l netif.LinkState, p netip.Prefix) {
	if !l.Up {
		return
	}
	dev := l.Name
	a.mu.Lock()
	owner, found := a.holder(dev, p)
	allowed := found && a.restores.allow(dev+p.String(), time.Now())
	a.mu.Unlock()
	if !found {
		return
	}
	if !allowed {
		a.say(event.AddressFailed, event.F(event.Instance, owner.Name), event.F(event.Interface, dev), event.F(event.Address, p), event.F(event.Err,
			errFight("removed")))
		time.AfterFunc(restoreWindow, func() { a.vanished(l, p) })
		return
	}
	a.restore(owner, "somebody else removed it")
}

// errFight says that somebody else does not let go.
func errFight(done string) error {
	return fmt.Errorf("%s by somebody else more than %d times within %v; it is put back after that time", done, restoreTries, restoreWindow)
}

// returned sees to it that an interface that can be used again has what the
// masters among our instances hold on it.
func (a *addresses) returned(dev string) {
	a.mu.Lock()
	var holders []vrrp.Config
	for _, c := range a.held {
		onDev := func(p path) bool { return p.device == dev }
		if dev == c.Interface || len(plan.Addresses(c)[dev]) > 0 || slices.ContainsFunc(a.paths(c), onDev) {
			holders = append(holders, c)
		}
	}
	a.mu.Unlock()
	for _, c := range holders {
		a.restore(c, "it was gone with its interface")
	}
}

// holder is the master that holds a prefix on an interface.
func (a *addresses) holder(dev string, p netip.Prefix) (vrrp.Config, bool) {
	names := a.holders[place{dev, p}]
	if len(names) == 0 {
		return vrrp.Config{}, false
	}
	return a.held[names[0]], true
}

// hold notes that the instance holds its addresses. Who holds one is asked for
// each that comes or goes: it must not take a look at all instances.
func (a *addresses) hold(c vrrp.Config) {
	a.release(c.Name)
	a.held[c.Name] = c
	for _, ip := range c.All() {
		at := place{c.AddressDevice(ip), ip.Prefix}
		a.holders[at] = append(a.holders[at], c.Name)
	}
}

func (a *addresses) release(instance string) {
	was := a.held[instance]
	for _, ip := range was.All() {
		at := place{was.AddressDevice(ip), ip.Prefix}
		a.holders[at] = slices.DeleteFunc(a.holders[at], func(name string) bool { return name == instance })
		if len(a.holders[at]) == 0 {
			delete(a.holders, at)
		}
	}
	delete(a.held, instance)
}

// restore sets the addresses again, and tells of those that were missing.
func (a *addresses) restore(c vrrp.Config, why string) {
	restored := false
	for dev, ch := range a.reassert(c) {
		fields := func(p netip.Prefix, last event.Field) []event.Field {
			return []event.Field{event.F(event.Instance, c.Name), event.F(event.Interface, dev), event.F(event.Address, p), last}
		}
		for _, p := range ch.Added {
			restored = true
			a.say(event.AddressRestored, fields(p, event.F(event.Reason, why))...)
		}
		if ch.err != nil && !errors.Is(ch.err, netif.ErrNoInterface) { // when it comes back they do, too
			a.say(event.AddressFailed, event.F(event.Instance, c.Name), event.F(event.Interface, dev), event.F(event.Err, ch.err))
		}
	}
	if !restored {
		return
	}
	if err := a.Announce(c); err != nil {
		a.say(event.AnnounceFailed, event.F(event.Instance, c.Name), event.F(event.Interface, c.Interface), event.F(event.Err, err))
	}
}

type reasserted struct {
	netif.Change
	err error
}

// reassert adds what is missing if the instance still holds its addresses: it
// may have lost them on purpose since the removal was seen.
func (a *addresses) reassert(c vrrp.Config) map[string]reasserted {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, held := a.held[c.Name]
	if !held {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), setWithin)
	defer cancel()
	out := map[string]reasserted{}
	for dev, want := range plan.Addresses(c) {
		ch, err := a.addTo(ctx, dev, want, []netip.Prefix{})
		out[dev] = reasserted{ch, err}
	}
	// The kernel removes routes with an address or an interface without a word.
	a.restorePaths(c, "it was gone with its interface or an address")
	return out
}
