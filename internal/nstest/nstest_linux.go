// Package nstest gives tests hosts of their own: network namespaces, joined by
// cables or a switch. It needs root.
package nstest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
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
	return host(t, netns.New)
}

// Here is the host that the test's process is in: see InNamespace.
func Here(t testing.TB) *Host {
	t.Helper()
	return host(t, netns.Get)
}

func host(t testing.TB, open func() (netns.NsHandle, error)) *Host {
	t.Helper()
	n := &Host{t: t}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		var err error
		n.ns, err = open()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("open network namespace: %v (needs root)", err)
	}
	t.Cleanup(func() { n.ns.Close() })
	var err error
	if n.h, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.h.Close() })
	n.Up("lo")
	return n
}

// InNamespace runs the calling test again in a process with a network
// namespace of its own, for what is done on many threads. It returns true
// there.
func InNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "BATON_TEST_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a namespace of its own (needs root): %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
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

// Up sets an interface up.
func (n *Host) Up(name string) {
	n.t.Helper()
	if err := n.h.LinkSetUp(n.Link(name)); err != nil {
		n.t.Fatalf("set %s up: %v", name, err)
	}
}

// Down sets an interface down.
func (n *Host) Down(name string) {
	n.t.Helper()
	if err := n.h.LinkSetDown(n.Link(name)); err != nil {
		n.t.Fatalf("set %s down: %v", name, err)
	}
}

// Address adds an address, in use at once, to an interface.
func (n *Host) Address(name, prefix string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err == nil {
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		err = n.h.AddrAdd(n.Link(name), a)
	}
	if err != nil {
		n.t.Fatalf("add %s to %s: %v", prefix, name, err)
	}
}

// NoAddress takes an address away.
func (n *Host) NoAddress(name, prefix string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err == nil {
		err = n.h.AddrDel(n.Link(name), a)
	}
	if err != nil {
		n.t.Fatalf("remove %s from %s: %v", prefix, name, err)
	}
}

// Netlink is the host's handle, for what has no method here.
func (n *Host) Netlink() *netlink.Handle { return n.h }

// Link returns an interface of the host.
func (n *Host) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.h.LinkByName(name)
	if err != nil {
		n.t.Fatalf("link %s: %v", name, err)
	}
	return l
}

// Cable joins an interface of the host to one of another; both are made and up,
// and send: the kernel enables a queue a little after there is carrier, and drops
// what is sent before. The flags of an interface never up before say "running"
// during that time; its operational state says "unknown".
func (n *Host) Cable(name string, to *Host, toName string) {
	n.t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: toName, PeerNamespace: netlink.NsFd(to.ns)}
	if err := n.h.LinkAdd(veth); err != nil {
		n.t.Fatalf("lay cable %s: %v", name, err)
	}
	n.Up(name)
	to.Up(toName)
	n.operational(name)
	to.operational(toName)
}

func (n *Host) operational(name string) {
	n.t.Helper()
	Eventually(n.t, name+" is operational", func() bool { return n.Link(name).Attrs().OperState == netlink.OperUp })
}

// Switch makes the host a switch and plugs eth0 of the others into it, in
// their order port1, port2 and so on.
func (n *Host) Switch(others ...*Host) {
	n.t.Helper()
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := n.h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		n.t.Fatalf("make switch: %v", err)
	}
	n.Up("br0")
	for i, o := range others {
		port := fmt.Sprintf("port%d", i+1)
		n.Cable(port, o, "eth0")
		if err := n.h.LinkSetMaster(n.Link(port), n.Link("br0")); err != nil {
			n.t.Fatalf("plug %s into the switch: %v", port, err)
		}
	}
}

// Eventually waits for a condition. What said returns is told when it does not
// come about.
func Eventually(t testing.TB, what string, ok func() bool, said ...func() string) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, f := range said {
				what += "\n" + f()
			}
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Unshare puts the test's own thread into a network namespace that ends with
// the test, and runs setup there: for what is done on one thread.
func Unshare(t testing.TB, setup string) {
	t.Helper()
	runtime.LockOSThread() // the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare network namespace: %v (needs root)", err)
	}
	Shell(t, setup)
}

// Shell runs a script where the calling thread is and returns what it printed.
func Shell(t testing.TB, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
	return string(out)
}
