package doctor

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// probe is a packet that a firewall is asked about. What is not known of it is
// left out, and what a rule says of that perhaps fits.
type probe struct {
	hook         string // input, output or forward
	in, out      string // interfaces
	under        string // the interface whose frames in takes, as a VMAC does; "": none
	six          bool
	proto        int
	src, dst     netip.Addr
	sport, dport uint16
	icmpType     int    // of ICMP
	state        string // of connection tracking
}

// fit is whether something matches.
type fit uint8

const (
	no fit = iota
	perhaps
	yes
)

func fitIf(b bool) fit {
	if b {
		return yes
	}
	return no
}

func (f fit) not() fit { return yes - f }

// fate is the set of what may become of a packet.
type fate uint8

const (
	passed  fate = 1 << iota
	dropped      // or rejected
	fallen       // through to the next rule
	left         // the chain, by return
)

// match is one condition of a rule.
type match func(p probe) fit

// rule is conditions and what follows from them: verdicts are looked at in order
// until one fits.
type rule struct {
	matches  []match
	verdicts []verdictIf
}

// verdictIf is a verdict that may have a condition of its own, as in a map.
type verdictIf struct {
	when   match // nil: always
	what   fate
	jump   string // the chain that decides, if any
	isGoto bool
}

// chain is a chain of rules; hook is "" for one that is only jumped to.
type chain struct {
	family, table, name string
	hook                string
	devices             []string // of a chain of the ingress or egress hook
	drops               bool     // policy
	iptables            bool
	rules               []rule
}

// key is the chain's place in a ruleset. iptables-nft keeps its chains where
// nft sees them, too: they are told apart.
func (c *chain) key() string { return c.in() + c.name }

func (c *chain) in() string {
	if c.iptables {
		return "iptables " + c.family + " " + c.table + " "
	}
	return c.family + " " + c.table + " "
}

// ruleset is all of a machine's rules.
type ruleset map[string]*chain

// ownTables begin so: what internal/netif drops, it drops on purpose.
const ownTables = "baton-"

// The bounds of following a packet.
const (
	maxDepth = 16      // of jumps, as the kernel bounds them
	maxSteps = 1 << 17 // rules that are looked at: jumps may multiply
)

// walk follows one packet.
type walk struct {
	rules ruleset
	p     probe
	steps int
}

// concerns says whether a chain sees packets of a family.
func (c *chain) concerns(six bool) bool {
	return c.family == "inet" || c.family == "netdev" || c.family == map[bool]string{false: "ip", true: "ip6"}[six]
}

// seen are the ways in which a packet comes by a chain's hook, as it is there: a
// VMAC's has passed the hook of the interface below before.
func (c *chain) seen(p probe) []probe {
	switch c.hook {
	case "ingress":
		var out []probe
		for _, dev := range []string{p.under, p.in} {
			if p.hook != "output" && c.isOn(dev) {
				p.in, p.out, p.state = dev, "", "" // nothing is routed or tracked yet
				out = append(out, p)
			}
		}
		return out
	case "egress":
		if p.hook != "input" && c.isOn(p.out) {
			return []probe{p}
		}
	case "prerouting":
		if p.hook != "output" {
			return []probe{p}
		}
	case "postrouting":
		if p.hook != "input" {
			return []probe{p}
		}
	case p.hook:
		return []probe{p}
	}
	return nil
}

func (c *chain) isOn(dev string) bool {
	return dev != "" && slices.ContainsFunc(c.devices, func(name string) bool { return sameWord(name, dev) == yes })
}

// run follows a packet through a chain's rules.
func (w *walk) run(c *chain, depth int) fate {
	if depth > maxDepth {
		return passed | dropped
	}
	out := fate(0)
	for _, rl := range c.rules {
		if w.steps++; w.steps > maxSteps {
			return passed | dropped
		}
		m := yes
		for _, f := range rl.matches {
			m = min(m, f(w.p))
		}
		if m == no {
			continue
		}
		what := w.verdict(c, rl.verdicts, depth)
		if m == perhaps {
			what |= fallen
		}
		out |= what &^ fallen
		if what&fallen == 0 {
			return out
		}
	}
	return out | fallen
}

func (w *walk) verdict(c *chain, list []verdictIf, depth int) fate {
	out := fate(0)
	for _, v := range list {
		m := yes
		if v.when != nil {
			m = v.when(w.p)
		}
		if m == no {
			continue
		}
		what := v.what
		if v.jump != "" {
			what = passed | dropped
			if to := w.rules[c.in()+v.jump]; to != nil {
				what = w.run(to, depth+1)
				back := what & (fallen | left)
				what &^= fallen | left
				switch {
				case back != 0 && v.isGoto:
					what |= left
				case back != 0:
					what |= fallen
				}
			}
		}
		if out |= what; m == yes {
			return out
		}
	}
	return out | fallen
}

// ask follows a packet through all chains that see it and returns the first that
// surely drops it.
func (r ruleset) ask(p probe) *chain {
	var keys []string
	for k := range r {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		c := r[k]
		if !c.concerns(p.six) || strings.HasPrefix(c.table, ownTables) {
			continue
		}
		for _, there := range c.seen(p) {
			if r.through(c, there) == dropped {
				return c
			}
		}
	}
	return nil
}

// unplaced is a chain of an interface that surely drops a packet if it is on the
// packet's: which one nft 1.0 leaves out of its JSON.
func (r ruleset) unplaced(p probe) *chain {
	for _, k := range slices.Sorted(maps.Keys(r)) {
		c := r[k]
		if c.hook != "ingress" && c.hook != "egress" || c.devices != nil || !c.concerns(p.six) {
			continue
		}
		somewhere := *c
		somewhere.devices = []string{"*"}
		for _, there := range somewhere.seen(p) {
			if r.through(c, there) == dropped {
				return c
			}
		}
	}
	return nil
}

// through is what may become of a packet that comes by a chain's hook.
func (r ruleset) through(c *chain, p probe) fate {
	what := (&walk{rules: r, p: p}).run(c, 0)
	if what&(fallen|left) == 0 {
		return what
	}
	what &^= fallen | left
	if c.drops {
		return what | dropped
	}
	return what | passed
}
