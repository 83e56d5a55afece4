package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"baton/vrrp"
)

// delivery reads where adverts come from and go to: a multicast group, or
// unicast peers.
func (b *builder) delivery(r *rawInstance, c *vrrp.Config) {
	node := b.node
	if r.UnicastPeer.set {
		c.UnicastTTL, c.UnicastTTLMin = uint8(r.UnicastTTL.get(node)), uint8(r.UnicastTTLMin.get(node))
		c.AnySource = !r.CheckUnicastSrc.get(node)
		if r.UnicastSrcIP.given(node) {
			c.Source = b.source(r, &r.UnicastSrcIP, c)
		}
		b.peers(r, c)
		if r.McastSrcIP.set {
			b.errorf(r.McastSrcIP.at(node), "is for multicast, but there is a unicast_peer").remedy("use unicast_src_ip")
		}
		if r.McastDstIP.set {
			b.errorf(r.McastDstIP.path(), "is for multicast, but there is a unicast_peer").remedy("remove one of the two")
		}
		if c.VMAC != nil && !c.VMAC.XmitBase {
			b.errorf(r.UseVMAC.at(node), "unicast adverts would leave the VMAC with an address that it does not have").remedy("add vmac_xmit_base = true")
		}
		return
	}
	for _, k := range []struct {
		set  bool
		path string
	}{
		{r.UnicastSrcIP.set, r.UnicastSrcIP.at(node)}, {r.UnicastTTL.set, r.UnicastTTL.at(node)},
		{r.UnicastTTLMin.set, r.UnicastTTLMin.at(node)}, {r.CheckUnicastSrc.set, r.CheckUnicastSrc.at(node)},
	} {
		if k.set {
			b.errorf(k.path, "has no effect without unicast_peer").remedy("add unicast_peer, or remove this key; the source of multicast is mcast_src_ip")
		}
	}
	if r.McastSrcIP.given(node) {
		c.Source = b.source(r, &r.McastSrcIP, c)
	}
	group := &r.McastDstIP
	if group.set && !group.bad {
		b.multicastGroup(group, c.Family())
	}
	global := &b.raw.Global.VRRPMcastGroup4
	if c.Family() == vrrp.IPv6 {
		global = &b.raw.Global.VRRPMcastGroup6
	}
	c.Group = pick(group, global).v
}

// multicastGroup checks the destination of adverts.
func (b *builder) multicastGroup(g *value[netip.Addr], family vrrp.Family) {
	switch a := g.v; {
	case !a.IsMulticast():
		b.errorf(g.path(), "%s is not a multicast address", a).remedy("use %s, or another multicast address; for hosts there is unicast_peer", groupOf(family))
	case a.Is4() != (family == vrrp.IPv4):
		b.errorf(g.path(), "%s is of the other family than the adverts", a).remedy("use %s or the like", groupOf(family))
	case a.Is6() && !a.IsLinkLocalMulticast():
		b.errorf(g.path(), "%s is not link-local: adverts stay on their link", a).remedy("use a group that begins with ff02:, such as %s", vrrp.Group6)
	}
}

func groupOf(family vrrp.Family) netip.Addr {
	if family == vrrp.IPv6 {
		return vrrp.Group6
	}
	return vrrp.Group
}

// source checks the address that adverts are sent from.
func (b *builder) source(r *rawInstance, v *nodeValue[netip.Addr], c *vrrp.Config) netip.Addr {
	a, at := v.get(b.node), v.at(b.node)
	switch {
	case a.Is4() != (c.Family() == vrrp.IPv4):
		b.errorf(at, "%s is not an %s address", a, familyName(c.Family())).remedy("use an %s address of the interface", familyName(c.Family()))
	case !unicast(a):
		b.errorf(at, "%s is not the address of a host", a).remedy("use an address of the interface")
	case v == &r.McastSrcIP && a.Is6() && !a.IsLinkLocalUnicast():
		b.errorf(at, "%s is not link-local, as the source of multicast adverts over IPv6 is", a).remedy("use the interface's fe80:: address, or remove this key")
	case b.virtual(c, a):
		b.errorf(at, "%s is a virtual address of this instance", a).remedy("use an address that this node keeps")
	case v.of == nil && len(b.nodes) > 1:
		b.errorf(at, "all of %s would send from %s", strings.Join(b.nodes, ", "), a).remedy("write { %s = %q, … }", b.nodes[0], a)
	}
	return a
}

// virtual says whether the instance's master holds the address.
func (b *builder) virtual(c *vrrp.Config, a netip.Addr) bool {
	return slices.ContainsFunc(c.Addresses, func(x vrrp.Address) bool { return x.Prefix.Addr() == a }) ||
		slices.ContainsFunc(c.Excluded, func(x vrrp.Address) bool { return x.Prefix.Addr() == a })
}

func familyName(f vrrp.Family) string { return fmt.Sprintf("IPv%d", f) }

// peers reads unicast_peer and holds it against what the other nodes say.
func (b *builder) peers(r *rawInstance, c *vrrp.Config) {
	v := &r.UnicastPeer
	if !v.ok(b.node) {
		return
	}
	list, at := v.get(b.node), v.at(b.node)
	c.Peers = list
	if len(list) == 0 {
		b.errorf(at, "is empty").remedy("name the other director's address, or remove the key: adverts are then multicast")
	}
	for i, p := range list {
		path := element(at, i)
		switch {
		case p.Is4() != (c.Family() == vrrp.IPv4):
			b.errorf(path, "%s is not of the family of the addresses, %s", p, familyName(c.Family())).remedy("use the peer's %s address", familyName(c.Family()))
		case !unicast(p):
			b.errorf(path, "%s is not the address of a host", p).remedy("name the address that the other director sends from; a multicast group is mcast_dst_ip")
		case p == c.Source:
			b.errorf(path, "%s is this node's own unicast_src_ip", p).remedy("name the other directors only, for each node: unicast_peer = { lvs-a = [\"…\"], lvs-b = [\"…\"] }")
		case b.virtual(c, p):
			b.errorf(path, "%s is a virtual address of this instance, which moves", p).remedy("name an address that the other director keeps")
		case slices.Contains(list[:i], p):
			b.errorf(path, "%s stands there twice", p).remedy("remove it")
		}
	}
	for _, other := range b.nodes {
		src := r.UnicastSrcIP.get(other)
		if other == b.node || r.UnicastSrcIP.of == nil || !r.UnicastSrcIP.ok(other) || slices.Contains(list, src) {
			continue
		}
		b.errorf(at, "%s sends from %s, which is no peer here: its adverts would be dropped", other, src).remedy("add %q", src)
	}
}

// password reads version 2's authentication. No message repeats it.
func (b *builder) password(r *rawInstance, c *vrrp.Config) {
	a := r.Authentication
	if a == nil {
		return
	}
	if c.Version != vrrp.V2 {
		b.errorf(a.path, "version 3 has no authentication").remedy("remove it, or use version = 2 because a peer does")
		return
	}
	if !a.AuthPass.set || a.AuthPass.bad {
		return
	}
	c.Password = string(a.AuthPass.v)
	switch n := len(c.Password); {
	case n == 0:
		b.errorf(a.AuthPass.path(), "is empty").remedy("remove the authentication")
	case n > 8:
		b.errorf(a.AuthPass.path(), "has %d bytes, but an advert carries 8", n).remedy("cut it after 8 bytes, as keepalived does without a word")
	case strings.ContainsFunc(c.Password, func(c rune) bool { return c < ' ' || c == 0x7f }):
		b.errorf(a.AuthPass.path(), "contains a control character").remedy("remove it")
	default:
		b.warnf(a.path, "protects from nothing: whoever hears an advert reads the password in it").remedy("keep it only for a peer that wants it")
	}
}

// vmac reads the interface that use_vmac asks for.
func (b *builder) vmac(r *rawInstance, c vrrp.Config) *vrrp.VMAC {
	if !r.UseVMAC.get(b.node) {
		for _, k := range []struct {
			set  bool
			path string
		}{{r.VMACName.set, r.VMACName.at(b.node)}, {r.VMACXmitBase.set, r.VMACXmitBase.at(b.node)}} {
			if k.set && !r.UseVMAC.set {
				b.errorf(k.path, "has no effect without use_vmac").remedy("add use_vmac = true, or remove this key")
			}
		}
		return nil
	}
	v := &vrrp.VMAC{Name: r.VMACName.get(b.node), XmitBase: r.VMACXmitBase.get(b.node)}
	switch {
	case r.VMACName.given(b.node):
		if !b.interfaceName(r.VMACName.at(b.node), v.Name) {
			v.Name = ""
		}
	case r.isIPv6():
		v.Name = fmt.Sprintf("vrrp6.%d", c.VRID)
	default:
		v.Name = fmt.Sprintf("vrrp.%d", c.VRID)
	}
	return v
}

// isIPv6 says what family the adverts will be of, before the addresses are
// checked: their device may be named after it.
func (r *rawInstance) isIPv6() bool {
	return len(r.VirtualIPAddress) > 0 && strings.Contains(r.VirtualIPAddress[0].Address.v, ":")
}

// vmacNames checks that the interfaces that are to be made do not exist.
func (b *builder) vmacNames(all []vrrp.Config) {
	made := map[string]string{}
	for i, c := range all {
		r := &b.raw.Instances[i]
		if c.VMAC == nil || c.VMAC.Name == "" {
			continue
		}
		at := r.UseVMAC.at(b.node)
		if r.VMACName.set {
			at = r.VMACName.at(b.node)
		}
		if first, dup := made[c.VMAC.Name]; dup {
			b.errorf(at, "the VMAC of the vrrp_instance in %s is called %s already", b.where(first), c.VMAC.Name).remedy(`add vmac_name = "vrrp.%d.b" or the like`, c.VRID)
		} else if first, taken := b.links[c.VMAC.Name]; taken {
			b.errorf(at, "%s is the interface of the vrrp_instance in %s", c.VMAC.Name, b.where(first)).remedy("use the name of no interface that exists")
		} else {
			made[c.VMAC.Name] = r.path
		}
	}
}
