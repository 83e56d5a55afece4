package pathcheck

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var (
	own4, vip4, rs4 = netip.MustParseAddr("192.168.16.102"), netip.MustParseAddr("192.168.16.200"), netip.MustParseAddr("192.168.16.103")
	own6, vip6, rs6 = netip.MustParseAddr("2001:db8::102"), netip.MustParseAddr("2001:db8::200"), netip.MustParseAddr("2001:db8::103")
	mac             = net.HardwareAddr{2, 0, 0, 0, 0, 0x66}
	station         = net.HardwareAddr{2, 0, 0, 0, 0, 0x67}
)

// golden compares bytes with hexadecimal text; | and blanks divide it for the
// reader.
func golden(t *testing.T, name string, got []byte, want string) {
	t.Helper()
	if g := hex.EncodeToString(got); g != strings.NewReplacer("|", "", " ", "").Replace(want) {
		t.Errorf("%s is\n%s, want\n%s", name, g, want)
	}
}

func TestGoldenPackets(t *testing.T) {
	syn4 := segment(netip.AddrPortFrom(own4, 61440), netip.AddrPortFrom(vip4, 80), 0x01020304, flagSYN)
	golden(t, "syn over ipv4", syn4, golden4)
	golden(t, "rst over ipv4", segment(netip.AddrPortFrom(own4, 61440), netip.AddrPortFrom(vip4, 80), 0x01020305, flagRST), goldenReset)
	syn6 := segment(netip.AddrPortFrom(own6, 61440), netip.AddrPortFrom(vip6, 80), 0x01020304, flagSYN)
	golden(t, "syn over ipv6", syn6, golden6)
	golden(t, "ipip", Tunnel{}.encapsulate(own4, rs4, 61440, syn4), "4500 0040 0000 4000 4004 989c c0a81066 c0a81067|"+golden4)
	golden(t, "ipv6 in ipip", Tunnel{}.encapsulate(own4, rs4, 61440, syn6), "4500 0054 0000 4000 4029 9863 c0a81066 c0a81067|"+golden6)
	golden(t, "ip6ip6", Tunnel{}.encapsulate(own6, rs6, 61440, syn6),
		"60000000 0040 29 40 20010db8000000000000000000000102 20010db8000000000000000000000103|"+golden6)
	golden(t, "gre", Tunnel{Encapsulation: GRE}.encapsulate(own4, rs4, 61440, syn4), "4500 0044 0000 4000 402f 986d c0a81066 c0a81067|0000 0800|"+golden4)
	golden(t, "gre with checksum", Tunnel{Encapsulation: GRE, Checksum: true}.encapsulate(own4, rs4, 61440, syn4),
		"4500 0048 0000 4000 402f 9869 c0a81066 c0a81067|8000 0800 "+goldenGRE+" 0000|"+golden4)
	golden(t, "gue", Tunnel{Encapsulation: GUE, Port: 5555}.encapsulate(own4, rs4, 61440, syn4),
		"4500 004c 0000 4000 4011 9883 c0a81066 c0a81067|f000 15b3 0038 0000|00 04 0000|"+golden4)
	golden(t, "gue with checksum", Tunnel{Encapsulation: GUE, Port: 5555, Checksum: true}.encapsulate(own4, rs4, 61440, syn4),
		"4500 004c 0000 4000 4011 9883 c0a81066 c0a81067|f000 15b3 0038 "+goldenGUE+"|00 04 0000|"+golden4)

	arp, err := whoHas(vip4, own4, mac, station)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "arp", arp, "020000000067 020000000066 0806|0001 0800 06 04 0001 020000000066 00000000 000000000000 c0a810c8|000000000000000000000000000000000000")
	ns, err := whoHas(vip6, own6, mac, station)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "neighbour solicitation", ns, "020000000067 020000000066 86dd|60000000 0020 3a ff 20010db8000000000000000000000102 ff0200000000000000000001ff000200|"+goldenNS)
}

// frames are those that a server sends, by what they are.
func frames(t testing.TB) map[string][]byte {
	t.Helper()
	in := func(ip []byte) []byte {
		f, err := inFrame(mac, station, ip)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	tcp := func(from, to netip.Addr, flags byte) []byte {
		ip := segment(netip.AddrPortFrom(from, 80), netip.AddrPortFrom(to, 61440), 7, flags)
		at := len(ip) - tcpLen
		if flags&flagSYN != 0 {
			at -= 4
		}
		copy(ip[at+8:], "\x01\x02\x03\x05") // acknowledged
		return in(ip)
	}
	reply, err := whoHas(vip4, own4, station, mac)
	if err != nil {
		t.Fatal(err)
	}
	reply[21] = 2 // the operation
	copy(reply[28:], vip4.AsSlice())
	na := make([]byte, 32)
	na[0] = 136
	copy(na[8:], vip6.AsSlice())
	copy(na[24:], "\x02\x01\x02\x00\x00\x00\x00\x99")
	return map[string][]byte{
		"syn-ack": tcp(vip4, own4, flagSYN|flagACK), "reset": tcp(vip4, own4, flagRST|flagACK), "ack": tcp(vip4, own4, flagACK),
		"syn-ack6": tcp(vip6, own6, flagSYN|flagACK), "reset6": tcp(vip6, own6, flagRST|flagACK),
		"reply": reply, "advertisement": in(ipPacket(rs6, own6, unix.IPPROTO_ICMPV6, ndHL, na)),
		"far advertisement": in(ipPacket(rs6, own6, unix.IPPROTO_ICMPV6, ndHL-1, na)),
	}
}

func TestParse(t *testing.T) {
	at4, to4 := netip.AddrPortFrom(vip4, 80), netip.AddrPortFrom(own4, 61440)
	at6, to6 := netip.AddrPortFrom(vip6, 80), netip.AddrPortFrom(own6, 61440)
	want := map[string]answer{
		"syn-ack":       {kind: synAck, vip: at4, local: to4, seq: 7, ack: 0x01020305},
		"reset":         {kind: reset, vip: at4, local: to4, seq: 7, ack: 0x01020305},
		"syn-ack6":      {kind: synAck, vip: at6, local: to6, seq: 7, ack: 0x01020305},
		"reset6":        {kind: reset, vip: at6, local: to6, seq: 7, ack: 0x01020305},
		"reply":         {kind: claim, vip: netip.AddrPortFrom(vip4, 0), mac: [6]byte(station)},
		"advertisement": {kind: claim, vip: netip.AddrPortFrom(vip6, 0), mac: [6]byte{2, 0, 0, 0, 0, 0x99}},
	}
	for name, f := range frames(t) {
		got, ok := parse(f)
		if w, expected := want[name]; got != w || ok != expected {
			t.Errorf("%s is %+v, %v; want %+v", name, got, ok, w)
		}
		for n := range f {
			parse(f[:n])
		}
	}
	fragment := frames(t)["syn-ack"]
	fragment[etherLen+7] = 1
	if a, ok := parse(fragment); ok {
		t.Errorf("a later fragment is %+v", a)
	}
}

func TestFilter(t *testing.T) {
	second4, second6 := own4.Next(), own6.Next()
	elsewhere := func(f []byte, at int, by byte) []byte {
		g := append([]byte(nil), f...)
		g[at] ^= by
		return g
	}
	all := frames(t)
	for _, tt := range []struct {
		name  string
		proto uint16
		own   []netip.Addr
		frame []byte
		want  bool
	}{
		{"syn-ack", unix.ETH_P_IP, []netip.Addr{own4}, all["syn-ack"], true},
		{"syn-ack to the second address", unix.ETH_P_IP, []netip.Addr{second4, own4}, all["syn-ack"], true},
		{"syn-ack to another", unix.ETH_P_IP, []netip.Addr{second4}, all["syn-ack"], false},
		{"syn-ack to a lower port", unix.ETH_P_IP, []netip.Addr{own4}, elsewhere(all["syn-ack"], etherLen+ip4Len+2, 0x80), false},
		{"syn-ack to a higher port", unix.ETH_P_IP, []netip.Addr{own4}, elsewhere(all["syn-ack"], etherLen+ip4Len+2, 0x0f), false},
		{"udp", unix.ETH_P_IP, []netip.Addr{own4}, elsewhere(all["syn-ack"], etherLen+9, 6^17), false},
		{"later fragment", unix.ETH_P_IP, []netip.Addr{own4}, elsewhere(all["syn-ack"], etherLen+7, 1), false},
		{"syn-ack6", unix.ETH_P_IPV6, []netip.Addr{own6}, all["syn-ack6"], true},
		{"syn-ack6 to the second address", unix.ETH_P_IPV6, []netip.Addr{second6, own6}, all["syn-ack6"], true},
		{"syn-ack6 to another", unix.ETH_P_IPV6, []netip.Addr{second6}, all["syn-ack6"], false},
		{"syn-ack6 to a lower port", unix.ETH_P_IPV6, []netip.Addr{own6}, elsewhere(all["syn-ack6"], etherLen+ip6Len+2, 0x80), false},
		{"advertisement", unix.ETH_P_IPV6, []netip.Addr{own6}, all["advertisement"], true},
		{"solicitation", unix.ETH_P_IPV6, []netip.Addr{own6}, elsewhere(all["advertisement"], etherLen+ip6Len, 136^135), false},
		{"reply", unix.ETH_P_ARP, nil, all["reply"], true},
		{"request", unix.ETH_P_ARP, nil, elsewhere(all["reply"], etherLen+7, 3), false},
	} {
		vm, err := bpf.NewVM(filter(tt.proto, tt.own))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := vm.Run(tt.frame); err != nil || n > 0 != tt.want {
			t.Errorf("%s: passes %v (%v), want %v", tt.name, n > 0, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range frames(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parse(b)
		if !ok {
			return
		}
		if a.kind == 0 || !a.vip.Addr().IsValid() || a.vip.Addr().Is4In6() && len(b) < etherLen+ip6Len {
			t.Errorf("parsed %x as %+v", b, a)
		}
		if (a.kind == claim) == a.local.IsValid() {
			t.Errorf("%+v has a receiver that does not fit", a)
		}
	})
}

// What IPv4, TCP, GRE, UDP and ICMPv6 have in their checksum fields was computed
// by another program; and kernels answer to them in the tests that have one.
const (
	golden4     = "4500002c000040000106d74d c0a81066 c0a810c8|f0000050 01020304 00000000 6002 faf006600000020405b4"
	goldenReset = "45000028000040000106d751 c0a81066 c0a810c8|f0000050 01020305 00000000 5004 0000190a0000"
	golden6     = "6000000000180601 20010db8000000000000000000000102 20010db8000000000000000000000200|f0000050 01020304 00000000 6002 faf04a7f0000020405a0"
	goldenGRE   = "1a9d"
	goldenGUE   = "fa45"
	goldenNS    = "870016c5 00000000 20010db8000000000000000000000200 0101020000000066"
)
