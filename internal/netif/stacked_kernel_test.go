//go:build linux && kernel

package netif

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// A VLAN on a bond of two links is an interface as others: facts and addresses
// are right, one link's failure is none, both links' is, and a VMAC works on it.
func TestVLANOnBond(t *testing.T) {
	h, other := newHost(t), newHost(t)
	h.Cable("eth0", other.Host, "eth0")
	h.Cable("eth1", other.Host, "eth1")
	bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: "bond0"})
	bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
	bond.Miimon = 10 // ms
	if err := h.h.LinkAdd(bond); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eth0", "eth1"} {
		h.Down(name)
		if err := h.h.LinkSetMaster(h.Link(name), h.Link("bond0")); err != nil {
			t.Fatal(err)
		}
		h.Up(name)
	}
	h.Up("bond0")
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "bond0.100", ParentIndex: h.Link("bond0").Attrs().Index}, VlanId: 100}
	if err := h.h.LinkAdd(vlan); err != nil {
		t.Fatal(err)
	}
	m := h.manager(Options{})
	w := h.watch(m)
	h.Up("bond0.100")
	w.await("the VLAN is up", linkIs("bond0.100", true))
	h.Address("bond0.100", "192.168.16.102/24")
	h.Run("ip", "-6", "address", "add", "fe80::102/64", "dev", "bond0.100", "nodad")
	h.set(m, "bond0.100", addrs("192.168.16.200/24", "fe80::1/64", "2001:db8::200/64"), nil)
	l, err := m.Link("bond0.100")
	if err != nil || !l.Up || l.Primary != netip.MustParseAddr("192.168.16.102") || !l.LinkLocal.IsValid() || l.LinkLocal == netip.MustParseAddr("fe80::1") {
		t.Errorf("link %+v, %v", l, err)
	}
	// The name has a dot, as has the sysctl's path.
	h.ensure(m, VMAC{Name: "vrrp.51", Parent: "bond0.100", MAC: VirtualMAC(false, 51)}, true)
	h.set(m, "vrrp.51", addrs("192.168.16.201/32"), nil)
	h.wantPrefixes("vrrp.51", "192.168.16.201/32")

	other.Down("eth0")
	h.Address("lo", "192.0.2.99/32")
	w.await("marker", func(f Fact) bool {
		if f.Kind == LinkChanged && f.Link.Name == "bond0.100" && !f.Link.Up {
			t.Error("down although one link of the bond is up")
		}
		return addressIs(AddressAdded, "192.0.2.99/32")(f)
	})
	other.Down("eth1")
	w.await("both links are down", linkIs("bond0.100", false))
	other.Up("eth1")
	w.await("one is back", linkIs("bond0.100", true))
}
