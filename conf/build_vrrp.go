package conf

import (
	"net/netip"
	"strings"
	"time"

	"baton/vrrp"
)

func (b *builder) instance(r *rawInstance) vrrp.Config {
	c := vrrp.Config{
		Name:             r.Name.v,
		Interface:        r.Interface.get(b.node),
		VRID:             uint8(r.VirtualRouterID.v),
		Version:          vrrp.Version(pick(&r.Version, &b.raw.Global.VRRPVersion).v),
		Priority:         uint8(r.Priority.get(b.node)),
		AdvertInterval:   r.AdvertInt.v.std(),
		Preempt:          !r.Nopreempt.get(b.node),
		PreemptDelay:     r.PreemptDelay.get(b.node).std(),
		StartupDelay:     b.raw.Global.VRRPStartupDelay.get(b.node).std(),
		DownTimerAdverts: r.DownTimerAdverts.v,
		Source:           r.McastSrcIP.get(b.node),
		Checksum:         vrrp.ChecksumMode(r.Checksum.get(b.node)),
		GARP: vrrp.GARP{
			MasterDelay:         r.GARPMasterDelay.get(b.node).std(),
			MasterRepeat:        r.GARPMasterRepeat.get(b.node),
			MasterRefresh:       r.GARPMasterRefresh.get(b.node).std(),
			MasterRefreshRepeat: r.GARPMasterRefreshRepeat.get(b.node),
			LowerPrioDelay:      r.GARPMasterDelay.get(b.node).std(),
			LowerPrioRepeat:     r.GARPMasterRepeat.get(b.node),
		},
		HandoverLinger: r.HandoverLinger.get(b.node).std(),
	}
	b.identity(r, c)
	b.timing(r, c)
	b.ownership(r, c)
	if r.McastSrcIP.set && r.McastSrcIP.ok(b.node) {
		b.source(r, c.Source)
	}
	if r.Checksum.set && r.Checksum.ok(b.node) && c.Version == vrrp.V2 && c.Checksum != vrrp.ChecksumAuto {
		b.errorf(r.Checksum.at(b.node), "has no effect in version 2, whose checksum has one form").remedy("remove it")
	}
	c.Addresses = b.addresses(r, c.Interface)
	for _, a := range c.Addresses {
		if a.Prefix.Addr() == c.Source {
			b.errorf(r.McastSrcIP.at(b.node), "%s is a virtual address of this instance", c.Source).
				remedy("use an address that this node keeps")
		}
	}
	return c
}

// identity checks what must not occur twice on a node.
func (b *builder) identity(r *rawInstance, c vrrp.Config) {
	if r.Name.set && !r.Name.bad {
		if c.Name == "" || strings.ContainsAny(c.Name, " \t/") || len(c.Name) > 64 {
			b.errorf(r.Name.path, "%q is not a name", clip(c.Name)).remedy("use 1 to 64 characters without spaces and slashes")
		} else if first, dup := b.names[c.Name]; dup {
			b.errorf(r.Name.path, "another vrrp_instance in %s is called %q", b.where(first), clip(c.Name)).remedy("give each a name of its own")
		} else {
			b.names[c.Name] = r.Name.path
		}
	}
	if !r.Interface.set || !r.Interface.ok(b.node) || !b.interfaceName(r.Interface.at(b.node), c.Interface) {
		return
	}
	if !r.VirtualRouterID.set || r.VirtualRouterID.bad {
		return
	}
	id := routerID{c.Interface, int(c.VRID)}
	if first, dup := b.vrids[id]; dup {
		b.errorf(r.VirtualRouterID.path, "%d is used on %s by the vrrp_instance in %s already", c.VRID, c.Interface, b.where(first)).
			remedy("give each instance on an interface a virtual_router_id of its own")
	} else {
		b.vrids[id] = r.path
	}
}

// interfaceName checks what dev_valid_name of Linux would: 15 bytes, no slash,
// no colon, no white space.
func (b *builder) interfaceName(path, name string) bool {
	if name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t") {
		return true
	}
	b.errorf(path, "%q is not the name of an interface", clip(name)).remedy("use 1 to 15 characters, as ip link shows them")
	return false
}

// timing checks what a version can say in an advert.
func (b *builder) timing(r *rawInstance, c vrrp.Config) {
	if d := c.AdvertInterval; !r.AdvertInt.bad {
		at := r.AdvertInt.path
		switch {
		case c.Version == vrrp.V2 && (d < vrrp.MinAdvertIntervalV2 || d%time.Second != 0):
			b.errorf(at, "version 2 cannot say %s: it counts whole seconds", format(d)).remedy(`use "1s" or more, or version = 3`)
		case c.Version == vrrp.V3 && d%(10*time.Millisecond) != 0:
			near := max(d.Round(10*time.Millisecond), 10*time.Millisecond)
			b.errorf(at, "version 3 cannot say %s: it counts centiseconds", format(d)).remedy("use a multiple of 10ms, such as %s", format(near))
		case c.Version == vrrp.V3 && d > vrrp.MaxAdvertIntervalV3:
			b.errorf(at, "version 3 cannot say %s", format(d)).remedy("use %s at most", format(vrrp.MaxAdvertIntervalV3))
		}
	}
	if r.PreemptDelay.ok(b.node) && c.PreemptDelay > 0 && !c.Preempt && c.Priority != vrrp.PriorityOwner {
		b.warnf(r.PreemptDelay.at(b.node), "has no effect with nopreempt").remedy("remove one of the two")
	}
}

// ownership checks the rules of priority 255, the router whose own addresses the
// virtual ones are: it is always master when it is there (RFC 9568 §6.4.1).
func (b *builder) ownership(r *rawInstance, c vrrp.Config) {
	if c.Priority != vrrp.PriorityOwner || !r.Priority.ok(b.node) {
		return
	}
	if !c.Preempt {
		b.errorf(r.Nopreempt.at(b.node), "an owner (priority 255) always preempts").remedy("remove it, or use a priority of 254 at most")
	}
	if c.PreemptDelay > 0 {
		b.errorf(r.PreemptDelay.at(b.node), "an owner (priority 255) never waits").remedy("remove it, or use a priority of 254 at most")
	}
	owners := 0
	for _, n := range b.nodes {
		if r.Priority.get(n) == vrrp.PriorityOwner {
			owners++
		}
	}
	if owners > 1 {
		b.errorf(r.Priority.path, "%d nodes have priority 255, but addresses have one owner", owners).
			remedy("use 254 at most on all but one of %s", strings.Join(b.nodes, ", "))
	}
}

func (b *builder) source(r *rawInstance, a netip.Addr) {
	at := r.McastSrcIP.at(b.node)
	switch {
	case !a.Is4():
		b.errorf(at, "%s is not an IPv4 address", a).remedy("use an IPv4 address of the interface")
	case !unicast(a):
		b.errorf(at, "%s is not the address of a host", a).remedy("use an address of the interface")
	}
}

// unicast says whether a host can have the address.
func unicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (b *builder) addresses(r *rawInstance, iface string) []vrrp.Address {
	at := join(r.path, "virtual_ipaddress")
	if r.VirtualIPAddress != nil && len(r.VirtualIPAddress) == 0 {
		b.errorf(at, "is empty").remedy(`add an address, as in virtual_ipaddress = ["192.168.16.200/24"]`)
	}
	if n := len(r.VirtualIPAddress); n > vrrp.MaxAddresses {
		b.errorf(at, "has %d addresses; an advert holds %d", n, vrrp.MaxAddresses).remedy("divide them among several instances")
		return nil
	}
	out := make([]vrrp.Address, 0, len(r.VirtualIPAddress))
	for i := range r.VirtualIPAddress {
		ra := &r.VirtualIPAddress[i]
		a := vrrp.Address{Device: ra.Dev.get(b.node), Label: ra.Label.get(b.node), Scope: ra.Scope.v}
		dev := iface
		if ra.Dev.set && ra.Dev.ok(b.node) && b.interfaceName(ra.Dev.at(b.node), a.Device) {
			dev = a.Device
		}
		b.label(ra, a.Label, dev)
		if !ra.Address.set || ra.Address.bad {
			continue
		}
		var ok bool
		if a.Prefix, ok = b.prefix(ra.Address.path, ra.Address.v); !ok {
			continue
		}
		if first, dup := b.vips[a.Prefix.Addr()]; dup {
			b.errorf(ra.Address.path, "%s stands in %s already", a.Prefix.Addr(), b.where(first)).
				remedy("an address belongs to one vrrp_instance: remove one of the two")
			continue
		}
		b.vips[a.Prefix.Addr()] = b.real(ra.Address.path)
		out = append(out, a)
	}
	return out
}

// real undoes the alias of a bare value, so that its place can be found again.
func (d *decoder) real(path string) string {
	if a, ok := d.alias[path]; ok {
		return a
	}
	return path
}

// label checks the rules of IFA_LABEL: ifconfig reads it as an alias of the
// interface, so it must begin with the interface's name.
func (b *builder) label(ra *rawAddress, label, dev string) {
	if !ra.Label.set || !ra.Label.ok(b.node) || label == "" {
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
			b.errorf(path, "%q is not an address", clip(s)).remedy(`write "192.168.16.200/24"`)
			return p, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	a := p.Addr()
	switch {
	case !a.Is4():
		b.errorf(path, "%s: IPv6 addresses are not supported yet", a).remedy("remove it")
	case !unicast(a) || p.Bits() == 0:
		b.errorf(path, "%s is not an address that a host can have", p).remedy("use an address of the network that the clients reach")
	case p.Bits() < 31 && a == p.Masked().Addr():
		b.errorf(path, "%s is the network itself, not an address in it", p).remedy("use a host's address, or /32")
	case p.Bits() < 31 && a == broadcast(p):
		b.errorf(path, "%s is the broadcast address of its network", p).remedy("use a host's address, or /32")
	default:
		return p, true
	}
	return p, false
}

func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := range 32 - p.Bits() {
		a[3-i/8] |= 1 << (i % 8)
	}
	return netip.AddrFrom4(a)
}
