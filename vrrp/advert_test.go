package vrrp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
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

func TestAppendAdvert(t *testing.T) {
	a := Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumRFC}
	for _, tt := range []struct {
		name   string
		change func(*Advert)
		want   string
	}{
		{"v3, message alone (RFC 9568 5.2.8)", func(*Advert) {}, v3RFC},
		{"v3, with pseudo-header", func(a *Advert) { a.Checksum = ChecksumPseudo }, v3Pseudo},
		{"v2 (RFC 3768 5.3.8)", func(a *Advert) { a.Version, a.Checksum = V2, ChecksumPseudo }, v2Wire},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := a
			tt.change(&a)
			got := AppendAdvert(nil, a, addrA, vip)
			if want := unhex(t, tt.want); !bytes.Equal(got, want) {
				t.Errorf("\n got %x\nwant %x", got, want)
			}
		})
	}
	t.Run("intervals are centiseconds of 12 bits", func(t *testing.T) {
		a := a
		for d, want := range map[time.Duration]string{10 * time.Millisecond: "0001", MaxAdvertIntervalV3: "0fff"} {
			a.Interval = d
			if got := hex.EncodeToString(AppendAdvert(nil, a, addrA, vip)[4:6]); got != want {
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
		got := AppendAdvert(nil, a, addrA, many)
		if len(got)+60 > MaxPacket {
			t.Errorf("%d bytes with header, MaxPacket is %d", len(got)+60, MaxPacket)
		}
		parsed, drop := Parse(got, arrived(), &Want{Version: V2, VRID: 51, Interval: time.Second})
		if drop != DropNone || parsed.Len() != MaxAddresses || parsed.Address(254) != many[254].Prefix.Addr() {
			t.Errorf("read back: %v, %d addresses", drop, parsed.Len())
		}
	})
}

func TestParse(t *testing.T) {
	want3 := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
	want2 := Want{Version: V2, VRID: 51, Interval: time.Second, Source: addrB}

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
			if a.Len() != 1 || a.Address(0) != vip[0].Prefix.Addr() || a.VRID != 51 {
				t.Errorf("read %d addresses, first %v, VRID %d", a.Len(), a.Address(0), a.VRID)
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
	want := Want{Version: V2, VRID: 51, Interval: time.Second, Source: addrA}
	b := resum(append([]byte{0x32, 52, 150, 0, 1, 2, 0, 0}, make([]byte, 8)...))
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
		{DropAuthType, func() { b[4] = 0; resum(b) }},
		{DropAddressCount, func() { b = append(b, 1, 2, 3, 4); b[3] = 1; resum(b) }},
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

// FuzzParse looks for messages that make Parse panic, that it accepts although
// they break a rule, or that come out differently when sent again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{v3RFC, v3Pseudo, v2Wire, v3RFC + "0000"} {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(255), false)
		f.Add(b, uint8(255), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, ttl uint8, v2 bool) {
		want := Want{Version: V3, VRID: 51, Interval: time.Second, Source: addrB}
		if v2 {
			want.Version = V2
		}
		meta := arrived()
		meta.TTL = ttl
		before := bytes.Clone(b)
		a, drop := Parse(b, meta, &want)
		if !bytes.Equal(b, before) {
			t.Fatal("the message was written to")
		}
		if drop != DropNone {
			return
		}
		switch {
		case ttl != 255, a.Version != want.Version, a.VRID != want.VRID, a.Len() == 0, a.Len() != int(b[3]):
			t.Fatalf("accepted: %+v with TTL %d", a, ttl)
		case v2 && a.Interval != time.Second, a.Interval <= 0, a.Interval > MaxAdvertIntervalV3:
			t.Fatalf("accepted with an interval of %v", a.Interval)
		}
		addresses := make([]Address, a.Len())
		for i := range addresses {
			addresses[i].Prefix = netip.PrefixFrom(a.Address(i), 32)
		}
		again := AppendAdvert(nil, a, meta.Source, addresses)
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
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		buf = AppendAdvert(buf[:0], Advert{Version: V2, VRID: 51, Interval: time.Second}, addrA, vip)
	}); n != 0 {
		t.Errorf("AppendAdvert allocates %v times", n)
	}
}
