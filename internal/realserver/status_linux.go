package realserver

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"baton/internal/netif"
)

// Finding is one thing that a real server needs, and whether it is so.
type Finding struct {
	OK          bool   `json:"ok"`
	About       Aspect `json:"about"`
	What        string `json:"what"`                  // "192.168.16.200/32 is on lo"
	Consequence string `json:"consequence,omitempty"` // of what is wrong
	Mend        string `json:"mend,omitempty"`        // the command that mends it
	// Sysctl and Value are the parameter that Mend sets, where it sets just one:
	// a name below /proc/sys.
	Sysctl string `json:"sysctl,omitempty"`
	Value  string `json:"value,omitempty"`
}

// Aspect is what a Finding is about.
type Aspect string

// The aspects.
const (
	AboutAddress  Aspect = "address" // where it stands
	AboutSilence  Aspect = "silence" // arp_ignore and arp_announce
	AboutTunnel   Aspect = "tunnel"  // the device that takes its packets
	AboutRPFilter Aspect = "rp_filter"
)

// set fills in the command that sets one parameter.
func (f Finding) set(sysctl, value string) Finding {
	f.Sysctl, f.Value = sysctl, value
	f.Mend = "sysctl -w " + netif.SysctlKey(sysctl) + "=" + value
	return f
}

// facts are what a finding rests on.
type facts struct {
	places     map[netip.Addr][]netif.Place
	interfaces map[string]bool // by name, whether it is up; lo is not judged
	asked      map[string]bool // those that others can ask, by ARP or neighbour solicitation
	ignore     map[string]int  // arp_ignore in force, by interface
	announce   map[string]int  // arp_announce in force, by interface
	all        map[string]int  // arp_ignore and arp_announce for all interfaces, by name
	rp         map[string]int  // rp_filter in force, by interface
}

// Status judges addresses; what is the same for several is said once.
func (m *Manager) Status(wants []Want) ([]Finding, error) {
	f, err := m.facts(wants)
	if err != nil {
		return nil, err
	}
	return judge(wants, f), nil
}

func judge(wants []Want, f facts) []Finding {
	var out []Finding
	add := func(g Finding) {
		if !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	for _, w := range wants {
		add(judgeAddress(w, f))
		for _, p := range f.places[w.VIP] {
			if p.Interface != w.Interface {
				add(Finding{About: AboutAddress, What: fmt.Sprintf("%s is on %s too", p.Prefix, p.Interface),
					Consequence: "the server answers for it there and takes it from the director",
					Mend:        fmt.Sprintf("ip address del %s dev %s", p.Prefix, p.Interface)})
			}
		}
		if w.Mode == TUN {
			add(judgeDevice(w, f))
		}
		if !w.VIP.Is4() {
			continue
		}
		for _, g := range judgeSilence(f) {
			add(g)
		}
	}
	if wrong := slices.ContainsFunc(out, func(g Finding) bool { return g.About == AboutSilence }); !wrong &&
		slices.ContainsFunc(wants, func(w Want) bool { return w.VIP.Is4() }) {
		add(Finding{OK: true, About: AboutSilence, What: "arp_ignore and arp_announce keep the address silent on every interface"})
	}
	return out
}

func judgeAddress(w Want, f facts) Finding {
	for _, p := range f.places[w.VIP] {
		if p.Interface != w.Interface {
			continue
		}
		if own, err := NewWant(w.VIP.String(), w.Mode, ""); err == nil && f.asked[p.Interface] {
			return Finding{About: AboutAddress, What: fmt.Sprintf("%s is on %s, which can be asked for it", p.Prefix, p.Interface),
				Consequence: "the server answers for it there and takes it from the director",
				Mend:        fmt.Sprintf("ip address del %s dev %s && %s", p.Prefix, p.Interface, own.Command("up"))}
		}
		if p.Prefix.Bits() != w.VIP.BitLen() {
			return Finding{About: AboutAddress, What: fmt.Sprintf("%s is on %s with a network", p.Prefix, p.Interface),
				Consequence: "every address of that network is taken for this host's own, or for reachable here",
				Mend:        fmt.Sprintf("ip address del %s dev %s && %s", p.Prefix, p.Interface, w.Command("up"))}
		}
		return Finding{OK: true, About: AboutAddress, What: fmt.Sprintf("%s is on %s", p.Prefix, p.Interface)}
	}
	return Finding{About: AboutAddress, What: fmt.Sprintf("%s is not on %s", w.prefix(), w.Interface),
		Consequence: "the server drops what the director sends it",
		Mend:        w.Command("up")}
}

func judgeDevice(w Want, f facts) Finding {
	up, exists := f.interfaces[w.Interface]
	switch {
	case !exists, !up:
		return Finding{About: AboutTunnel, What: fmt.Sprintf("interface %s is not up", w.Interface),
			Consequence: "nothing comes out of the director's tunnel", Mend: w.Command("up")}
	case w.VIP.Is4() && f.rp[w.Interface] == 1:
		return Finding{About: AboutRPFilter, What: fmt.Sprintf("rp_filter is strict on %s", w.Interface),
			Consequence: "the kernel drops clients' packets, which it would answer by another interface",
		}.set(rpFilter(w.Interface), "2")
	}
	return Finding{OK: true, About: AboutTunnel, What: fmt.Sprintf("interface %s takes what comes out of the tunnel", w.Interface)}
}

// atLarge is the parameter for all interfaces; where an interface's own value v
// is the one that is too large, that one.
func (f facts) atLarge(dev, name string, v int) string {
	if v <= 2 || v == f.all[name] {
		dev = "all"
	}
	return conf4(dev, name)
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (m *Manager) facts(wants []Want) (facts, error) {
	f := facts{places: map[netip.Addr][]netif.Place{}, interfaces: map[string]bool{}, asked: map[string]bool{},
		ignore: map[string]int{}, announce: map[string]int{}, all: map[string]int{}, rp: map[string]int{}}
	var err error
	if f.all["arp_ignore"], f.all["arp_announce"], err = inForce("all"); err != nil {
		return f, err
	}
	for _, w := range wants {
		if f.places[w.VIP], err = netif.Places(m.h, w.VIP); err != nil {
			return f, err
		}
	}
	links, err := m.h.LinkList()
	if err != nil {
		return f, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		name := l.Attrs().Name
		f.interfaces[name] = l.Attrs().RawFlags&unix.IFF_UP != 0
		f.asked[name] = asked(l.Attrs())
		if !f.interfaces[name] {
			continue
		}
		if f.rp[name], err = netif.Conf4(name, "rp_filter"); err != nil {
			return f, err
		}
		if !f.asked[name] {
			continue
		}
		if f.ignore[name], f.announce[name], err = inForce(name); err != nil {
			return f, err
		}
	}
	return f, nil
}
