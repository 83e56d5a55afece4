//go:build linux && kernel

package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/internal/netif"
	"baton/internal/nstest"
)

const (
	vip4  = "192.168.16.200"
	vip4b = "192.168.16.201"
	vip6  = "2001:db8::200"
)

// server is a host with a manager's files.
type server struct {
	*nstest.Host
	t    *testing.T
	opts Options
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{nstest.New(t), t, Options{RuntimeDir: dir + "/run", StateDir: dir + "/lib"}}
	s.Run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
	s.Run("ip", "address", "add", "192.168.16.103/24", "dev", "eth0")
	s.Run("ip", "link", "set", "eth0", "up")
	// A new namespace may inherit the machine's own values.
	for _, v := range []string{"all/arp_ignore=0", "all/arp_announce=0", "all/rp_filter=1", "tunl0/rp_filter=0",
		"eth0/arp_ignore=0", "eth0/arp_announce=0", "far/arp_ignore=0"} {
		name, value, _ := strings.Cut(v, "=")
		s.Must(func() error { return netif.WriteSysctl("net/ipv4/conf/"+name, value) })
	}
	return s
}

// with opens a manager, as each command does.
func (s *server) with(f func(*Manager) error) error {
	return s.Do(func() error {
		m, err := Open(s.t.Context(), s.opts)
		if err != nil {
			return err
		}
		defer m.Close()
		err = f(m)
		s.t.Log(strings.Join(m.TakeSaid(), "; "))
		return err
	})
}

func (s *server) up(wants ...Want) {
	s.t.Helper()
	if err := s.with(func(m *Manager) error { return m.Up(wants) }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) down(wants ...Want) {
	s.t.Helper()
	if err := s.with(func(m *Manager) error { return m.Down(vips(wants)) }); err != nil {
		s.t.Fatal(err)
	}
}

func vips(wants []Want) (out []netip.Addr) {
	for _, w := range wants {
		out = append(out, w.VIP)
	}
	return out
}

// state is everything that this package could change, one line each.
func (s *server) state() string {
	s.t.Helper()
	out := ""
	s.Must(func() error {
		m, err := Open(s.t.Context(), s.opts)
		if err != nil {
			return err
		}
		defer m.Close()
		links, err := m.h.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			out += fmt.Sprintf("%s up %v\n", l.Attrs().Name, l.Attrs().RawFlags&unix.IFF_UP != 0)
			addrs, err := m.h.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			for _, a := range addrs {
				if a.Scope != unix.RT_SCOPE_LINK {
					out += fmt.Sprintf("%s has %s deprecated %v\n", l.Attrs().Name, a.IPNet, a.Flags&unix.IFA_F_DEPRECATED != 0)
				}
			}
		}
		for _, name := range []string{arpIgnore, arpAnnounce, rpFilter("all"), rpFilter("tunl0"), rpFilter("eth0"),
			"net/ipv4/conf/eth0/arp_ignore", "net/ipv4/conf/eth0/arp_announce", "net/ipv4/conf/far/arp_ignore"} {
			v, err := netif.ReadSysctl(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a test has taken the interface away
			}
			if err != nil {
				return err
			}
			out += name + "=" + v + "\n"
		}
		return nil
	})
	return out
}

func (s *server) wrong(wants ...Want) (out []string) {
	s.t.Helper()
	if err := s.with(func(m *Manager) error {
		list, err := m.Status(wants)
		for _, f := range list {
			if !f.OK {
				out = append(out, f.What+" | "+f.Mend)
			}
		}
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func all(t *testing.T) []Want {
	return []Want{want(t, vip4, DR), want(t, vip6, DR), want(t, vip4b, TUN)}
}

func TestKernelUpAndDown(t *testing.T) {
	s, wants := newServer(t), all(t)
	before := s.state()
	if got := s.wrong(wants...); len(got) < 5 {
		t.Errorf("before: wrong is only %q", got)
	}
	s.up(wants...)
	if got := s.wrong(wants...); len(got) > 0 {
		t.Errorf("after up: wrong is %q", got)
	}
	is := s.state()
	for _, part := range []string{"lo has 192.168.16.200/32", "lo has 2001:db8::200/128 deprecated true", "tunl0 has 192.168.16.201/32",
		"tunl0 up true", "all/arp_ignore=1", "all/arp_announce=2", "all/rp_filter=1", "tunl0/rp_filter=2", "eth0/rp_filter=0"} {
		if !strings.Contains(is, part) {
			t.Errorf("after up there is no %q in\n%s", part, is)
		}
	}
	s.up(wants...)
	if again := s.state(); again != is {
		t.Errorf("the second up changed\n%s\nto\n%s", is, again)
	}
	s.down(wants[2])
	if is := s.state(); !strings.Contains(is, "all/arp_ignore=1") || strings.Contains(is, vip4b) || !strings.Contains(is, "tunl0/rp_filter=0") {
		t.Errorf("one address taken back leaves\n%s", is)
	}
	s.down(wants...)
	if after := s.state(); after != before {
		t.Errorf("down leaves\n%s\nbefore it was\n%s", after, before)
	}
}

// What others have set up stays theirs.
func TestKernelLeavesWhatIsNotOurs(t *testing.T) {
	s := newServer(t)
	s.Run("ip", "address", "add", vip4+"/32", "dev", "lo")
	s.Must(func() error { return netif.WriteSysctl(arpIgnore, "2") })
	before := s.state()
	w, second := want(t, vip4, DR), want(t, vip4b, DR)
	s.up(w, second)
	if is := s.state(); !strings.Contains(is, "arp_ignore=2") || !strings.Contains(is, "arp_announce=2") {
		t.Errorf("up leaves\n%s", is)
	}
	s.down(w, second)
	if after := s.state(); after != before {
		t.Errorf("down leaves\n%s\nbefore it was\n%s", after, before)
	}
	s.up(w)
	s.Must(func() error { return netif.WriteSysctl(arpAnnounce, "1") }) // by somebody else
	if got := s.wrong(w); len(got) != 1 || got[0] != "arp_announce is 1 on eth0 | sysctl -w net.ipv4.conf.all.arp_announce=2" {
		t.Errorf("wrong is %q", got)
	}
	s.down(w)
	if is := s.state(); !strings.Contains(is, "arp_announce=1") || !strings.Contains(is, vip4+"/32") {
		t.Errorf("down undid what is not ours:\n%s", is)
	}
	s.Run("ip", "address", "add", vip4b+"/24", "dev", "eth0")
	err := s.with(func(m *Manager) error { return m.Up([]Want{second}) })
	if err == nil || !strings.Contains(err.Error(), "ip address del 192.168.16.201/24 dev eth0") {
		t.Errorf("an address on eth0 gives %v", err)
	}
}

// An interface whose network can ask it for the address would answer.
func TestKernelRefusesWhereItIsAskedFor(t *testing.T) {
	s := newServer(t)
	before := s.state()
	for _, mode := range []Mode{DR, TUN} {
		for _, vip := range []string{vip4, vip6} {
			w, err := NewWant(vip, mode, "eth0")
			if err != nil {
				t.Fatal(err)
			}
			err = s.with(func(m *Manager) error { return m.Up([]Want{w}) })
			if err == nil || !strings.Contains(err.Error(), "eth0 can be asked for it") {
				t.Errorf("%s in mode %s on eth0: %v", vip, mode, err)
			}
		}
	}
	if after := s.state(); after != before {
		t.Errorf("what was refused has left\n%s\nbefore it was\n%s", after, before)
	}
	s.Run("ip", "link", "add", "dummy0", "type", "dummy")
	s.Run("ip", "link", "set", "dummy0", "up")
	w, err := NewWant(vip4, DR, "dummy0")
	if err != nil {
		t.Fatal(err)
	}
	s.up(w)
	if got := s.wrong(w); len(got) > 0 {
		t.Errorf("on a dummy interface wrong is %q", got)
	}
	s.down(w)
}

// What down leaves standing, and does not keep silent about any more, is told;
// so is what is not put up at boot any more.
func TestKernelDownTells(t *testing.T) {
	s := newServer(t)
	s.Run("ip", "address", "add", vip4+"/32", "dev", "lo")
	w := want(t, vip4, DR)
	s.up(w)
	var said string
	if err := s.with(func(m *Manager) error {
		m.TakeSaid()
		err := errors.Join(m.Persist([]Want{w}), m.Down(vips([]Want{w})))
		said = strings.Join(m.TakeSaid(), "\n")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"the network hears of 192.168.16.200 again, which stays on lo: ip address del 192.168.16.200/32 dev lo", "192.168.16.200 is not put up at boot any more"} {
		if !strings.Contains(said, part) {
			t.Errorf("no %q in\n%s", part, said)
		}
	}
}

// What is suspended is gone as after down, and still to be put up at boot.
func TestKernelSuspend(t *testing.T) {
	s, w, other := newServer(t), want(t, vip4, DR), want(t, vip4b, DR)
	before := s.state()
	s.up(w, other)
	if err := s.with(func(m *Manager) error {
		err := errors.Join(m.Persist([]Want{w}), m.Suspend(vips([]Want{w})))
		if kept, err := m.Persistent(); err != nil || len(kept) != 1 || kept[0] != w {
			t.Errorf("remembered are %v, %v", kept, err)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if is := s.state(); strings.Contains(is, vip4+"/") || !strings.Contains(is, vip4b+"/32") || !strings.Contains(is, "all/arp_ignore=1") {
		t.Errorf("what was suspended leaves\n%s", is)
	}
	s.down(other)
	if after := s.state(); after != before {
		t.Errorf("down leaves\n%s\nbefore it was\n%s", after, before)
	}
}

// Wherever a run is cut off, the next one goes on or takes everything back.
func TestKernelCutOffAtEveryStep(t *testing.T) {
	s, wants := newServer(t), all(t)
	before := s.state()
	cut := errors.New("cut off")
	at := func(n int, f func(*Manager) error) error {
		return s.with(func(m *Manager) error {
			m.before = func() error {
				if n--; n < 0 {
					return cut
				}
				return nil
			}
			return f(m)
		})
	}
	silent := func(steps int) {
		t.Helper()
		if is := s.state(); strings.Contains(is, "192.168.16.20") && !strings.Contains(is, "all/arp_ignore=1") {
			t.Errorf("cut off at step %d there is an address, and no silence:\n%s", steps, is)
		}
	}
	steps := 0
	for ; ; steps++ {
		err := at(steps, func(m *Manager) error { return m.Up(wants) })
		silent(steps)
		if steps%2 == 0 && err != nil { // goes on
			s.up(wants...)
			if got := s.wrong(wants...); len(got) > 0 {
				t.Errorf("cut off at step %d: wrong is %q", steps, got)
			}
		}
		if err2 := at(steps/2, func(m *Manager) error { return m.Down(vips(wants)) }); err2 != nil && !errors.Is(err2, cut) {
			t.Fatal(err2)
		}
		silent(steps)
		s.down(wants...)
		if after := s.state(); after != before {
			t.Fatalf("cut off at step %d: down leaves\n%s\nbefore it was\n%s", steps, after, before)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, cut) {
			t.Fatal(err)
		}
	}
	if steps < 6 {
		t.Errorf("%d steps, the loop of this test is broken", steps)
	}
}
