//go:build linux && kernel

package director

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/netif"
	"baton/internal/nstest"
	"baton/vrrp"
)

// inNamespace is nstest.InNamespace with lo up: what a speaker does happens on
// many threads.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if !nstest.InNamespace(t) {
		return false
	}
	run(t, "ip", "link", "set", "lo", "up")
	return true
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// mouth is a speaker without sockets: it sees the kernel's facts and holds
// what it is told to.
type mouth struct {
	*speaker
	mu   sync.Mutex
	said []string
}

func newMouth(t *testing.T) *mouth {
	t.Helper()
	m, err := netif.New(netif.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &mouth{}
	s.speaker = &speaker{out: ipc.NewOutbox(factsBound), netif: m,
		interfaces: map[string]bool{}, links: map[string]netif.LinkState{}, configs: map[string]vrrp.Config{}}
	s.addrs = newAddresses(m, s.hear)
	s.engine = vrrp.NewEngine(vrrp.EngineOptions{Addresses: s.addrs, Announcer: s.addrs, Notify: func(vrrp.Notice) {},
		Listen: func(vrrp.Endpoint) (vrrp.Conn, error) { return nil, vrrp.ErrEmpty }})
	done := make(chan error, 1)
	go func() { done <- m.Watch(t.Context(), s.fact) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.Close()
	})
	return s
}

func (s *mouth) hear(n event.Name, fields ...event.Field) {
	line := string(n)
	for _, f := range fields {
		line += fmt.Sprintf(" %s=%v", f.Key, f.Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, line)
}

// count says how many lines have all of the words.
func (s *mouth) count(words ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, line := range s.said {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

func (s *mouth) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	nstest.Eventually(t, what, ok, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return "it said\n" + strings.Join(s.said, "\n")
	})
}

// on says whether an interface has an address.
func on(iface, prefix string) bool {
	out, err := exec.Command("ip", "-o", "address", "show", "dev", iface).CombinedOutput()
	return err == nil && strings.Contains(string(out), " "+prefix+" ")
}

func cable(t *testing.T) {
	t.Helper()
	run(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
	run(t, "ip", "link", "set", "peer0", "up")
	run(t, "ip", "link", "set", "eth0", "up")
	run(t, "ip", "address", "add", "192.168.16.102/24", "dev", "eth0")
}
