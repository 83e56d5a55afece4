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

// Rule is a rule of policy routing as it shall stand while this node is
// master. Its identity is all of it.
type Rule struct {
	IPv6     bool
	From, To netip.Prefix
	IIF, OIF string
	Mark     uint32
	Priority uint32
	Table    uint32
}

// String is what one would give to `ip rule add`.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "priority %d", r.Priority)
	put := func(word string, is bool, value any) {
		if is {
			fmt.Fprintf(&b, " %s %v", word, value)
		}
	}
	put("from", r.From.IsValid(), r.From)
	put("to", r.To.IsValid(), r.To)
	put("iif", r.IIF != "", r.IIF)
	put("oif", r.OIF != "", r.OIF)
	put("fwmark", r.Mark != 0, r.Mark)
	put("table", true, r.Table)
	return b.String()
}

func (r Rule) message() *netlink.Rule {
	msg := netlink.NewRule()
	msg.Family = netlink.FAMILY_V4
	if r.IPv6 {
		msg.Family = netlink.FAMILY_V6
	}
	if r.From.IsValid() && r.From.Bits() > 0 {
		msg.Src = ipNet(r.From.Masked())
	}
	if r.To.IsValid() && r.To.Bits() > 0 {
		msg.Dst = ipNet(r.To.Masked())
	}
	msg.IifName, msg.OifName, msg.Mark = r.IIF, r.OIF, r.Mark
	msg.Priority, msg.Table, msg.Protocol = int(r.Priority), int(r.Table), RouteTag
	return msg
}

// AddRule adds a rule, tagged as ours, and says whether it was missing.
func (m *Manager) AddRule(r Rule) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.h.RuleAdd(r.message())
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add rule %s: %w%s", r, err, hint(err))
	}
	return true, nil
}

// RemoveRule removes a rule if it is there and ours, and says whether it was.
func (m *Manager) RemoveRule(r Rule) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.h.RuleDel(r.message())
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove rule %s: %w%s", r, err, hint(err))
	}
	return true, nil
}

// RemoveStrayRules removes the rules that are ours and in none of keep, and
// returns them: an earlier run has left them.
func (m *Manager) RemoveStrayRules(keep []Rule) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := m.virtualRules()
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, t := range all {
		if slices.ContainsFunc(keep, func(k Rule) bool { return sameRule(k.message(), &t) }) {
			continue
		}
		if err := m.h.RuleDel(&t); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove left-over rule %d: %w%s", t.Priority, err, hint(err)))
			continue
		}
		removed = append(removed, fmt.Sprintf("priority %d table %d", t.Priority, t.Table))
	}
	return removed, errors.Join(errs...)
}

// virtualRules lists the rules that are ours, of both families.
func (m *Manager) virtualRules() ([]netlink.Rule, error) {
	var out []netlink.Rule
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := m.h.RuleList(f)
		if err != nil {
			if f == netlink.FAMILY_V6 {
				break // a kernel without IPv6
			}
			return nil, fmt.Errorf("list rules: %w", err)
		}
		for _, t := range all {
			if t.Protocol == RouteTag {
				t.Family = f
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func sameRule(a, b *netlink.Rule) bool {
	return a.Family == b.Family && a.Priority == b.Priority && a.Table == b.Table && a.Mark == b.Mark &&
		a.IifName == b.IifName && a.OifName == b.OifName && fmt.Sprint(a.Src) == fmt.Sprint(b.Src) && fmt.Sprint(a.Dst) == fmt.Sprint(b.Dst)
}
