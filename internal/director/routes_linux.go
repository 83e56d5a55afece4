package director

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"baton/internal/event"
	"baton/internal/netif"
	"baton/internal/plan"
	"baton/vrrp"
)

// path is a virtual route or a virtual rule.
type path struct {
	text   string
	device string
	add    func() (bool, error)
	remove func() (bool, error)
}

// paths are the routes and then the rules that lead to them.
func (a *addresses) paths(c vrrp.Config) []path {
	var out []path
	for _, r := range plan.Routes(c) {
		out = append(out, path{"route " + r.String(), r.Device,
			func() (bool, error) { return a.netif.AddRoute(r) }, func() (bool, error) { return a.netif.RemoveRoute(r) }})
	}
	for _, r := range plan.Rules(c) {
		out = append(out, path{"rule " + r.String(), "",
			func() (bool, error) { return a.netif.AddRule(r) }, func() (bool, error) { return a.netif.RemoveRule(r) }})
	}
	return out
}

// addPaths follows the addresses, which sources and gateways need.
func (a *addresses) addPaths(c vrrp.Config, name event.Name, more ...event.Field) (added int, err error) {
	var errs []error
	for _, p := range a.paths(c) {
		missing, err := p.add()
		if err != nil {
			errs = append(errs, err)
		}
		if missing {
			added++
			a.say(name, append([]event.Field{event.F(event.Instance, c.Name), event.F(event.Route, p.text)}, more...)...)
		}
	}
	return added, errors.Join(errs...)
}

// removePaths goes before the addresses, with which the kernel would remove
// some of them on its own. What keep has as well stays.
func (a *addresses) removePaths(c, keep vrrp.Config) error {
	var errs []error
	stays := a.paths(keep)
	for _, p := range slices.Backward(a.paths(c)) {
		if slices.ContainsFunc(stays, func(s path) bool { return s.text == p.text }) || a.othersPath(c.Name, p.text) {
			continue
		}
		removed, err := p.remove()
		if err != nil {
			errs = append(errs, err)
		}
		if removed {
			a.say(event.RouteRemoved, event.F(event.Instance, c.Name), event.F(event.Route, p.text))
		}
	}
	return errors.Join(errs...)
}

// othersPath says whether another master of ours wants the same.
func (a *addresses) othersPath(instance, text string) bool {
	for name, c := range a.held {
		if name != instance && slices.ContainsFunc(a.paths(c), func(p path) bool { return p.text == text }) {
			return true
		}
	}
	return false
}

// pathsVanished puts back what somebody has deleted of what masters hold.
func (a *addresses) pathsVanished() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.held {
		a.restorePaths(c, "somebody else removed it")
	}
}

// restorePaths adds what is missing, a bounded number of times.
func (a *addresses) restorePaths(c vrrp.Config, why string) {
	key := c.Name + " routes"
	if len(c.Routes)+len(c.Rules) == 0 || a.waiting[key] != nil {
		return
	}
	added, err := a.addPaths(c, event.RouteRestored, event.F(event.Reason, why))
	if added > 0 && !a.restores.allow(key, time.Now()) {
		err = errors.Join(err, errFight("removed"))
		a.waiting[key] = time.AfterFunc(restoreWindow, func() {
			a.mu.Lock()
			delete(a.waiting, key)
			a.mu.Unlock()
			a.pathsVanished()
		})
	}
	if err != nil {
		a.say(event.RouteFailed, event.F(event.Instance, c.Name), event.F(event.Err, err))
	}
}

// cleanStrays removes what an earlier run left of instances that are not
// there any more. What is left of those that are belongs to them.
func (a *addresses) cleanStrays(instances []vrrp.Config) {
	var routes []netif.Route
	var rules []netif.Rule
	for _, c := range instances {
		routes, rules = append(routes, plan.Routes(c)...), append(rules, plan.Rules(c)...)
	}
	gone, err := a.netif.RemoveStrayRules(rules)
	for _, r := range gone {
		a.say(event.RouteRemoved, event.F(event.Route, "rule "+r), event.F(event.Reason, "an earlier run left it"))
	}
	more, err2 := a.netif.RemoveStrayRoutes(routes)
	for _, r := range more {
		a.say(event.RouteRemoved, event.F(event.Route, "route "+r), event.F(event.Reason, "an earlier run left it"))
	}
	if err := errors.Join(err, err2); err != nil {
		a.say(event.RouteFailed, event.F(event.Err, err))
	}
	wanted := map[string][]netip.Prefix{}
	for _, c := range instances {
		for dev := range plan.Addresses(c) {
			wanted[dev] = append(wanted[dev], prefixes(c, dev)...)
		}
	}
	left, err := a.netif.RemoveStrayAddresses(wanted)
	for dev, ps := range left {
		for _, p := range ps {
			a.say(event.AddressRemoved, event.F(event.Interface, dev), event.F(event.Address, p))
		}
	}
	if err != nil {
		a.say(event.AddressFailed, event.F(event.Err, err))
	}
}
