// Package realserver makes a host a real server of LVS-DR or LVS-TUN: it puts
// virtual addresses where the host takes packets for them and keeps silent
// about them, and takes back what it did, and only that.
//
// A real server that answers one ARP request for the virtual address takes it
// from the director. So the order is the whole point: first silence, then the
// address; and when it is taken back, first the address.
package realserver

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Mode is how the director's packets arrive.
type Mode string

// The modes, in ipvsadm's words -g and -i.
const (
	DR  Mode = "dr"  // in a frame to this host's hardware address
	TUN Mode = "tun" // inside a packet to this host's own address
)

// ParseMode reads dr or tun, in any case.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(strings.ToLower(s)); m {
	case DR, TUN:
		return m, nil
	}
	return "", fmt.Errorf("mode %q: not one of dr, tun", s)
}

// Want is one virtual address as it shall stand.
type Want struct {
	VIP       netip.Addr `json:"vip"`
	Mode      Mode       `json:"mode"`
	Interface string     `json:"interface"` // that has the address, and in mode TUN takes the tunnel's packets
}

// The interfaces that have the address unless another one is named: lo, and
// the devices that the modules ipip and ip6_tunnel make by themselves, which
// take a tunnel's packets from whomever.
const (
	loopback = "lo"
	tunnel4  = "tunl0"
	tunnel6  = "ip6tnl0"
)

// NewWant checks what an operator asked for; iface "" is the mode's own: lo,
// or tunl0 (for an IPv6 address ip6tnl0).
func NewWant(vip string, m Mode, iface string) (Want, error) {
	a, err := netip.ParseAddr(vip)
	if err != nil {
		return Want{}, fmt.Errorf("virtual address %q: not an IP address (write it without a prefix length)", vip)
	}
	a = a.Unmap()
	switch {
	case a.Zone() != "", a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Want{}, fmt.Errorf("virtual address %s: cannot be balanced (name the unicast address of a virtual_server)", vip)
	case m != DR && m != TUN:
		return Want{}, fmt.Errorf("mode %q: not one of dr, tun", m)
	}
	if iface == "" {
		switch {
		case m == DR:
			iface = loopback
		case a.Is4():
			iface = tunnel4
		default:
			iface = tunnel6
		}
	}
	if len(iface) >= unix.IFNAMSIZ || strings.ContainsAny(iface, "/ \t\n") {
		return Want{}, fmt.Errorf("interface %q: not the name of an interface", iface)
	}
	return Want{VIP: a, Mode: m, Interface: iface}, nil
}

// prefix is the address alone, without a network.
func (w Want) prefix() netip.Prefix { return netip.PrefixFrom(w.VIP, w.VIP.BitLen()) }

// Module is the kernel module whose device takes the tunnel's packets, as far as
// the device's name says it; "" in mode DR.
func (w Want) Module() string {
	switch {
	case w.Mode != TUN:
		return ""
	case strings.HasPrefix(w.Interface, "gre"):
		return "ip_gre"
	}
	return moduleOf[w.Interface]
}

// moduleOf are the modules that make devices by themselves.
var moduleOf = map[string]string{tunnel4: "ipip", tunnel6: "ip6_tunnel"}

// Command is what an operator types for w; verb is up or down.
func (w Want) Command(verb string) string {
	s := "baton realserver " + verb + " " + w.VIP.String()
	if w.Mode == TUN {
		s += " --mode tun"
	}
	own, err := NewWant(w.VIP.String(), w.Mode, "")
	if err == nil && own.Interface != w.Interface {
		s += " --interface " + w.Interface
	}
	return s
}

// Sysctls by their place below /proc/sys.
const (
	arpIgnore   = "net/ipv4/conf/all/arp_ignore"
	arpAnnounce = "net/ipv4/conf/all/arp_announce"
)

func rpFilter(iface string) string { return conf4(iface, "rp_filter") }

func conf4(iface, name string) string { return "net/ipv4/conf/" + iface + "/" + name }
