//go:build linux && kernel

package netif

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (n *host) address6(iface, prefix string) netlink.Addr {
	n.t.Helper()
	list, err := n.h.AddrList(n.Link(iface), netlink.FAMILY_V6)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, a := range list {
		if a.IPNet.String() == prefix {
			return a
		}
	}
	n.t.Fatalf("%s is not on %s: %v", prefix, iface, list)
	return netlink.Addr{}
}

// A single address is not what the node sends from by itself; one with a
// network is an address like others. Both can be used at once.
func TestSetAddressesIPv6Lifetime(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("2001:db8::200/128", "2001:db8::201/64", "fe80::200/128"), nil)
	for prefix, deprecated := range map[string]bool{"2001:db8::200/128": true, "2001:db8::201/64": false, "fe80::200/128": true} {
		a := h.address6("eth0", prefix)
		if a.Protocol != Tag || a.Flags&unix.IFA_F_TENTATIVE != 0 || a.Flags&unix.IFA_F_DEPRECATED != 0 != deprecated || a.ValidLft != forever {
			t.Errorf("%s: tag %d flags %#x valid %d, want ours, usable, for ever, deprecated %v", prefix, a.Protocol, a.Flags, a.ValidLft, deprecated)
		}
	}
	if c := h.set(m, "eth0", addrs("2001:db8::200/128", "2001:db8::201/64", "fe80::200/128"), nil); len(c.Added)+len(c.Removed)+len(c.Foreign) > 0 {
		t.Errorf("second time: %+v", c)
	}
}

func TestSetAddressesIPv6Disabled(t *testing.T) {
	h, _ := alone(t)
	h.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")
	m := h.manager(Options{})
	_, err := m.SetAddresses(context.Background(), "eth0", addrs("2001:db8::200/64", "192.168.16.200/24"), nil)
	if err == nil || !strings.Contains(err.Error(), "set sysctl net.ipv6.conf.eth0.disable_ipv6 to 0") {
		t.Errorf("error %v, want one with the sysctl", err)
	}
	h.wantPrefixes("eth0", "192.168.16.200/24") // does not suffer from it
}

// The interface's own link-local address is told from a virtual one, also by
// a run that did not add it; and not before detection has approved of it.
func TestLinkLocalIsNotVirtual(t *testing.T) {
	for _, loseTag := range []bool{false, true} {
		opts := Options{RecordFile: filepath.Join(t.TempDir(), "addresses.json"), loseTag: loseTag}
		h := newHost(t)
		other := newHost(t)
		h.sysctl("net/ipv6/conf/default/addr_gen_mode", "1") // none of the kernel's own
		h.Cable("eth0", other.Host, "eth0")
		first := h.manager(opts)
		h.set(first, "eth0", addrs("fe80::200/64", "fe80::201/128"), nil)

		m := h.manager(opts)
		if l, err := m.Link("eth0"); err != nil || l.LinkLocal.IsValid() {
			t.Errorf("link-local %v, %v, want none: all are virtual", l.LinkLocal, err)
		}
		w := h.watch(m)
		w.awaitListed()
		h.Run("ip", "address", "add", "fe80::1/64", "dev", "eth0") // with detection, which takes a second
		f := w.await("the address appears", addressIs(AddressAdded, "fe80::1/64"))
		if f.Link.LinkLocal.IsValid() {
			t.Errorf("link-local %v while detection goes on", f.Link.LinkLocal)
		}
		w.await("the address can be used", func(f Fact) bool {
			return f.Kind == LinkChanged && f.Link.Name == "eth0" && f.Link.LinkLocal == netip.MustParseAddr("fe80::1")
		})
	}
}

// What takes IPv6 addresses off an interface that goes down is the kernel:
// it is seen after the interface is down, so that nobody fights it.
func TestIPv6AddressesGoWithTheLink(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("2001:db8::200/64"), nil)
	w := h.watch(m)
	w.awaitListed()
	h.Down("eth0")
	if f := w.await("the address is gone", addressIs(AddressRemoved, "2001:db8::200/64")); f.Link.Up {
		t.Error("the interface still counts as up")
	}
	h.Up("eth0")
	w.await("up", linkIs("eth0", true))
	if c := h.set(m, "eth0", addrs("2001:db8::200/64"), nil); len(c.Added) != 1 {
		t.Errorf("%+v, want it added again", c)
	}
	if a := h.address6("eth0", "2001:db8::200/64"); a.Flags&unix.IFA_F_TENTATIVE != 0 {
		t.Errorf("flags %#x, want it usable", a.Flags)
	}
}
