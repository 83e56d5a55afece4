package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/internal/netif"
)

// Finding is one thing that a real server needs, and whether it is so.
type Finding struct {
	OK          bool   `json:"ok"`
	What        string `json:"what"`                  // "192.168.16.200/32 is on lo"
	Consequence string `json:"consequence,omitempty"` // of what is wrong
	Mend        string `json:"mend,omitempty"`        // the command that mends it
}

// facts are what a finding rests on.
type facts struct {
	places     map[netip.Addr][]place
	interfaces map[string]bool // by name, whether it is up; lo is not judged
	ignore     map[string]int  // arp_ignore in force, by interface
	announce   map[string]int  // arp_announce in force, by interface
	rp         map[string]int  // rp_filter in force, by interface
}

// place is where an address stands.
type place struct {
	iface  string
	prefix netip.Prefix
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
			if p.iface != w.Interface {
				add(Finding{What: fmt.Sprintf("%s is on %s too", p.prefix, p.iface),
					Consequence: "the server answers for it there and takes it from the director",
					Mend:        fmt.Sprintf("ip address del %s dev %s", p.prefix, p.iface)})
			}
		}
		if w.Mode == TUN {
			add(judgeDevice(w, f))
		}
		if !w.VIP.Is4() {
			continue
		}
		for _, dev := range sortedKeys(f.ignore) {
			if v := f.ignore[dev]; v != 1 && v != 2 {
				add(Finding{What: fmt.Sprintf("arp_ignore is %d on %s", v, dev),
					Consequence: "the server answers ARP for the virtual address and takes it from the director",
					Mend:        mendMax(dev, "arp_ignore", "1", v > 2)})
			}
		}
		for _, dev := range sortedKeys(f.announce) {
			if v := f.announce[dev]; v != 2 {
				add(Finding{What: fmt.Sprintf("arp_announce is %d on %s", v, dev),
					Consequence: "the server names the virtual address when it asks for others, and they learn that it is here",
					Mend:        mendMax(dev, "arp_announce", "2", false)})
			}
		}
	}
	if wrong := slices.ContainsFunc(out, func(g Finding) bool { return strings.HasPrefix(g.What, "arp_") }); !wrong &&
		slices.ContainsFunc(wants, func(w Want) bool { return w.VIP.Is4() }) {
		add(Finding{OK: true, What: "arp_ignore and arp_announce keep the address silent on every interface"})
	}
	return out
}

func judgeAddress(w Want, f facts) Finding {
	for _, p := range f.places[w.VIP] {
		if p.iface != w.Interface {
			continue
		}
		if p.prefix.Bits() != w.VIP.BitLen() {
			return Finding{What: fmt.Sprintf("%s is on %s with a network", p.prefix, p.iface),
				Consequence: "every address of that network is taken for this host's own, or for reachable here",
				Mend:        fmt.Sprintf("ip address del %s dev %s && %s", p.prefix, p.iface, w.command("up"))}
		}
		return Finding{OK: true, What: fmt.Sprintf("%s is on %s", p.prefix, p.iface)}
	}
	return Finding{What: fmt.Sprintf("%s is not on %s", w.prefix(), w.Interface),
		Consequence: "the server drops what the director sends it",
		Mend:        w.command("up")}
}

func judgeDevice(w Want, f facts) Finding {
	up, exists := f.interfaces[w.Interface]
	switch {
	case !exists, !up:
		return Finding{What: fmt.Sprintf("interface %s is not up", w.Interface),
			Consequence: "nothing comes out of the director's tunnel", Mend: w.command("up")}
	case w.VIP.Is4() && f.rp[w.Interface] == 1:
		return Finding{What: fmt.Sprintf("rp_filter is strict on %s", w.Interface),
			Consequence: "the kernel drops clients' packets, which it would answer by another interface",
			Mend:        "sysctl -w " + dotted(rpFilter(w.Interface)) + "=2"}
	}
	return Finding{OK: true, What: fmt.Sprintf("interface %s takes what comes out of the tunnel", w.Interface)}
}

// mendMax sets a parameter for all interfaces; where an interface's own value
// is too large, that one.
func mendMax(dev, name, value string, own bool) string {
	if !own {
		dev = "all"
	}
	return "sysctl -w " + dotted("net/ipv4/conf/"+dev+"/"+name) + "=" + value
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
	f := facts{places: map[netip.Addr][]place{}, interfaces: map[string]bool{},
		ignore: map[string]int{}, announce: map[string]int{}, rp: map[string]int{}}
	var err error
	for _, w := range wants {
		if f.places[w.VIP], err = m.places(w.VIP); err != nil {
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
		if !f.interfaces[name] {
			continue
		}
		if f.rp[name], err = m.effective(name, "rp_filter"); err != nil {
			return f, err
		}
		if l.Attrs().RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
			continue // nobody asks there
		}
		if f.ignore[name], err = m.effective(name, "arp_ignore"); err != nil {
			return f, err
		}
		if f.announce[name], err = m.effective(name, "arp_announce"); err != nil {
			return f, err
		}
	}
	return f, nil
}

// effective is what the kernel goes by: the larger of an interface's own value
// and that for all.
func (m *Manager) effective(iface, name string) (int, error) {
	most := 0
	for _, dev := range []string{"all", iface} {
		v, err := netif.ReadSysctl("net/ipv4/conf/" + dev + "/" + name)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return 0, err
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			return 0, fmt.Errorf("read sysctl %s of %s: %q is not a number", name, dev, v)
		}
		most = max(most, n)
	}
	return most, nil
}

// places is where an address stands.
func (m *Manager) places(vip netip.Addr) ([]place, error) {
	family := netlink.FAMILY_V4
	if vip.Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := m.h.AddrList(nil, family)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []place
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.Unmap() != vip {
			continue
		}
		bits, _ := a.Mask.Size()
		link, err := m.h.LinkByIndex(a.LinkIndex)
		if err != nil {
			continue // gone in between
		}
		out = append(out, place{link.Attrs().Name, netip.PrefixFrom(vip, bits)})
	}
	return out, nil
}
