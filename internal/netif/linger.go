package netif

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// lingerTable is the routing table that holds the VIPs of a lingering old
	// master, out of the way of the numbers that people choose by hand.
	lingerTable = 112000
	// lingerPriority is next after the local table's, 0: no rule of the
	// administrator's may route the VIP away before it.
	lingerPriority = 1
)

// Linger describes what an old master goes on forwarding after it has given
// its addresses away: TCP to the VIPs that comes in through one of the
// interfaces still reaches IPVS, while ARP for them is no longer answered.
//
// Where rp_filter is strict and the clients' route leaves through another
// interface than the one the relay uses, the kernel drops relayed packets.
type Linger struct {
	VIPs []netip.Addr
	// Interfaces are those on which relayed packets and clients with stale
	// neighbour entries come in.
	Interfaces []string
}

// InstallLinger puts l in force beside what stands already. It does nothing
// while the addresses are local, so install it before removing them: in
// between, the old master would send relayed packets back and the new one
// would answer them with a reset.
func (m *Manager) InstallLinger(l Linger) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.installLinger(l); err != nil {
		return fmt.Errorf("install linger: %w", err)
	}
	return nil
}

func (m *Manager) installLinger(l Linger) error {
	lo, err := m.link("lo")
	if err != nil {
		return err
	}
	for _, vip := range l.VIPs {
		if !vip.Is4() {
			return fmt.Errorf("address %s: only ipv4 can linger", vip)
		}
		err := m.h.RouteAdd(lingerRoute(vip, lo.Attrs().Index))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add route local %s table %d: %w%s", vip, lingerTable, err, hint(err))
		}
	}
	for _, iface := range l.Interfaces {
		err := m.h.RuleAdd(lingerRule(iface))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add rule iif %s ipproto tcp lookup %d: %w%s", iface, lingerTable, err, hint(err))
		}
	}
	return m.verifyRules()
}

// prepareRules makes a rule that matches nothing and removes it. A namespace's
// first rule separates the local routing table from the main one, and while
// that goes on the kernel takes packets to its own addresses for somebody
// else's (fib_unmerge in net/ipv4/fib_frontend.c). Once separate they stay so.
func (m *Manager) prepareRules() error {
	if err := m.h.RuleAdd(lingerRule("baton-probe")); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add rule: %w%s", err, hint(err))
	}
	if err := m.verifyRules(); err != nil {
		return err
	}
	if err := m.h.RuleDel(lingerRule("baton-probe")); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete rule: %w%s", err, hint(err))
	}
	return nil
}

// verifyRules guards against kernels before 4.17, which ignore ipproto: the
// rule would then match ARP as well, and both directors answer for the VIP.
func (m *Manager) verifyRules() error {
	rules, err := m.lingerRules()
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.IPProto != unix.IPPROTO_TCP {
			return errors.Join(errors.New("the kernel does not know rules with ipproto (needs linux 4.17)"), m.removeRules(rules))
		}
	}
	return nil
}

// RemoveLinger ends the lingering for these VIPs; there being none is fine.
func (m *Manager) RemoveLinger(vips []netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, vip := range vips {
		err := m.h.RouteDel(lingerRoute(vip, 0))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove linger: delete route local %s table %d: %w%s", vip, lingerTable, err, hint(err))
		}
	}
	left, err := m.lingerRoutes()
	if err != nil {
		return fmt.Errorf("remove linger: %w", err)
	}
	if len(left) > 0 {
		return nil // others linger; the rules serve them as well
	}
	rules, err := m.lingerRules()
	if err == nil {
		err = m.removeRules(rules)
	}
	if err != nil {
		return fmt.Errorf("remove linger: %w", err)
	}
	return nil
}

// CleanLeftovers removes every relay, linger and no_accept with our mark,
// whichever run made it, and says what it has removed. Addresses are not
// touched: they are adopted through OwnedAddresses.
func (m *Manager) CleanLeftovers() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	relays, err := m.cleanRelays()
	rules, err2 := m.cleanRules()
	filters, err3 := m.cleanNoAccept()
	return slices.Concat(relays, rules, filters), errors.Join(err, err2, err3)
}

func (m *Manager) cleanRelays() ([]string, error) {
	for name, f := range m.forwarders {
		f.stop()
		delete(m.forwarders, name)
	}
	names, err := m.relayTables()
	if err == nil && len(names) > 0 {
		err = m.removeTables(names...)
	}
	if err != nil {
		return nil, fmt.Errorf("clean left-over relays: %w", err)
	}
	return tablesNamed(names...), nil
}

// tablesNamed says of nftables' tables what they are.
func tablesNamed(names ...string) []string {
	out := slices.Clone(names)
	for i := range out {
		out[i] = "nftables table " + out[i]
	}
	return out
}

func (m *Manager) cleanRules() ([]string, error) {
	rules, err := m.ownRules()
	if err == nil {
		err = m.removeRules(rules)
	}
	routes, err2 := m.lingerRoutes()
	if err = errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("clean left-over rules: %w", err)
	}
	var gone []string
	for _, r := range rules {
		gone = append(gone, fmt.Sprintf("rule of a handover, priority %d protocol %d", r.Priority, Tag))
	}
	for _, r := range routes {
		if err := m.h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return gone, fmt.Errorf("clean left-over rules: delete route %s table %d: %w", r.Dst, lingerTable, err)
		}
		gone = append(gone, fmt.Sprintf("route of a handover, %s table %d", r.Dst, lingerTable))
	}
	return gone, nil
}

func lingerRoute(vip netip.Addr, lo int) *netlink.Route {
	return &netlink.Route{
		Dst:       ipNet(netip.PrefixFrom(vip, vip.BitLen())),
		Type:      unix.RTN_LOCAL,
		Scope:     netlink.SCOPE_HOST,
		Table:     lingerTable,
		Protocol:  Tag,
		LinkIndex: lo,
	}
}

// lingerRule sends TCP from iface through our table. It has no destination:
// what is not found in a table goes on to the next rule, and one rule for each
// interface costs less than one for each VIP.
func lingerRule(iface string) *netlink.Rule {
	r := ownRule()
	r.IifName = iface
	r.Table = lingerTable
	return r
}

// ownRule is what all our rules have in common.
func ownRule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family = netlink.FAMILY_V4
	r.IPProto = unix.IPPROTO_TCP
	r.Priority = lingerPriority
	r.Protocol = Tag
	return r
}

func (m *Manager) lingerRoutes() ([]netlink.Route, error) {
	routes, err := m.h.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Table: lingerTable, Protocol: Tag, Type: unix.RTN_LOCAL},
		netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TYPE)
	if err != nil {
		return nil, fmt.Errorf("list routes of table %d: %w", lingerTable, err)
	}
	return routes, nil
}

func (m *Manager) lingerRules() ([]netlink.Rule, error) {
	ours, err := m.ownRules()
	return slices.DeleteFunc(ours, func(r netlink.Rule) bool { return r.Table != lingerTable }), err
}

// ownRules lists lingers' and relays' rules, whichever run made them.
func (m *Manager) ownRules() ([]netlink.Rule, error) {
	all, err := m.h.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	return slices.DeleteFunc(all, func(r netlink.Rule) bool { return r.Protocol != Tag }), nil
}

func (m *Manager) removeRules(rules []netlink.Rule) error {
	for _, r := range rules {
		if err := m.h.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delete rule %d of protocol %d: %w%s", r.Priority, Tag, err, hint(err))
		}
	}
	return nil
}
