package integration

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

// stranger is a host that speaks VRRP to the directors without being asked.
type stranger struct {
	l    *lab.Lab
	node string // from whose interface it speaks
}

// advert is a version 3 advert of the lab's router as it stands on the wire,
// valid until a test changes it.
type advert struct {
	source, destination netip.Addr
	mac                 net.HardwareAddr // of the destination
	ttl                 byte
	options             int // bytes of IP options
	message             []byte
	keepChecksum        bool
}

func (s stranger) advert(priority byte) advert {
	message := append([]byte{0x31, 51, priority, 1, 0, 100, 0, 0}, lab.VIP.AsSlice()...)
	return advert{
		source: lab.Address(s.node), destination: netip.AddrFrom4([4]byte{224, 0, 0, 18}), mac: net.HardwareAddr{1, 0, 0x5e, 0, 0, 18},
		ttl: 255, message: message,
	}
}

// frame writes it down: Ethernet, IPv4 and the message with its checksum.
func (s stranger) frame(a advert) []byte {
	if !a.keepChecksum && len(a.message) >= 8 {
		binary.BigEndian.PutUint16(a.message[6:], 0)
		binary.BigEndian.PutUint16(a.message[6:], internetSum(a.message))
	}
	ip := make([]byte, 20+a.options)
	ip[0] = 0x40 | byte(len(ip)/4)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(a.message)))
	ip[8], ip[9] = a.ttl, 112
	copy(ip[12:], a.source.AsSlice())
	copy(ip[16:], a.destination.AsSlice())
	for i := 20; i < len(ip); i++ {
		ip[i] = 1 // no operation
	}
	binary.BigEndian.PutUint16(ip[10:], internetSum(ip))
	out := append([]byte{}, a.mac...)
	out = append(out, lab.HardwareAddress(s.node)...)
	out = append(out, 0x08, 0x00)
	return append(append(out, ip...), a.message...)
}

// internetSum is RFC 1071's checksum.
func internetSum(b []byte) uint16 {
	var sum uint32
	for len(b) > 1 {
		sum += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (s stranger) send(t *testing.T, a advert) {
	t.Helper()
	if err := s.l.In(s.node, func() error { return transmit(s.frame(a)) }); err != nil {
		t.Fatal(err)
	}
}

// TestStrangePackets is fault 14: what is no advert is dropped with its own
// reason, told and counted, and moves nobody; what is one counts.
func TestStrangePackets(t *testing.T) {
	l := start(t, lab.Options{})
	s := stranger{l, lab.RS1}
	begun := map[string]int{}
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		begun[node] = len(logged(t, l, node, event.VRRPTransition))
	}
	for reason, change := range map[string]func(*advert){
		"ttl":           func(a *advert) { a.ttl = 254 },
		"checksum":      func(a *advert) { a.message[6], a.keepChecksum = 0x5a, true },
		"version":       func(a *advert) { a.message[0] = 0x41 },
		"type":          func(a *advert) { a.message[0] = 0x32 },
		"too_short":     func(a *advert) { a.message = a.message[:10] },
		"address_count": func(a *advert) { a.message[3], a.message = 0, a.message[:8] },
		"interval_zero": func(a *advert) { a.message[4], a.message[5] = 0, 0 },
		"vrid":          func(a *advert) { a.message[1] = 52 },
	} {
		a := s.advert(200) // whoever heard it would give way
		change(&a)
		s.send(t, a)
		for _, node := range []string{lab.LVSA, lab.LVSB} {
			dropped(t, l, node, reason, lab.Address(s.node))
		}
	}
	t.Run("unicast", func(t *testing.T) {
		a := s.advert(200)
		a.destination, a.mac = lab.Address(lab.LVSA), lab.HardwareAddress(lab.LVSA)
		s.send(t, a)
		dropped(t, l, lab.LVSA, "destination", lab.Address(s.node))
	})
	t.Run("more addresses than it holds", func(t *testing.T) {
		a := s.advert(200)
		a.message[3] = 2
		s.send(t, a)
		within(t, "it to be counted", func() string {
			if n := droppedCount(t, l, lab.LVSB, "too_short"); n < 2 {
				return fmt.Sprintf("%d are", n)
			}
			return ""
		})
	})
	t.Run("our own, looped back", func(t *testing.T) {
		a := s.advert(150)
		a.source = lab.Address(lab.LVSA)
		s.send(t, a)
		// The kernel may drop it as a martian before lvs-a sees it.
		t.Logf("lvs-a has dropped %d", droppedCount(t, l, lab.LVSA, "own_packet"))
	})
	// Valid adverts that must not move anybody: the master answers them.
	for _, priority := range []byte{0, 10, 100} {
		s.send(t, s.advert(priority))
	}
	oversized := s.advert(10)
	oversized.message = append(oversized.message, make([]byte, 1200)...)
	s.send(t, oversized)
	within(t, "the stranger to be told", func() string {
		for _, e := range logged(t, l, lab.LVSA, event.VRRPPeerFound, event.VRRPPeerChanged) {
			if e.Get(event.Peer) == lab.Address(s.node).String() {
				return ""
			}
		}
		return "no line names it"
	})
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if n := len(logged(t, l, node, event.VRRPTransition)) - begun[node]; n > 0 {
			t.Errorf("%s: %d transitions", node, n)
		}
	}
	// One that all must believe, with IP options: sent last, what was sent
	// before has been read when it shows.
	loud := s.advert(255)
	loud.options = 4
	s.send(t, loud)
	within(t, "lvs-a to give way and to come back", func() string {
		lines := logged(t, l, lab.LVSA, event.VRRPTransition)
		if n := len(lines) - begun[lab.LVSA]; n < 2 {
			return fmt.Sprintf("%d transitions", n)
		}
		return ""
	})
	away := logged(t, l, lab.LVSA, event.VRRPTransition)[begun[lab.LVSA]]
	if away.Get(event.To) != "BACKUP" || away.Get(event.Peer) != lab.Address(s.node).String() || away.Get(event.Priority) != "255" {
		t.Errorf("the first transition of lvs-a after its start is %v", away.Fields)
	}
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// dropped waits until a director has told of a drop and counts it.
func dropped(t *testing.T, l *lab.Lab, node, reason string, peer netip.Addr) {
	t.Helper()
	within(t, node+" to drop "+reason, func() string {
		for _, e := range logged(t, l, node, event.VRRPAdvertDropped) {
			if e.Get(event.Reason) == reason && e.Get(event.Peer) == peer.String() {
				return ""
			}
		}
		return "no line says so"
	})
	if reason == "vrid" {
		return // it belongs to no instance
	}
	if droppedCount(t, l, node, reason) == 0 {
		t.Errorf("%s counts no %s", node, reason)
	}
}

func droppedCount(t *testing.T, l *lab.Lab, node, reason string) uint64 {
	t.Helper()
	st, err := l.DirectorStatus(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	return st.Instances[0].Dropped[reason]
}
