//go:build linux && kernel

package vrrp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// Unicast leaves by the socket that multicast leaves by, with its own TTL.
func TestKernelUnicast(t *testing.T) {
	for _, tt := range []struct {
		at   Endpoint
		a, b netip.Addr
		vips []Address
	}{
		{eth0, addrA, addrB, vip},
		{eth6, wideA, wideB, vip6},
		{eth6, linkA, linkB, vip6},
	} {
		t.Run(tt.b.String(), func(t *testing.T) {
			a, b := cable(t)
			a.t, b.t = t, t
			ca, cb := a.listenAt(tt.at), b.listenAt(tt.at)
			defer ca.Close()
			defer cb.Close()
			want := Want{Version: V3, VRID: 51, Source: tt.b, Unicast: true, Peers: []netip.Addr{tt.a}, TTLMin: 7}
			for ttl, drop := range map[uint8]DropReason{255: DropNone, 7: DropNone, 6: DropTTL} {
				message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, tt.a, tt.b, tt.vips)
				if err := ca.Send(message, Delivery{Source: tt.a, Destination: tt.b, TTL: ttl}); err != nil {
					t.Fatal(err)
				}
				got, meta := receive(t, cb, 5*time.Second)
				if meta != (Meta{Source: tt.a, Destination: tt.b, TTL: ttl}) {
					t.Errorf("meta %+v", meta)
				}
				if _, got := Parse(got, meta, &want); got != drop {
					t.Errorf("TTL %d: dropped for %q, want %q", ttl, got, drop)
				}
			}
			message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, tt.a, tt.b, tt.vips)
			measure(t, ca, cb, message, Delivery{Source: tt.a, Destination: tt.b, TTL: 64})
		})
	}
}

// Two groups on one interface do not hear one another, and both hear unicast.
func TestKernelGroups(t *testing.T) {
	for _, tt := range []struct {
		at     Endpoint
		other  netip.Addr
		from   netip.Addr
		direct netip.Addr
		vips   []Address
	}{
		{eth0, netip.MustParseAddr("224.0.0.99"), addrA, addrB, vip},
		{eth6, netip.MustParseAddr("ff02::99"), linkA, linkB, vip6},
	} {
		t.Run(fmt.Sprintf("IPv%d", tt.at.Family), func(t *testing.T) {
			a, b := cable(t)
			a.t, b.t = t, t
			at := tt.at
			at.Group = tt.other
			sender, common, other := a.listenAt(tt.at), b.listenAt(tt.at), b.listenAt(at)
			defer sender.Close()
			defer common.Close()
			defer other.Close()
			send := func(to netip.Addr) {
				t.Helper()
				message := AppendAdvert(nil, Advert{Version: V3, VRID: 51, Priority: 150, Interval: time.Second, Checksum: ChecksumPseudo}, tt.from, to, tt.vips)
				if err := sender.Send(message, Delivery{Source: tt.from, Destination: to, TTL: TTL}); err != nil {
					t.Fatal(err)
				}
			}
			send(tt.at.Group)
			send(at.Group)
			send(tt.direct)
			for conn, group := range map[Conn]netip.Addr{common: tt.at.Group, other: at.Group} {
				for _, to := range []netip.Addr{group, tt.direct} {
					if _, meta := receive(t, conn, 5*time.Second); meta.Destination != to {
						t.Errorf("the socket of %v hears what is sent to %v, want %v", group, meta.Destination, to)
					}
				}
				if _, meta, err := conn.Receive(make([]byte, MaxPacket)); err != ErrEmpty {
					t.Errorf("the socket of %v hears what is sent to %v as well: %v", group, meta.Destination, err)
				}
			}
		})
	}
}
