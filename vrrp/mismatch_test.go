package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// TestMismatchNamesBoth: what the packet has and what it must have, for whoever
// compares two configurations; and nothing that is secret.
func TestMismatchNamesBoth(t *testing.T) {
	v2 := Want{Version: V2, VRID: 51, Interval: time.Second, Source: addrA}
	secret := v2
	secret.Password = "secret"
	v3 := Want{Version: V3, VRID: 51, Source: addrA}
	six := Want{Version: V3, VRID: 51, Source: linkA}
	group := v3
	group.Group = netip.MustParseAddr("224.0.0.99")
	unicast := v3
	unicast.Unicast, unicast.Peers, unicast.TTLMin = true, []netip.Addr{addrB}, 64
	// These messages are right, see there.
	broken := func(message string, from netip.Addr) func(*[]byte, *Meta) {
		return func(b *[]byte, m *Meta) {
			*b, m.Source = unhex(t, message), from
			(*b)[6], (*b)[7] = 0x12, 0x34
		}
	}
	for name, tt := range map[string]struct {
		want  Want
		spoil func(*[]byte, *Meta)
		text  string
	}{
		"too short":        {v3, func(b *[]byte, _ *Meta) { *b = (*b)[:11] }, "11 of 12 bytes"},
		"v2, too short":    {v2, func(b *[]byte, _ *Meta) { *b = (*b)[:19] }, "19 of 20 bytes"},
		"no header":        {v3, func(b *[]byte, _ *Meta) { *b = (*b)[:5] }, "5 of 8 bytes"},
		"nothing":          {v3, func(b *[]byte, _ *Meta) { *b = nil }, "0 of 8 bytes"},
		"ttl":              {v3, func(_ *[]byte, m *Meta) { m.TTL = 254 }, "TTL or hop limit 254, must be 255"},
		"ttl of a peer":    {unicast, func(_ *[]byte, m *Meta) { m.Destination, m.TTL = addrA, 63 }, "TTL or hop limit 63, must be at least 64"},
		"group":            {v3, func(_ *[]byte, m *Meta) { m.Destination = group.Group }, "sent to 224.0.0.99, ours is 224.0.0.18"},
		"own group":        {group, func(*[]byte, *Meta) {}, "sent to 224.0.0.18, ours is 224.0.0.99"},
		"group or unicast": {unicast, func(*[]byte, *Meta) {}, "sent to 224.0.0.18, must be sent to this node"},
		"not a peer":       {unicast, func(_ *[]byte, m *Meta) { m.Destination, m.Source = addrA, addrC }, ""},
		"version":          {v3, func(b *[]byte, _ *Meta) { (*b)[0] = 0x41 }, "version 4, ours is 3"},
		"type":             {v3, func(b *[]byte, _ *Meta) { (*b)[0] = 0x35 }, "type 5, an advertisement is 1"},
		"v2, checksum":     {v2, broken(v2Wire, addrA), "0x1234, must be 0x7759"},
		"v3, checksum":     {v3, broken(v3RFC, addrA), "0x1234, must be 0x66f6, or 0xb558 with the pseudo-header"},
		"IPv6, checksum":   {six, broken(k3IPv6, linkA), "0x1234, must be 0x0d52"},
		"a password":       {v2, func(b *[]byte, _ *Meta) { (*b)[4] = 1; resum(*b) }, "type 1 (PASS), ours is 0 (none)"},
		"no password":      {secret, func(b *[]byte, _ *Meta) {}, "type 0 (none), ours is 1 (PASS)"},
		"AH":               {secret, func(b *[]byte, _ *Meta) { (*b)[4] = 2; resum(*b) }, "type 2, ours is 1 (PASS)"},
		"another password": {secret, func(b *[]byte, _ *Meta) { (*b)[4], (*b)[19] = 1, 'x'; resum(*b) }, ""},
		"interval":         {v2, func(b *[]byte, _ *Meta) { (*b)[5] = 2; resum(*b) }, "advert_int 2s, ours is 1s"},
		"no interval":      {v3, func(b *[]byte, _ *Meta) { (*b)[4], (*b)[5] = 0, 0; resum(*b) }, ""},
		"another VRID":     {v3, func(b *[]byte, _ *Meta) { (*b)[1] = 52; resum(*b) }, ""},
	} {
		from, to, addresses := addrB, Group, vip
		if tt.want.Source == linkA {
			from, to, addresses = linkB, Group6, vip6
		}
		b := AppendAdvert(nil, Advert{Version: tt.want.Version, VRID: 51, Priority: 100, Interval: time.Second, Checksum: ChecksumRFC}, from, to, addresses)
		meta := Meta{Source: from, Destination: to, TTL: TTL}
		tt.spoil(&b, &meta)
		_, drop := Parse(b, meta, &tt.want)
		if drop == DropNone {
			t.Errorf("%s: it is valid", name)
		}
		if got := tt.want.mismatch(drop, b, &meta).String(); got != tt.text {
			t.Errorf("%s (%v): %q, want %q", name, drop, got, tt.text)
		}
	}
}
