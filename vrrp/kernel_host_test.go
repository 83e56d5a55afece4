//go:build linux && kernel

package vrrp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is a network namespace with one interface, eth0, on a cable to another.
type host struct {
	t           *testing.T
	ns          netns.NsHandle
	addr        netip.Addr
	link6, wide netip.Addr // its link-local and its global IPv6 address
}

// cable makes two hosts with the addresses addrA and addrB in one network.
func cable(t *testing.T) (a, b *host) {
	t.Helper()
	a, b = newHost(t, addrA), newHost(t, addrB)
	a.link6, a.wide, b.link6, b.wide = linkA, wideA, linkB, wideB
	a.in(func() {
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.ns),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatalf("add veth: %v", err)
		}
	})
	for _, h := range []*host{a, b} {
		h.in(func() {
			// No link-local address but the one that the tests know: 1 is
			// IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/eth0/addr_gen_mode", []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
			h.add(h.addr.String() + "/24")
			h.add(h.link6.String() + "/64")
			h.add(h.wide.String() + "/64")
			for _, name := range []string{"lo", "eth0"} {
				if err := netlink.LinkSetUp(h.link(name)); err != nil {
					t.Fatalf("set %s up: %v", name, err)
				}
			}
		})
	}
	for _, h := range []*host{a, b} {
		h.eventually("there is a route for IPv6 multicast", h.reachesGroup6)
	}
	return a, b
}

// reachesGroup6 says whether the kernel has got to know that eth0 has a carrier.
func (h *host) reachesGroup6() (yes bool) {
	h.in(func() {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		defer unix.Close(fd)
		to := unix.SockaddrInet6{Port: 9, ZoneId: uint32(h.link("eth0").Attrs().Index), Addr: Group6.As16()}
		yes = unix.Connect(fd, &to) == nil
	})
	return yes
}

func newHost(t *testing.T, addr netip.Addr) *host {
	t.Helper()
	h := &host{t: t, addr: addr}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if h.ns, err = netns.New(); err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	if err := netns.Set(old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.ns.Close() })
	return h
}

// in runs f in the host. f must not start goroutines that need to be in it.
func (h *host) in(f func()) {
	h.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		h.t.Fatal(err)
	}
	defer old.Close()
	if err := netns.Set(h.ns); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(old); err != nil {
			panic(err) // the thread is in the wrong namespace
		}
	}()
	f()
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		h.t.Fatalf("find %s: %v", name, err)
	}
	return l
}

func (h *host) add(address string) {
	h.t.Helper()
	a, err := netlink.ParseAddr(address)
	if err != nil {
		h.t.Fatal(err)
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD // it can be used at once
	}
	if err := netlink.AddrAdd(h.link("eth0"), a); err != nil {
		h.t.Fatalf("add %s: %v", address, err)
	}
}

func (h *host) listen() Conn { return h.listenAt(eth0) }

func (h *host) listenAt(at Endpoint) Conn {
	h.t.Helper()
	var conn Conn
	var err error
	h.in(func() { conn, err = Listen(at) })
	if err != nil {
		h.t.Fatal(err)
	}
	return conn
}

// sniff returns a socket that sees every frame that arrives on eth0.
func (h *host) sniff() (fd int) {
	h.t.Helper()
	h.in(func() {
		var err error
		protocol := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			h.t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: h.link("eth0").Attrs().Index}); err != nil {
			h.t.Fatal(err)
		}
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	})
	h.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// recorder is the world of an engine: it keeps the notices and lets a test wait
// for one.
type recorder struct {
	mu      sync.Mutex
	notices []Notice
	more    chan struct{}
}

func (r *recorder) Set(_ Config, present bool, h Handover) error {
	r.notify(Notice{Kind: "set", Detail: fmt.Sprint(present), Peer: firstValid(h.Predecessor, h.Successor)})
	return nil
}

func firstValid(addrs ...netip.Addr) netip.Addr {
	i := slices.IndexFunc(addrs, netip.Addr.IsValid)
	if i < 0 {
		return netip.Addr{}
	}
	return addrs[i]
}

func (*recorder) Announce(Config) error { return nil }

func (r *recorder) notify(n Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.Time.IsZero() {
		n.Time = time.Now()
	}
	r.notices = append(r.notices, n)
	close(r.more)
	r.more = make(chan struct{})
}

// await returns the first notice, among those from index on, whose brief form
// contains s, and the index after it. The instance's name stands before it.
func (r *recorder) await(t *testing.T, from int, s string, d time.Duration) (Notice, int) {
	t.Helper()
	deadline := time.After(d)
	for i := from; ; {
		r.mu.Lock()
		list, more := r.notices, r.more
		r.mu.Unlock()
		for ; i < len(list); i++ {
			if strings.Contains(list[i].Instance+" "+list[i].brief(), s) {
				return list[i], i + 1
			}
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q was not seen in %v; seen: %s", s, d, r.all())
		}
	}
}

// all lists the notices, one a line.
func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, n := range r.notices {
		all.WriteString("\n" + n.Time.Format("05.000000 ") + n.Instance + " " + n.brief())
	}
	return all.String()
}

// inside is a Conn of a host: it opens its VMACs there.
type inside struct {
	Conn
	h *host
}

func (c inside) Send(message []byte, d Delivery) (err error) {
	if d.Device == "" {
		return c.Conn.Send(message, d)
	}
	c.h.in(func() { err = c.Conn.Send(message, d) })
	return err
}

func (c inside) Overhear(device string) (err error) {
	c.h.in(func() { err = c.Conn.(overhearer).Overhear(device) })
	return err
}

// vmac makes a VMAC for VRID 51 on eth0, up as the director keeps it.
func (h *host) vmac(name string, family Family) {
	h.t.Helper()
	mac := net.HardwareAddr{0x00, 0x00, 0x5e, 0x00, 1, 51}
	if family == IPv6 {
		mac[4] = 2
	}
	h.in(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = name, h.link("eth0").Attrs().Index, mac
		if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE}); err != nil {
			h.t.Fatalf("add %s: %v", name, err)
		}
		// The director gives it no IPv6 until it holds addresses.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
			h.t.Fatal(err)
		}
		if err := netlink.LinkSetUp(h.link(name)); err != nil {
			h.t.Fatalf("set %s up: %v", name, err)
		}
	})
}

// engine runs instances on the host with real sockets and clock.
func (h *host) engine(cfgs ...Config) (*Engine, *recorder, context.CancelFunc) {
	h.t.Helper()
	r := &recorder{more: make(chan struct{})}
	e := NewEngine(EngineOptions{
		Listen: func(at Endpoint) (conn Conn, err error) {
			h.in(func() { conn, err = Listen(at) })
			if err != nil {
				return nil, err
			}
			return inside{conn, h}, nil
		},
		Addresses: r, Announcer: r, Notify: r.notify,
	})
	e.SetLink(LinkState{Interface: "eth0", Up: true, Primary: h.addr, LinkLocal: h.link6, Index: 2})
	for _, c := range cfgs {
		if c.VMAC != nil {
			var index int
			h.in(func() { index = h.link(c.VMAC.Name).Attrs().Index })
			e.SetLink(LinkState{Interface: c.VMAC.Name, Up: true, Index: index})
		}
	}
	ready := map[string]bool{}
	for _, c := range cfgs {
		ready[c.Name] = true
	}
	e.SetReady(ready)
	if err := e.Apply(cfgs, nil, nil); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if err := e.Run(ctx); err != nil {
			h.t.Errorf("Run: %v", err)
		}
	}()
	stop := func() { cancel(); <-ran }
	h.t.Cleanup(stop)
	return e, r, stop
}

// keepalived runs Debian's keepalived on the host as priority 100, with the
// addresses and more of its configuration.
func (h *host) keepalived(version Version, addresses []Address, more string) {
	h.t.Helper()
	dir := h.t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	var list strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&list, "\t\t%s\n", a.Prefix)
	}
	text := fmt.Sprintf(`
global_defs {
	router_id peer
	vrrp_version %d
}
vrrp_instance VI_1 {
	state BACKUP
	interface eth0
	virtual_router_id 51
	priority 100
	advert_int 1
	%s
	virtual_ipaddress {
%s	}
}
`, version, more, list.String())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command("keepalived", "--vrrp", "--dont-fork", "--log-console", "--log-detail",
		"-f", conf, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	h.in(func() { err = cmd.Start() })
	if err != nil {
		h.t.Fatalf("start keepalived (install it: apt-get install keepalived): %v", err)
	}
	h.t.Cleanup(func() {
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			h.t.Errorf("stop keepalived: %v", err)
		}
		cmd.Wait()
		log.Close()
		if h.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			h.t.Logf("keepalived said:\n%s", text)
		}
	})
}

// holds says whether the host has the address, on whatever interface.
func (h *host) holds(address Address) (yes bool) {
	h.in(func() {
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // which somebody changes meanwhile
			h.t.Fatal(err)
		}
		for _, a := range addrs {
			yes = yes || a.IP.String() == address.Prefix.Addr().String()
		}
	})
	return yes
}

func (h *host) eventually(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// realtime puts this process under SCHED_RR, as the speaker is, until the test
// ends: what else the machine does is not what is tested.
func realtime(t *testing.T) {
	t.Helper()
	const other, roundRobin = 0, 2 // SCHED_OTHER and SCHED_RR of sched.h
	set := func(policy, priority uint32) error {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}
			if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && err != unix.ESRCH {
				return os.NewSyscallError("sched_setattr", err)
			}
		}
		return nil
	}
	if err := set(roundRobin, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set(other, 0); err != nil {
			t.Error(err)
		}
	})
}

// slowness is how late this machine wakes a real-time process at worst.
func slowness() time.Duration {
	var worst time.Duration
	for range 300 {
		begin := time.Now()
		time.Sleep(2 * time.Millisecond)
		worst = max(worst, time.Since(begin)-2*time.Millisecond)
	}
	return worst
}
