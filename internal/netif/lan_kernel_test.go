//go:build linux && kernel

package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is one machine of a test: a network namespace.
type host struct {
	t  *testing.T
	ns netns.NsHandle
	h  *netlink.Handle
}

func newHost(t *testing.T) *host {
	t.Helper()
	n := &host{t: t}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		var err error
		n.ns, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("make network namespace: %v (needs root)", err)
	}
	t.Cleanup(func() { n.ns.Close() })
	var err error
	if n.h, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.h.Close() })
	n.up("lo")
	return n
}

// do runs f in the namespace.
func (n *host) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func (n *host) must(f func() error) {
	n.t.Helper()
	if err := n.do(f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *host) run(name string, args ...string) string {
	n.t.Helper()
	var out []byte
	n.must(func() error {
		var err error
		if out, err = exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
		}
		return nil
	})
	return string(out)
}

func (n *host) sysctl(name, value string) {
	n.t.Helper()
	n.must(func() error { return WriteSysctl(name, value) })
}

func (n *host) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.h.LinkByName(name)
	if err != nil {
		n.t.Fatalf("link %s: %v", name, err)
	}
	return l
}

func (n *host) up(name string) {
	n.t.Helper()
	if err := n.h.LinkSetUp(n.link(name)); err != nil {
		n.t.Fatalf("set %s up: %v", name, err)
	}
}

func (n *host) down(name string) {
	n.t.Helper()
	if err := n.h.LinkSetDown(n.link(name)); err != nil {
		n.t.Fatalf("set %s down: %v", name, err)
	}
}

func (n *host) address(iface, prefix string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.h.AddrAdd(n.link(iface), a); err != nil {
		n.t.Fatalf("add %s to %s: %v", prefix, iface, err)
	}
}

func (n *host) removeAddress(iface, prefix string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.h.AddrDel(n.link(iface), a); err != nil {
		n.t.Fatalf("remove %s from %s: %v", prefix, iface, err)
	}
}

// prefixesOn lists the IPv4 addresses of an interface as the kernel has them.
func (n *host) prefixesOn(iface string) []string {
	n.t.Helper()
	list, err := n.h.AddrList(n.link(iface), netlink.FAMILY_V4)
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

// cable joins two hosts by a veth pair, up on both ends.
func cable(a *host, aName string, b *host, bName string) {
	a.t.Helper()
	err := a.h.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: aName, MTU: 1500},
		PeerName:      bName,
		PeerNamespace: netlink.NsFd(b.ns),
	})
	if err != nil {
		a.t.Fatalf("add veth %s to %s: %v", aName, bName, err)
	}
	a.up(aName)
	b.up(bName)
	a.awaitOperational(aName)
	b.awaitOperational(bName)
}

// awaitOperational waits until the interface sends: the kernel enables its
// queue a little after there is carrier, and drops what is sent before. The
// flags of an interface never up before say "running" during that time; its
// operational state says "unknown".
func (n *host) awaitOperational(iface string) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); n.link(iface).Attrs().OperState != netlink.OperUp; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s does not become operational", iface)
		}
	}
}

// manager makes a Manager in the namespace.
func (n *host) manager(opts Options) *Manager {
	n.t.Helper()
	var m *Manager
	n.must(func() (err error) { m, err = New(opts); return err })
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
	l.sw.up("br0")
	cable(l.client, "eth0", l.router, "eth0")
	l.client.address("eth0", "192.168.17.105/24")
	l.client.defaultRoute("192.168.17.101")
	l.router.address("eth0", "192.168.17.101/24")
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
		cable(m.host, m.iface, l.sw, m.port)
		if err := l.sw.h.LinkSetMaster(l.sw.link(m.port), l.sw.link("br0")); err != nil {
			t.Fatal(err)
		}
		m.host.address(m.iface, m.address)
		if m.host != l.router {
			m.host.defaultRoute("192.168.16.101")
		}
	}
	l.server.sysctl("net/ipv4/conf/all/arp_ignore", "1")
	l.server.sysctl("net/ipv4/conf/all/arp_announce", "2")
	l.server.address("lo", vip.String()+"/32")
	for _, d := range []*host{l.a, l.b} {
		// A director that forwards is the harder case: what is not local goes
		// back to the LAN instead of being dropped.
		d.sysctl("net/ipv4/ip_forward", "1")
		d.run("ipvsadm", "-A", "-t", vip.String()+":80", "-s", "rr")
		d.run("ipvsadm", "-a", "-t", vip.String()+":80", "-r", "192.168.16.103:80", "-g")
	}
	return l
}

// listen makes a TCP listener in the namespace.
func (n *host) listen(address string) net.Listener {
	n.t.Helper()
	var ln net.Listener
	n.must(func() (err error) { ln, err = net.Listen("tcp4", address); return err })
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
