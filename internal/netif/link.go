package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoInterface is wrapped by errors about an interface that does not exist.
var ErrNoInterface = errors.New("no such interface")

// LinkState is what an election needs to know of an interface.
type LinkState struct {
	Name  string
	Index int // changes when an interface of that name is made anew
	// Up is true when packets can pass: IFF_UP (wanted), IFF_LOWER_UP (carrier)
	// and IFF_RUNNING (operational state, RFC 2863), linux/if.h. For up to a
	// second after an interface's first carrier the kernel may still drop what
	// is sent: what matters has to be sent again.
	Up bool
	// Primary is the interface's own IPv4 address, VRRP's source: the first one
	// that is neither secondary nor ours. Invalid when there is none.
	Primary netip.Addr
	// LinkLocal is the IPv6 counterpart, without zone: the first link-local
	// address that is not ours and no longer tentative.
	LinkLocal netip.Addr
	MAC       net.HardwareAddr
	MTU       int
}

// Link reads the state of one interface. The error wraps [ErrNoInterface] when
// there is none of that name.
func (m *Manager) Link(name string) (LinkState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	link, err := m.link(name)
	if err != nil {
		return LinkState{}, err
	}
	list, err := m.addresses(link)
	if err != nil {
		return LinkState{}, err
	}
	s := linkState(link.Attrs())
	s.Primary, s.LinkLocal = ownAddresses(list)
	return s, nil
}

// Exists says whether there is an interface of that name.
func (m *Manager) Exists(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.link(name)
	return err == nil
}

// link asks each time: one request costs little, and an index kept from
// before the interface was made anew would cost a takeover.
func (m *Manager) link(name string) (netlink.Link, error) {
	link, err := m.h.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("find interface %q: %w", name, ErrNoInterface)
	}
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	return link, nil
}

func linkState(a *netlink.LinkAttrs) LinkState {
	const operational = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	return LinkState{
		Name:  a.Name,
		Index: a.Index,
		Up:    a.RawFlags&operational == operational,
		MAC:   a.HardwareAddr,
		MTU:   a.MTU,
	}
}

// ownAddresses are the interface's own among what stands on it.
func ownAddresses(list []address) (primary, linkLocal netip.Addr) {
	for _, a := range list {
		ip := a.prefix.Addr()
		switch {
		case a.ours || a.secondary || a.tentative:
		case ip.Is4() && !primary.IsValid() && a.scope < unix.RT_SCOPE_HOST:
			primary = ip
		case ip.Is6() && !linkLocal.IsValid() && ip.IsLinkLocalUnicast():
			linkLocal = ip
		}
	}
	return primary, linkLocal
}

// same reports whether nothing differs that a Fact tells.
func (s LinkState) same(o LinkState) bool {
	return s.Name == o.Name && s.Index == o.Index && s.Up == o.Up && s.MTU == o.MTU &&
		s.Primary == o.Primary && s.LinkLocal == o.LinkLocal && string(s.MAC) == string(o.MAC)
}
