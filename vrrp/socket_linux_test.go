package vrrp

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// What leaves from a VMAC is, but for identification and flow label, what
// keepalived 2.2.7 sends from its own.
func TestPacketsOfVMAC(t *testing.T) {
	v4 := appendIPv4(nil, unhex(t, v3Pseudo), &Delivery{Source: addrA, Destination: Group, TTL: 255})
	if want := unhex(t, "45c00020 00004000 ff70c98c c0a81066 e0000012"+v3Pseudo); !bytes.Equal(v4, want) {
		t.Errorf("IPv4\n got %x\nwant %x", v4, want)
	}
	v6 := appendIPv6(nil, unhex(t, k3IPv6), &Delivery{Source: linkA, Destination: Group6, TTL: 255})
	if want := unhex(t, ipv6Plain+k3IPv6); !bytes.Equal(v6, want) {
		t.Errorf("IPv6\n got %x\nwant %x", v6, want)
	}
}

const ipv6Plain = "6c000000 002870ff fe800000 00000000 00000000 0000000a ff020000 00000000 00000000 00000012"

// A packet socket delivers what IP would have thrown away.
func TestWholeIPv4(t *testing.T) {
	const good = "45c00020 00010000 ff70098c c0a81066 e0000012"
	for name, tt := range map[string]struct {
		packet string
		want   bool
	}{
		"as keepalived sends it": {good + v3Pseudo, true},
		"not to be fragmented":   {"45c00020 00004000 ff70c98c c0a81066 e0000012" + v3Pseudo, true},
		"damaged header":         {"45c00020 00010000 fe70098c c0a81066 e0000012" + v3Pseudo, false},
		"first fragment":         {"45c00020 00012000 ff70e98b c0a81066 e0000012" + v3Pseudo, false},
		"a later fragment":       {"45c00020 00010001 ff70098b c0a81066 e0000012" + v3Pseudo, false},
		"another version":        {"65c00020 00010000 ff70e98b c0a81066 e0000012" + v3Pseudo, false},
		"header cut":             {good[:20], false},
		"header longer":          {"4fc00020 00010000 ff70ff8b c0a81066 e0000012", false},
	} {
		if got := wholeIPv4(unhex(t, tt.packet)); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSplitIPv6(t *testing.T) {
	message := unhex(t, k3IPv6)
	for _, tt := range []struct {
		name, packet string
		want         []byte
	}{
		{"plain", ipv6Plain + k3IPv6, message},
		{"with bytes after the packet", ipv6Plain + k3IPv6 + "ffff", message},
		{"another protocol", "6c000000 002800ff" + ipv6Plain[17:] + k3IPv6, nil},
		{"IPv4", ipv4Plain + v3RFC + k3IPv6, nil},
		{"cut", ipv6Plain + k3IPv6[:20], nil},
		{"header cut", ipv6Plain[:40], nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, meta := splitIPv6(unhex(t, tt.packet))
			if !bytes.Equal(got, tt.want) {
				t.Errorf("message %x, want %x", got, tt.want)
			}
			if tt.want != nil && meta != arrived6() {
				t.Errorf("meta %+v, want %+v", meta, arrived6())
			}
		})
	}
}

// FuzzSplitIPv6 looks for packets that make it panic or whose message is not in
// them.
func FuzzSplitIPv6(f *testing.F) {
	f.Fuzz(func(t *testing.T, packet []byte) {
		message, meta := splitIPv6(packet)
		if len(message) > max(len(packet)-ipv6HeaderLen, 0) {
			t.Fatalf("%d bytes out of a packet of %d", len(message), len(packet))
		}
		if message != nil && (!meta.Source.Is6() || !meta.Destination.Is6()) {
			t.Fatalf("a message without addresses: %+v", meta)
		}
	})
}

// FuzzWholeIPv4: what it lets pass can be split.
func FuzzWholeIPv4(f *testing.F) {
	f.Fuzz(func(t *testing.T, packet []byte) {
		if !wholeIPv4(packet) {
			return
		}
		if message, meta := splitIPv4(packet); !meta.Source.Is4() || len(message) > len(packet)-ipv4HeaderLen {
			t.Fatalf("%d bytes out of a packet of %d: %+v", len(message), len(packet), meta)
		}
	})
}

// Control messages of the kernel, whole and cut at every place.
func TestReadControl(t *testing.T) {
	c := newControl(unix.SizeofInet6Pktinfo, 4)
	(*unix.Inet6Pktinfo)(c.add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)).Addr = Group6.As16()
	*(*int32)(c.add(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, 4)) = 255
	var meta Meta
	if meta.readControl(c.buf); meta != (Meta{Destination: Group6, TTL: 255}) {
		t.Errorf("read %+v", meta)
	}
	for n := range c.buf {
		var meta Meta
		meta.readControl(bytes.Clone(c.buf[:n]))
		if meta.TTL != 0 && n < unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgLen(4) {
			t.Errorf("of %d bytes %+v is read", n, meta)
		}
	}
}

func TestListenNamesWhatIsMissing(t *testing.T) {
	_, err := Listen(Endpoint{Interface: "no-such-if", Family: IPv4, Group: Group})
	if err == nil || !strings.Contains(err.Error(), "open VRRP socket on no-such-if") {
		t.Errorf("error is %v, want one that names the interface", err)
	}
}
