package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

var service = netip.AddrPortFrom(VIP, ServicePort)

// tcpFrame is an Ethernet frame with a TCP segment and, on request, IP options.
func tcpFrame(from, to netip.AddrPort, flags byte, sequence uint32, options int) []byte {
	b := make([]byte, 14+20+options+20)
	b[12] = 0x08 // IPv4
	ip := b[14:]
	ip[0] = 0x40 | byte((20+options)/4)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[9] = protocolTCP
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	tcp := ip[20+options:]
	binary.BigEndian.PutUint16(tcp, from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], sequence)
	tcp[12], tcp[tcpFlags] = 5<<4, flags
	return b
}

func TestOpeningsAreFiltered(t *testing.T) {
	raw, err := openingsFilter(service)()
	if err != nil {
		t.Fatal(err)
	}
	program, whole := bpf.Disassemble(raw)
	if !whole {
		t.Fatal("the program cannot be read back")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddrPort("192.168.17.105:40000")
	arp := make([]byte, 60)
	arp[12], arp[13] = 0x08, 0x06
	udp := tcpFrame(client, service, tcpSYN, 1, 0)
	udp[14+9] = 17
	v6 := tcpFrame(client, service, tcpSYN, 1, 0)
	v6[12], v6[13] = 0x86, 0xdd
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"ARP":                     {arp, true},
		"SYN to the service":      {tcpFrame(client, service, tcpSYN, 1, 0), true},
		"SYN with IP options":     {tcpFrame(client, service, tcpSYN, 1, 8), true},
		"SYN-ACK of the service":  {tcpFrame(service, client, tcpSYN|tcpACK, 1, 0), true},
		"SYN-ACK with IP options": {tcpFrame(service, client, tcpSYN|tcpACK, 1, 40), true},
		"ACK to the service":      {tcpFrame(client, service, tcpACK, 1, 0), false},
		"data of the service":     {tcpFrame(service, client, tcpACK|8, 1, 0), false},
		"SYN to another port":     {tcpFrame(client, netip.AddrPortFrom(VIP, 81), tcpSYN, 1, 0), false},
		"SYN-ACK of another port": {tcpFrame(netip.AddrPortFrom(VIP, 81), client, tcpSYN|tcpACK, 1, 0), false},
		"SYN to another host":     {tcpFrame(client, netip.AddrPortFrom(Address(RS1), ServicePort), tcpSYN, 1, 0), false},
		"another protocol":        {udp, false},
		"another family":          {v6, false},
	} {
		if n, err := vm.Run(c.frame); err != nil || (n > 0) != c.want {
			t.Errorf("%s: %d bytes pass, %v", name, n, err)
		}
		f, ok := decodeFrame(c.frame)
		if c.want && name != "ARP" && (!ok || f.tcp == nil || f.tcp.sequence != 1 || f.tcp.ack != strings.Contains(name, "ACK")) {
			t.Errorf("%s: decoded as %+v, %v", name, f.tcp, ok)
		}
	}
}

func ms(n int) time.Time { return time.Unix(1000, 0).Add(time.Duration(n) * time.Millisecond) }

func synAt(n int, sequence uint32) Frame {
	return Frame{Time: ms(n), tcp: &segment{source: netip.MustParseAddrPort("192.168.17.105:40000"), destination: service, sequence: sequence}}
}

func answerAt(n int) Frame { return Frame{Time: ms(n), tcp: &segment{source: service, ack: true}} }

func announcedAt(n int) Frame {
	return Frame{Time: ms(n), ARP: &ARP{SenderHW: net.HardwareAddr{2}, SenderIP: VIP, TargetIP: VIP}}
}

func TestWireTellsTheGap(t *testing.T) {
	frames := []Frame{
		announcedAt(1),           // of the old master, before the fault
		synAt(1, 1), answerAt(2), //
		synAt(99, 2), answerAt(99), // under way when the cable was pulled at 98
		synAt(110, 3), synAt(160, 3), synAt(130, 4),
		announcedAt(150), announcedAt(151),
		synAt(161, 3), synAt(163, 5), answerAt(164), answerAt(170),
	}
	w := wireOf(frames, service, ms(0), ms(98), ms(180))
	want := Wire{
		Answers: 4, LongestGap: 97 * time.Millisecond, GapStart: ms(2), Fault: ms(98), Announced: ms(150), LastBefore: ms(99),
		FirstAfter: ms(164), Across: 65 * time.Millisecond, FirstRequest: ms(163), Requests: 3,
	}
	if w != want {
		t.Errorf("the wire saw\n%+v, want\n%+v", w, want)
	}
	w.Limit = 65 * time.Millisecond
	text := strings.Join(w.lines(), "\n")
	for _, part := range []string{"longest gap 97.0 ms", "across the fault 65.0 ms", "65.0 ms: held", "last answer before +1.0 ms",
		"gratuitous ARP +52.0 ms", "next new SYN +65.0 ms", "first answer after +66.0 ms", "3 new SYNs"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
	if w.Limit--; !strings.Contains(w.lines()[0], "not held") {
		t.Errorf("a gap beyond the limit is told as %q", w.lines()[0])
	}
}

func TestWireWithoutAnAnswerOrAnAnnouncement(t *testing.T) {
	w := wireOf([]Frame{answerAt(10), announcedAt(50)}, service, ms(0), ms(20), ms(500))
	if w.LongestGap != 490*time.Millisecond || w.Across != 490*time.Millisecond || !w.FirstAfter.IsZero() || w.Held() {
		t.Errorf("nobody answered any more: %+v", w)
	}
	if text := w.lines()[1]; !strings.Contains(text, "first answer after never") || !strings.Contains(text, "new SYN never") {
		t.Errorf("told as %q", text)
	}
	w = wireOf([]Frame{answerAt(10), answerAt(30)}, service, ms(0), ms(20), ms(35))
	if w.LongestGap != 20*time.Millisecond || w.Across != 0 || len(w.lines()) != 1 {
		t.Errorf("nobody announced anything: %+v", w)
	}
}
