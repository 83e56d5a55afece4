//go:build linux && kernel

package netif

import (
	"context"
	"encoding/binary"
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
	"baton/internal/nstest"
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
		h.Must(func() error {
			_, err := n.m.ProbeRelay()
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
	n.Must(func() error {
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
	err := n.Do(func() error {
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
	return old.Do(func() error {
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
	n.Must(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/ip_vs_stats_percpu")
		if err != nil {
			return err
		}
		cpus := 0
		for line := range strings.Lines(string(b)) {
			var cpu, c, p int
			// The line of rates at the end has one column less.
			if k, _ := fmt.Sscanf(line, "%x %x %x", &cpu, &c, &p); k == 3 && len(strings.Fields(line)) == 6 {
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
	err := l.client.Do(func() (err error) { c, err = dial(); return err })
	return c, err
}

func dial() (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	return d.Dial("tcp4", vip.String()+":80")
}

// exchange sends word and expects it back.
func exchange(c net.Conn, word string) error {
	c.SetDeadline(time.Now().Add(patience))
	wrote := make(chan error, 1)
	go func() { _, err := c.Write([]byte(word)); wrote <- err }()
	buf := make([]byte, len(word))
	_, err := io.ReadFull(c, buf)
	if err := errors.Join(<-wrote, err); err != nil {
		return err
	}
	if string(buf) != word {
		return fmt.Errorf("sent %d bytes, got others back", len(word))
	}
	return nil
}

// everyVariant runs f with each means to relay that the kernel has.
func everyVariant(t *testing.T, f func(*testing.T, relayVariant)) {
	h := newHost(t)
	m := h.manager(Options{})
	probe := Relay{Name: "probe", VIPs: []netip.Addr{vip}, Interface: "lo", OldMaster: netip.MustParseAddr("192.0.2.1"), OldMAC: make(net.HardwareAddr, 6)}
	for _, v := range relayVariants {
		t.Run(fmt.Sprintf("%s,ipvs=%t", v.duplicate, v.seesIPVS), func(t *testing.T) {
			err := h.Do(func() error { return m.installVariant(probe, h.Link("lo"), v) })
			switch {
			case err == nil:
				f(t, v)
			case v.copy == nil || os.Getenv("CI") != "":
				t.Fatalf("not possible: %v", err)
			default:
				t.Skipf("not on this kernel: %v", err)
			}
		})
	}
}

func TestRelayKeepsConnections(t *testing.T) { everyVariant(t, testRelay) }

func testRelay(t *testing.T, v relayVariant) {
	l := newLAN(t)
	go echo(l.server.listen(vip.String() + ":80"))
	a, b := newPair(t, l)
	b.m.variant = &v
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
	if b.m.variant.duplicate != v.duplicate || b.m.variant.seesIPVS != v.seesIPVS {
		t.Fatalf("relays with %+v", b.m.variant)
	}
	_, before := a.ipvs()
	_, relayed := b.ipvs()
	for i := range 5 {
		if err := exchange(old, fmt.Sprintf("after %d", i)); err != nil {
			t.Fatalf("exchange %d on the established connection: %v", i, err)
		}
	}
	if err := exchange(old, strings.Repeat("an upload makes segments larger than the MTU ", 10000)); err != nil {
		t.Errorf("upload on the established connection: %v", err)
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
	if err := exchange(fresh, "fresh"); err != nil {
		t.Fatal(err)
	}
	if conns, _ := b.ipvs(); conns != 1 {
		t.Errorf("new master has balanced %d connections, want 1", conns)
	}
	if conns, _ := a.ipvs(); conns != 1 {
		t.Errorf("old master has balanced %d connections, want the old one alone", conns)
	}

	b.Must(func() error { return b.m.RemoveRelay("VI_1") })
	a.Must(func() error { return a.m.RemoveLinger([]netip.Addr{vip}) })
	if err := exchange(old, "late"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the relay's end: %v, want a reset", err)
	}
	if err := exchange(fresh, "later"); err != nil {
		t.Errorf("new connection after the relay's end: %v", err)
	}
	rules, err := b.m.ownRules()
	if err != nil || len(rules) != 0 {
		t.Errorf("rules %v, %v left after the relay's end", rules, err)
	}
}

// Two directors that relay to each other end what neither knows.
func TestRelayDoesNotReturn(t *testing.T) { everyVariant(t, testNoReturn) }

func testNoReturn(t *testing.T, v relayVariant) {
	l := newLAN(t)
	a, b := newPair(t, l)
	a.m.variant, b.m.variant = &v, &v
	a.start()
	for _, step := range [][2]*node{{b, a}, {a, b}} { // there and back: both have relays
		if err := step[0].takeOver(step[1], true); err != nil {
			t.Fatal(err)
		}
	}
	const sent = 10
	before := b.received("eth0")
	l.client.Must(func() error {
		c, err := net.Dial("ip4:tcp", vip.String())
		if err != nil {
			return err
		}
		defer c.Close()
		for range sent {
			if _, err := c.Write(strayACK(c.LocalAddr().(*net.IPAddr).IP)); err != nil {
				return err
			}
		}
		return nil
	})
	// All have come, and nothing goes round any more: a loop of 60 hops takes a few
	// milliseconds.
	last, look := 0, time.NewTicker(50*time.Millisecond)
	defer look.Stop()
	nstest.Eventually(t, "the packets to have come and to come no more", func() bool {
		seen := last
		last = b.received("eth0") - before
		<-look.C
		return last >= sent && last == seen
	})
	if got := b.received("eth0") - before; got < sent || got > 2*sent {
		t.Errorf("old master received %d packets, want the %d that were sent, relayed once", got, sent)
	}
}

// strayACK is a TCP segment to port 80 of the VIP of no connection.
func strayACK(source net.IP) []byte {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 5<<4, 0x10
	pseudo := append(source.To4(), vip.AsSlice()...)
	binary.BigEndian.PutUint16(tcp[16:], ^fold(sum(tcp, sum(pseudo, 6+20))))
	return tcp
}

// received counts the packets that came in through an interface.
func (n *host) received(iface string) int {
	n.t.Helper()
	return int(n.Link(iface).Attrs().Statistics.RxPackets)
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
func beat(t *testing.T, v *relayVariant) (total int, failures []error) {
	t.Helper()
	l := newLAN(t)
	go echo(l.server.listen(vip.String() + ":80"))
	a, b := newPair(t, l)
	if v != nil {
		a.m.variant, b.m.variant = v, v
	}
	a.start()

	ctx, stop := context.WithCancel(t.Context())
	var (
		mu           sync.Mutex
		lastTakeover time.Time
		longest      time.Duration
		clients      sync.WaitGroup
		due          = make(chan int, 1000)
	)
	clients.Go(func() {
		defer close(due)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				due <- i
			}
		}
	})
	// Each worker has a thread in the client's namespace: entering it anew for
	// each connection would be the greater part of the load.
	const workers = 48
	for range workers {
		clients.Go(func() {
			err := l.client.Do(func() error {
				for i := range due {
					begun := time.Now()
					err := visit(time.Duration(5+i%16) * time.Millisecond)
					mu.Lock()
					total++
					if err != nil {
						failures = append(failures, fmt.Errorf("connection %d, %v old, %v after the last takeover: %w",
							i, time.Since(begun), time.Since(lastTakeover), err))
					}
					longest = max(longest, time.Since(begun))
					mu.Unlock()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	holder, next := a, b
	beat := time.NewTicker(97 * time.Millisecond) // so that takeovers meet connections of every age
	defer beat.Stop()
	for range 20 {
		<-beat.C
		mu.Lock()
		lastTakeover = time.Now()
		mu.Unlock()
		if err := next.takeOver(holder, v != nil); err != nil {
			t.Fatal(err)
		}
		holder, next = next, holder
	}
	made := func() int { mu.Lock(); defer mu.Unlock(); return total }
	// As many as there are workers are from before the last takeover, at most.
	enough := made() + 2*workers
	nstest.Eventually(t, "connections after the last takeover", func() bool { return made() >= enough })
	stop()
	clients.Wait()
	// A segment that gets lost shows here: TCP repeats it after 0.2 s, a SYN
	// after 1 s. So does an emulated machine that stands still for a moment.
	t.Logf("client repeated %d segments; longest life of a connection %v", l.client.tcp("RetransSegs"), longest)
	return total, failures
}

func visit(life time.Duration) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := exchange(c, "hello"); err != nil {
		return fmt.Errorf("first word: %w", err)
	}
	<-time.After(life)
	if err := exchange(c, "bye"); err != nil {
		return fmt.Errorf("last word: %w", err)
	}
	return nil
}

func TestHandoversUnderLoad(t *testing.T) {
	everyVariant(t, func(t *testing.T, v relayVariant) {
		total, failures := beat(t, &v)
		t.Logf("with relay: %d connections over 20 handovers, %d failed", total, len(failures))
		for _, err := range failures[:min(len(failures), 10)] {
			t.Errorf("connection failed: %v", err)
		}
		if total < 300 {
			t.Errorf("only %d connections were made: the load was no load", total)
		}
	})
	t.Run("control", func(t *testing.T) {
		total, failures := beat(t, nil)
		t.Logf("without relay: %d connections over 20 handovers, %d failed", total, len(failures))
		if len(failures) == 0 {
			t.Error("no connection failed without the relay: the load does not show what it is for")
		}
	})
}
