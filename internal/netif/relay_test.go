package netif

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestRelayCheck(t *testing.T) {
	good := Relay{Name: "VI_1", VIPs: []netip.Addr{netip.MustParseAddr("192.0.2.200")}, Interface: "eth0",
		OldMaster: netip.MustParseAddr("192.0.2.1"), OldMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Relay)
		want   string
	}{
		{"no name", func(r *Relay) { r.Name = "" }, "no name"},
		{"no address", func(r *Relay) { r.VIPs = nil }, "no virtual address"},
		{"no old master", func(r *Relay) { r.OldMaster = netip.Addr{} }, "only ipv4"},
		{"ipv6", func(r *Relay) { r.VIPs[0] = netip.MustParseAddr("2001:db8::1") }, "2001:db8::1: only ipv4"},
		{"to itself", func(r *Relay) { r.OldMaster = r.VIPs[0] }, "is a virtual one"},
		{"no hardware address", func(r *Relay) { r.OldMAC = nil }, "must have 6 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			r.VIPs = []netip.Addr{good.VIPs[0]}
			tt.change(&r)
			if err := r.check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestTableName(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]string{}
	for _, name := range []string{"VI_1", "VI-1", "VI 1", "VI.1", "VI\x001", "ä", "ö", "", long, long + "y", "}; flush ruleset"} {
		table := tableName(relayPrefix, name)
		if other, ok := seen[table]; ok {
			t.Errorf("%q and %q have the same table %q", name, other, table)
		}
		seen[table] = name
		rest, ok := strings.CutPrefix(table, relayPrefix)
		if !ok || len(table) > 127 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
			t.Errorf("tableName(%q) = %q", name, table)
		}
	}
	if got := tableName(relayPrefix, "VI_1"); got != "baton-relay-VI_1" {
		t.Errorf("tableName(VI_1) = %q", got)
	}
}
