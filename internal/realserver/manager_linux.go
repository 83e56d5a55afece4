package realserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/internal/netif"
)

// The default places of what is remembered.
const (
	DefaultRuntimeDir = "/run/baton"
	DefaultStateDir   = "/var/lib/baton"
)

// Options say where things are remembered.
type Options struct {
	RuntimeDir string // of this boot's changes
	StateDir   string // of what is to be put up again after a reboot
}

// Manager changes this host. It holds a lock that others of its kind wait for.
type Manager struct {
	opts Options
	h    *netlink.Handle
	lock *os.File
	rec  *record
	said []string
	// before is called before each change, tests end there as a crash would.
	before func() error
}

// The lock is waited for so long, and asked for so often.
const (
	lockWithin = time.Minute
	lockEvery  = 50 * time.Millisecond
)

// Open takes the lock, for which it waits a minute at most, and reads what
// earlier runs did. Close releases it.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if err := os.MkdirAll(o.RuntimeDir, 0o755); err != nil {
		return nil, fmt.Errorf("make runtime directory: %w%s", err, needsRoot(err))
	}
	m := &Manager{opts: o, before: func() error { return nil }}
	var err error
	if m.lock, err = os.OpenFile(filepath.Join(o.RuntimeDir, "realserver.lock"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("open lock: %w%s", err, needsRoot(err))
	}
	if err = takeLock(ctx, m.lock); err == nil {
		m.rec, err = readRecord(m.recordFile(), bootID(), netNS())
	}
	if err == nil {
		if m.h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			err = fmt.Errorf("open route netlink socket: %w", err)
		}
	}
	if err != nil {
		m.lock.Close()
		return nil, err
	}
	return m, nil
}

func takeLock(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			if err != nil {
				err = fmt.Errorf("lock %s: %w", f.Name(), err)
			}
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s: another baton realserver, or baton doctor --real-server, runs: %w", f.Name(), ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}

// needsRoot is the remedy where only root may.
func needsRoot(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return " (run it as root)"
	}
	return ""
}

// Close releases the lock.
func (m *Manager) Close() error {
	m.h.Close()
	return m.lock.Close()
}

func (m *Manager) recordFile() string { return filepath.Join(m.opts.RuntimeDir, "realserver.json") }
func (m *Manager) wantsFile() string  { return filepath.Join(m.opts.StateDir, "realserver.json") }

// Recorded returns what was put up since the machine was started, by the
// commands of this package.
func (m *Manager) Recorded() []Want { return slices.Clone(m.rec.Wants) }

// Persistent returns what is to be put up after a reboot.
func (m *Manager) Persistent() ([]Want, error) { return readWants(m.wantsFile()) }

// Persist adds to what is to be put up after a reboot.
func (m *Manager) Persist(wants []Want) error {
	kept, err := m.Persistent()
	if err != nil {
		return err
	}
	for _, w := range wants {
		kept = append(without(kept, w.VIP), w)
	}
	return replaceFile(m.wantsFile(), kept, false)
}

// TakeSaid returns, once, what was done in sentences.
func (m *Manager) TakeSaid() []string {
	said := m.said
	m.said = nil
	return said
}

func (m *Manager) say(format string, args ...any) {
	m.said = append(m.said, fmt.Sprintf(format, args...))
}

// Up puts addresses up: the kernel's parameters first, then the tunnel's
// device, then the address. What is right already is left as it is. Where the
// host cannot be silenced there is no address and no change. After another error
// what was done stands, is remembered, and is taken back by Down.
func (m *Manager) Up(wants []Want) error {
	for _, w := range wants {
		if err := m.refuse(w); err != nil {
			return err
		}
	}
	were := *m.rec
	were.Changes = slices.Clone(were.Changes) // note and forget change it in place
	for _, w := range wants {
		m.rec.want(w)
	}
	if err := m.save(); err != nil {
		return err
	}
	if i := slices.IndexFunc(wants, func(w Want) bool { return w.VIP.Is4() }); i >= 0 {
		if err := m.silence(); err != nil {
			return errors.Join(fmt.Errorf("put up %s: %w", wants[i].VIP, err), m.takeBack(were))
		}
	}
	for _, w := range wants {
		if err := m.up(w); err != nil {
			return fmt.Errorf("put up %s: %w", w.VIP, err)
		}
	}
	return nil
}

// takeBack undoes what was changed since the record was as it were. What it
// held already stays: another address may rest on it.
func (m *Manager) takeBack(were record) error {
	m.rec.Wants = were.Wants
	changes := slices.Clone(m.rec.Changes)
	slices.Reverse(changes)
	var errs []error
	for _, c := range changes {
		if !were.has(c) {
			errs = append(errs, m.undo(c))
		}
	}
	return errors.Join(append(errs, m.save())...)
}

// refuse tells of what would make the address heard of.
func (m *Manager) refuse(w Want) error {
	places, err := netif.Places(m.h, w.VIP)
	if err != nil {
		return err
	}
	for _, p := range places {
		if p.Interface != w.Interface {
			mend := fmt.Sprintf("ip address del %s dev %s", p.Prefix, p.Interface)
			if was, ok := find(m.rec.Wants, w.VIP); ok {
				mend = was.Command("down")
			}
			return fmt.Errorf("put up %s on %s: it stands on %s, where the network may hear of it (mend with: %s)",
				w.VIP, w.Interface, p.Interface, mend)
		}
	}
	link, err := m.link(w.Interface)
	if errors.Is(err, netif.ErrNoInterface) {
		return nil // up makes it, or says so
	}
	if err == nil && asked(link.Attrs()) {
		return fmt.Errorf("put up %s on %s: %s can be asked for it, and would answer (leave --interface out, or name one that nobody can ask: lo, a tunnel's device, a dummy)",
			w.VIP, w.Interface, w.Interface)
	}
	return err
}

// asked says whether others ask on an interface, by ARP or neighbour
// solicitation, who has an address: it answers for those that it has itself,
// whatever arp_ignore is.
func asked(a *netlink.LinkAttrs) bool { return a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 }

func (m *Manager) up(w Want) error {
	if w.Mode == TUN {
		if err := m.device(w); err != nil {
			return err
		}
	}
	places, err := netif.Places(m.h, w.VIP)
	if err != nil {
		return err
	}
	if len(places) > 0 {
		m.say("%s is on %s already", places[0].Prefix, w.Interface)
		return nil
	}
	link, err := m.link(w.Interface)
	if err != nil {
		return err
	}
	if err := m.change(change{Kind: addedAddress, Interface: w.Interface, Address: w.prefix()}, func() error {
		return m.h.AddrAdd(link, address(w.VIP))
	}); err != nil {
		return fmt.Errorf("add address to %s: %w%s", w.Interface, err, hint(err))
	}
	m.say("added %s to %s", w.prefix(), w.Interface)
	return nil
}

// address is the address as it is added. An IPv6 address is usable at once,
// without duplicate address detection, which would find the director; and it
// is deprecated, so that the host never chooses it as the source of what it
// sends by itself (RFC 4862 §5.5.4).
func address(vip netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(vip.BitLen(), vip.BitLen())}}
	if vip.Is6() {
		a.Flags = unix.IFA_F_NODAD
		a.ValidLft, a.PreferedLft = int(^uint32(0)), 0
	}
	return a
}

// device sees to it that what comes out of the tunnel is taken: its source is
// the client, whom this host would reach by another interface. Loose reverse
// path filtering on the tunnel's device alone outweighs a strict one for all,
// and leaves the other interfaces as they are.
func (m *Manager) device(w Want) error {
	link, err := m.link(w.Interface)
	if err != nil {
		if link, err = m.makeDevice(w.Interface, err); err != nil {
			return err
		}
	}
	if w.VIP.Is4() {
		n, err := netif.Conf4(w.Interface, "rp_filter")
		if err != nil {
			return err
		}
		if n == 1 {
			if err := m.sysctl(rpFilter(w.Interface), "2", "2"); err != nil {
				return err
			}
		}
	}
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	if err := m.change(change{Kind: setInterfaceUp, Interface: w.Interface}, func() error { return m.h.LinkSetUp(link) }); err != nil {
		return fmt.Errorf("set interface %s up: %w%s", w.Interface, err, hint(err))
	}
	m.say("set interface %s up", w.Interface)
	return nil
}

// makeDevice asks for a tunnel's device, which makes the kernel load the module
// that has it.
func (m *Manager) makeDevice(name string, missing error) (netlink.Link, error) {
	var add netlink.Link
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	switch name {
	case tunnel4:
		add = &netlink.Iptun{LinkAttrs: attrs}
	case tunnel6:
		add = &netlink.Ip6tnl{LinkAttrs: attrs}
	default:
		return nil, missing
	}
	err := m.change(change{Kind: addedInterface, Interface: name}, func() error { return m.h.LinkAdd(add) })
	link, err2 := m.link(name)
	switch {
	case err2 != nil:
		return nil, fmt.Errorf("make interface %s: %w (mend with: modprobe %s)", name, errors.Join(err, err2), moduleOf[name])
	case err != nil: // the module made it when it was loaded
		m.rec.forget(change{Kind: addedInterface, Interface: name})
		m.say("the kernel has loaded the module of %s", name)
		return link, m.save()
	}
	m.say("added interface %s", name)
	return link, nil
}

// sysctl sets a parameter unless it has one of the values that do.
func (m *Manager) sysctl(name, value string, fine ...string) error {
	was, err := netif.ReadSysctl(name)
	if err != nil {
		return err
	}
	if slices.Contains(fine, was) {
		return nil
	}
	if err := m.change(change{Kind: changedSysctl, Name: name, Was: was, Now: value}, func() error {
		return netif.WriteSysctl(name, value)
	}); err != nil {
		return err
	}
	m.say("set %s to %s, was %s", netif.SysctlKey(name), value, was)
	return nil
}

// change remembers a change and makes it.
func (m *Manager) change(c change, do func() error) error {
	known := m.rec.has(c)
	m.rec.note(c)
	if err := m.save(); err != nil {
		return err
	}
	if err := m.before(); err != nil {
		return err
	}
	err := do()
	if err != nil && !known && c.Kind != addedInterface {
		m.rec.forget(c)
		return errors.Join(err, m.save())
	}
	return err
}

func (m *Manager) save() error {
	return replaceFile(m.recordFile(), m.rec, len(m.rec.Wants) == 0 && len(m.rec.Changes) == 0)
}

// Down takes addresses back, as Suspend does, and forgets what is to be put up
// after a reboot.
func (m *Manager) Down(vips []netip.Addr) error {
	return errors.Join(m.Suspend(vips), m.unpersist(vips))
}

// Suspend takes addresses back, and with the last one that needs them the
// parameters and devices. What Up has not added, or what was changed by
// somebody else since, stays and is told.
func (m *Manager) Suspend(vips []netip.Addr) error {
	var errs []error
	var stays []netif.Place
	kept, _ := m.Persistent() // what is wrong with it is told by who needs it
	for _, vip := range vips {
		w, ours := find(m.rec.Wants, vip)
		if _, known := find(kept, vip); !ours && known {
			continue // it is only remembered
		}
		if !ours {
			m.say("%s was not put up by baton: left alone", vip)
			continue
		}
		c := change{Kind: addedAddress, Interface: w.Interface, Address: w.prefix()}
		if m.rec.has(c) {
			if err := m.undo(c); err != nil {
				errs = append(errs, fmt.Errorf("take down %s: %w", vip, err))
				continue
			}
		} else if places, err := netif.Places(m.h, vip); err == nil && len(places) > 0 {
			m.say("%s on %s was there before: left alone", places[0].Prefix, places[0].Interface)
			stays = append(stays, places[0])
		}
		m.rec.Wants = without(m.rec.Wants, vip)
	}
	changes := slices.Clone(m.rec.Changes)
	slices.Reverse(changes)
	heard := false
	for _, c := range changes {
		if !slices.ContainsFunc(m.rec.Wants, func(w Want) bool { return w.needs(c) }) && c.Kind != addedAddress {
			errs = append(errs, m.undo(c))
			heard = heard || silences(c.Name)
		}
	}
	if heard && len(stays) > 0 {
		errs = append(errs, m.heardAgain(stays))
	}
	return errors.Join(append(errs, m.save())...)
}

func (m *Manager) unpersist(vips []netip.Addr) error {
	kept, err := m.Persistent()
	if err != nil || len(kept) == 0 {
		return err
	}
	for _, v := range vips {
		if _, known := find(kept, v); known {
			kept = without(kept, v)
			m.say("%s is not put up at boot any more", v)
		}
	}
	return replaceFile(m.wantsFile(), kept, len(kept) == 0)
}

// needs says whether w rests on a change.
func (w Want) needs(c change) bool {
	switch c.Kind {
	case changedSysctl:
		return w.VIP.Is4() && (silences(c.Name) || w.Mode == TUN && c.Name == rpFilter(w.Interface))
	case addedAddress:
		return w.Interface == c.Interface && w.prefix() == c.Address
	}
	return w.Mode == TUN && w.Interface == c.Interface
}

// undo takes one change back, and then forgets it.
func (m *Manager) undo(c change) error {
	if err := m.before(); err != nil {
		return err
	}
	var err error
	switch c.Kind {
	case changedSysctl:
		err = m.undoSysctl(c)
	case addedAddress:
		err = m.undoAddress(c)
	default:
		err = m.undoInterface(c)
	}
	if err != nil {
		return err
	}
	m.rec.forget(c)
	return m.save()
}

func (m *Manager) undoSysctl(c change) error {
	now, err := netif.ReadSysctl(c.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now != c.Now && now != c.Was:
		m.say("%s is %s, which baton did not set: left alone", netif.SysctlKey(c.Name), now)
		return nil
	case now == c.Was:
		return nil
	}
	if err := netif.WriteSysctl(c.Name, c.Was); err != nil {
		return err
	}
	m.say("set %s back to %s", netif.SysctlKey(c.Name), c.Was)
	return nil
}

func (m *Manager) undoAddress(c change) error {
	link, err := m.link(c.Interface)
	if errors.Is(err, netif.ErrNoInterface) {
		return nil
	}
	if err != nil {
		return err
	}
	err = m.h.AddrDel(link, &netlink.Addr{IPNet: address(c.Address.Addr()).IPNet})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		m.say("%s was not on %s any more", c.Address, c.Interface)
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove address from %s: %w%s", c.Interface, err, hint(err))
	}
	m.say("removed %s from %s", c.Address, c.Interface)
	return nil
}

func (m *Manager) undoInterface(c change) error {
	link, err := m.link(c.Interface)
	if errors.Is(err, netif.ErrNoInterface) {
		return nil
	}
	if err != nil {
		return err
	}
	others, err := m.h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", c.Interface, err)
	}
	if slices.ContainsFunc(others, func(a netlink.Addr) bool { return a.Scope != unix.RT_SCOPE_LINK }) {
		m.say("interface %s has other addresses: left up", c.Interface)
		return nil
	}
	verb := "set down"
	if c.Kind == addedInterface {
		verb, err = "removed", m.h.LinkDel(link)
	} else {
		err = m.h.LinkSetDown(link)
	}
	if err != nil {
		return fmt.Errorf("%s interface %s: %w%s", verb, c.Interface, err, hint(err))
	}
	m.say("%s interface %s", verb, c.Interface)
	return nil
}

func (m *Manager) link(name string) (netlink.Link, error) {
	link, err := m.h.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("find interface %q: %w", name, netif.ErrNoInterface)
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	return link, nil
}

// hint is the remedy for the errors whose remedy is known.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (run it as root)"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return " (IPv6 is switched off: see sysctl net.ipv6.conf.lo.disable_ipv6)"
	}
	return ""
}
