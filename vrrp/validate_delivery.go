package vrrp

import "net/netip"

const (
	// MaxPeers is how many unicast peers an instance may have: each is sent a
	// packet of its own for each advert.
	MaxPeers = 255
	// maxVMACAddresses6 is how many IPv6 addresses an advert carries in one
	// frame of 1500 bytes. What leaves from a VMAC is not fragmented.
	maxVMACAddresses6 = (1500 - ipv6HeaderLen - headerLen) / 16
)

// validateDelivery checks where adverts come from and go to.
func (c *Config) validateDelivery(bad *complaints) {
	family := c.Family()
	if s := c.Source; s.IsValid() {
		switch {
		case familyOf(s) != family:
			bad.add("source %s is not of the addresses' family", s)
		case !isHost(s):
			bad.add("source %s is not a host's address", s)
		case family == IPv6 && len(c.Peers) == 0 && !s.IsLinkLocalUnicast():
			bad.add("source %s is not link-local, as that of adverts to a group over IPv6 is (RFC 9568 section 5.1.2.1)", s)
		}
	}
	if g := c.Group; g.IsValid() {
		switch {
		case familyOf(g) != family || !g.IsMulticast() || g.Zone() != "":
			bad.add("group %s is not a multicast address of the addresses' family", g)
		case family == IPv6 && !g.IsLinkLocalMulticast():
			bad.add("group %s is not link-local: use one that begins with ff02: or ff12:", g)
		}
	}
	c.validatePeers(bad, family)
	v := c.VMAC
	if v == nil {
		return
	}
	if v.Name == "" || len(v.Name) > 15 || v.Name == c.Interface {
		bad.add("VMAC %q is not the name of a new interface: use 1 to 15 bytes", v.Name)
	}
	if v.XmitBase {
		return
	}
	if len(c.Peers) > 0 {
		bad.add("unicast adverts cannot leave from a VMAC: set vmac_xmit_base")
	}
	if n := len(c.Addresses); family == IPv6 && n > maxVMACAddresses6 {
		bad.add("there are %d virtual addresses: an advert over IPv6 that leaves from a VMAC carries at most %d; move the others to virtual_ipaddress_excluded, or set vmac_xmit_base",
			n, maxVMACAddresses6)
	}
}

func (c *Config) validatePeers(bad *complaints, family Family) {
	if len(c.Peers) > MaxPeers {
		bad.add("there are %d unicast peers: use at most %d", len(c.Peers), MaxPeers)
	}
	virtual := make(map[netip.Addr]bool, len(c.Addresses)+len(c.Excluded))
	for _, a := range c.All() {
		virtual[a.Prefix.Addr()] = true
	}
	seen := make(map[netip.Addr]bool, len(c.Peers))
	for _, p := range c.Peers {
		switch {
		case !isHost(p) || familyOf(p) != family:
			bad.add("unicast_peer %s is not a host's address of the addresses' family", p)
		case p == c.Source:
			bad.add("unicast_peer %s is the source of our own adverts", p)
		case seen[p]:
			bad.add("unicast_peer %s is there twice", p)
		case virtual[p]:
			bad.add("unicast_peer %s is a virtual address: use one that the peer keeps", p)
		case family == IPv6 && !p.IsLinkLocalUnicast() && (!c.Source.IsValid() || c.Source.IsLinkLocalUnicast()):
			// It knows us by another address than we would send from.
			bad.add("unicast_peer %s is not link-local, our source is: set unicast_src_ip", p)
		}
		seen[p] = true
	}
}

// isHost says whether a can be the address of one host.
func isHost(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}
