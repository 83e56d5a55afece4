// Package nstest gives tests hosts of their own: network namespaces, joined by
// cables or a switch. It needs root.
package nstest

import (
	"fmt"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Patience is how long the kernel may take for what it does at once.
const Patience = 10 * time.Second

// Host is one machine of a test, with lo up.
type Host struct {
	t  testing.TB
	ns netns.NsHandle
	h  *netlink.Handle
}

// New makes a host that is gone when the test has ended.
func New(t testing.TB) *Host {
	t.Helper()
	n := &Host{t: t}
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
	n.Run("ip", "link", "set", "lo", "up")
	return n
}

// Do runs f on a thread that is in the host. Goroutines that f starts are not.
func (n *Host) Do(f func() error) error {
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

// Must is Do for what has to succeed.
func (n *Host) Must(f func() error) {
	n.t.Helper()
	if err := n.Do(f); err != nil {
		n.t.Fatal(err)
	}
}

// Run executes a program in the host and returns what it printed.
func (n *Host) Run(name string, args ...string) string {
	n.t.Helper()
	var out []byte
	n.Must(func() error {
		var err error
		if out, err = exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
		}
		return nil
	})
	return string(out)
}

// Start begins a program in the host, which is killed when the test has ended.
func (n *Host) Start(name string, args ...string) {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	n.Must(cmd.Start)
	n.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// Link returns an interface of the host.
func (n *Host) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.h.LinkByName(name)
	if err != nil {
		n.t.Fatalf("link %s: %v", name, err)
	}
	return l
}

// Cable joins an interface of the host to one of another; both are made and up.
func (n *Host) Cable(name string, to *Host, toName string) {
	n.t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: toName, PeerNamespace: netlink.NsFd(to.ns)}
	if err := n.h.LinkAdd(veth); err != nil {
		n.t.Fatalf("lay cable %s: %v", name, err)
	}
	n.Run("ip", "link", "set", name, "up")
	to.Run("ip", "link", "set", toName, "up")
	Eventually(n.t, name+" is operational", func() bool { return n.Link(name).Attrs().OperState == netlink.OperUp })
}

// Switch makes the host a switch and plugs eth0 of the others into it, in
// their order port1, port2 and so on.
func (n *Host) Switch(others ...*Host) {
	n.t.Helper()
	n.Run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	n.Run("ip", "link", "set", "br0", "up")
	for i, o := range others {
		port := fmt.Sprintf("port%d", i+1)
		n.Cable(port, o, "eth0")
		n.Run("ip", "link", "set", port, "master", "br0")
	}
}

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
