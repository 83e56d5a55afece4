package pathcheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lan is a wire on which servers behave as a test wants.
type lan struct {
	t     *testing.T
	heard func(answer)

	mu     sync.Mutex
	does   map[netip.Addr]string // by server
	begun  time.Time
	sent   []string // with the time since begun
	found  []string
	failed []error
	open   bool
}

func newLAN(t *testing.T, does map[netip.Addr]string) (*lan, *Checker) {
	l := &lan{t: t, does: does, begun: time.Now()}
	c := New(Options{
		Found: func(id string, o Outcome) {
			word := "ok"
			if !o.OK {
				word = string(o.Reason)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.found = append(l.found, id+" "+word)
		},
		Failed: func(err error) { l.failed = append(l.failed, err) },
		wire:   func(heard func(answer)) wire { l.heard = heard; return l },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l, c
}

func (l *lan) set(server netip.Addr, does string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.does[server] = does
}

// take returns what was found since it was asked last.
func (l *lan) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.found
	l.found = nil
	slices.Sort(f)
	return f
}

func (l *lan) questions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent)
}

func (l *lan) resolve(t Target, virtual func(netip.Addr) bool) (hop, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !virtual(t.VIP) {
		l.t.Errorf("%s is not known for virtual", t.VIP)
	}
	switch l.does[t.Server] {
	case "denied":
		return hop{}, errors.New("operation not permitted")
	case "unresolved":
		return hop{}, errUnresolved
	}
	station := net.HardwareAddr{2, 0, 0, 0, 0, t.Server.As4()[3]}
	return hop{iface: "eth0", mac: mac, station: station, own: own4, outer: own4, routed: l.does[t.Server] == "routed"}, nil
}

func (l *lan) listen(hop) error { l.open = true; return nil }
func (l *lan) rest()            { l.open = false }

func (l *lan) frame(h hop, f []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	server := rs4
	for s := range l.does {
		if s.As4()[3] == h.station[5] {
			server = s
		}
	}
	does := l.does[server]
	if f[12] == 8 && f[13] == 6 {
		l.sent = append(l.sent, "who-has")
		if does == "answers" {
			vip := netip.AddrFrom4([4]byte(f[etherLen+24:]))
			go l.heard(answer{kind: claim, vip: netip.AddrPortFrom(vip, 0), mac: [6]byte(h.station)})
		}
		return nil
	}
	l.segment(server, f[etherLen:], does)
	if does == "stalls" {
		l.mu.Unlock()
		time.Sleep(stall)
		l.mu.Lock()
	}
	return nil
}

// stall is how long this process stands still after a question to a server
// that stalls.
const stall = 5 * time.Second

func (l *lan) packet(to netip.Addr, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, "tunnel")
	l.segment(to, p[ip4Len:], l.does[to])
	return nil
}

// segment answers as the server does.
func (l *lan) segment(server netip.Addr, ip []byte, does string) {
	tcp := ip[ip4Len:]
	a := answer{
		local: netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), binary.BigEndian.Uint16(tcp[0:])),
		vip:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), binary.BigEndian.Uint16(tcp[2:])),
		ack:   binary.BigEndian.Uint32(tcp[4:]) + 1,
	}
	word := map[byte]string{flagSYN: "syn", flagRST: "rst"}[tcp[13]]
	l.sent = append(l.sent, fmt.Sprintf("%s %s", word, server))
	if tcp[13] != flagSYN {
		return
	}
	switch does {
	case "right", "answers":
		a.kind = synAck
	case "refuses":
		a.kind = reset
	case "forged":
		a.kind, a.ack = synAck, a.ack+1
	case "stalls": // with us: what it sends is read when we are awake again
		a.kind = synAck
		time.AfterFunc(stall+grace/2, func() { l.heard(a) })
		return
	case "late":
		a.kind = synAck
		time.AfterFunc(3500*time.Millisecond, func() { l.heard(a) })
		return
	case "third": // two are lost
		n := 0
		for _, s := range l.sent {
			if s == "syn "+server.String() {
				n++
			}
		}
		if n%3 != 0 {
			return
		}
		a.kind = synAck
	default:
		return
	}
	go l.heard(a)
}

func expect(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: found %q, want %q", when, got, want)
	}
}

func targets(servers ...netip.Addr) (out []Target) {
	for _, s := range servers {
		out = append(out, Target{ID: s.String(), Server: s, VIP: vip4, Port: 80, Interval: time.Minute})
	}
	return out
}

func TestEachKindOfServer(t *testing.T) {
	for does, want := range map[string][]string{ // within two seconds, ten, half an hour
		"right":      {"192.168.16.103 ok", "", "ok"},
		"third":      {"", "192.168.16.103 ok", "ok"},
		"silent":     {"", "192.168.16.103 no-answer", "no-answer"},
		"forged":     {"", "192.168.16.103 no-answer", "no-answer"},
		"refuses":    {"", "192.168.16.103 refused", "refused"},
		"answers":    {"192.168.16.103 answers-arp", "", "answers-arp"},
		"routed":     {"192.168.16.103 not-on-link", "", "not-on-link"},
		"unresolved": {"", "", ""},
		"denied":     {"", "", ""},
	} {
		t.Run(does, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, c := newLAN(t, map[netip.Addr]string{rs4: does})
				c.Set(targets(rs4))
				for i, d := range []time.Duration{2 * time.Second, 12 * time.Second} {
					time.Sleep(d)
					synctest.Wait()
					var w []string
					if want[i] != "" {
						w = []string{want[i]}
					}
					expect(t, fmt.Sprintf("after %v", d), l.take(), w...)
				}
				time.Sleep(30 * time.Minute)
				rounds := l.take()
				switch {
				case want[2] == "":
					expect(t, "in the end", rounds)
				case len(rounds) < 25 || len(rounds) > 33 || rounds[0] != rs4.String()+" "+want[2]:
					t.Errorf("in half an hour found %q", rounds)
				}
				if n := len(l.failed); (does == "denied") != (n == 1) {
					t.Errorf("failures told: %v", l.failed)
				}
			})
		})
	}
}

// A round of a right server is a question, an answer and a reset; then silence,
// and nothing is open.
func TestRoundOfARightServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLAN(t, map[netip.Addr]string{rs4: "right"})
		c.Set(targets(rs4))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expect(t, "sent", l.sent, "who-has", "syn 192.168.16.103", "rst 192.168.16.103")
		if l.open {
			t.Error("sockets are open that nobody needs")
		}
		before := len(l.sent)
		c.Set(targets(rs4)) // a reload that changes nothing
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expect(t, "after a reload", l.sent[before:])
	})
}

// Whoever answers too late is told all the same that nothing follows.
func TestLateAnswerIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLAN(t, map[netip.Addr]string{rs4: "late"})
		c.Set(targets(rs4))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := slices.Index(l.sent, "rst 192.168.16.103"); n != 6 {
			t.Errorf("sent %q, want a reset after three questions", l.sent)
		}
	})
}

// A machine that stands still for seconds calls no server silent.
func TestStallIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLAN(t, map[netip.Addr]string{rs4: "stalls"})
		c.Set(targets(rs4))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		found := l.take()
		if len(found) < 5 || slices.Contains(found, "192.168.16.103 no-answer") {
			t.Errorf("found %q", found)
		}
	})
}

// What was told ends when the server is mended, at the next round; and what is
// asked no more is not told of.
func TestMendedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLAN(t, map[netip.Addr]string{rs4: "silent"})
		c.Set(targets(rs4))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		expect(t, "silent", l.take(), "192.168.16.103 no-answer")
		l.set(rs4, "right")
		time.Sleep(65 * time.Second)
		synctest.Wait()
		expect(t, "mended", l.take(), "192.168.16.103 ok")
		l.set(rs4, "silent")
		asked := l.questions()
		for l.questions() == asked { // which round it is changes by a tenth of the interval
			time.Sleep(time.Second / 10)
			synctest.Wait()
		}
		c.Set(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, "forgotten", l.take())
		if l.open {
			t.Error("sockets are open that nobody needs")
		}
		c.Set(targets(rs4)) // has come up again
		l.set(rs4, "right")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, "up again", l.take(), "192.168.16.103 ok")
	})
}

func TestTunnelAndAddressAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := rs4.Next()
		l, c := newLAN(t, map[netip.Addr]string{rs4: "right", second: "answers"})
		tun, alone := targets(rs4)[0], targets(second)[0]
		tun.Tunnel, alone.Port = &Tunnel{}, 0
		c.Set([]Target{tun, alone})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expect(t, "found", l.take(), "192.168.16.103 ok", "192.168.16.104 answers-arp")
		if !slices.Contains(l.sent, "tunnel") || slices.Contains(l.sent, "syn 192.168.16.104") {
			t.Errorf("sent %q", l.sent)
		}
		l.set(second, "right")
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, "later", l.take(), "192.168.16.103 ok", "192.168.16.104 ok")
	})
}

// Ten thousand servers that come up together are asked at a bounded rate, each
// within about a minute.
func TestManyServersArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		does := map[netip.Addr]string{rs4: "right"} // all have its station
		l, c := newLAN(t, does)
		var many []Target
		for i := range 10000 {
			many = append(many, Target{ID: fmt.Sprint(i), Server: rs4, VIP: vip4, Port: uint16(1 + i), Interval: time.Minute})
		}
		c.Set(many)
		most := 0
		asked := 0
		for range 62 {
			time.Sleep(time.Second)
			synctest.Wait()
			n := 0
			l.mu.Lock()
			for _, s := range l.sent {
				if s == "syn 192.168.16.103" {
					n++
				}
			}
			l.sent = nil
			l.mu.Unlock()
			most, asked = max(most, n), asked+n
		}
		if most > 201 {
			t.Errorf("%d questions in a second, want 200 at most", most)
		}
		if n := len(l.take()); n < 10000 || asked < 10000 {
			t.Errorf("%d asked, %d found in a minute", asked, n)
		}
	})
}
