//go:build linux && kernel

package netif

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/internal/nstest"
)

// With no_accept the virtual service answers and nothing else on the address
// does; without it, everything.
func TestNoAcceptSparesVirtualServices(t *testing.T) {
	l := newLAN(t)
	m := l.a.manager(Options{})
	go echo(l.server.listen(vip.String() + ":80"))
	l.a.set(m, "eth0", addrs(vip.String()+"/24"), nil)
	go echo(l.a.listen(vip.String() + ":81")) // of the director itself
	go echo(l.a.listen("192.168.16.102:81"))
	try := func(address string, within time.Duration) error {
		return l.client.Do(func() error {
			c, err := net.DialTimeout("tcp4", address, within)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	for _, port := range []string{":80", ":81"} {
		if err := try(vip.String()+port, patience); err != nil {
			t.Fatalf("before: %v", err)
		}
	}
	for range 2 {
		l.a.Must(func() error {
			return m.InstallNoAccept("VI_1", []netip.Addr{vip, netip.MustParseAddr("2001:db8::200")})
		})
	}
	if err := try(vip.String()+":80", patience); err != nil {
		t.Errorf("the virtual service does not answer: %v", err)
	}
	for _, port := range []string{":81", ":82"} {
		if err := try(vip.String()+port, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) && !isTimeout(err) {
			t.Errorf("port %s of the address: %v, want silence", port, err)
		}
	}
	if err := try("192.168.16.102:81", patience); err != nil {
		t.Errorf("the director's own address: %v", err)
	}
	// A later run finds it and removes it.
	l.a.Must(func() error { _, err := l.a.manager(Options{}).CleanLeftovers(); return err })
	if err := try(vip.String()+":82", patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("afterwards: %v, want refused", err)
	}
	l.a.Must(func() error { return m.RemoveNoAccept("VI_1") })
	l.a.Must(func() error { return m.RemoveNoAccept("VI_1") })
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// Neighbours still find an IPv6 address that accepts nothing.
func TestNoAcceptLeavesNeighbourDiscovery(t *testing.T) {
	h, other := alone(t)
	other.Run("ip", "-6", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
	m := h.manager(Options{})
	h.Run("ip", "-6", "address", "add", "2001:db8::102/64", "dev", "eth0", "nodad")
	h.set(m, "eth0", addrs("2001:db8::200/128"), nil)
	h.Must(func() error { return m.InstallNoAccept("VI_1", []netip.Addr{netip.MustParseAddr("2001:db8::200")}) })
	om := other.manager(Options{Timeout: patience})
	for _, ip := range []string{"2001:db8::200", "2001:db8::102"} {
		if _, err := om.Neighbour(t.Context(), "eth0", netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
		// They also make sure of it, by unicast.
		other.Run("ip", "neighbour", "replace", ip, "lladdr", h.Link("eth0").Attrs().HardwareAddr.String(), "dev", "eth0", "nud", "probe")
		nstest.Eventually(t, ip+" to answer the neighbour that makes sure of it", func() bool {
			return strings.Contains(other.Run("ip", "neighbour", "show", ip), "REACHABLE")
		})
		err := other.Do(func() error {
			c, err := net.DialTimeout("tcp6", "["+ip+"]:9", time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if silent := isTimeout(err); silent != (ip == "2001:db8::200") {
			t.Errorf("%s: %v, want silence of the virtual address only", ip, err)
		}
	}
}
