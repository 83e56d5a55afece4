package netif

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addr is an address as it shall stand on an interface.
type Addr struct {
	// Prefix is the address with the length of its network: 192.168.16.200/24.
	// Within the network of the interface's own address an IPv4 address becomes
	// a secondary one; with /32 it stands alone. An IPv6 address with /128 is
	// deprecated from the start (RFC 4862 §5.5.4), so that the node prefers its
	// own as the source of what it sends; keepalived does so as well. With a
	// shorter prefix it is an address like the others.
	Prefix netip.Prefix
	// Label is an IPv4 interface label ("eth0:vip"); at most 15 bytes,
	// beginning with the interface's name. Empty: the interface's name.
	Label string
	// Scope is global, site, link, host, nowhere or a number 0…255; empty
	// means global.
	Scope string
}

// Change tells what SetAddresses did and found.
type Change struct {
	Added   []netip.Prefix // were missing
	Removed []netip.Prefix // were ours and not wanted any more
	Foreign []netip.Prefix // are wanted and there, but somebody else's: never removed
}

// tagSupport says whether the kernel gives the tag of an address back.
type tagSupport uint8

const (
	tagsUnknown tagSupport = iota
	tagsKept
	tagsLost
)

// SetAddresses makes the addresses of iface what desired says: it adds what is
// missing and removes what is tagged as ours and not desired. An address that
// is there without our tag is never removed.
//
// owned limits the removal to these prefixes, so that one virtual router of
// several on an interface can be set without knowing the others; nil stands
// for every tagged address of the interface.
//
// Addresses appear before others disappear. A label or scope takes effect when
// the address is added; it is not changed afterwards. If iface does not exist
// and nothing is desired, there is nothing to do and no error. On an error
// Change tells what was done all the same; one failing address does not keep
// the others from being set.
func (m *Manager) SetAddresses(ctx context.Context, iface string, desired []Addr, owned []netip.Prefix) (Change, error) {
	for _, d := range desired {
		if _, err := d.message(iface); err != nil {
			return Change{}, fmt.Errorf("set addresses of %s: %w", iface, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	link, err := m.link(iface)
	if errors.Is(err, ErrNoInterface) && len(desired) == 0 {
		return Change{}, nil
	}
	if err != nil {
		return Change{}, err
	}
	quick := Change{}
	if m.tags == tagsKept && addsOnly(desired, owned) {
		// What is there already need not be looked at: with 5,000 addresses on
		// the interface that takes longer than adding 20.
		var rest []Addr
		if quick.Added, rest, err = m.addMissing(ctx, link, desired); err != nil || len(rest) == 0 {
			return quick, err
		}
		desired = rest
	}
	observed, err := m.addresses(link)
	if err != nil {
		return quick, err
	}
	plan := planAddresses(observed, desired, owned)
	change := Change{Added: quick.Added, Foreign: plan.foreign}
	added, err := m.add(ctx, link, plan.add)
	change.Added = append(change.Added, added...)
	removed, err2 := m.remove(ctx, link, observed, plan.remove)
	change.Removed = removed
	return change, errors.Join(err, err2)
}

// addsOnly says whether there is nothing to remove: all that is owned, as far
// as the caller says, is desired.
func addsOnly(desired []Addr, owned []netip.Prefix) bool {
	return owned != nil && len(desired) > 0 && !slices.ContainsFunc(owned, func(o netip.Prefix) bool {
		return !slices.ContainsFunc(desired, func(d Addr) bool { return d.Prefix == o })
	})
}

// addMissing adds addresses without knowing what is there, and returns those
// that the kernel did not take: they are there already, or cannot be added.
func (m *Manager) addMissing(ctx context.Context, link netlink.Link, addrs []Addr) (added []netip.Prefix, rest []Addr, err error) {
	for i, d := range addrs {
		if ctx.Err() != nil {
			return added, addrs[i:], fmt.Errorf("add address %s to %s: %w", d.Prefix, link.Attrs().Name, ctx.Err())
		}
		msg, err := d.message(link.Attrs().Name)
		if err != nil {
			return added, addrs[i:], err
		}
		if m.h.AddrAdd(link, msg) != nil {
			rest = append(rest, d) // tried again, and judged, by who knows what is there
			continue
		}
		added = append(added, d.Prefix)
	}
	return added, rest, nil
}

// OwnedAddresses lists the addresses on iface that an earlier run or this one
// put there. An interface that does not exist has none. If the record of an
// earlier run cannot be read the error says so and the list has what the
// kernel knows.
func (m *Manager) OwnedAddresses(iface string) ([]netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	link, err := m.link(iface)
	if errors.Is(err, ErrNoInterface) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	observed, err := m.addresses(link)
	if err != nil {
		return nil, err
	}
	var ours []netip.Prefix
	for _, a := range observed {
		if a.ours {
			ours = append(ours, a.prefix)
		}
	}
	return ours, m.record.takeLoadError()
}

// RemoveStrayAddresses removes the addresses that are ours and not among those
// kept of their interface, and returns them: an earlier run has left them.
func (m *Manager) RemoveStrayAddresses(keep map[string][]netip.Prefix) (map[string][]netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	links, err := m.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	removed := map[string][]netip.Prefix{}
	var errs []error
	for _, link := range links {
		name := link.Attrs().Name
		observed, err := m.addresses(link)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var strays []address
		for _, a := range observed {
			if a.ours && !slices.Contains(keep[name], a.prefix) {
				strays = append(strays, a)
			}
		}
		gone, err := m.remove(context.Background(), link, observed, strays)
		if len(gone) > 0 {
			removed[name] = gone
		}
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// addresses lists what stands on link, both families, in the kernel's order.
func (m *Manager) addresses(link netlink.Link) ([]address, error) {
	raw, err := m.dump.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	list := make([]address, 0, len(raw))
	for i := range raw {
		if a, ok := fromMessage(&raw[i]); ok {
			a.ours = a.tag == Tag || m.record.has(link.Attrs().Name, a.prefix)
			list = append(list, a)
		}
	}
	return list, nil
}

func (m *Manager) add(ctx context.Context, link netlink.Link, addrs []Addr) ([]netip.Prefix, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	iface := link.Attrs().Name
	var added []netip.Prefix
	var errs []error
	if m.tags != tagsKept {
		// Recorded before it is added: a crash in between then leaves a record
		// too many, which is harmless, and not an address that nobody owns.
		errs = append(errs, m.record.add(iface, prefixes(addrs)))
	}
	for _, d := range addrs {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("add address %s to %s: %w", d.Prefix, iface, err))
			break
		}
		msg, err := d.message(iface)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if m.opts.loseTag {
			msg.Protocol = 0
		}
		err = m.h.AddrAdd(link, msg)
		switch {
		case err == nil:
			added = append(added, d.Prefix)
		case errors.Is(err, unix.EEXIST):
			// Somebody was quicker. It is theirs.
			errs = append(errs, m.record.remove(iface, []netip.Prefix{d.Prefix}))
		default:
			errs = append(errs, fmt.Errorf("add address %s to %s: %w%s", d.Prefix, iface, err, addressHint(err, iface, d.Prefix.Addr())),
				m.record.remove(iface, []netip.Prefix{d.Prefix}))
		}
	}
	if m.tags == tagsUnknown && len(added) > 0 {
		errs = append(errs, m.learnTagSupport(link, added))
	}
	return added, errors.Join(errs...)
}

// LosesTags says whether the kernel was found to forget the tag of an address,
// as before Linux 5.18. Until an address was added it is not known.
func (m *Manager) LosesTags() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tags == tagsLost
}

// learnTagSupport looks whether the kernel gives back the tag of an address
// that was just added with one.
func (m *Manager) learnTagSupport(link netlink.Link, added []netip.Prefix) error {
	list, err := m.addresses(link)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a address) bool { return a.prefix == added[0] })
	if i < 0 {
		return nil // taken away again already; the next one will tell
	}
	if list[i].tag != Tag {
		m.tags = tagsLost
		return nil
	}
	m.tags = tagsKept
	return m.record.remove(link.Attrs().Name, added)
}

func (m *Manager) remove(ctx context.Context, link netlink.Link, observed, doomed []address) ([]netip.Prefix, error) {
	if len(doomed) == 0 {
		return nil, nil
	}
	iface := link.Attrs().Name
	var errs []error
	var removed []netip.Prefix
	var saved Sysctls
	risk := endangered(observed, doomed)
	if len(risk) > 0 {
		errs = append(errs, keepSecondaries(&saved, iface))
	}
	for _, a := range doomed {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("remove address %s from %s: %w", a.prefix, iface, err))
			break
		}
		err := m.h.AddrDel(link, &netlink.Addr{IPNet: ipNet(a.prefix)})
		switch {
		case err == nil:
			removed = append(removed, a.prefix)
		case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
			// Somebody was quicker.
		default:
			errs = append(errs, fmt.Errorf("remove address %s from %s: %w%s", a.prefix, iface, err, hint(err)))
			continue
		}
		errs = append(errs, m.record.remove(iface, []netip.Prefix{a.prefix}))
	}
	if len(risk) > 0 {
		errs = append(errs, m.putBack(link, risk), saved.Restore())
	}
	return removed, errors.Join(errs...)
}

// keepSecondaries makes the kernel promote a secondary address when the
// primary one of its network is deleted, instead of deleting it as well
// (promote_secondaries, Documentation/networking/ip-sysctl.rst).
func keepSecondaries(saved *Sysctls, iface string) error {
	if all, err := ReadSysctl("net/ipv4/conf/all/promote_secondaries"); err == nil && all == "1" {
		return nil
	}
	return saved.Set("net/ipv4/conf/"+iface+"/promote_secondaries", "1")
}

// putBack adds again what the kernel deleted together with an address of ours.
func (m *Manager) putBack(link netlink.Link, risk []address) error {
	now, err := m.addresses(link)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range risk {
		if slices.ContainsFunc(now, func(n address) bool { return n.prefix == a.prefix }) {
			continue
		}
		again := *a.msg
		again.Flags &^= unix.IFA_F_SECONDARY | unix.IFA_F_PERMANENT
		if err := m.h.AddrAdd(link, &again); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("put address %s back on %s: %w", a.prefix, link.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

func prefixes(addrs []Addr) []netip.Prefix {
	list := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		list[i] = a.Prefix
	}
	return list
}

// hint is the remedy for the errors whose remedy is known.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (needs CAP_NET_ADMIN)"
	}
	return ""
}

// minMTU6 is IPv6's least (RFC 8200 §5); the kernel takes IPv6 off an
// interface that has less.
const minMTU6 = 1280

// addressHint is hint, and knows why an interface takes no IPv6 address.
func addressHint(err error, iface string, a netip.Addr) string {
	if a.Is4() {
		return hint(err)
	}
	switch {
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf(" (IPv6 is disabled on the interface: set sysctl net.ipv6.conf.%s.disable_ipv6 to 0)", strings.ReplaceAll(iface, ".", "/"))
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return " (the kernel has no IPv6: boot it without ipv6.disable=1 and load module ipv6)"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINVAL):
		return fmt.Sprintf(" (IPv6 needs an interface with an MTU of at least %d)", minMTU6)
	}
	return hint(err)
}
