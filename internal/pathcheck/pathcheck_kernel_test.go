//go:build linux && kernel

package pathcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/netif"
	"baton/internal/nstest"
	"baton/internal/realserver"
)

// lanServer is a real server with its own addresses and a service on port 80
// of whatever address it has.
func lanServer(t *testing.T) *nstest.Host {
	t.Helper()
	h := nstest.New(t)
	for _, name := range []string{"all/arp_ignore", "all/arp_announce", "all/rp_filter", "default/rp_filter"} {
		h.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/"+name, "0") }) // a new namespace may inherit the machine's own
	}
	return h
}

func serve(t *testing.T, h *nstest.Host) {
	t.Helper()
	h.Must(func() error {
		l, err := net.Listen("tcp", ":80")
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
}

// hold does what `baton realserver up` does.
func hold(t *testing.T, h *nstest.Host, mode realserver.Mode, iface string, vips ...string) {
	t.Helper()
	dir := t.TempDir()
	h.Must(func() error {
		m, err := realserver.Open(t.Context(), realserver.Options{RuntimeDir: dir, StateDir: dir})
		if err != nil {
			return err
		}
		defer m.Close()
		var wants []realserver.Want
		for _, v := range vips {
			w, err := realserver.NewWant(v, mode, iface)
			if err != nil {
				return err
			}
			wants = append(wants, w)
		}
		return m.Up(wants)
	})
}

// halfOpen lists connections of a host that wait for the third packet.
func halfOpen(t *testing.T, h *nstest.Host) (list []string) {
	t.Helper()
	h.Must(func() error {
		for _, file := range []string{"tcp", "tcp6"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) > 3 && f[3] == "03" { // TCP_SYN_RECV
					list = append(list, line)
				}
			}
		}
		return nil
	})
	return list
}

// judge runs a checker until every target has been judged, each once.
func judge(t *testing.T, targets []Target) map[string]Outcome {
	t.Helper()
	var mu sync.Mutex
	found := map[string]Outcome{}
	left := slices.Clone(targets)
	var c *Checker
	c = New(Options{
		Found: func(id string, o Outcome) {
			mu.Lock()
			defer mu.Unlock()
			found[id] = o
			left = slices.DeleteFunc(slices.Clone(left), func(t Target) bool { return t.ID == id })
			c.Set(left)
		},
		Failed: func(err error) { t.Error(err) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.Set(targets)
	for deadline := time.Now().Add(6 * nstest.Patience); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(found)
		mu.Unlock()
		if n == len(targets) || time.Now().After(deadline) {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return found
}

func TestKernelEachFaultOfARealServer(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	director := nstest.Here(t)
	right, tunnels, without, loud, idle := lanServer(t), lanServer(t), lanServer(t), lanServer(t), lanServer(t)
	peer := lanServer(t) // the other director
	nstest.New(t).Switch(director, right, tunnels, without, loud, idle, peer)
	for i, h := range []*nstest.Host{director, right, tunnels, without, loud, idle, peer} {
		h.Address("eth0", fmt.Sprintf("192.168.16.%d/24", 101+i))
		h.Address("eth0", fmt.Sprintf("2001:db8::%d/64", 101+i))
		if h != director && h != idle {
			serve(t, h)
		}
	}
	hold(t, right, realserver.DR, "", "192.168.16.200", "2001:db8::200")
	hold(t, idle, realserver.DR, "", "192.168.16.200", "2001:db8::200")
	hold(t, tunnels, realserver.TUN, "", "192.168.16.200")
	hold(t, tunnels, realserver.TUN, "ip6tnl0", "2001:db8::200")
	hold(t, tunnels, realserver.TUN, "gre0", "192.168.16.201")
	tunnels.Address("eth0", "192.168.16.113/24")
	tunnels.Run("ip", "link", "add", "gre1", "type", "gre", "local", "192.168.16.113", "icsum", "ocsum") // gre0 drops what has a checksum
	hold(t, tunnels, realserver.TUN, "gre1", "192.168.16.202")
	tunnels.Run("ip", "fou", "add", "port", "5555", "gue")
	loud.Address("lo", "192.168.16.200/32")
	loud.Address("eth0", "2001:db8::200/128")
	// A host that forwards would send it on to whoever has the address.
	without.Must(func() error { return netif.WriteSysctl("net/ipv4/ip_forward", "1") })
	without.Must(func() error { return netif.WriteSysctl("net/ipv6/conf/all/forwarding", "1") })

	want := map[string]Outcome{}
	var targets []Target
	ask := func(name, server, vip string, tunnel *Tunnel, reason Reason) {
		targets = append(targets, Target{ID: name, Server: netip.MustParseAddr(server), VIP: netip.MustParseAddr(vip), Port: 80, Tunnel: tunnel, Interval: time.Second})
		want[name] = Outcome{OK: reason == "", Reason: reason}
	}
	ask("right", "192.168.16.102", "192.168.16.200", nil, "")
	ask("right, ipv6", "2001:db8::102", "2001:db8::200", nil, "")
	ask("ipip", "192.168.16.103", "192.168.16.200", &Tunnel{}, "")
	ask("ip6ip6", "2001:db8::103", "2001:db8::200", &Tunnel{}, "")
	ask("gre", "192.168.16.103", "192.168.16.201", &Tunnel{Encapsulation: GRE}, "")
	ask("gre with checksum", "192.168.16.113", "192.168.16.202", &Tunnel{Encapsulation: GRE, Checksum: true}, "")
	ask("gue", "192.168.16.103", "192.168.16.200", &Tunnel{Encapsulation: GUE, Port: 5555}, "")
	ask("gue with checksum", "192.168.16.103", "192.168.16.200", &Tunnel{Encapsulation: GUE, Port: 5555, Checksum: true}, "")
	ask("does not hold it", "192.168.16.104", "192.168.16.200", nil, NoAnswer)
	ask("does not hold it, ipv6", "2001:db8::104", "2001:db8::200", nil, NoAnswer)
	ask("no tunnel", "192.168.16.104", "192.168.16.200", &Tunnel{}, NoAnswer)
	ask("answers arp", "192.168.16.105", "192.168.16.200", nil, AnswersARP)
	ask("answers solicitations", "2001:db8::105", "2001:db8::200", nil, AnswersARP)
	ask("does not listen", "192.168.16.106", "192.168.16.200", nil, Refused)
	ask("does not listen, ipv6", "2001:db8::106", "2001:db8::200", nil, Refused)

	for _, master := range []*nstest.Host{director, peer} {
		role := "master"
		if master == peer {
			role = "backup"
		}
		// With a network, so that the address could be taken for the host's own.
		master.Address("eth0", "192.168.16.200/24")
		master.Address("eth0", "2001:db8::200/64")
		got := judge(t, targets)
		if !maps.Equal(got, want) {
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("%s: %s is judged %+v, want %+v", role, name, got[name], want[name])
				}
			}
		}
		for _, h := range []*nstest.Host{right, tunnels} {
			if left := halfOpen(t, h); len(left) > 0 {
				t.Errorf("%s: a right server is left with half-open connections:\n%s", role, strings.Join(left, ""))
			}
		}
		master.NoAddress("eth0", "192.168.16.200/24")
		master.NoAddress("eth0", "2001:db8::200/64")
	}
}

// Behind a router direct routing does not work, whatever answers.
func TestKernelServerBehindARouter(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	director, router := nstest.Here(t), nstest.New(t)
	director.Cable("eth0", router, "eth0")
	director.Address("eth0", "192.168.16.101/24")
	router.Address("eth0", "192.168.16.102/24")
	director.Run("ip", "route", "add", "192.168.17.0/24", "via", "192.168.16.102")
	got := judge(t, []Target{{ID: "far", Server: netip.MustParseAddr("192.168.17.103"), VIP: vip4, Port: 80, Interval: time.Second}})
	if want := (Outcome{Reason: NotOnLink}); got["far"] != want {
		t.Errorf("judged %+v, want %+v", got["far"], want)
	}
}

// Without the privilege it is told once, with the remedy, and nothing is judged.
func TestKernelWithoutPrivilege(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	nstest.Here(t).Run("ip", "link", "add", "eth0", "type", "dummy")
	nstest.Here(t).Up("eth0")
	nstest.Here(t).Address("eth0", "192.168.16.101/24")
	nstest.Here(t).Run("ip", "neigh", "add", "192.168.16.103", "lladdr", "02:00:00:00:00:67", "dev", "eth0", "nud", "permanent")
	k := newKernel(func(answer) {}).(*kernel)
	defer k.rest()
	h, err := k.resolve(Target{Server: rs4, VIP: vip4}, func(a netip.Addr) bool { return a == vip4 })
	if err != nil || h.own != netip.MustParseAddr("192.168.16.101") || h.station.String() != "02:00:00:00:00:67" {
		t.Fatalf("resolved %+v, %v", h, err)
	}
	err = nstest.Here(t).Do(func() error { // its thread ends
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Fatal(err)
		}
		return k.listen(h)
	})
	if err == nil || !strings.Contains(err.Error(), "needs CAP_NET_RAW") {
		t.Errorf("without CAP_NET_RAW: %v", err)
	}
}
