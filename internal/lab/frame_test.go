package lab

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	// lvs-a's advert of version 3, and a gratuitous ARP request, by hand from
	// RFC 9568 §5 and RFC 826.
	advertV3 = "01005e000012 0200c0a81066 0800 45c0 0020 0000 0000 ff70 0000 c0a81066 e0000012 31339601 00640000 c0a810c8"
	// Version 2, two addresses, eight bytes of authentication data.
	advertV2 = "01005e000012 0200c0a81066 0800 45c0 002c 0000 0000 ff70 0000 c0a81066 e0000012 21336402 00010000 c0a810c8 c0a810c9 0000000000000000"
	garp     = "ffffffffffff 0200c0a81066 0806 0001 0800 06 04 0001 0200c0a81066 c0a810c8 ffffffffffff c0a810c8"
)

func TestFramesAreDecoded(t *testing.T) {
	f, ok := decodeFrame(unhex(t, advertV3))
	if !ok {
		t.Fatal("advert is not decoded")
	}
	a := f.Advert
	if a.Version != 3 || a.Type != 1 || a.VRID != 0x33 || a.Priority != 150 || a.Interval != time.Second || a.TTL != 255 ||
		a.Source != Address(LVSA) || a.Destination != netip.MustParseAddr("224.0.0.18") || len(a.Addresses) != 1 || a.Addresses[0] != VIP {
		t.Errorf("version 3: %+v", a)
	}
	if f, ok = decodeFrame(unhex(t, advertV2)); !ok {
		t.Fatal("advert of version 2 is not decoded")
	}
	a = f.Advert
	if a.Version != 2 || a.Priority != 100 || a.Interval != time.Second || len(a.Addresses) != 2 || a.Addresses[1] != VIP.Next() || len(a.Payload) != 24 {
		t.Errorf("version 2: %+v", a)
	}
	if f, ok = decodeFrame(unhex(t, garp)); !ok || !f.ARP.Gratuitous(VIP) || !f.ARP.Request || f.ARP.SenderHW.String() != HardwareAddress(LVSA).String() {
		t.Errorf("gratuitous ARP: %+v", f)
	}
	if f.ARP.Gratuitous(VIP.Next()) || (*ARP)(nil).Gratuitous(VIP) {
		t.Error("gratuitous for another address")
	}
}

func TestOtherFramesAreNot(t *testing.T) {
	whole := unhex(t, advertV3)
	for n := range whole {
		if f, ok := decodeFrame(whole[:n]); ok {
			t.Errorf("%d of %d bytes were decoded: %s", n, len(whole), f)
		}
	}
	tcp := unhex(t, advertV3)
	tcp[14+9] = 6
	if _, ok := decodeFrame(tcp); ok {
		t.Error("TCP was decoded as an advert")
	}
}

func FuzzDecodeFrame(f *testing.F) {
	for _, s := range []string{advertV2, advertV3, garp, ""} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, ok := decodeFrame(raw)
		if ok && (frame.ARP == nil) == (frame.Advert == nil) {
			t.Errorf("%x: %+v", raw, frame)
		}
		if ok && frame.String() == "" {
			t.Errorf("%x is printed as nothing", raw)
		}
	})
}

func TestAdvertOverIPv6IsDecoded(t *testing.T) {
	message := append([]byte{0x31, 51, 150, 2, 0, 100, 0, 0}, netip.MustParseAddr("fe80::51").AsSlice()...)
	message = append(message, netip.MustParseAddr("2001:db8::51").AsSlice()...)
	raw := append([]byte{0x33, 0x33, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(message)), 112, 255},
		netip.MustParseAddr("fe80::1").AsSlice()...)
	raw = append(append(raw, netip.MustParseAddr("ff02::12").AsSlice()...), message...)
	f, ok := decodeFrame(raw)
	if !ok || f.Advert == nil || f.Advert.TTL != 255 || f.Advert.VRID != 51 || f.Advert.Source.String() != "fe80::1" ||
		f.Advert.Destination.String() != "ff02::12" || fmt.Sprint(f.Advert.Addresses) != "[fe80::51 2001:db8::51]" {
		t.Errorf("decoded as %+v, %v", f.Advert, ok)
	}
	program, err := captureFilter()
	if err != nil {
		t.Fatal(err)
	}
	instructions, _ := bpf.Disassemble(program)
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := vm.Run(raw); err != nil || n == 0 {
		t.Errorf("%d bytes of it pass the filter, %v", n, err)
	}
	raw[14+6] = 58 // ICMPv6
	if n, err := vm.Run(raw); err != nil || n != 0 {
		t.Errorf("%d bytes of another protocol pass the filter, %v", n, err)
	}
	if _, ok := decodeFrame(raw); ok {
		t.Error("another protocol is decoded")
	}
}
