//go:build linux && kernel

package realserver

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"baton/internal/netif"
	"baton/internal/nstest"
)

// conf4 sets parameters below net/ipv4/conf, "eth0/arp_ignore=3".
func (s *server) conf4(values ...string) {
	s.t.Helper()
	for _, v := range values {
		name, value, _ := strings.Cut(v, "=")
		s.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/"+name, value) })
	}
}

// An interface's own value outweighs the one for all, so it is set as well,
// where it has to be, and goes back to what it was.
func TestKernelSilencesEachInterface(t *testing.T) {
	s, w := newServer(t), want(t, vip4, DR)
	for _, tt := range []struct{ before, silent string }{
		{"eth0/arp_ignore=3", "eth0/arp_ignore=1"},
		{"eth0/arp_ignore=7", "eth0/arp_ignore=1"},
		{"eth0/arp_ignore=2", "eth0/arp_ignore=2"},
		{"eth0/arp_ignore=8", "eth0/arp_ignore=8"},
		{"far/arp_ignore=4", "far/arp_ignore=1"}, // is down, and can be set up any time
		{"eth0/arp_announce=3", "eth0/arp_announce=2"},
		{"eth0/arp_announce=1", "eth0/arp_announce=1"}, // the one for all outweighs it
		{"all/arp_ignore=3", "all/arp_ignore=1"},
	} {
		s.conf4(tt.before)
		before := s.state()
		for range 2 { // the second changes nothing
			s.up(w)
			if is := s.state(); !strings.Contains(is, tt.silent+"\n") || !strings.Contains(is, "lo has "+vip4) {
				t.Errorf("%s: after up there is no %s, or no address, in\n%s", tt.before, tt.silent, is)
			}
		}
		if got := s.wrong(w); len(got) > 0 {
			t.Errorf("%s: after up: wrong is %q", tt.before, got)
		}
		s.down(w)
		if after := s.state(); after != before {
			t.Errorf("%s: down leaves\n%s\nbefore it was\n%s", tt.before, after, before)
		}
		name, _, _ := strings.Cut(tt.before, "=")
		s.conf4(name + "=0")
	}
}

// Where silence fails, at whichever parameter, there is no address, and what was
// set before it goes back. What an earlier run has set and rests on stays.
func TestKernelRefusesWithoutSilence(t *testing.T) {
	s, w, first := newServer(t), want(t, vip4, DR), want(t, vip6, DR)
	s.up(first)
	s.conf4("eth0/arp_ignore=3", "eth0/arp_announce=3")
	before, refused := s.state(), errors.New("the kernel says no")
	for n, mend := range []string{"all.arp_ignore=1", "all.arp_announce=2", "eth0.arp_ignore=1", "eth0.arp_announce=2"} {
		step := 0
		err := s.with(func(m *Manager) error {
			m.before = func() error {
				step++
				if step-1 == n {
					return refused
				}
				return nil
			}
			err := m.Up([]Want{first, w})
			if rec := m.Recorded(); len(rec) != 1 || rec[0] != first || len(m.rec.Changes) != 1 {
				t.Errorf("without %s the record is %+v", mend, m.rec)
			}
			return err
		})
		if !errors.Is(err, refused) || !strings.Contains(err.Error(), "(mend with: sysctl -w net.ipv4.conf."+mend+")") {
			t.Errorf("without %s: %v", mend, err)
		}
		if after := s.state(); after != before {
			t.Errorf("without %s there is\n%s\nbefore it was\n%s", mend, after, before)
		}
	}
	s.up(w)
	s.conf4("eth0/arp_ignore=5") // by somebody else
	is := s.state()
	if err := s.with(func(m *Manager) error {
		m.before = func() error { return refused }
		return m.Up([]Want{want(t, vip4b, DR)})
	}); !errors.Is(err, refused) {
		t.Errorf("up: %v", err)
	}
	if after := s.state(); after != is {
		t.Errorf("what cannot be silenced for another one makes\n%s\nof\n%s", after, is)
	}
	s.conf4("eth0/arp_ignore=1")
	s.down(w, first)
	if after := s.state(); !strings.Contains(after, "eth0/arp_ignore=3") || !strings.Contains(after, "all/arp_ignore=0") {
		t.Errorf("down leaves\n%s", after)
	}
	if _, err := os.Stat(s.opts.RuntimeDir + "/realserver.json"); !os.IsNotExist(err) {
		t.Errorf("the record: %v, want none", err)
	}
}

// What somebody else sets back at once is seen before the address is added.
func TestKernelLooksAtWhatCounts(t *testing.T) {
	s, w := newServer(t), want(t, vip4, DR)
	s.conf4("eth0/arp_announce=3")
	before := s.state()
	err := s.with(func(m *Manager) error {
		m.before = func() error { return netif.WriteSysctl("net/ipv4/conf/eth0/arp_ignore", "6") }
		return m.Up([]Want{w})
	})
	if err == nil || !strings.Contains(err.Error(), "arp_ignore is 6 on eth0") || !strings.Contains(err.Error(), "mend with: sysctl -w net.ipv4.conf.eth0.arp_ignore=1") {
		t.Errorf("up: %v", err)
	}
	if after := s.state(); after != strings.ReplaceAll(before, "eth0/arp_ignore=0", "eth0/arp_ignore=6") {
		t.Errorf("up leaves\n%s\nbefore it was\n%s", after, before)
	}
}

// The network hears nothing of the address, and of the host's own everything.
func TestKernelAddressIsSilent(t *testing.T) {
	s, router := newServer(t), nstest.New(t)
	s.Run("ip", "link", "del", "eth0")
	router.Cable("eth0", s.Host, "eth0")
	router.Run("ip", "address", "add", "192.168.16.101/24", "dev", "eth0")
	s.Run("ip", "address", "add", "192.168.16.103/24", "dev", "eth0")
	found := func(addr string, patience time.Duration) bool {
		router.Run("ip", "neigh", "flush", "all")
		return router.Do(func() error {
			m, err := netif.New(netif.Options{})
			if err != nil {
				return err
			}
			defer m.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err = m.Neighbour(ctx, "eth0", netip.MustParseAddr(addr))
			return err
		}) == nil
	}
	for _, own := range []string{"0", "3"} {
		s.conf4("eth0/arp_ignore=" + own)
		s.up(want(t, vip4, DR))
		if !found("192.168.16.103", nstest.Patience) {
			t.Error("the host does not answer for its own address")
		}
		if found(vip4, 700*time.Millisecond) {
			t.Errorf("the host answers for the virtual address where eth0 had arp_ignore=%s", own)
		}
		s.conf4("all/arp_ignore=0", "eth0/arp_ignore="+own)
		if !found(vip4, nstest.Patience) {
			t.Errorf("with arp_ignore=%s on eth0 alone the address is silent too: this test proves nothing", own)
		}
		s.down(want(t, vip4, DR))
	}
}

// An address that stays is told of where the silence that goes was one
// interface's.
func TestKernelDownTellsOfAnInterface(t *testing.T) {
	s, w := newServer(t), want(t, vip4, DR)
	s.conf4("all/arp_ignore=1", "eth0/arp_ignore=3")
	s.Run("ip", "address", "add", vip4+"/32", "dev", "lo")
	s.up(w)
	s.Must(func() error {
		m, err := Open(t.Context(), s.opts)
		if err != nil {
			return err
		}
		defer m.Close()
		err = m.Down(vips([]Want{w}))
		if said := strings.Join(m.TakeSaid(), "\n"); strings.Count(said, "the network hears of 192.168.16.200 again, which stays on lo") != 1 {
			t.Errorf("down says\n%s", said)
		}
		return err
	})
}
