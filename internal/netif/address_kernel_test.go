//go:build linux && kernel

package netif

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
)

// alone makes a host with one interface that has carrier.
func alone(t *testing.T) (h, other *host) {
	t.Helper()
	h, other = newHost(t), newHost(t)
	h.Cable("eth0", other.Host, "eth0")
	return h, other
}

func addrs(list ...string) []Addr {
	var out []Addr
	for _, s := range list {
		out = append(out, Addr{Prefix: netip.MustParsePrefix(s)})
	}
	return out
}

func (n *host) set(m *Manager, iface string, desired []Addr, owned []netip.Prefix) Change {
	n.t.Helper()
	var c Change
	n.Must(func() (err error) {
		c, err = m.SetAddresses(context.Background(), iface, desired, owned)
		return err
	})
	return c
}

func (n *host) wantPrefixes(iface string, want ...string) {
	n.t.Helper()
	got := n.prefixesOn(iface)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		n.t.Errorf("addresses of %s (-want +got):\n%s", iface, diff)
	}
}

func TestSetAddresses(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	m := h.manager(Options{})

	c := h.set(m, "eth0", addrs("192.168.16.200/24", "192.168.16.201/32", "10.0.0.1/24"), nil)
	if len(c.Added) != 3 {
		t.Errorf("added %v, want three", c.Added)
	}
	h.wantPrefixes("eth0", "192.168.16.102/24", "192.168.16.200/24", "192.168.16.201/32", "10.0.0.1/24")
	list, err := h.h.AddrList(h.Link("eth0"), netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		tagged := a.Protocol == Tag
		if own := a.IPNet.String() == "192.168.16.102/24"; own == tagged {
			t.Errorf("address %s: tag %d", a.IPNet, a.Protocol)
		}
	}

	c = h.set(m, "eth0", addrs("192.168.16.200/24", "192.168.16.201/32", "10.0.0.1/24"), nil)
	if diff := cmp.Diff(Change{}, c); diff != "" {
		t.Errorf("second time (-want +got):\n%s", diff)
	}

	// One virtual router of several gives up its own.
	h.set(m, "eth0", nil, []netip.Prefix{netip.MustParsePrefix("192.168.16.201/32")})
	h.wantPrefixes("eth0", "192.168.16.102/24", "192.168.16.200/24", "10.0.0.1/24")

	// Another run finds what this one left, and nothing else.
	m = h.manager(Options{})
	owned, err := m.OwnedAddresses("eth0")
	if err != nil || len(owned) != 2 {
		t.Errorf("owned %v, %v, want two", owned, err)
	}
	h.set(m, "eth0", nil, nil)
	h.wantPrefixes("eth0", "192.168.16.102/24")
}

func TestSetAddressesLeavesForeign(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.200/24")
	m := h.manager(Options{})
	c := h.set(m, "eth0", addrs("192.168.16.200/24"), nil)
	if want := []netip.Prefix{netip.MustParsePrefix("192.168.16.200/24")}; !slices.Equal(c.Foreign, want) || c.Added != nil {
		t.Errorf("change %+v, want foreign %v only", c, want)
	}
	h.set(m, "eth0", nil, nil)
	h.wantPrefixes("eth0", "192.168.16.200/24")
}

// Deleting a primary address takes the secondary ones of its network along,
// unless promote_secondaries is set.
func TestRemovalSparesInterfaceAddress(t *testing.T) {
	for _, promote := range []string{"0", "1"} {
		t.Run("promote_secondaries="+promote, func(t *testing.T) {
			h, _ := alone(t)
			h.sysctl("net/ipv4/conf/all/promote_secondaries", promote)
			h.sysctl("net/ipv4/conf/eth0/promote_secondaries", "0")
			m := h.manager(Options{})
			h.set(m, "eth0", addrs("192.168.16.200/24", "192.168.16.201/24"), nil)
			h.Address("eth0", "192.168.16.102/24") // later, so it is secondary to the VIP
			h.set(m, "eth0", addrs("192.168.16.201/24"), nil)
			h.wantPrefixes("eth0", "192.168.16.102/24", "192.168.16.201/24")
			h.set(m, "eth0", nil, nil)
			h.wantPrefixes("eth0", "192.168.16.102/24")
			h.Must(func() error {
				if v, err := ReadSysctl("net/ipv4/conf/eth0/promote_secondaries"); err != nil || v != "0" {
					t.Errorf("promote_secondaries of eth0 is %q, %v afterwards, want 0 as before", v, err)
				}
				return nil
			})
		})
	}
}

func TestPutBack(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("192.168.16.200/24"), nil)
	h.Address("eth0", "192.168.16.102/24")
	h.sysctl("net/ipv4/conf/all/promote_secondaries", "0")
	h.sysctl("net/ipv4/conf/eth0/promote_secondaries", "0")
	link := h.Link("eth0")
	before, err := m.addresses(link)
	if err != nil {
		t.Fatal(err)
	}
	h.NoAddress("eth0", "192.168.16.200/24")
	h.wantPrefixes("eth0") // what the kernel does when nobody prevents it
	h.Must(func() error { return m.putBack(link, endangered(before, before[:1])) })
	h.wantPrefixes("eth0", "192.168.16.102/24")
}

// On kernels before 5.18 the tag is lost and the record stands in for it.
func TestRecordWhereTagsAreLost(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	opts := Options{RecordFile: filepath.Join(t.TempDir(), "addresses.json"), loseTag: true}
	h.set(h.manager(opts), "eth0", addrs("192.168.16.200/24", "192.168.16.201/32"), nil)

	m := h.manager(opts)
	owned, err := m.OwnedAddresses("eth0")
	if err != nil || len(owned) != 2 {
		t.Fatalf("owned %v, %v, want the two that the earlier run added", owned, err)
	}
	h.set(m, "eth0", addrs("192.168.16.201/32"), nil)
	h.wantPrefixes("eth0", "192.168.16.102/24", "192.168.16.201/32")
	if r := newRecord(opts.RecordFile); r.has("eth0", netip.MustParsePrefix("192.168.16.200/24")) ||
		!r.has("eth0", netip.MustParsePrefix("192.168.16.201/32")) {
		t.Errorf("record has %v, want what is left", r.entries)
	}
	if m.tags != tagsUnknown || m.LosesTags() {
		t.Errorf("tag support %d learnt without adding anything", m.tags)
	}
	h.set(m, "eth0", addrs("192.168.16.202/32"), nil)
	if m.tags != tagsLost || !m.LosesTags() {
		t.Errorf("tag support is %d, want lost", m.tags)
	}
}

// Where the kernel keeps the tag the record stays empty.
func TestRecordWhereTagsAreKept(t *testing.T) {
	h, _ := alone(t)
	opts := Options{RecordFile: filepath.Join(t.TempDir(), "addresses.json")}
	m := h.manager(opts)
	h.set(m, "eth0", addrs("192.168.16.200/24"), nil)
	if m.tags != tagsKept {
		t.Errorf("tag support is %d, want kept", m.tags)
	}
	if r := newRecord(opts.RecordFile); r.has("eth0", netip.MustParsePrefix("192.168.16.200/24")) {
		t.Errorf("record has %v although the kernel keeps the tag", r.entries)
	}
}

func TestSetAddressesWithoutInterface(t *testing.T) {
	h := newHost(t)
	m := h.manager(Options{})
	h.set(m, "eth7", nil, nil)
	_, err := m.SetAddresses(t.Context(), "eth7", addrs("192.168.16.200/24"), nil)
	if !errors.Is(err, ErrNoInterface) {
		t.Errorf("error %v, want ErrNoInterface", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.SetAddresses(ctx, "lo", addrs("192.168.16.200/24"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	h.wantPrefixes("lo", "127.0.0.1/8")
}

func TestSetAddressesIPv6(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("2001:db8::200/64"), nil)
	list, err := h.h.AddrList(h.Link("eth0"), netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(a netlink.Addr) bool { return a.IPNet.String() == "2001:db8::200/64" })
	const tentative = 0x40 // IFA_F_TENTATIVE: packets to it are dropped for a second
	if i < 0 || list[i].Protocol != Tag || list[i].Flags&tentative != 0 {
		t.Fatalf("addresses %v, want a usable tagged one", list)
	}
	h.set(m, "eth0", nil, nil)
	if owned, err := m.OwnedAddresses("eth0"); err != nil || len(owned) != 0 {
		t.Errorf("owned %v, %v afterwards, want none", owned, err)
	}
}

func TestSetAddressesAtScale(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	var all []Addr
	ip := netip.MustParseAddr("10.1.0.1")
	for range 2000 {
		all = append(all, Addr{Prefix: netip.PrefixFrom(ip, 32)})
		ip = ip.Next()
	}
	if c := h.set(m, "eth0", all, nil); len(c.Added) != 2000 {
		t.Fatalf("added %d", len(c.Added))
	}
	if c := h.set(m, "eth0", nil, nil); len(c.Removed) != 2000 {
		t.Fatalf("removed %d", len(c.Removed))
	}
}
