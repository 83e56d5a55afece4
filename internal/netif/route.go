package netif

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteTag is the protocol of virtual routes and rules, as [Tag] is of the
// rest: `ip route show table all proto 113` lists them. It is as free in
// linux/rtnetlink.h and in iproute2's rt_protos, and another number than Tag
// as their life is another: what stands with Tag is cleaned at each start.
const RouteTag = 113

// Route is a route as it shall stand while this node is master.
type Route struct {
	Destination netip.Prefix
	Via         netip.Addr // invalid: on the link
	Source      netip.Addr // preferred source; must be an address of the node
	Device      string     // "": that of Via
	Table       uint32     // 0: main
	Metric      uint32     // 0: the kernel's choice
	Scope       string     // as of an Addr, "": the kernel's choice
	MTU         uint32     // bytes; 0: the device's
}

// String is what one would give to `ip route add`.
func (r Route) String() string {
	var b strings.Builder
	b.WriteString(r.Destination.String())
	put := func(word string, is bool, value any) {
		if is {
			fmt.Fprintf(&b, " %s %v", word, value)
		}
	}
	put("via", r.Via.IsValid(), r.Via)
	put("dev", r.Device != "", r.Device)
	put("table", r.Table != 0, r.Table)
	put("src", r.Source.IsValid(), r.Source)
	put("metric", r.Metric != 0, r.Metric)
	put("scope", r.Scope != "", r.Scope)
	put("mtu", r.MTU != 0, r.MTU)
	return b.String()
}

func (r Route) family() int { return family(r.Destination.Addr()) }

// AddRoute adds a route, tagged as ours, and says whether it was missing. One
// of ours in its place that differs is replaced; one of somebody else's is an
// error.
func (m *Manager) AddRoute(r Route) (added bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if added, err = m.addRoute(r); err != nil {
		return false, fmt.Errorf("add route %s: %w%s", r, err, routeHint(err))
	}
	return added, nil
}

func (m *Manager) addRoute(r Route) (bool, error) {
	msg, err := m.routeMessage(r)
	if err != nil {
		return false, err
	}
	err = m.h.RouteAdd(msg)
	if !errors.Is(err, unix.EEXIST) {
		return err == nil, err
	}
	there, err := m.routesLike(msg)
	if err != nil {
		return false, err
	}
	for _, t := range there {
		if t.Protocol != RouteTag {
			return false, fmt.Errorf("there is one of somebody else's (protocol %s) with the same destination and metric: give this one another metric", t.Protocol)
		}
		if sameRoute(msg, &t) {
			return false, nil
		}
		if err := m.h.RouteDel(&t); err != nil && !errors.Is(err, unix.ESRCH) {
			return false, err
		}
	}
	err = m.h.RouteAdd(msg)
	return err == nil, err
}

// RemoveRoute removes a route if it is there and ours, and says whether it was.
func (m *Manager) RemoveRoute(r Route) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	msg, err := m.routeMessage(r)
	if errors.Is(err, ErrNoInterface) {
		return false, nil // it went with the interface
	}
	if err == nil {
		err = m.h.RouteDel(msg)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENODEV):
		return false, nil
	}
	return false, fmt.Errorf("remove route %s: %w%s", r, err, hint(err))
}

// RemoveStrayRoutes removes the routes that are ours and in none of keep, and
// returns them: an earlier run has left them.
func (m *Manager) RemoveStrayRoutes(keep []Route) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := m.ownRoutes(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var wanted []*netlink.Route
	for _, r := range keep {
		if msg, err := m.routeMessage(r); err == nil {
			wanted = append(wanted, msg)
		}
	}
	var removed []string
	var errs []error
	for _, t := range all {
		if slices.ContainsFunc(wanted, func(w *netlink.Route) bool { return sameRoute(w, &t) }) {
			continue
		}
		if err := m.h.RouteDel(&t); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove left-over route %s: %w%s", t, err, hint(err)))
			continue
		}
		removed = append(removed, prefixOf(t.Dst, t.Family).String())
	}
	return removed, errors.Join(errs...)
}

func (m *Manager) ownRoutes(family int) ([]netlink.Route, error) {
	routes, err := m.h.RouteListFiltered(family, &netlink.Route{Protocol: RouteTag, Table: unix.RT_TABLE_UNSPEC},
		netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// routesLike lists those that stand where msg would.
func (m *Manager) routesLike(msg *netlink.Route) ([]netlink.Route, error) {
	list, err := m.h.RouteListFiltered(msg.Family, &netlink.Route{Table: msg.Table, Dst: msg.Dst},
		netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return slices.DeleteFunc(list, func(t netlink.Route) bool { return t.Priority != metric(msg) || !sameNet(t, *msg) }), nil
}

func sameNet(a, b netlink.Route) bool { return destination6(a) == destination6(b) }

// destination6 is the destination in one form: the kernel tells a default
// route without one.
func destination6(r netlink.Route) string {
	if r.Dst == nil {
		return "default"
	}
	if ones, _ := r.Dst.Mask.Size(); ones == 0 {
		return "default"
	}
	return r.Dst.String()
}

// metric is what the kernel makes of none: IP6_RT_PRIO_USER in
// linux/ipv6_route.h.
func metric(r *netlink.Route) int {
	if r.Priority == 0 && r.Family == netlink.FAMILY_V6 {
		return 1024
	}
	return r.Priority
}

// sameRoute says whether there is what is wanted.
func sameRoute(want, there *netlink.Route) bool {
	return want.Family == there.Family && want.Table == there.Table && metric(want) == metric(there) &&
		sameNet(*want, *there) && want.Gw.Equal(there.Gw) && want.Src.Equal(there.Src) && want.MTU == there.MTU &&
		(want.LinkIndex == 0 || want.LinkIndex == there.LinkIndex)
}

// routeMessage is the kernel's form of the route.
func (m *Manager) routeMessage(r Route) (*netlink.Route, error) {
	if !r.Destination.IsValid() {
		return nil, errors.New("it has no destination")
	}
	msg := &netlink.Route{Family: r.family(), Dst: ipNet(r.Destination.Masked()), Table: unix.RT_TABLE_MAIN,
		Priority: int(r.Metric), MTU: int(r.MTU), Protocol: RouteTag}
	if r.Table != 0 {
		msg.Table = int(r.Table)
	}
	if r.Via.IsValid() {
		msg.Gw = r.Via.AsSlice()
	} else if msg.Family == netlink.FAMILY_V4 {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	if r.Source.IsValid() {
		msg.Src = r.Source.AsSlice()
	}
	if r.Scope != "" {
		scope, err := parseScope(r.Scope)
		if err != nil {
			return nil, err
		}
		msg.Scope = netlink.Scope(scope)
	}
	if r.Device != "" {
		link, err := m.link(r.Device)
		if err != nil {
			return nil, err
		}
		msg.LinkIndex = link.Attrs().Index
	}
	return msg, nil
}

func routeHint(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return " (via must be on a network that the node is on while it has the addresses)"
	case errors.Is(err, unix.EINVAL):
		return " (is src an address of the node?)"
	}
	return hint(err)
}
