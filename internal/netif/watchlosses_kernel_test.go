//go:build linux && kernel

package netif

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestKernelWatchLosses: a neighbour that does not answer, one behind which
// others are, and a cable that is pulled, each told once and by name.
func TestKernelWatchLosses(t *testing.T) {
	a, b := newHost(t), newHost(t)
	a.Cable("eth0", b.Host, "eth0")
	a.Address("eth0", "192.168.16.102/24")
	a.Address("eth0", "fd00:16::102/64")
	b.Address("eth0", "192.168.16.103/24")
	for _, family := range []string{"ipv4", "ipv6"} {
		a.sysctl("net/"+family+"/neigh/eth0/retrans_time_ms", "20")
	}
	m := a.manager(Options{})
	found := make(chan Loss, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Do(func() error { return m.WatchLosses(ctx, func(l Loss) { found <- l }) }) }()
	eth0 := a.Link("eth0").Attrs().Index
	probe := func(to string) {
		t.Helper()
		a.Must(func() error {
			c, err := net.Dial("udp", net.JoinHostPort(to, "9"))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("x"))
			return err
		})
	}
	await := func(what string, again func(), want Loss) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			again()
			select {
			case l := <-found:
				if l != want {
					t.Fatalf("%s: %+v, want %+v", what, l, want)
				}
				return
			case <-time.After(500 * time.Millisecond): // the subscription may not have stood yet
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: nothing was told", what)
			}
		}
	}
	for _, ip := range []string{"192.168.16.77", "fd00:16::77"} {
		await(ip, func() { probe(ip) }, Loss{Interface: "eth0", Index: eth0, Neighbour: netip.MustParseAddr(ip)})
	}

	a.Run("ip", "route", "add", "10.9.0.0/16", "via", "192.168.16.103")
	a.Run("ip", "route", "add", "10.8.0.0/16", "via", "inet6", "fd00:16::103", "dev", "eth0")
	for to, want := range map[string]Path{
		"192.168.16.103": {Index: eth0}, "fd00:16::103": {Index: eth0},
		"10.9.1.2": {Index: eth0, Gateway: netip.MustParseAddr("192.168.16.103")},
		"10.8.1.2": {Index: eth0, Gateway: netip.MustParseAddr("fd00:16::103")},
	} {
		if p, err := m.Path(netip.MustParseAddr(to)); err != nil || p != want {
			t.Errorf("path to %s: %+v, %v, want %+v", to, p, err, want)
		}
	}
	if p, err := m.Path(netip.MustParseAddr("203.0.113.1")); err == nil {
		t.Errorf("path to where no route goes: %+v", p)
	}

	for len(found) > 0 {
		<-found // an address's further failures
	}
	b.Down("eth0")
	await("cable", func() {}, Loss{Interface: "eth0", Index: eth0})
	stop()
	if err := <-done; err != nil {
		t.Errorf("watch: %v", err)
	}
}
