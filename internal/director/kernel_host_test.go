//go:build linux && kernel

package director

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/netif"
	"baton/vrrp"
)

// patience is how long the kernel may take for what it does at once.
const patience = 10 * time.Second

// inNamespace runs the calling test again in a process with a network
// namespace of its own: what a speaker does happens on many threads. It
// returns true there.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "BATON_TEST_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a namespace of its own (needs root): %v\n%s", err, out)
	}
	return false
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
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("not within %v: %s; it said\n%s", patience, what, strings.Join(s.said, "\n"))
		}
	}
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
