package conf

import (
	"fmt"
	"net/netip"
	"strings"

	"baton/vrrp"
)

// addresses reads both lists of addresses and checks what an advert can carry.
func (b *builder) addresses(r *rawInstance, c *vrrp.Config) {
	at := join(r.path, "virtual_ipaddress")
	if r.VirtualIPAddress != nil && len(r.VirtualIPAddress) == 0 {
		b.errorf(at, "is empty").remedy(`add an address, as in virtual_ipaddress = ["192.168.16.200/24"]`)
	}
	if n := len(r.VirtualIPAddress); n > vrrp.MaxAddresses {
		b.errorf(at, "has %d addresses; an advert holds %d", n, vrrp.MaxAddresses).
			remedy("move some to virtual_ipaddress_excluded, or divide them among several instances")
		return
	}
	var paths []string
	c.Addresses, paths = b.addressList(r.VirtualIPAddress, c)
	b.families(c, paths)
	c.Excluded, _ = b.addressList(r.VirtualIPAddressExcluded, c)
}

// families checks that the advertised addresses are of one family and that
// those over IPv6 begin with a link-local one.
func (b *builder) families(c *vrrp.Config, paths []string) {
	for i, a := range c.Addresses {
		if ip := a.Prefix.Addr(); ip.Is6() != (c.Family() == vrrp.IPv6) {
			b.errorf(paths[i], "%s and %s are of two families: an advert carries one", ip, c.Addresses[0].Prefix.Addr()).
				remedy("move it to virtual_ipaddress_excluded, or to a vrrp_instance of its own")
		}
	}
	if c.Family() != vrrp.IPv6 || c.Addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
		return
	}
	p := b.errorf(paths[0], "RFC 9568 wants the first IPv6 address to be link-local, and %s is not", c.Addresses[0].Prefix.Addr())
	for _, a := range c.Addresses[1:] {
		if ip := a.Prefix.Addr(); ip.Is6() && ip.IsLinkLocalUnicast() {
			p.remedy("put %q before it", a.Prefix)
			return
		}
	}
	p.remedy(`put "fe80::200:5eff:fe00:2%02x/64" before it, which the virtual router's MAC address makes`, c.VRID)
}

// addressList reads one list. The paths are those of the addresses returned.
func (b *builder) addressList(list []rawAddress, c *vrrp.Config) (out []vrrp.Address, paths []string) {
	if len(list) == 0 {
		return nil, nil
	}
	out = make([]vrrp.Address, 0, len(list))
	for i := range list {
		ra := &list[i]
		a := vrrp.Address{Device: ra.Dev.get(b.node), Label: ra.Label.get(b.node), Scope: ra.Scope.v}
		if ra.Dev.given(b.node) && !b.interfaceName(ra.Dev.at(b.node), a.Device) {
			a.Device = ""
		}
		if !ra.Address.set || ra.Address.bad {
			b.label(ra, a.Label, c.AddressDevice(a))
			continue
		}
		var ok bool
		if a.Prefix, ok = b.prefix(ra.Address.path(), ra.Address.v); !ok {
			continue
		}
		key := a.Prefix.Addr()
		if key.Is4() {
			b.label(ra, a.Label, c.AddressDevice(a))
		} else {
			a.Scope = ""
			b.ipv6(ra)
			if key.IsLinkLocalUnicast() { // each link has its own
				key = key.WithZone(c.AddressDevice(a))
			}
		}
		if first, dup := b.vips[key]; dup {
			b.errorf(ra.Address.path(), "%s stands in %s already", a.Prefix.Addr(), b.where(first)).
				remedy("an address belongs to one vrrp_instance: remove one of the two")
			continue
		}
		b.vips[key] = b.real(ra.Address.path())
		out, paths = append(out, a), append(paths, ra.Address.path())
	}
	return out, paths
}

// real undoes the alias of a bare value, so that its place can be found again.
func (d *decoder) real(path string) string {
	if a, ok := d.alias[path]; ok {
		return a
	}
	return path
}

// ipv6 refuses what the kernel has for IPv4 addresses only.
func (b *builder) ipv6(ra *rawAddress) {
	if ra.Label.given(b.node) && ra.Label.get(b.node) != "" {
		b.errorf(ra.Label.at(b.node), "an IPv6 address has no label").remedy("remove it")
	}
	if ra.Scope.set && !ra.Scope.bad {
		b.errorf(ra.Scope.path(), "an IPv6 address has the scope that it is made for").remedy("remove it")
	}
}

// label checks the rules of IFA_LABEL: ifconfig reads it as an alias of the
// interface, so it must begin with the interface's name.
func (b *builder) label(ra *rawAddress, label, dev string) {
	if !ra.Label.given(b.node) || label == "" {
		return
	}
	switch {
	case len(label) > 15:
		b.errorf(ra.Label.at(b.node), "%q is longer than 15 characters", clip(label)).remedy("shorten it")
	case label != dev && !strings.HasPrefix(label, dev+":"):
		b.errorf(ra.Label.at(b.node), "%q does not begin with %s:", clip(label), dev).remedy("use %s:vip or the like", dev)
	}
}

// prefix reads a virtual address with the length of its network; without one
// it stands alone, as in keepalived.
func (b *builder) prefix(path, s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			b.errorf(path, "%q is not an address", clip(s)).remedy("%s", virtualHint(s))
			return p, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	a := p.Addr()
	host := fmt.Sprintf("/%d", a.BitLen())
	switch {
	case a.Is4In6():
		b.errorf(path, "%s is an IPv4 address written as an IPv6 one", a).remedy("write %s", a.Unmap())
	case !unicast(a) || p.Bits() == 0:
		b.errorf(path, "%s is not an address that a host can have", p).remedy("use an address of the network that the clients reach")
	case p.Bits() < a.BitLen()-1 && a == p.Masked().Addr():
		b.errorf(path, "%s is the network itself, not an address in it", p).remedy("use a host's address, or %s", host)
	case a.Is4() && p.Bits() < 31 && a == broadcast(p):
		b.errorf(path, "%s is the broadcast address of its network", p).remedy("use a host's address, or %s", host)
	default:
		return p, true
	}
	return p, false
}

// virtualHint guesses what is wrong with something like a virtual address.
func virtualHint(s string) string {
	if a, zone, ok := strings.Cut(s, "%"); ok {
		dev, bits, _ := strings.Cut(zone, "/")
		if bits != "" {
			a += "/" + bits
		}
		return fmt.Sprintf(`write it without its zone: { address = %q, dev = %q }`, clip(a), clip(dev))
	}
	if words := strings.Fields(s); len(words) > 1 {
		return fmt.Sprintf(`write a table: { address = %q, … }`, clip(words[0]))
	}
	if strings.Contains(s, ":") {
		return `write "2001:db8::200/64"`
	}
	return `write "192.168.16.200/24"`
}

// unicast says whether a host can have the address.
func unicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := range 32 - p.Bits() {
		a[3-i/8] |= 1 << (i % 8)
	}
	return netip.AddrFrom4(a)
}
