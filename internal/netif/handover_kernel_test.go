//go:build linux && kernel

package netif

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"baton/internal/announce"
)

// node is a director: what takes the VIP over and gives it away.
type node struct {
	*host
	m    *Manager
	garp *announce.Announcer
	self netip.Addr
	mac  net.HardwareAddr // of the other director
	peer netip.Addr
}

func newPair(t *testing.T, l *lan) (a, b *node) {
	t.Helper()
	mk := func(h *host, self, peer string) *node {
		garp, err := announce.New("eth0")
		if err != nil {
			t.Fatal(err)
		}
		n := &node{host: h, m: h.manager(Options{}), garp: garp, self: netip.MustParseAddr(self), peer: netip.MustParseAddr(peer)}
		t.Cleanup(func() { garp.Close() })
		h.must(func() error {
			support, err := n.m.ProbeRelay()
			if err == nil {
				t.Logf("%s relays with %+v", self, support)
			}
			return err
		})
		if n.mac, err = n.m.Neighbour(t.Context(), "eth0", n.peer); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return mk(l.a, "192.168.16.102", "192.168.16.112"), mk(l.b, "192.168.16.112", "192.168.16.102")
}

// start gives the VIP to the first master.
func (n *node) start() {
	n.t.Helper()
	n.must(func() error {
		if _, err := n.m.SetAddresses(context.Background(), "eth0", vipAddr, nil); err != nil {
			return err
		}
		return n.garp.GARP(vip, nil)
	})
}

var vipAddr = []Addr{{Prefix: netip.PrefixFrom(vip, 24)}}

// takeOver passes the VIP from old to n as the director does.
func (n *node) takeOver(old *node, relay bool) error {
	ctx := context.Background()
	err := n.do(func() error {
		if relay {
			r := Relay{Name: "VI_1", VIPs: []netip.Addr{vip}, Ports: []uint16{80}, Interface: "eth0", OldMaster: n.peer, OldMAC: n.mac}
			if err := n.m.InstallRelay(r); err != nil {
				return err
			}
		}
		if _, err := n.m.SetAddresses(ctx, "eth0", vipAddr, nil); err != nil {
			return err
		}
		if err := n.m.RemoveLinger([]netip.Addr{vip}); err != nil {
			return err
		}
		return n.garp.GARP(vip, nil)
	})
	if err != nil {
		return err
	}
	return old.do(func() error {
		if relay {
			if err := old.m.InstallLinger(Linger{VIPs: []netip.Addr{vip}, Interfaces: []string{"eth0"}}); err != nil {
				return err
			}
		}
		_, err := old.m.SetAddresses(ctx, "eth0", nil, nil)
		return err
	})
}

// ipvs reads the connections and incoming packets that the host's IPVS has
// counted. Only the lines of single CPUs are current: every total in /proc is
// made by a timer, two seconds apart.
func (n *node) ipvs() (conns, packets int) {
	n.t.Helper()
	n.must(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/ip_vs_stats_percpu")
		if err != nil {
			return err
		}
		cpus := 0
		for line := range strings.Lines(string(b)) {
			var cpu, c, p int
			if k, _ := fmt.Sscanf(line, "%x %x %x", &cpu, &c, &p); k == 3 {
				conns, packets, cpus = conns+c, packets+p, cpus+1
			}
		}
		if cpus == 0 {
			return fmt.Errorf("no cpu in %q", b)
		}
		return nil
	})
	return conns, packets
}

func (l *lan) dial() (net.Conn, error) {
	var c net.Conn
	err := l.client.do(func() (err error) {
		d := net.Dialer{Timeout: 900 * time.Millisecond} // less than TCP's first repetition
		c, err = d.Dial("tcp4", vip.String()+":80")
		return err
	})
	return c, err
}

func exchange(c net.Conn, word string) error {
	c.SetDeadline(time.Now().Add(900 * time.Millisecond))
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	buf := make([]byte, len(word))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != word {
		return fmt.Errorf("sent %q, got %q", word, buf)
	}
	return nil
}

func TestRelayKeepsConnections(t *testing.T) {
	l := newLAN(t)
	go echo(l.server.listen(vip.String() + ":80"))
	a, b := newPair(t, l)
	a.start()
	old, err := l.dial()
	if err != nil {
		t.Fatalf("connect through the first master: %v", err)
	}
	defer old.Close()
	if err := exchange(old, "before"); err != nil {
		t.Fatal(err)
	}
	if conns, _ := a.ipvs(); conns != 1 {
		t.Fatalf("first master has balanced %d connections, want 1", conns)
	}

	if err := b.takeOver(a, true); err != nil {
		t.Fatal(err)
	}
	_, before := a.ipvs()
	_, relayed := b.ipvs()
	for i := range 5 {
		if err := exchange(old, fmt.Sprintf("after %d", i)); err != nil {
			t.Fatalf("exchange %d on the established connection: %v", i, err)
		}
	}
	if _, after := a.ipvs(); after < before+5 {
		t.Errorf("old master's IPVS counted %d packets, want at least 5: they did not pass it", after-before)
	}
	if _, after := b.ipvs(); after != relayed {
		t.Errorf("new master's IPVS counted %d packets of a connection that it does not know", after-relayed)
	}

	fresh, err := l.dial()
	if err != nil {
		t.Fatalf("connect through the new master: %v", err)
	}
	defer fresh.Close()
	_, before = a.ipvs()
	if err := exchange(fresh, "fresh"); err != nil {
		t.Fatal(err)
	}
	if conns, _ := b.ipvs(); conns != 1 {
		t.Errorf("new master has balanced %d connections, want 1", conns)
	}
	if _, after := a.ipvs(); after != before {
		t.Errorf("%d packets of a new connection passed the old master", after-before)
	}

	t.Run("end", func(t *testing.T) {
		b.must(func() error { return b.m.RemoveRelay("VI_1") })
		a.must(func() error { return a.m.RemoveLinger([]netip.Addr{vip}) })
		if err := exchange(old, "late"); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the relay's end: %v, want a reset", err)
		}
	})
}

// The control: what the relay is for does happen without it.
func TestTakeoverWithoutRelayResets(t *testing.T) {
	l := newLAN(t)
	go echo(l.server.listen(vip.String() + ":80"))
	a, b := newPair(t, l)
	a.start()
	old, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := exchange(old, "before"); err != nil {
		t.Fatal(err)
	}
	if err := b.takeOver(a, false); err != nil {
		t.Fatal(err)
	}
	if err := exchange(old, "after"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("exchange after the takeover: %v, want a reset", err)
	}
}

// beat opens a connection every 2 ms for the time that 20 handovers take; each
// lives 5 to 20 ms and exchanges a word at its beginning and at its end.
func beat(t *testing.T, relay bool) (total int, failures []error) {
	l := newLAN(t)
	go echo(l.server.listen(vip.String() + ":80"))
	a, b := newPair(t, l)
	a.start()

	ctx, stop := context.WithCancel(t.Context())
	var (
		mu           sync.Mutex
		lastTakeover time.Time
		clients      sync.WaitGroup
		beating      sync.WaitGroup
	)
	beating.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			clients.Go(func() {
				begun := time.Now()
				err := visit(l, time.Duration(5+i%16)*time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				total++
				if err != nil {
					failures = append(failures, fmt.Errorf("connection %d, %v old, %v after the last takeover: %w",
						i, time.Since(begun), time.Since(lastTakeover), err))
				}
			})
		}
	})
	holder, next := a, b
	for range 20 {
		time.Sleep(97 * time.Millisecond)
		mu.Lock()
		lastTakeover = time.Now()
		mu.Unlock()
		if err := next.takeOver(holder, relay); err != nil {
			t.Fatal(err)
		}
		holder, next = next, holder
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	beating.Wait()
	clients.Wait()
	return total, failures
}

func visit(l *lan, life time.Duration) error {
	c, err := l.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := exchange(c, "hello"); err != nil {
		return fmt.Errorf("first word: %w", err)
	}
	time.Sleep(life)
	if err := exchange(c, "bye"); err != nil {
		return fmt.Errorf("last word: %w", err)
	}
	return nil
}

func TestHandoversUnderLoad(t *testing.T) {
	total, failures := beat(t, true)
	t.Logf("with relay: %d connections over 20 handovers, %d failed", total, len(failures))
	for _, err := range failures {
		t.Errorf("connection failed: %v", err)
	}
	if total < 300 {
		t.Errorf("only %d connections were made: the load was no load", total)
	}
	total, failures = beat(t, false)
	t.Logf("without relay: %d connections over 20 handovers, %d failed", total, len(failures))
	if len(failures) == 0 {
		t.Error("no connection failed without the relay: the load does not show what it is for")
	}
}
