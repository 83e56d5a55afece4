package vrrp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

var vip = []Address{{Prefix: netip.MustParsePrefix("192.168.16.200/24")}}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func arrived() Meta { return Meta{Source: addrA, Destination: Group, TTL: 255} }

// Messages computed by hand from RFC 9568 section 5.1 and RFC 3768 section 5.1.
// The words of the version 3 message add up to 0x9909; the pseudo-header of
// 192.168.16.102, 224.0.0.18, 112 and 12 adds 0xb19d.
const (
	v3RFC    = "31 33 96 01 00 64 66 f6 c0a810c8"
	v3Pseudo = "31 33 96 01 00 64 b5 58 c0a810c8"
	v2Wire   = "21 33 96 01 00 01 77 59 c0a810c8 0000000000000000"
)

// Messages captured from keepalived 2.2.7, priority 150, VRID 51, every second.
const (
	k3IPv6    = "31339602 00640d52 fe800000 00000000 00000000 00000051 20010db8 00000000 00000000 00000051" // from fe80::a
	k3IPv6Uni = "31339602 0064af6a fe800000 00000000 00000000 00000051 20010db8 00000000 00000000 00000051" // from 2001:db8::a to 2001:db8::b
	k3Unicast = "31339601 0064c452 c0a810c8"                                                                // from 192.168.16.102 to 192.168.16.112
	k2Pass    = "21339601 01013a0d c0a810c8 73656372 65740000"                                              // auth_pass secret
)

var (
	linkA = netip.MustParseAddr("fe80::a")
	linkB = netip.MustParseAddr("fe80::b")
	wideA = netip.MustParseAddr("2001:db8::a")
	wideB = netip.MustParseAddr("2001:db8::b")
	addrD = netip.MustParseAddr("192.168.16.132")

	vip6 = []Address{{Prefix: netip.MustParsePrefix("fe80::51/64")}, {Prefix: netip.MustParsePrefix("2001:db8::51/64")}}
)

func arrived6() Meta { return Meta{Source: linkA, Destination: Group6, TTL: 255} }

// sentTo makes a unicast packet of a multicast one.
func sentTo(source, destination netip.Addr) func(*Meta) {
	return func(m *Meta) { m.Source, m.Destination = source, destination }
}

func TestAppendAdvert(t *testing.T) {
	a := Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumRFC}
	for _, tt := range []struct {
		name     string
		change   func(*Advert)
		from, to netip.Addr
		vips     []Address
		want     string
	}{
		{"v3, message alone (RFC 9568 5.2.8)", func(*Advert) {}, addrA, Group, vip, v3RFC},
		{"v3, with pseudo-header", func(a *Advert) { a.Checksum = ChecksumPseudo }, addrA, Group, vip, v3Pseudo},
		{"v2 (RFC 3768 5.3.8)", func(a *Advert) { a.Version, a.Checksum = V2, ChecksumPseudo }, addrA, Group, vip, v2Wire},
		{"v2 with a password, as keepalived", func(a *Advert) { a.Version, a.Password = V2, "secret" }, addrA, Group, vip, k2Pass},
		{"v3 unicast, as keepalived", func(a *Advert) { a.Checksum = ChecksumPseudo }, addrA, addrB, vip, k3Unicast},
		{"v3 over IPv6, as keepalived", func(*Advert) {}, linkA, Group6, vip6, k3IPv6},
		{"v3 over IPv6, whatever the form", func(a *Advert) { a.Checksum = ChecksumPseudo }, linkA, Group6, vip6, k3IPv6},
		{"v3 unicast over IPv6, as keepalived", func(*Advert) {}, wideA, wideB, vip6, k3IPv6Uni},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := a
			tt.change(&a)
			got := AppendAdvert(nil, a, tt.from, tt.to, tt.vips)
			if want := unhex(t, tt.want); !bytes.Equal(got, want) {
				t.Errorf("\n got %x\nwant %x", got, want)
			}
		})
	}
	t.Run("intervals are centiseconds of 12 bits", func(t *testing.T) {
		a := a
		for d, want := range map[time.Duration]string{10 * time.Millisecond: "0001", MaxAdvertIntervalV3: "0fff"} {
			a.Interval = d
			if got := hex.EncodeToString(AppendAdvert(nil, a, addrA, Group, vip)[4:6]); got != want {
				t.Errorf("%v is sent as %s, want %s", d, got, want)
			}
		}
	})
	t.Run("the longest fits MaxPacket", func(t *testing.T) {
		many := make([]Address, MaxAddresses)
		for i := range many {
			many[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 24)
		}
		a := a
		a.Version = V2
		got := AppendAdvert(nil, a, addrA, Group, many)
		if len(got)+60 > MaxPacket {
			t.Errorf("%d bytes with header, MaxPacket is %d", len(got)+60, MaxPacket)
		}
		parsed, drop := Parse(got, arrived(), &Want{Version: V2, VRID: 51, Interval: time.Second})
		if drop != DropNone || parsed.Len() != MaxAddresses || parsed.Address(254) != many[254].Prefix.Addr() {
			t.Errorf("read back: %v, %d addresses", drop, parsed.Len())
		}

		for i := range many {
			many[i].Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)}), 64)
		}
		a.Version = V3
		got = AppendAdvert(nil, a, linkA, Group6, many)
		if len(got)+ipv6HeaderLen > MaxPacket {
			t.Errorf("%d bytes with header, MaxPacket is %d", len(got)+ipv6HeaderLen, MaxPacket)
		}
		parsed, drop = Parse(got, arrived6(), &Want{Version: V3, VRID: 51})
		if drop != DropNone || parsed.Len() != MaxAddresses || parsed.Address(254) != many[254].Prefix.Addr() {
			t.Errorf("IPv6 read back: %v, %d addresses", drop, parsed.Len())
		}
	})
}

func TestParse(t *testing.T) {
	want3 := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
	want2 := Want{Version: V2, VRID: 51, Interval: time.Second, Source: addrB}
	want6 := Want{Version: V3, VRID: 51, Interval: time.Second, Source: linkB}
	secret, uni, uni6, grouped := want2, want3, want6, want3
	secret.Password = "secret"
	uni.Unicast, uni.Peers = true, []netip.Addr{addrC, addrA}
	uni6.Unicast, uni6.Peers, uni6.Source = true, []netip.Addr{wideA}, wideB
	grouped.Group = netip.MustParseAddr("224.0.0.99")
	anybody, near := uni, uni
	anybody.AnySource = true
	near.TTLMin = 254
	over6 := sentTo(linkA, Group6)

	// fix sets byte i and makes the checksum right again.
	fix := func(s string, i int, v byte) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b := unhex(t, s)
			b[i] = v
			return resum(b)
		}
	}
	raw := func(s string) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return unhex(t, s) }
	}
	cut := func(s string, n int) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return unhex(t, s)[:n] }
	}
	for _, tt := range []struct {
		name    string
		message func(*testing.T) []byte
		want    Want
		meta    func(*Meta)
		drop    DropReason
		form    ChecksumMode
	}{
		{"v3", raw(v3RFC), want3, nil, DropNone, ChecksumRFC},
		{"v3 with pseudo-header", raw(v3Pseudo), want3, nil, DropNone, ChecksumPseudo},
		{"v2", raw(v2Wire), want2, nil, DropNone, ChecksumRFC},
		{"padding is no fault", raw(v3RFC + "000000000000ff"), want3, nil, DropNone, ChecksumRFC},
		{"reserved bits are ignored (5.2.6)", fix(v3RFC, 4, 0xf0), want3, nil, DropNone, ChecksumRFC},
		{"priority 0", fix(v3RFC, 2, 0), want3, nil, DropNone, ChecksumRFC},

		{"nothing", raw(""), want3, nil, DropTooShort, ""},
		{"half a header", cut(v3RFC, 7), want3, nil, DropTooShort, ""},
		{"half an address", cut(v3RFC, 11), want3, nil, DropTooShort, ""},
		{"more addresses promised than sent", fix(v3RFC, 3, 2), want3, nil, DropTooShort, ""},
		{"v2 without its authentication data", cut(v2Wire, 19), want2, nil, DropTooShort, ""},
		{"through a router", raw(v3RFC), want3, func(m *Meta) { m.TTL = 254 }, DropTTL, ""},
		{"unicast", raw(v3RFC), want3, func(m *Meta) { m.Destination = addrB }, DropDestination, ""},
		{"v2 to a v3 instance", raw(v2Wire), want3, nil, DropVersion, ""},
		{"v3 to a v2 instance", raw(v3RFC + "0000000000000000"), want2, nil, DropVersion, ""},
		{"version 4", fix(v3RFC, 0, 0x41), want3, nil, DropVersion, ""},
		{"type 2", fix(v3RFC, 0, 0x32), want3, nil, DropType, ""},
		{"a flipped bit", func(t *testing.T) []byte { b := unhex(t, v3RFC); b[11] ^= 1; return b }, want3, nil, DropChecksum, ""},
		{"a pseudo-header of another source", raw(v3Pseudo), want3, func(m *Meta) { m.Source = addrC }, DropChecksum, ""},
		{"v2 has no pseudo-header", func(t *testing.T) []byte {
			b := unhex(t, v2Wire)
			b[6], b[7] = 0, 0
			sum := ^fold(sum16(0, b) + pseudoHeader(addrA, Group, len(b)))
			b[6], b[7] = byte(sum>>8), byte(sum)
			return b
		}, want2, nil, DropChecksum, ""},
		{"v2 covers the authentication data", func(t *testing.T) []byte { b := unhex(t, v2Wire); b[19] = 1; return b }, want2, nil, DropChecksum, ""},
		{"v2 ignores the authentication data", fix(v2Wire, 19, 1), want2, nil, DropNone, ChecksumRFC},
		{"another router", fix(v3RFC, 1, 52), want3, nil, DropVRID, ""},
		{"v2 password", fix(v2Wire, 4, 1), want2, nil, DropAuthType, ""},
		{"v3 without addresses", func(t *testing.T) []byte { b := unhex(t, v3RFC)[:8]; b[3] = 0; return resum(b) }, want3, nil, DropAddressCount, ""},
		{"v2 without addresses", func(t *testing.T) []byte {
			b := unhex(t, v2Wire)[:16]
			b[3] = 0
			return resum(append(b[:8], make([]byte, 8)...))
		}, want2, nil, DropAddressCount, ""},
		{"v2 with another interval", fix(v2Wire, 5, 2), want2, nil, DropIntervalMismatch, ""},
		{"v3 with another interval is right", fix(v3RFC, 5, 200), want3, nil, DropNone, ChecksumRFC},
		{"v3 interval 0 (erratum 8301)", fix(v3RFC, 5, 0), want3, nil, DropIntervalZero, ""},
		{"over IPv6", raw(k3IPv6), want6, over6, DropNone, ChecksumAuto},
		{"over IPv6, padding is no fault", raw(k3IPv6 + "0000"), want6, over6, DropNone, ChecksumAuto},
		{"half an IPv6 address", cut(k3IPv6, 39), want6, over6, DropTooShort, ""},
		{"IPv4 addresses over IPv6", raw(v3RFC), want6, over6, DropTooShort, ""},
		{"IPv6 addresses over IPv4", raw(k3IPv6), want3, nil, DropChecksum, ""},
		{"over IPv6 without the pseudo-header", fix(k3IPv6, 0, 0x31), want6, over6, DropChecksum, ""},
		{"over IPv6, a pseudo-header of another source", raw(k3IPv6), want6, sentTo(wideA, Group6), DropChecksum, ""},
		{"v2 over IPv6", raw("21" + k3IPv6[2:] + "0000000000000000"), want2, over6, DropVersion, ""},
		{"over IPv6 through a router", raw(k3IPv6), want6, func(m *Meta) { over6(m); m.TTL = 254 }, DropTTL, ""},
		{"over IPv6 to ourselves", raw(k3IPv6), want6, sentTo(linkA, linkB), DropDestination, ""},
		{"to another group", raw(v3RFC), want3, sentTo(addrA, grouped.Group), DropDestination, ""},
		{"to a group of our own", raw(v3RFC), grouped, sentTo(addrA, grouped.Group), DropNone, ChecksumRFC},
		{"to the common group, ours is another", raw(v3RFC), grouped, nil, DropDestination, ""},
		{"unicast of a peer", raw(k3Unicast), uni, sentTo(addrA, addrB), DropNone, ChecksumPseudo},
		{"unicast of a peer over IPv6", raw(k3IPv6Uni), uni6, sentTo(wideA, wideB), DropNone, ChecksumAuto},
		{"unicast of a stranger", raw(v3RFC), uni, sentTo(addrD, addrB), DropNotPeer, ""},
		{"unicast of a stranger, where anybody may", raw(v3RFC), anybody, sentTo(addrD, addrB), DropNone, ChecksumRFC},
		{"unicast of a stranger over IPv6", raw(k3IPv6Uni), uni6, sentTo(linkA, wideB), DropNotPeer, ""},
		{"multicast of a peer", raw(v3RFC), uni, nil, DropDestination, ""},
		{"multicast of a peer over IPv6", raw(k3IPv6Uni), uni6, sentTo(wideA, Group6), DropDestination, ""},
		{"broadcast of a peer", raw(v3RFC), uni, sentTo(addrA, broadcast), DropDestination, ""},
		{"unicast through a router", raw(v3RFC), uni, func(m *Meta) { m.Destination, m.TTL = addrB, 254 }, DropTTL, ""},
		{"unicast through as many routers as may be", raw(v3RFC), near, func(m *Meta) { m.Destination, m.TTL = addrB, 254 }, DropNone, ChecksumRFC},
		{"unicast through one router more", raw(v3RFC), near, func(m *Meta) { m.Destination, m.TTL = addrB, 253 }, DropTTL, ""},
		{"unicast of ourselves", raw(v3RFC), uni, sentTo(addrB, addrB), DropOwnPacket, ""},
		{"v2 with the password", raw(k2Pass), secret, nil, DropNone, ChecksumRFC},
		{"v2 with another password", fix(k2Pass, 12, 'S'), secret, nil, DropAuthData, ""},
		{"v2 with a longer password", fix(k2Pass, 18, 's'), secret, nil, DropAuthData, ""},
		{"v2 without the password", raw(v2Wire), secret, nil, DropAuthType, ""},
		{"v2 with authentication by header", fix(k2Pass, 4, 2), secret, nil, DropAuthType, ""},
		{"v2 with a password that we have not", raw(k2Pass), want2, nil, DropAuthType, ""},
		{"our own", raw(v3RFC), want3, func(m *Meta) { m.Source = addrB }, DropOwnPacket, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			meta := arrived()
			if tt.meta != nil {
				tt.meta(&meta)
			}
			a, drop := Parse(tt.message(t), meta, &tt.want)
			if drop != tt.drop {
				t.Fatalf("dropped for %q, want %q", drop, tt.drop)
			}
			if drop != DropNone {
				return
			}
			if a.Checksum != tt.form {
				t.Errorf("checksum form %q, want %q", a.Checksum, tt.form)
			}
			vips := vip
			if meta.Destination.Is6() {
				vips = vip6
			}
			if a.Len() != len(vips) || a.Address(a.Len()-1) != vips[len(vips)-1].Prefix.Addr() || a.VRID != 51 {
				t.Errorf("read %d addresses, last %v, VRID %d", a.Len(), a.Address(a.Len()-1), a.VRID)
			}
		})
	}
}

// resum makes the checksum right, without pseudo-header.
func resum(b []byte) []byte {
	b[6], b[7] = 0, 0
	sum := ^fold(sum16(0, b))
	b[6], b[7] = byte(sum>>8), byte(sum)
	return b
}

// A packet with every fault at once is dropped for the first; mended, for the
// next: the order of the checks is the order of the constants.
func TestParseOrder(t *testing.T) {
	want := Want{Version: V2, VRID: 51, Interval: time.Second, Source: addrA, Password: "secret"}
	b := resum(append([]byte{0x32, 52, 150, 0, 2, 2, 0, 0}, make([]byte, 8)...))
	b[6] ^= 0xff
	meta := Meta{Source: addrA, Destination: addrB, TTL: 1}
	steps := []struct {
		drop DropReason
		mend func()
	}{
		{DropTTL, func() { meta.TTL = 255 }},
		{DropDestination, func() { meta.Destination = Group }},
		{DropVersion, func() { b[0] = 0x22 }},
		{DropType, func() { b[0] = 0x21 }},
		{DropChecksum, func() { resum(b) }},
		{DropVRID, func() { b[1] = 51; resum(b) }},
		{DropAuthType, func() { b[4] = 1; resum(b) }},
		{DropAuthData, func() { copy(b[8:], "secret"); resum(b) }},
		{DropAddressCount, func() { b = append(b[:8], "\x01\x02\x03\x04secret\x00\x00"...); b[3] = 1; resum(b) }},
		{DropIntervalMismatch, func() { b[5] = 1; resum(b) }},
		{DropOwnPacket, func() { meta.Source = addrC }},
		{DropNone, func() {}},
	}
	for _, s := range steps {
		if _, drop := Parse(b, meta, &want); drop != s.drop {
			t.Fatalf("dropped for %q, want %q", drop, s.drop)
		}
		s.mend()
	}
}

// The same for what only unicast and only version 3 can have.
func TestParseOrderUnicast(t *testing.T) {
	want := Want{Version: V3, VRID: 51, Source: wideA, Unicast: true, Peers: []netip.Addr{wideB}}
	b := []byte{0x32, 52, 150, 0, 0xf0, 0, 0, 0}
	meta := Meta{Source: linkB, Destination: Group6, TTL: 1}
	right := func() {
		b[6], b[7] = 0, 0
		sum := ^fold(sum16(0, b) + pseudoHeader(meta.Source, meta.Destination, len(b)))
		b[6], b[7] = byte(sum>>8), byte(sum)
	}
	steps := []struct {
		drop DropReason
		mend func()
	}{
		{DropTTL, func() { meta.TTL = 255 }},
		{DropDestination, func() { meta.Destination = wideA }},
		{DropNotPeer, func() { meta.Source = wideB }},
		{DropType, func() { b[0] = 0x31 }},
		{DropChecksum, right},
		{DropVRID, func() { b[1] = 51; right() }},
		{DropAddressCount, func() { b = append(b, make([]byte, 16)...); b[3] = 1; right() }},
		{DropIntervalZero, func() { b[5] = 1; right() }},
		{DropNone, func() {}},
	}
	last := DropNone
	for _, s := range steps {
		_, drop := Parse(b, meta, &want)
		if drop != s.drop || drop != DropNone && drop <= last {
			t.Fatalf("dropped for %q after %q, want %q", drop, last, s.drop)
		}
		last = drop
		s.mend()
	}
}

func TestChecksumFormsThatAgree(t *testing.T) {
	// A source whose pseudo-header adds up to 0xffff tells nothing.
	b := unhex(t, v3RFC)
	rest := fold(pseudoHeader(netip.IPv4Unspecified(), Group, len(b)))
	source := netip.AddrFrom4([4]byte{0, 0, byte(^rest >> 8), byte(^rest)})
	form, ok := checksumForm(b, V3, source, Group)
	if form != ChecksumAuto || !ok {
		t.Errorf("form %q, %v, want %q", form, ok, ChecksumAuto)
	}
}

func TestDropReasonText(t *testing.T) {
	seen := map[string]bool{}
	for r := DropNone; int(r) < dropReasons; r++ {
		text, err := r.MarshalText()
		if err != nil || seen[string(text)] || r != DropNone && len(text) == 0 {
			t.Errorf("%d: %q, %v", r, text, err)
		}
		seen[string(text)] = true
		var back DropReason
		if err := back.UnmarshalText(text); err != nil || back != r {
			t.Errorf("%q is read as %d, %v, want %d", text, back, err, r)
		}
	}
	var r DropReason
	if err := r.UnmarshalText([]byte("nonsense")); err == nil {
		t.Error("nonsense is read without an error")
	}
}

// docs/events.md explains each reason, in the order of the checks.
func TestDropReasonsAreExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for r := DropNone + 1; int(r) < dropReasons; r++ {
		at := strings.Index(string(text), "\n| `"+r.String()+"` | ")
		if at <= last {
			t.Errorf("%s is not in the table, or not in its place", r)
			continue
		}
		last = at
	}
}

// FuzzParse looks for messages that make Parse panic, that it accepts although
// they break a rule, or that come out differently when sent again. how has a
// bit for each way in which an instance may differ.
func FuzzParse(f *testing.F) {
	const v2, six, unicast, password = 1, 2, 4, 8
	add := func(s string, hows ...uint8) {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		for _, how := range hows {
			f.Add(b, uint8(255), how)
		}
	}
	for _, s := range []string{v3RFC, v3Pseudo, v2Wire, v3RFC + "0000"} {
		add(s, 0, v2)
	}
	add(k3IPv6, six, six|v2)
	add(k3IPv6Uni, six|unicast)
	add(k3Unicast, unicast)
	add(k2Pass, v2|password, v2, v2|unicast|password)
	f.Fuzz(func(t *testing.T, b []byte, ttl, how uint8) {
		want := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
		meta := arrived()
		if how&six != 0 {
			want.Source = linkB
			meta = arrived6()
		}
		if how&unicast != 0 {
			if how&six != 0 {
				meta.Source, want.Source = wideA, wideB
			}
			meta.Destination = want.Source
			want.Unicast, want.Peers, want.TTLMin = true, []netip.Addr{meta.Source}, 64
		}
		if how&v2 != 0 {
			want.Version = V2
		}
		if how&password != 0 {
			want.Password = "secret"
		}
		meta.TTL = ttl
		before := bytes.Clone(b)
		a, drop := Parse(b, meta, &want)
		if !bytes.Equal(b, before) {
			t.Fatal("the message was written to")
		}
		if drop != DropNone {
			if told := want.mismatch(drop, b, &meta).String(); strings.Contains(told, "secret") || len(told) > 120 {
				t.Fatalf("it is told as %q", told)
			}
			return
		}
		switch {
		case a.Version != want.Version, a.VRID != want.VRID, a.Len() == 0, a.Len() != int(b[3]):
			t.Fatalf("accepted: %+v", a)
		case ttl != 255 && (how&unicast == 0 || ttl < 64):
			t.Fatalf("accepted with TTL %d", ttl)
		case how&(v2|six) == v2|six:
			t.Fatalf("accepted version 2 over IPv6: %+v", a)
		case how&v2 != 0 && a.Interval != time.Second, a.Interval <= 0, a.Interval > MaxAdvertIntervalV3:
			t.Fatalf("accepted with an interval of %v", a.Interval)
		case how&(v2|password) == v2|password && !bytes.Equal(b[8+4*a.Len():][:8], []byte("secret\x00\x00")):
			t.Fatal("accepted without the password")
		}
		addresses := make([]Address, a.Len())
		for i := range addresses {
			addresses[i].Prefix = netip.PrefixFrom(a.Address(i), a.Address(i).BitLen())
		}
		send := a
		send.Password = want.Password
		again := AppendAdvert(nil, send, meta.Source, meta.Destination, addresses)
		c, drop := Parse(again, meta, &want)
		if drop != DropNone || c.Priority != a.Priority || c.Interval != a.Interval || !bytes.Equal(c.addresses, a.addresses) {
			t.Fatalf("sent again it is %+v (%v), was %+v", c, drop, a)
		}
	})
}

func TestParseAndAppendDoNotAllocate(t *testing.T) {
	b := unhex(t, v3Pseudo)
	want := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
	if n := testing.AllocsPerRun(100, func() {
		if _, drop := Parse(b, arrived(), &want); drop != DropNone {
			t.Fatal(drop)
		}
	}); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
	b6, secret, peers := unhex(t, k3IPv6), unhex(t, k2Pass), unhex(t, k3IPv6Uni)
	want6 := Want{Version: V3, VRID: 51, Source: linkB}
	want2 := Want{Version: V2, VRID: 51, Interval: time.Second, Password: "secret"}
	wantUni := Want{Version: V3, VRID: 51, Source: wideB, Unicast: true, Peers: []netip.Addr{linkA, wideA}}
	if n := testing.AllocsPerRun(100, func() {
		_, drop6 := Parse(b6, arrived6(), &want6)
		_, drop2 := Parse(secret, arrived(), &want2)
		_, dropUni := Parse(peers, Meta{Source: wideA, Destination: wideB, TTL: 255}, &wantUni)
		if drop6 != DropNone || drop2 != DropNone || dropUni != DropNone {
			t.Fatal(drop6, drop2, dropUni)
		}
	}); n != 0 {
		t.Errorf("Parse of IPv6, unicast and passwords allocates %v times", n)
	}
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		buf = AppendAdvert(buf[:0], Advert{Version: V2, VRID: 51, Interval: time.Second, Password: "secret"}, addrA, Group, vip)
		buf = AppendAdvert(buf[:0], Advert{Version: V3, VRID: 51, Interval: time.Second}, linkA, Group6, vip6)
	}); n != 0 {
		t.Errorf("AppendAdvert allocates %v times", n)
	}
}
