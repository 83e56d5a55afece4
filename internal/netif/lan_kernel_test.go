//go:build linux && kernel

package netif

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"baton/internal/nstest"
)

// host is one machine of a test.
type host struct {
	*nstest.Host
	t *testing.T
	h *netlink.Handle
}

func newHost(t *testing.T) *host {
	t.Helper()
	n := nstest.New(t)
	return &host{n, t, n.Netlink()}
}

func (n *host) sysctl(name, value string) {
	n.t.Helper()
	n.Must(func() error { return WriteSysctl(name, value) })
}

// prefixesOn lists the IPv4 addresses of an interface as the kernel has them.
func (n *host) prefixesOn(iface string) []string {
	n.t.Helper()
	list, err := n.h.AddrList(n.Link(iface), netlink.FAMILY_V4)
	if err != nil {
		n.t.Fatal(err)
	}
	names := []string{}
	for _, a := range list {
		names = append(names, a.IPNet.String())
	}
	return names
}

func (n *host) defaultRoute(via string) {
	n.t.Helper()
	if err := n.h.RouteAdd(&netlink.Route{Gw: net.ParseIP(via)}); err != nil {
		n.t.Fatalf("add default route via %s: %v", via, err)
	}
}

// manager makes a Manager in the namespace.
func (n *host) manager(opts Options) *Manager {
	n.t.Helper()
	var m *Manager
	n.Must(func() (err error) { m, err = New(opts); return err })
	n.t.Cleanup(func() { m.Close() })
	return m
}

// lan is the reference topology with one real server:
//
//	client .17.105 ── router .17.101 | .16.101 ── a .102, b .112, server .103
type lan struct {
	client, router, sw, server *host
	a, b                       *host
}

var vip = netip.MustParseAddr("192.168.16.200")

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{client: newHost(t), router: newHost(t), sw: newHost(t), server: newHost(t), a: newHost(t), b: newHost(t)}
	if err := l.sw.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Fatalf("add bridge: %v", err)
	}
	l.sw.Up("br0")
	l.client.Cable("eth0", l.router.Host, "eth0")
	l.client.Address("eth0", "192.168.17.105/24")
	l.client.defaultRoute("192.168.17.101")
	l.router.Address("eth0", "192.168.17.101/24")
	l.router.sysctl("net/ipv4/ip_forward", "1")
	for _, m := range []struct {
		host    *host
		iface   string
		port    string
		address string
	}{
		{l.router, "eth1", "router", "192.168.16.101/24"},
		{l.a, "eth0", "a", "192.168.16.102/24"},
		{l.b, "eth0", "b", "192.168.16.112/24"},
		{l.server, "eth0", "server", "192.168.16.103/24"},
	} {
		m.host.Cable(m.iface, l.sw.Host, m.port)
		if err := l.sw.h.LinkSetMaster(l.sw.Link(m.port), l.sw.Link("br0")); err != nil {
			t.Fatal(err)
		}
		m.host.Address(m.iface, m.address)
		if m.host != l.router {
			m.host.defaultRoute("192.168.16.101")
		}
	}
	l.server.sysctl("net/ipv4/conf/all/arp_ignore", "1")
	l.server.sysctl("net/ipv4/conf/all/arp_announce", "2")
	l.server.Address("lo", vip.String()+"/32")
	for _, d := range []*host{l.a, l.b} {
		// A director that forwards is the harder case: what is not local goes
		// back to the LAN instead of being dropped.
		d.sysctl("net/ipv4/ip_forward", "1")
		d.Run("ipvsadm", "-A", "-t", vip.String()+":80", "-s", "rr")
		d.Run("ipvsadm", "-a", "-t", vip.String()+":80", "-r", "192.168.16.103:80", "-g")
	}
	return l
}

// listen makes a TCP listener in the namespace.
func (n *host) listen(address string) net.Listener {
	n.t.Helper()
	var ln net.Listener
	n.Must(func() (err error) { ln, err = net.Listen("tcp4", address); return err })
	n.t.Cleanup(func() { ln.Close() })
	return ln
}

// echo answers every connection with what it sends until it is closed.
func echo(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 64)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}
