//go:build linux && kernel

package netif

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tap collects what arrives on an interface.
type tap struct {
	conn   *packet.Conn
	done   chan struct{}
	mu     sync.Mutex
	frames []ethernet.Frame
}

func (n *host) tap(iface string) *tap {
	n.t.Helper()
	w := &tap{done: make(chan struct{})}
	n.Must(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err == nil {
			w.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		}
		return err
	})
	go func() {
		defer close(w.done)
		buf := make([]byte, 2048)
		for {
			size, from, err := w.conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var f ethernet.Frame
			if from != nil && f.UnmarshalBinary(slices.Clone(buf[:size])) == nil {
				w.mu.Lock()
				w.frames = append(w.frames, f)
				w.mu.Unlock()
			}
		}
	}()
	n.t.Cleanup(func() { w.conn.Close(); <-w.done })
	return w
}

func (w *tap) all() []ethernet.Frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.frames)
}

// stations lists who claims an IPv4 address in ARP.
func (w *tap) stations(vip netip.Addr) []string {
	var out []string
	for _, f := range w.all() {
		if f.EtherType == ethernet.EtherTypeARP && len(f.Payload) >= 28 && bytes.Equal(f.Payload[14:18], vip.AsSlice()) {
			if mac := net.HardwareAddr(f.Payload[8:14]).String(); !slices.Contains(out, mac) {
				out = append(out, mac)
			}
		}
	}
	return out
}

func (w *tap) from(mac net.HardwareAddr) []ethernet.Frame {
	return slices.DeleteFunc(w.all(), func(f ethernet.Frame) bool { return !bytes.Equal(f.Source, mac) })
}

// settle is how long is listened for what must not come: the kernel repeats
// and delays multicast reports and solicitations for up to a second.
const settle = 2500 * time.Millisecond

// listen waits for d, or until what must not come has: the test need not wait on
// for its failure.
func (w *tap) listen(d time.Duration, unwanted func() bool) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for end := time.After(d); !unwanted(); {
		select {
		case <-look.C:
		case <-end:
			return
		}
	}
}

func (n *host) ensure(m *Manager, v VMAC, wantChanged bool) {
	n.t.Helper()
	n.Must(func() error {
		changed, err := m.EnsureVMAC(v)
		if err == nil && changed != wantChanged {
			n.t.Errorf("changed %v, want %v", changed, wantChanged)
		}
		return err
	})
}

// Each address is at one station: those of the VMAC at its address, those of
// the interface below at that one's. Both are asked by the same broadcasts.
func TestVMACOnTheWire(t *testing.T) {
	h, other := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	other.Address("eth0", "192.168.16.1/24")
	other.sysctl("net/ipv6/conf/eth0/accept_dad", "0")
	h.Run("ip", "-6", "address", "add", "2001:db8::102/64", "dev", "eth0", "nodad")
	other.Run("ip", "-6", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
	h.sysctl("net/ipv4/conf/all/rp_filter", "1") // strict: what most distributions set
	m := h.manager(Options{})
	vmac4, vmac6 := VirtualMAC(false, 51), VirtualMAC(true, 51)
	h.ensure(m, VMAC{Name: "vrrp4.51", Parent: "eth0", MAC: vmac4}, true)
	h.ensure(m, VMAC{Name: "vrrp6.51", Parent: "eth0", MAC: vmac6}, true)
	w := other.tap("eth0")
	h.set(m, "vrrp4.51", addrs("192.168.16.200/24"), nil)
	h.Must(func() error { return m.VMACEnableIPv6("vrrp6.51", true) })
	h.set(m, "vrrp6.51", addrs("2001:db8::200/64", "fe80::200/64"), nil)

	// No address is made from the MAC (RFC 9568 section 7.4).
	if got := h.Run("ip", "-6", "address", "show", "dev", "vrrp6.51"); strings.Contains(got, "5eff:fe00") || strings.Count(got, "inet6") != 2 {
		t.Errorf("addresses of the VMAC are\n%s", got)
	}
	om := other.manager(Options{Timeout: patience})
	base := h.Link("eth0").Attrs().HardwareAddr
	for ip, want := range map[string]net.HardwareAddr{
		"192.168.16.200": vmac4, "192.168.16.102": base,
		"2001:db8::200": vmac6, "2001:db8::102": base, "fe80::200": vmac6,
	} {
		got, err := om.Neighbour(t.Context(), "eth0", netip.MustParseAddr(ip))
		if err != nil || got.String() != want.String() {
			t.Errorf("%s is at %v, %v, want %v", ip, got, err, want)
		}
	}
	// What the node sends from the address makes it ask for neighbours.
	h.Must(func() error {
		c, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(192, 168, 16, 200)}}).Dial("udp4", "192.168.16.77:9")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
	// And it answers in spite of strict reverse path filtering.
	ln := h.listen("192.168.16.200:80")
	go echo(ln)
	other.Must(func() error {
		c, err := net.DialTimeout("tcp4", "192.168.16.200:80", patience)
		if err == nil {
			c.Close()
		}
		return err
	})
	stations := map[string]net.HardwareAddr{"192.168.16.200": vmac4, "192.168.16.102": base}
	w.listen(settle/2, func() bool {
		for ip := range stations {
			if len(w.stations(netip.MustParseAddr(ip))) > 1 {
				return true
			}
		}
		return false
	})
	for ip, want := range stations {
		if diff := cmp.Diff([]string{want.String()}, w.stations(netip.MustParseAddr(ip))); diff != "" {
			t.Errorf("stations of %s (-want +got):\n%s", ip, diff)
		}
	}
}

// The network learns where the virtual router is from what its hardware
// address sends. A backup's must send nothing, nor a former master's.
func TestVMACSilent(t *testing.T) {
	h, other := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	other.Address("eth0", "192.168.16.1/24")
	h.sysctl("net/ipv6/conf/all/forwarding", "1") // joins more groups
	w := other.tap("eth0")
	m := h.manager(Options{})
	mac := VirtualMAC(true, 51)
	v := VMAC{Name: "vrrp6.51", Parent: "eth0", MAC: mac}
	h.ensure(m, v, true)
	om := other.manager(Options{})
	// Asked for addresses that are not its own.
	_, _ = om.Neighbour(t.Context(), "eth0", netip.MustParseAddr("192.168.16.102"))
	w.listen(settle, func() bool { return len(w.from(mac)) > 0 })
	if sent := w.from(mac); len(sent) > 0 {
		t.Errorf("a backup's VMAC sent %d frames, the first %+v", len(sent), sent[0])
	}
	for range 2 { // master, and not any more
		h.Must(func() error { return m.VMACEnableIPv6(v.Name, true) })
		h.set(m, v.Name, addrs("fe80::200/64", "2001:db8::200/64", "192.168.16.200/32"), nil)
		w.listen(settle, func() bool { return false }) // all that it says by itself
		before := len(w.from(mac))
		h.Must(func() error { return m.VMACEnableIPv6(v.Name, false) })
		h.set(m, v.Name, nil, nil)
		w.listen(settle, func() bool { return len(w.from(mac)) > before })
		if sent := w.from(mac)[before:]; len(sent) > 0 {
			t.Errorf("a former master's VMAC sent %d frames, the first %+v", len(sent), sent[0])
		}
	}
	if len(w.from(mac)) == 0 {
		t.Error("the master's VMAC was not heard either: the test is deaf")
	}
}

func TestEnsureVMAC(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	v := VMAC{Name: "vrrp.51", Parent: "eth0", MAC: VirtualMAC(false, 51)}
	arpIgnore := func() string {
		var s string
		h.Must(func() (err error) { s, err = ReadSysctl("net/ipv4/conf/eth0/arp_ignore"); return err })
		return s
	}
	h.ensure(m, v, true)
	index := h.Link(v.Name).Attrs().Index
	if l := h.Link(v.Name).Attrs(); l.RawFlags&unix.IFF_UP == 0 || l.HardwareAddr.String() != "00:00:5e:00:01:33" || l.Alias != vmacAlias {
		t.Errorf("made %+v, want it up, with the router's address and our mark", l)
	}
	h.ensure(m, v, false)
	h.set(m, v.Name, addrs("192.168.16.200/32"), nil)

	// A later run takes it over, with what is on it.
	m2 := h.manager(Options{})
	h.ensure(m2, v, false)
	if now := h.Link(v.Name).Attrs().Index; now != index {
		t.Errorf("index %d, want %d kept", now, index)
	}
	h.wantPrefixes(v.Name, "192.168.16.200/32")

	// The virtual router got another number.
	v.MAC = VirtualMAC(false, 52)
	h.ensure(m, v, true)
	if got := h.Link(v.Name).Attrs().HardwareAddr.String(); got != "00:00:5e:00:01:34" {
		t.Errorf("address %s", got)
	}
	if list, err := m.VMACs(); err != nil || !slices.Equal(list, []string{v.Name}) {
		t.Errorf("vmacs %v, %v", list, err)
	}
	if got := arpIgnore(); got != "1" {
		t.Errorf("arp_ignore of the parent is %s, want 1", got)
	}
	// Somebody deletes it.
	h.Run("ip", "link", "del", v.Name)
	h.ensure(m, v, true)

	h.Must(func() error {
		if removed, err := m.RemoveVMAC(v.Name); err != nil || !removed {
			t.Errorf("removed %v, %v", removed, err)
		}
		if removed, err := m.RemoveVMAC(v.Name); err != nil || removed {
			t.Errorf("removed %v, %v though there was none", removed, err)
		}
		return m.RestoreParents(nil)
	})
	if got := arpIgnore(); got != "0" {
		t.Errorf("arp_ignore of the parent is %s afterwards, want 0 as before", got)
	}
	v.Parent = "eth7"
	if _, err := m.EnsureVMAC(v); !errors.Is(err, ErrNoInterface) {
		t.Errorf("error %v, want ErrNoInterface", err)
	}
}

func TestEnsureVMACLeavesForeign(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{})
	v := VMAC{Name: "vrrp.51", Parent: "eth0", MAC: VirtualMAC(false, 51)}
	if err := h.h.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: v.Name}}); err != nil {
		t.Fatal(err)
	}
	h.Must(func() error {
		_, err := m.EnsureVMAC(v)
		if err == nil || !strings.Contains(err.Error(), "make vmac vrrp.51 on eth0: interface vrrp.51 is there and is not ours: it is a dummy with address") {
			t.Errorf("error %v", err)
		}
		removed, err := m.RemoveVMAC(v.Name)
		if removed || err != nil {
			t.Errorf("removed %v, %v", removed, err)
		}
		return nil
	})
	h.Run("ip", "link", "del", v.Name)
	// Made by hand, or by a run that died before it set its mark.
	h.Run("ip", "link", "add", v.Name, "link", "eth0", "address", v.MAC.String(), "type", "macvlan", "mode", "private")
	h.ensure(m, v, false)
	if l := h.Link(v.Name).Attrs(); l.RawFlags&unix.IFF_UP == 0 || l.Alias != vmacAlias {
		t.Errorf("taken over %+v, want it up and with our mark", l)
	}
}

// A macvlan on a macvlan, as in a container whose network is one, hangs on the
// interface below both: it is found again all the same, and not made anew.
func TestVMACOnMacvlan(t *testing.T) {
	h, _ := alone(t)
	h.Run("ip", "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
	h.Up("mv0")
	h.Address("mv0", "192.168.16.102/24")
	m := h.manager(Options{})
	v := VMAC{Name: "vrrp.51", Parent: "mv0", MAC: VirtualMAC(false, 51)}
	h.ensure(m, v, true)
	index := h.Link("vrrp.51").Attrs().Index
	h.ensure(m, v, false)
	if now := h.Link("vrrp.51").Attrs().Index; now != index {
		t.Errorf("the VMAC was made anew: index %d, was %d", now, index)
	}
}
