package director

import (
	"net/netip"
	"testing"

	"baton/internal/control"
	"baton/ipvs"
)

func TestCountersAreAddedUpOverAGroup(t *testing.T) {
	some := ipvs.Counters{Connections: 1, PacketsIn: 2, PacketsOut: 3, BytesIn: 4, BytesOut: 1 << 40,
		ConnectionRate: 6, PacketInRate: 7, PacketOutRate: 8, ByteInRate: 9, ByteOutRate: 10}
	var keys []ipvs.ServiceKey
	table := ipvs.Table{}
	server := ipvs.Server{Key: ipvs.ServerKey{Address: netip.MustParseAddr("192.168.16.103")}} // on the service's port
	for _, at := range []string{"192.168.16.200:80", "192.168.16.200:443"} {
		k := ipvs.AddressKey(ipvs.TCP, netip.MustParseAddrPort(at))
		s := server
		s.Key.Port, s.Stats = k.Port, &ipvs.ServerStats{Counters: some}
		keys = append(keys, k)
		table[k] = ipvs.Entry{Counters: some, Servers: ipvs.Servers{s}}
	}
	want := control.Counters{Connections: 2, InPackets: 4, OutPackets: 6, InBytes: 8, OutBytes: 2 << 40,
		Rates: control.Rates{Connections: 12, InPackets: 14, OutPackets: 16, InBytes: 18, OutBytes: 20}}
	if got := serviceCounters(table, keys); got == nil || *got != want {
		t.Errorf("service: %+v", got)
	}
	if got := serverCounters(table, keys, server); got == nil || *got != want {
		t.Errorf("server: %+v", got)
	}
	if serviceCounters(ipvs.Table{}, keys) != nil || serverCounters(ipvs.Table{}, keys, server) != nil {
		t.Error("what the kernel does not have has counters")
	}
}
