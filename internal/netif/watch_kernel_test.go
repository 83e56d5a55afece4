//go:build linux && kernel

package netif

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// patience is how long a fact may take; the kernel tells in microseconds, an
// emulated one in milliseconds.
const patience = 10 * time.Second

// watcher runs Watch in a namespace and hands the facts over one by one.
type watcher struct {
	t     *testing.T
	facts chan Fact
	gate  chan struct{} // closed: reports go on
}

func (n *host) watch(m *Manager) *watcher {
	n.t.Helper()
	w := &watcher{t: n.t, facts: make(chan Fact, 100000), gate: make(chan struct{})}
	close(w.gate)
	n.startWatch(m, w)
	return w
}

func (n *host) startWatch(m *Manager, w *watcher) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- n.Do(func() error {
			return m.Watch(ctx, func(f Fact) {
				w.facts <- f
				<-w.gate
			})
		})
	}()
	n.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			n.t.Errorf("watch: %v", err)
		}
	})
}

// await returns the first fact that match accepts.
func (w *watcher) await(what string, match func(Fact) bool) Fact {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case f := <-w.facts:
			if match(f) {
				return f
			}
		case <-late:
			w.t.Fatalf("no fact: %s", what)
		}
	}
}

func (w *watcher) awaitListed() Fact {
	w.t.Helper()
	return w.await("listed", func(f Fact) bool { return f.Kind == Listed })
}

func linkIs(name string, up bool) func(Fact) bool {
	return func(f Fact) bool { return f.Kind == LinkChanged && f.Link.Name == name && f.Link.Up == up }
}

func addressIs(kind FactKind, prefix string) func(Fact) bool {
	p := netip.MustParsePrefix(prefix)
	return func(f Fact) bool { return f.Kind == kind && f.Prefix == p }
}

func TestWatchListsFirst(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	h.Address("eth0", "192.168.16.103/24")
	m := h.manager(Options{})
	h.set(m, "eth0", addrs("192.168.16.200/24"), nil)
	w := h.watch(m)
	f := w.await("eth0 is up", linkIs("eth0", true))
	if f.Link.Primary != netip.MustParseAddr("192.168.16.102") || f.Link.MTU != 1500 || len(f.Link.MAC) != 6 {
		t.Errorf("first report %+v, want the primary address, MTU and MAC in it", f.Link)
	}
	if !w.await("the VIP", addressIs(AddressAdded, "192.168.16.200/24")).Owned {
		t.Error("the VIP is not reported as owned")
	}
	if f := w.awaitListed(); f.Err != nil {
		t.Errorf("first listing says %v", f.Err)
	}
	got, err := m.Link("eth0")
	if err != nil || !got.same(f.Link) {
		t.Errorf("Link says %+v, %v, Watch %+v", got, err, f.Link)
	}
}

func TestWatchAddressTakenAway(t *testing.T) {
	h, _ := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	m := h.manager(Options{})
	w := h.watch(m)
	w.awaitListed()
	h.set(m, "eth0", addrs("192.168.16.200/24"), nil)
	if !w.await("VIP added", addressIs(AddressAdded, "192.168.16.200/24")).Owned {
		t.Error("the VIP is not reported as owned")
	}
	h.NoAddress("eth0", "192.168.16.200/24")
	if !w.await("VIP removed", addressIs(AddressRemoved, "192.168.16.200/24")).Owned {
		t.Error("the removed VIP is not reported as owned")
	}
	h.NoAddress("eth0", "192.168.16.102/24")
	f := w.await("own address lost", func(f Fact) bool { return f.Kind == LinkChanged && f.Link.Name == "eth0" })
	if f.Link.Primary.IsValid() {
		t.Errorf("primary address %v, want none", f.Link.Primary)
	}
}

func TestWatchCarrier(t *testing.T) {
	h, other := alone(t)
	w := h.watch(h.manager(Options{}))
	w.await("eth0 is up", linkIs("eth0", true))
	other.Down("eth0") // the cable's other end
	w.await("no carrier", linkIs("eth0", false))
	other.Up("eth0")
	w.await("carrier", linkIs("eth0", true))
	h.Down("eth0")
	w.await("down", linkIs("eth0", false))
}

func TestWatchRenamedDeletedMadeAnew(t *testing.T) {
	h, _ := alone(t)
	w := h.watch(h.manager(Options{}))
	first := w.await("eth0 is up", linkIs("eth0", true)).Link.Index
	w.awaitListed()
	link := h.Link("eth0")
	if err := h.h.LinkSetName(link, "wan0"); err != nil {
		// Renaming an interface that is up needs Linux 6.
		h.Down("eth0")
		if err := h.h.LinkSetName(link, "wan0"); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(name string) func(Fact) bool {
		return func(f Fact) bool { return f.Kind == LinkGone && f.Link.Name == name }
	}
	w.await("eth0 renamed", gone("eth0"))
	w.await("wan0 there", func(f Fact) bool { return f.Kind == LinkChanged && f.Link.Name == "wan0" })
	if err := h.h.LinkDel(h.Link("wan0")); err != nil {
		t.Fatal(err)
	}
	w.await("wan0 deleted", gone("wan0"))
	if err := h.h.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}); err != nil {
		t.Fatal(err)
	}
	h.Up("eth0")
	if f := w.await("eth0 again", linkIs("eth0", true)); f.Link.Index == first {
		t.Errorf("index %d again", first)
	}
}

// A port leaving a bridge sends a DELLINK of the bridge's family.
func TestWatchBridgePort(t *testing.T) {
	h, _ := alone(t)
	if err := h.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Fatal(err)
	}
	w := h.watch(h.manager(Options{}))
	w.awaitListed()
	if err := h.h.LinkSetMaster(h.Link("eth0"), h.Link("br0")); err != nil {
		t.Fatal(err)
	}
	if err := h.h.LinkSetNoMaster(h.Link("eth0")); err != nil {
		t.Fatal(err)
	}
	h.Address("eth0", "192.0.2.1/24")
	w.await("marker", func(f Fact) bool {
		if f.Kind == LinkGone {
			t.Errorf("%s reported gone", f.Link.Name)
		}
		return f.Kind == AddressAdded && f.Prefix == netip.MustParsePrefix("192.0.2.1/24")
	})
}

func TestWatchAfterOverrun(t *testing.T) {
	h, _ := alone(t)
	m := h.manager(Options{watchBuffer: 4096})
	w := &watcher{t: t, facts: make(chan Fact, 100000), gate: make(chan struct{})}
	h.startWatch(m, w)
	w.await("the first report, which blocks", func(Fact) bool { return true })
	for i := range 300 {
		h.Address("eth0", fmt.Sprintf("10.0.%d.%d/32", i/100, i%100+1))
	}
	for i := range 299 {
		h.NoAddress("eth0", fmt.Sprintf("10.0.%d.%d/32", i/100, i%100+1))
	}
	h.Down("eth0")
	close(w.gate)
	// All facts together must tell what is there now.
	state := map[netip.Prefix]bool{}
	var up, marked bool
	var why error
	h.Address("lo", "192.0.2.99/32")
	w.await("marker", func(f Fact) bool {
		switch {
		case f.Kind == Listed && f.Err != nil:
			why = f.Err
		case f.Kind == AddressAdded && f.Link.Name == "eth0":
			state[f.Prefix] = true
		case f.Kind == AddressRemoved && f.Link.Name == "eth0":
			delete(state, f.Prefix)
		case f.Kind == LinkChanged && f.Link.Name == "eth0":
			up = f.Link.Up
		}
		marked = marked || addressIs(AddressAdded, "192.0.2.99/32")(f)
		return why != nil && marked
	})
	if !errors.Is(why, unix.ENOBUFS) {
		t.Errorf("listed anew because of %v, want an overrun", why)
	}
	if up {
		t.Error("eth0 still reported up")
	}
	if !state[netip.MustParsePrefix("10.0.2.100/32")] {
		t.Error("10.0.2.100/32 is there and was not reported")
	}
	for p := range state {
		if p.Addr().Is4() && p != netip.MustParsePrefix("10.0.2.100/32") {
			t.Errorf("%s was removed while nobody listened and is not reported so", p)
		}
	}
}

func TestNeighbour(t *testing.T) {
	h, other := alone(t)
	h.Address("eth0", "192.168.16.102/24")
	other.Address("eth0", "192.168.16.112/24")
	m := h.manager(Options{Timeout: patience})
	want := other.Link("eth0").Attrs().HardwareAddr
	got, err := m.Neighbour(t.Context(), "eth0", netip.MustParseAddr("192.168.16.112"))
	if err != nil || got.String() != want.String() {
		t.Errorf("neighbour %v, %v, want %v", got, err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	mac, err := m.Neighbour(ctx, "eth0", netip.MustParseAddr("192.168.16.113"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a host that is not there has address %v, %v", mac, err)
	}
}
