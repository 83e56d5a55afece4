package netif

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

// relaySegments relays port 80 of 192.0.2.200 through an Ethernet of 1500 bytes.
func relaySegments() *segments {
	s := &segments{vips: []netip.Addr{netip.MustParseAddr("192.0.2.200")}, ports: []uint16{80}, mtu: 1500}
	copy(s.front[:], unhexOrPanic("020000000001"+"020000000002"+"0800"))
	return s
}

func unhexOrPanic(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// segment is an ACK with payload to 192.0.2.200:80 as it stands in a buffer.
func segment(payload int, change func(ip []byte)) []byte {
	ip := make([]byte, 20+24+payload)
	ip[0], ip[8], ip[9] = 0x45, 63, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], []byte{198, 51, 100, 5, 192, 0, 2, 200})
	tcp := ip[20:]
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = 6<<4, 0x10 // 24 bytes of header, ACK
	for i := range payload {
		tcp[24+i] = byte(i)
	}
	binary.BigEndian.PutUint16(tcp[16:], ^fold(sum(tcp, sum(ip[12:20], 6+uint32(len(tcp))))))
	if change != nil {
		change(ip)
	}
	return append(make([]byte, frontLen), ip...)
}

func TestFrame(t *testing.T) {
	got := relaySegments().frame(segment(3, nil))
	ip := segment(3, nil)[frontLen:]
	ip[8] = relayTTL
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:20], 0)))
	binary.BigEndian.PutUint16(ip[36:], fold(sum(ip[12:20], 6+27))) // pseudo-header, RFC 9293 §3.1
	vnet := []byte{1, 0}
	for _, v := range []uint16{0, 0, 14 + 20, 16} {
		vnet = binary.NativeEndian.AppendUint16(vnet, v)
	}
	want := append(append(vnet, unhexOrPanic("0200000000010200000000020800")...), ip...)
	if !bytes.Equal(got, want) {
		t.Errorf("frame\n%x, want\n%x", got, want)
	}
	// What the receiver's side adds must make a right checksum.
	if sum := fold(sum(got[frontLen:frontLen+20], 0)); sum != 0xffff {
		t.Errorf("header checksum adds up to %#x", sum)
	}
}

func TestFrameOfMergedSegments(t *testing.T) {
	got := relaySegments().frame(segment(4000, nil))
	if got == nil {
		t.Fatal("not relayed")
	}
	kind, head, size := got[1], binary.NativeEndian.Uint16(got[2:]), binary.NativeEndian.Uint16(got[4:])
	if kind != 1 || head != 14+20+24 || size != 1500-20-24 {
		t.Errorf("gso type %d, header %d, size %d, want 1, 58, 1456", kind, head, size)
	}
	if got := relaySegments().frame(segment(1500-44, nil)); got == nil || got[1] != 0 {
		t.Error("a segment that just fits is divided")
	}
}

func TestFrameRelays(t *testing.T) {
	tests := []struct {
		name    string
		payload int
		change  func(ip []byte)
		want    bool
	}{
		{"acknowledgement", 0, nil, true},
		{"odd payload", 5, nil, true},
		{"checksum left to the hardware", 5, func(ip []byte) {
			binary.BigEndian.PutUint16(ip[36:], fold(sum(ip[12:20], 6+29)))
		}, true},
		{"padded to the ethernet minimum", 2, func(ip []byte) {}, true},
		{"damaged", 5, func(ip []byte) { ip[46] ^= 0x40 }, false},
		{"another address", 5, func(ip []byte) { ip[19]++ }, false},
		{"another port", 5, func(ip []byte) { ip[23]++ }, false},
		{"opens a connection", 0, func(ip []byte) { ip[33] |= 0x02 }, false},
		{"was relayed already", 0, func(ip []byte) { ip[8] = relayTTL }, false},
		{"udp", 0, func(ip []byte) { ip[9] = 17 }, false},
		{"ipv6", 0, func(ip []byte) { ip[0] = 0x65 }, false},
		{"header too short", 0, func(ip []byte) { ip[0] = 0x44 }, false},
		{"header too long", 0, func(ip []byte) { ip[0] = 0x4f }, false},
		{"longer than it is", 0, func(ip []byte) { ip[3]++ }, false},
		{"tcp header too short", 0, func(ip []byte) { ip[32] = 4 << 4 }, false},
		{"tcp header too long", 0, func(ip []byte) { ip[32] = 15 << 4 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			buf := segment(tt.payload, tt.change)
			if tt.name == "padded to the ethernet minimum" {
				buf = append(buf, 0xff, 0xff)
			}
			if got := relaySegments().frame(buf) != nil; got != tt.want {
				t.Errorf("relayed: %t, want %t", got, tt.want)
			}
		})
	}
	for n := range len(segment(0, nil)) {
		if relaySegments().frame(segment(0, nil)[:n]) != nil {
			t.Errorf("relayed the first %d bytes", n)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(segment(3, nil)[frontLen:])
	f.Add(segment(4000, nil)[frontLen:])
	f.Add([]byte{0x4f})
	s := relaySegments()
	s.ports = nil
	f.Fuzz(func(t *testing.T, packet []byte) {
		buf := append(make([]byte, frontLen), packet...)
		frame := s.frame(buf)
		if frame == nil {
			return
		}
		if len(frame) > len(buf) || frame[frontLen+8] != relayTTL || packet[8] <= relayTTL {
			t.Errorf("framed %x as %x", packet, frame)
		}
		if s.frame(bytes.Clone(frame)) != nil {
			t.Errorf("would be relayed again: %x", frame)
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	s, buf, fresh := relaySegments(), segment(1400, nil), segment(1400, nil)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, fresh)
		if s.frame(buf) == nil {
			b.Fatal("not relayed")
		}
	}
}
