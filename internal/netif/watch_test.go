package netif

import (
	"encoding/hex"
	"testing"
)

// Messages as Linux 6.1 sent them, about interface 6.
const (
	// 192.168.16.200/24, secondary, proto 112.
	newVIP = "021881000600000008000100c0a810c808000200c0a810c808000400c0a810ff" +
		"09000300657468300000000005000b0070000000080008008100000014000600ffffffffffffffff5402000054020000"
	// fe80::1/64, scope link.
	newLinkLocal = "0a40c0fd0600000014000100fe800000000000000000000000000001" +
		"14000600ffffffffffffffff550200005502000008000800c0000000"
	// 10.0.0.1 with peer 10.0.0.2/24.
	newPeer = "0218800006000000080001000a000002080002000a000001080004000a0000ff" +
		"090003006574683000000000080008008000000014000600ffffffffffffffff5502000055020000"
)

func TestDecodeAddress(t *testing.T) {
	tests := []struct {
		name      string
		message   string
		index     int
		prefix    string
		tag       int
		secondary bool
		scope     int
	}{
		{"vip", newVIP, 6, "192.168.16.200/24", Tag, true, 0},
		{"link-local", newLinkLocal, 6, "fe80::1/64", 0, false, 253},
		{"peer", newPeer, 6, "10.0.0.1/32", 0, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			index, a, ok, err := decodeAddress(unhex(t, tt.message))
			if err != nil || !ok {
				t.Fatalf("ok %t, error %v", ok, err)
			}
			if index != tt.index || a.prefix.String() != tt.prefix || a.tag != tt.tag || a.secondary != tt.secondary || a.scope != tt.scope {
				t.Errorf("interface %d %+v, want %+v", index, a, tt)
			}
		})
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzDecodeAddress(f *testing.F) {
	for _, s := range []string{newVIP, newLinkLocal, newPeer, ""} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, a, ok, err := decodeAddress(data)
		if ok && (err != nil || !a.prefix.IsValid()) {
			t.Errorf("accepted %+v, %v", a, err)
		}
	})
}
