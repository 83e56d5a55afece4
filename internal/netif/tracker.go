package netif

import (
	"net/netip"
	"slices"
)

// tracker holds what was last reported and turns what the kernel tells into
// facts, so that only differences are reported whichever way they were learnt.
type tracker struct {
	report func(Fact)
	links  map[int]*tracked
	listed bool
}

type tracked struct {
	state LinkState
	addrs []address // in the kernel's order
}

func newTracker(report func(Fact)) *tracker {
	return &tracker{report: report, links: make(map[int]*tracked)}
}

// replace takes a complete listing in.
func (t *tracker) replace(links []LinkState, addrs map[int][]address) {
	t.listed = true
	present := make(map[int]bool, len(links))
	for _, l := range links {
		present[l.Index] = true
	}
	// What is gone goes first: an interface made anew has the name of one that
	// is not there any more.
	for index := range t.links {
		if !present[index] {
			t.deleteLink(index)
		}
	}
	for _, l := range links {
		// The interface's own addresses come with the link, so that its first
		// report has them.
		l.Primary, l.LinkLocal = ownAddresses(addrs[l.Index])
		t.put(l)
		known := t.links[l.Index]
		for _, a := range slices.Clone(known.addrs) {
			if !slices.ContainsFunc(addrs[l.Index], func(n address) bool { return n.prefix == a.prefix }) {
				known.addrs = slices.DeleteFunc(known.addrs, func(k address) bool { return k.prefix == a.prefix })
				t.report(Fact{Kind: AddressRemoved, Link: known.state, Prefix: a.prefix, Owned: a.ours})
			}
		}
		before := known.addrs
		known.addrs = slices.Clone(addrs[l.Index])
		for _, a := range known.addrs {
			if !slices.ContainsFunc(before, func(k address) bool { return k.prefix == a.prefix }) {
				t.report(Fact{Kind: AddressAdded, Link: known.state, Prefix: a.prefix, Owned: a.ours})
			}
		}
	}
}

// setLink takes a link's attributes in; its addresses are known otherwise.
func (t *tracker) setLink(l LinkState) {
	if known := t.links[l.Index]; known != nil {
		l.Primary, l.LinkLocal = known.state.Primary, known.state.LinkLocal
	}
	t.put(l)
}

func (t *tracker) put(l LinkState) {
	known := t.links[l.Index]
	switch {
	case known == nil:
		t.links[l.Index] = &tracked{state: l}
	case known.state.same(l):
		return
	default:
		if known.state.Name != l.Name {
			t.report(Fact{Kind: LinkGone, Link: LinkState{Name: known.state.Name, Index: l.Index}})
		}
		known.state = l
	}
	t.report(Fact{Kind: LinkChanged, Link: l})
}

func (t *tracker) deleteLink(index int) {
	known := t.links[index]
	if known == nil {
		return
	}
	delete(t.links, index)
	t.report(Fact{Kind: LinkGone, Link: LinkState{Name: known.state.Name, Index: index}})
}

// name is the name of the link, empty if it is unknown.
func (t *tracker) name(index int) string {
	if known := t.links[index]; known != nil {
		return known.state.Name
	}
	return ""
}

func (t *tracker) setAddress(index int, a address) {
	known := t.links[index]
	if known == nil {
		return // of a link that is gone already
	}
	i := slices.IndexFunc(known.addrs, func(k address) bool { return k.prefix == a.prefix })
	if i >= 0 {
		// Also when a secondary address is promoted.
		known.addrs[i] = a
		t.refresh(known)
		return
	}
	known.addrs = append(known.addrs, a)
	t.refresh(known)
	t.report(Fact{Kind: AddressAdded, Link: known.state, Prefix: a.prefix, Owned: a.ours})
}

func (t *tracker) deleteAddress(index int, p netip.Prefix) {
	known := t.links[index]
	if known == nil {
		return
	}
	i := slices.IndexFunc(known.addrs, func(k address) bool { return k.prefix == p })
	if i < 0 {
		return
	}
	ours := known.addrs[i].ours
	known.addrs = slices.Delete(known.addrs, i, i+1)
	t.refresh(known)
	t.report(Fact{Kind: AddressRemoved, Link: known.state, Prefix: p, Owned: ours})
}

// refresh reports the link if its own addresses have changed.
func (t *tracker) refresh(known *tracked) {
	l := known.state
	l.Primary, l.LinkLocal = ownAddresses(known.addrs)
	t.put(l)
}
