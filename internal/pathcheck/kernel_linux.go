package pathcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	netlinkWithin = 2 * time.Second // bounds one request
	writeWithin   = time.Second
	snapshot      = 192 // bytes of a frame that are read: headers with options
	// What was read of neighbours, links and addresses is read again after that
	// time: with ten thousand servers each question would read the same.
	stale = time.Second
	// Of a flood that passes the filter so many frames are looked at in each
	// pause.
	floodBatch = 512
	floodPause = 100 * time.Millisecond
)

// kernel is the real wire.
type kernel struct {
	heard      func(answer)
	h          *netlink.Handle
	devices    map[string]*device
	raw4, raw6 int // sockets for whole packets, 0: not open
	neighbours map[neighbourKey]neighbourTable
	links      map[int]linkState
}

// linkState is an interface with its addresses.
type linkState struct {
	read  time.Time
	attrs *netlink.LinkAttrs
	addrs map[int][]netlink.Addr // by family, those that were asked for
	link  netlink.Link
}

// device is an interface that is listened on.
type device struct {
	index int
	own   []netip.Addr
	socks map[uint16]*packet.Conn // by protocol
}

type neighbourKey struct{ index, family int }

type neighbourTable struct {
	read time.Time
	macs map[netip.Addr]net.HardwareAddr
}

func newKernel(heard func(answer)) wire {
	return &kernel{heard: heard, devices: map[string]*device{}, neighbours: map[neighbourKey]neighbourTable{}, links: map[int]linkState{}}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func (k *kernel) resolve(t Target, virtual func(netip.Addr) bool) (hop, error) {
	if k.h == nil {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return hop{}, fmt.Errorf("open route netlink socket: %w", err)
		}
		if err := h.SetSocketTimeout(netlinkWithin); err != nil {
			h.Close()
			return hop{}, fmt.Errorf("set up route netlink socket: %w", err)
		}
		k.h = h
	}
	routes, err := k.h.RouteGet(t.Server.AsSlice())
	if err != nil || len(routes) == 0 {
		return hop{}, errUnresolved // no route: the server is down by its checks
	}
	route := routes[0]
	link, err := k.linkOf(route.LinkIndex)
	if err != nil {
		return hop{}, errUnresolved
	}
	a := link.attrs
	h := hop{iface: a.Name, index: a.Index, mac: a.HardwareAddr, local: route.Type == unix.RTN_LOCAL, routed: len(route.Gw) > 0 || route.Via != nil}
	if h.local {
		return h, nil
	}
	if h.own, err = k.source(link, t.VIP, route.Src, virtual); err != nil {
		return hop{}, err
	}
	if h.outer = h.own; t.VIP.Is4() != t.Server.Is4() {
		if h.outer, err = k.source(link, t.Server, route.Src, virtual); err != nil {
			return hop{}, err
		}
	}
	if h.routed {
		return h, nil
	}
	if len(h.mac) == 6 {
		h.station, err = k.station(a.Index, t.Server)
	} else {
		err = errUnresolved // no Ethernet: direct routing is not possible there
	}
	if t.Tunnel != nil {
		return h, nil // does without
	}
	return h, err
}

// linkOf looks an interface up.
func (k *kernel) linkOf(index int) (linkState, error) {
	l := k.links[index]
	if l.link != nil && time.Since(l.read) < stale {
		return l, nil
	}
	link, err := k.h.LinkByIndex(index)
	if err != nil {
		return linkState{}, err
	}
	l = linkState{read: time.Now(), link: link, attrs: link.Attrs(), addrs: map[int][]netlink.Addr{}}
	k.links[index] = l
	return l, nil
}

// source is the address that a question comes from: the kernel's choice,
// unless that is a virtual one or of the other family.
func (k *kernel) source(link linkState, like netip.Addr, chosen net.IP, virtual func(netip.Addr) bool) (netip.Addr, error) {
	fit := func(a netip.Addr) bool {
		return a.Is4() == like.Is4() && a.IsGlobalUnicast() && !virtual(a)
	}
	if a, ok := netip.AddrFromSlice(chosen); ok && fit(a.Unmap()) {
		return a.Unmap(), nil
	}
	family := familyOf(like)
	addrs, known := link.addrs[family]
	if !known {
		var err error
		if addrs, err = k.h.AddrList(link.link, family); err != nil {
			return netip.Addr{}, errUnresolved
		}
		link.addrs[family] = addrs
	}
	for _, x := range addrs {
		a, ok := netip.AddrFromSlice(x.IP)
		if ok && fit(a.Unmap()) && x.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DEPRECATED) == 0 {
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, errUnresolved
}

// station looks a neighbour up, and has the kernel ask for one it does not know.
func (k *kernel) station(index int, server netip.Addr) (net.HardwareAddr, error) {
	key := neighbourKey{index, familyOf(server)}
	t := k.neighbours[key]
	if mac := t.macs[server]; mac != nil && time.Since(t.read) < stale {
		return mac, nil
	}
	if time.Since(t.read) >= stale || t.macs == nil {
		list, err := k.h.NeighList(index, key.family)
		if err != nil {
			return nil, errUnresolved
		}
		t = neighbourTable{time.Now(), make(map[netip.Addr]net.HardwareAddr, len(list))}
		for _, n := range list {
			const unusable = netlink.NUD_INCOMPLETE | netlink.NUD_FAILED
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&unusable == 0 && len(n.HardwareAddr) == 6 {
				t.macs[a.Unmap()] = n.HardwareAddr
			}
		}
		k.neighbours[key] = t
	}
	if mac := t.macs[server]; mac != nil {
		return mac, nil
	}
	// What keeps the kernel from asking keeps it from forwarding, too.
	_ = k.h.NeighSet(&netlink.Neigh{LinkIndex: index, Family: key.family, IP: server.AsSlice(), Flags: netlink.NTF_USE})
	return nil, errUnresolved
}

func (k *kernel) listen(h hop) error {
	d := k.devices[h.iface]
	if d != nil && d.index != h.index {
		d.close()
		d = nil
	}
	if d == nil {
		d = &device{index: h.index, socks: map[uint16]*packet.Conn{}}
		k.devices[h.iface] = d
	}
	protocols := []uint16{unix.ETH_P_ARP, unix.ETH_P_IP}
	if h.own.Is6() {
		protocols = []uint16{unix.ETH_P_IPV6}
	}
	fresh := !slices.Contains(d.own, h.own)
	if fresh {
		d.own = append(d.own, h.own)
	}
	for _, proto := range protocols {
		if d.socks[proto] != nil && !fresh {
			continue
		}
		var own []netip.Addr
		for _, a := range d.own {
			if a.Is6() == (proto == unix.ETH_P_IPV6) {
				own = append(own, a)
			}
		}
		prog, err := bpf.Assemble(filter(proto, own))
		if err != nil {
			return fmt.Errorf("listen on %s: assemble filter: %w", h.iface, err)
		}
		if c := d.socks[proto]; c != nil {
			if err := c.SetBPF(prog); err != nil {
				return fmt.Errorf("listen on %s: set filter: %w", h.iface, err)
			}
			continue
		}
		// Of one protocol each: a socket for all is also handed a copy of every
		// packet that the host sends, before its filter is asked.
		c, err := packet.Listen(&net.Interface{Index: h.index, Name: h.iface, HardwareAddr: h.mac}, packet.Raw, int(proto), &packet.Config{Filter: prog})
		if err != nil {
			hint := ""
			if errors.Is(err, unix.EPERM) {
				hint = " (needs CAP_NET_RAW)"
			}
			return fmt.Errorf("listen on %s: open packet socket: %w%s", h.iface, err, hint)
		}
		d.socks[proto] = c
		go k.receive(c)
	}
	return nil
}

// receive ends when the socket is closed.
func (k *kernel) receive(c *packet.Conn) {
	buf := make([]byte, snapshot)
	begun, seen := time.Now(), 0
	for {
		n, _, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENODEV) {
			return
		}
		if err != nil { // the interface is down: its servers are, too
			time.Sleep(floodPause)
			if c.SetReadDeadline(time.Time{}) != nil {
				return
			}
			continue
		}
		if a, ok := parse(buf[:n]); ok {
			k.heard(a)
		}
		if seen++; seen >= floodBatch {
			if rest := floodPause - time.Since(begun); rest > 0 {
				time.Sleep(rest)
			}
			begun, seen = time.Now(), 0
		}
	}
}

func (k *kernel) frame(h hop, f []byte) error {
	d := k.devices[h.iface]
	if d == nil {
		return errUnresolved
	}
	c := d.socks[binary.BigEndian.Uint16(f[12:])]
	if c == nil || c.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
		return errUnresolved
	}
	// What cannot be sent now is asked again.
	_, _ = c.WriteTo(f, &packet.Addr{HardwareAddr: h.station})
	return nil
}

// packet sends a whole packet where the kernel's routes lead, through the
// firewall's output chain as IPVS's own.
func (k *kernel) packet(to netip.Addr, p []byte) error {
	fd, domain := &k.raw4, unix.AF_INET
	var sa unix.Sockaddr
	if to.Is4() {
		sa = &unix.SockaddrInet4{Addr: to.As4()}
	} else {
		fd, domain, sa = &k.raw6, unix.AF_INET6, &unix.SockaddrInet6{Addr: to.As16()}
	}
	if *fd == 0 {
		s, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("open raw socket: %w (needs CAP_NET_RAW)", err)
		}
		*fd = s
	}
	_ = unix.Sendto(*fd, p, 0, sa) // what cannot be sent now is asked again
	return nil
}

func (k *kernel) rest() {
	for name, d := range k.devices {
		d.close()
		delete(k.devices, name)
	}
	clear(k.neighbours)
	for _, fd := range []*int{&k.raw4, &k.raw6} {
		if *fd != 0 {
			unix.Close(*fd)
			*fd = 0
		}
	}
	if k.h != nil {
		k.h.Close()
		k.h = nil
	}
}

func (d *device) close() {
	for _, c := range d.socks {
		_ = c.Close() // ends its reader
	}
}
