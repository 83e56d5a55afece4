package announce

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var vip6 = netip.MustParseAddr("2001:db8::200")

// The checksums are what Linux's receiver accepts: see the kernel test.
func TestNAFrames(t *testing.T) {
	for _, tt := range []struct {
		name     string
		router   bool
		checksum string
		flags    string
	}{
		{"router", true, "742b", "a0000000"},
		{"host", false, "f42b", "20000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frames, err := naFrames(vip6, mac, tt.router)
			if err != nil {
				t.Fatal(err)
			}
			source := "20010db8000000000000000000000200"
			want := []string{"333300000001" + "020000000102" + "86dd" +
				"60000000" + "0020" + "3a" + "ff" + source + "ff020000000000000000000000000001" +
				"8800" + tt.checksum + tt.flags + source + "0201" + "020000000102"}
			var got []string
			for _, f := range frames {
				got = append(got, hex.EncodeToString(f))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNARefuses(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "::ffff:192.0.2.1", ""} {
		ip, _ := netip.ParseAddr(addr)
		err := announcerOn(t, &wire{mac: mac}).NA(ip, nil, true)
		if err == nil || !strings.Contains(err.Error(), "a neighbour advertisement is for ipv6") {
			t.Errorf("address %q: error %v", addr, err)
		}
	}
}

// A node that begins to forward says so with the next announcement.
func TestNAFollowsForwarding(t *testing.T) {
	w := &wire{mac: mac}
	a := announcerOn(t, w)
	for _, router := range []bool{false, true, false} {
		if err := a.NA(vip6, nil, router); err != nil {
			t.Fatal(err)
		}
	}
	var flags []string
	for _, f := range w.frames {
		flags = append(flags, hex.EncodeToString(f[14+40+4:14+40+5]))
	}
	if diff := cmp.Diff([]string{"20", "a0", "20"}, flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}
