package vrrp

import (
	"bytes"
	"strings"
	"testing"
)

const ipv4Plain = "45c0 0020 0000 0000 ff70 0000 c0a81066 e0000012"

func TestSplitIPv4(t *testing.T) {
	message := unhex(t, v3RFC)
	for _, tt := range []struct {
		name, packet string
		want         []byte
	}{
		{"plain", ipv4Plain + v3RFC, message},
		{"with IP options", "46c0 0024 0000 0000 ff70 0000 c0a81066 e0000012 94040000" + v3RFC, message},
		{"with bytes after the packet", ipv4Plain + v3RFC + "ffff", message},
		{"header too short to be one", "44c0 0020 0000 0000 ff70 0000 c0a81066 e0000012" + v3RFC, nil},
		{"header longer than the packet", "4fc0 0020 0000 0000 ff70 0000 c0a81066 e0000012" + v3RFC, nil},
		{"cut", ipv4Plain[:20], nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, meta := splitIPv4(unhex(t, tt.packet))
			if !bytes.Equal(got, tt.want) {
				t.Errorf("message %x, want %x", got, tt.want)
			}
			if tt.want != nil && meta != arrived() {
				t.Errorf("meta %+v, want %+v", meta, arrived())
			}
		})
	}
}

func FuzzSplitIPv4(f *testing.F) {
	f.Fuzz(func(t *testing.T, packet []byte) {
		message, _ := splitIPv4(packet)
		if len(message) > max(len(packet)-ipv4HeaderLen, 0) {
			t.Fatalf("%d bytes out of a packet of %d", len(message), len(packet))
		}
	})
}

func TestListenNamesWhatIsMissing(t *testing.T) {
	_, err := Listen(Endpoint{Interface: "no-such-if", Family: IPv4, Group: Group})
	if err == nil || !strings.Contains(err.Error(), "open VRRP socket on no-such-if") {
		t.Errorf("error is %v, want one that names the interface", err)
	}
}
