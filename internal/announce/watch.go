package announce

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Conflict is somebody else's claim to an address.
type Conflict struct {
	Interface string
	VIP       netip.Addr
	MAC       net.HardwareAddr // who says that it has it
	Count     int              // claims since the report before
}

const (
	// conflictEvery is the least time between two reports of one address. A
	// defence that follows each keeps within RFC 5227 §2.4's bound on its own.
	conflictEvery = time.Second
	// Of a flood of claims that many are looked at in each pause, the rest is
	// dropped by the kernel.
	floodBatch = 64
	floodPause = 100 * time.Millisecond
	// watchQueue is the receive buffer in bytes: enough for a batch.
	watchQueue = 64 << 10
)

// Watcher listens on one interface for others that claim addresses of ours:
// ARP packets with the address as the sender's, neighbour advertisements for
// it, and solicitations of those that are about to take it (RFC 4862 §5.4.3).
// The kernel filters: what concerns no address of ours does not wake us.
type Watcher struct {
	iface  string
	ours   func(net.HardwareAddr) bool
	report func(Conflict)
	every  time.Duration // between two reports of one address
	conn   *packet.Conn
	closed chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	claims map[netip.Addr]*claim // by address that is watched
}

type claim struct {
	told  time.Time
	count int
}

// Watch begins to listen on an interface; Set says for what. report is called
// from one goroutine, at most once a second for each address. ours tells the
// hardware addresses whose claims are not conflicts.
func Watch(iface string, ours func(net.HardwareAddr) bool, report func(Conflict)) (*Watcher, error) {
	return watch(iface, conflictEvery, ours, report)
}

// WatchAll is Watch that reports every claim: for who asks whether there are
// several. Of a flood it still drops most.
func WatchAll(iface string, ours func(net.HardwareAddr) bool, report func(Conflict)) (*Watcher, error) {
	return watch(iface, 0, ours, report)
}

func watch(iface string, every time.Duration, ours func(net.HardwareAddr) bool, report func(Conflict)) (*Watcher, error) {
	ifi, err := find(iface)
	if err != nil {
		return nil, fmt.Errorf("watch for conflicts on %s: %w", iface, err)
	}
	// Filtered from the first packet on.
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: nothing})
	if err != nil {
		return nil, fmt.Errorf("watch for conflicts on %s: open packet socket: %w", iface, err)
	}
	w := &Watcher{iface: iface, every: every, ours: ours, report: report, conn: conn,
		closed: make(chan struct{}), done: make(chan struct{}), claims: map[netip.Addr]*claim{}}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // a larger queue only means more to drop later
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, watchQueue)
		})
	}
	go w.run()
	return w, nil
}

// Set says which addresses are ours.
func (w *Watcher) Set(vips []netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := make(map[netip.Addr]*claim, len(vips))
	for _, v := range vips {
		if next[v] = w.claims[v]; next[v] == nil {
			next[v] = &claim{}
		}
	}
	if len(next) == len(w.claims) && !slices.ContainsFunc(vips, func(v netip.Addr) bool { return w.claims[v] == nil }) {
		return nil
	}
	prog, err := bpf.Assemble(claimsOf(slices.SortedFunc(maps.Keys(next), netip.Addr.Compare)))
	if err == nil {
		err = w.conn.SetBPF(prog)
	}
	if err != nil {
		return fmt.Errorf("watch for conflicts on %s: set filter: %w", w.iface, err)
	}
	w.claims = next
	return nil
}

// Close ends the watch; report is not called afterwards.
func (w *Watcher) Close() error {
	close(w.closed)
	err := w.conn.Close()
	<-w.done
	return err
}

func (w *Watcher) run() {
	defer close(w.done)
	buf := make([]byte, 128) // the rest of a longer frame does not matter
	begun, seen := time.Now(), 0
	for {
		n, _, err := w.conn.ReadFrom(buf)
		if err != nil {
			// The interface is down, or gone: who watches is told by others.
			if w.paused(floodPause) {
				return
			}
			continue
		}
		if vip, mac, ok := parseClaim(buf[:n]); ok && !w.ours(mac[:]) {
			w.heard(time.Now(), vip, mac)
		}
		if seen++; seen >= floodBatch {
			if w.paused(floodPause - time.Since(begun)) {
				return
			}
			begun, seen = time.Now(), 0
		}
	}
}

// paused waits, and says whether Close was called meanwhile.
func (w *Watcher) paused(d time.Duration) bool {
	if d <= 0 {
		return false
	}
	select {
	case <-w.closed:
		return true
	case <-time.After(d):
		return false
	}
}

// heard reports the first claim to an address at once, then with their number.
func (w *Watcher) heard(now time.Time, vip netip.Addr, mac [6]byte) {
	w.mu.Lock()
	c := w.claims[vip]
	if c == nil {
		w.mu.Unlock()
		return
	}
	c.count++
	if !c.told.IsZero() && now.Sub(c.told) < w.every {
		w.mu.Unlock()
		return
	}
	found := Conflict{Interface: w.iface, VIP: vip, MAC: mac[:], Count: c.count}
	c.told, c.count = now, 0
	w.mu.Unlock()
	w.report(found)
}

// Offsets in an Ethernet frame.
const (
	etherTypeAt = 12
	arpSHA      = 14 + 8
	arpSPA      = 14 + 14
	ip6Next     = 14 + 6
	ip6Hop      = 14 + 7
	ip6Source   = 14 + 8
	icmpType    = 14 + 40
	ndTarget    = 14 + 40 + 8
)

const (
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
	ndNS     = 135
	ndNA     = 136
)

// parseClaim reads who claims what. It is strict where a host is, so that no
// router can pass a claim on: neighbour discovery has hop limit 255.
func parseClaim(f []byte) (vip netip.Addr, mac [6]byte, ok bool) {
	if len(f) < arpSPA+4 {
		return vip, mac, false
	}
	switch binary.BigEndian.Uint16(f[etherTypeAt:]) {
	case typeARP:
		// Ethernet and IPv4 (RFC 826).
		if string(f[14:20]) != "\x00\x01\x08\x00\x06\x04" {
			return vip, mac, false
		}
		return netip.AddrFrom4([4]byte(f[arpSPA:])), [6]byte(f[arpSHA:]), true
	case typeIPv6:
		if len(f) < ndTarget+16 || f[ip6Next] != unix.IPPROTO_ICMPV6 || f[ip6Hop] != ndHopLimit {
			return vip, mac, false
		}
		detection := f[icmpType] == ndNS && [16]byte(f[ip6Source:]) == [16]byte{}
		if f[icmpType] != ndNA && !detection {
			return vip, mac, false
		}
		vip, mac = netip.AddrFrom16([16]byte(f[ndTarget:])), [6]byte(f[6:])
		// The option names the station; the frame's source may be a bridge's.
		const option = "\x02\x01" // target link-layer address, 8 bytes
		if at := ndTarget + 16; f[icmpType] == ndNA && len(f) >= at+8 && string(f[at:at+2]) == option {
			mac = [6]byte(f[at+2:])
		}
		return vip, mac, true
	}
	return vip, mac, false
}

var nothing = []bpf.RawInstruction{{Op: 0x06}} // return 0

// aboutPacket is how many of a filter's instructions ask for what is known of a
// packet beside its bytes. vlanID is the part of a tag that names the network
// (IEEE 802.1Q): 0 is none, the rest a priority.
const (
	aboutPacket = 7
	vlanID      = 0x0fff
)

// maxFiltered bounds the addresses of each family that the kernel compares: a
// filter has 4096 instructions. Of more, all claims come up.
const maxFiltered = 200

// claimsOf passes claims by others to the addresses.
func claimsOf(vips []netip.Addr) []bpf.Instruction {
	const all = 1 << 18
	pass, drop := bpf.RetConstant{Val: all}, bpf.RetConstant{Val: 0}
	var v4, v6 []netip.Addr
	for _, v := range vips {
		if v.Is4() {
			v4 = append(v4, v)
		} else {
			v6 = append(v6, v)
		}
	}
	prog := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		drop,
		// The kernel has taken the tag out of a VLAN's frame: it looks like one
		// of this network, and is another's.
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: vlanID},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		drop,
		bpf.LoadAbsolute{Off: etherTypeAt, Size: 2},
	}
	arp := []bpf.Instruction{bpf.LoadAbsolute{Off: arpSPA, Size: 4}}
	if len(v4) > maxFiltered {
		arp = append(arp, pass)
	}
	for _, v := range v4[:min(len(v4), maxFiltered)] {
		b := v.As4()
		arp = append(arp, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(b[:]), SkipTrue: 1}, pass)
	}
	arp = append(arp, drop)

	nd := []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip6Next, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 1},
		drop,
		bpf.LoadAbsolute{Off: icmpType, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndNA, SkipTrue: 12},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndNS, SkipTrue: 1},
		drop,
	}
	for i := range uint32(4) { // a solicitation that has no source yet
		nd = append(nd, bpf.LoadAbsolute{Off: ip6Source + 4*i, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: uint8(7 - 2*i)})
	}
	nd = append(nd, bpf.Jump{Skip: 1}, drop) // dropped: it has a source
	if len(v6) > maxFiltered {
		nd = append(nd, pass)
	}
	for _, v := range v6[:min(len(v6), maxFiltered)] {
		b := v.As16()
		for i := range uint32(4) {
			nd = append(nd, bpf.LoadAbsolute{Off: ndTarget + 4*i, Size: 4},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(b[4*i:]), SkipTrue: uint8(7 - 2*i)})
		}
		nd = append(nd, pass)
	}
	nd = append(nd, drop)

	prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeARP, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeIPv6, SkipTrue: 2}, drop,
		bpf.Jump{Skip: 1}, bpf.Jump{Skip: uint32(len(arp))})
	prog = append(prog, arp...)
	return append(prog, nd...)
}
