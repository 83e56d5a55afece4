package netif

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// transcript collects facts as lines.
type transcript struct{ lines []string }

func (r *transcript) report(f Fact) {
	line := fmt.Sprintf("%s %s", f.Kind, f.Link.Name)
	switch f.Kind {
	case LinkChanged:
		line += fmt.Sprintf(" #%d up=%t primary=%s", f.Link.Index, f.Link.Up, f.Link.Primary)
	case LinkGone:
		line += fmt.Sprintf(" #%d", f.Link.Index)
	case AddressAdded, AddressRemoved:
		line += fmt.Sprintf(" %s owned=%t", f.Prefix, f.Owned)
	}
	r.lines = append(r.lines, line)
}

func (r *transcript) want(t *testing.T, want string) {
	t.Helper()
	got := strings.Join(r.lines, "\n")
	if diff := cmp.Diff(strings.ReplaceAll(strings.TrimSpace(want), "\t", ""), got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	r.lines = nil
}

func TestTracker(t *testing.T) {
	var r transcript
	tr := newTracker(r.report)
	eth0 := LinkState{Name: "eth0", Index: 2, Up: true, MTU: 1500}
	tr.replace([]LinkState{{Name: "lo", Index: 1, Up: true}, eth0}, map[int][]address{
		2: standing("192.0.2.1/24", "192.0.2.200/24 *s"),
	})
	r.want(t, `link changed lo #1 up=true primary=invalid IP
		link changed eth0 #2 up=true primary=192.0.2.1
		address added eth0 192.0.2.1/24 owned=false
		address added eth0 192.0.2.200/24 owned=true`)

	// What was queued while the listing was made tells nothing new.
	tr.setLink(eth0)
	tr.setAddress(2, standing("192.0.2.200/24 *s")[0])
	tr.deleteAddress(2, netip.MustParsePrefix("192.0.2.77/24"))
	tr.deleteLink(77)
	tr.setAddress(77, standing("192.0.2.77/24")[0])
	r.want(t, ``)

	down := eth0
	down.Up = false
	tr.setLink(down)
	r.want(t, `link changed eth0 #2 up=false primary=192.0.2.1`)

	tr.deleteAddress(2, netip.MustParsePrefix("192.0.2.200/24"))
	r.want(t, `address removed eth0 192.0.2.200/24 owned=true`)

	// The primary address goes; the VIP does not take its place, another does.
	tr.setAddress(2, standing("192.0.2.200/24 *")[0])
	tr.setAddress(2, standing("192.0.2.3/24 s")[0])
	tr.deleteAddress(2, netip.MustParsePrefix("192.0.2.1/24"))
	tr.setAddress(2, standing("192.0.2.3/24")[0]) // promoted
	r.want(t, `address added eth0 192.0.2.200/24 owned=true
		address added eth0 192.0.2.3/24 owned=false
		link changed eth0 #2 up=false primary=invalid IP
		address removed eth0 192.0.2.1/24 owned=false
		link changed eth0 #2 up=false primary=192.0.2.3`)

	renamed := down
	renamed.Name = "wan0"
	tr.setLink(renamed)
	r.want(t, `link gone eth0 #2
		link changed wan0 #2 up=false primary=192.0.2.3`)
}

// After an overrun the differences are reported, and nothing else.
func TestTrackerListedAnew(t *testing.T) {
	var r transcript
	tr := newTracker(r.report)
	lo := LinkState{Name: "lo", Index: 1, Up: true}
	tr.replace([]LinkState{lo, {Name: "eth0", Index: 2, Up: true}, {Name: "eth1", Index: 3, Up: true}}, map[int][]address{
		2: standing("192.0.2.1/24"),
		3: standing("198.51.100.1/24", "198.51.100.200/32 *"),
	})
	r.lines = nil
	tr.replace([]LinkState{lo, {Name: "eth1", Index: 3, Up: false}, {Name: "eth0", Index: 4, Up: true}}, map[int][]address{
		3: standing("198.51.100.1/24", "198.51.100.201/32 *"),
		4: standing("192.0.2.1/24"),
	})
	r.want(t, `link gone eth0 #2
		link changed eth1 #3 up=false primary=198.51.100.1
		address removed eth1 198.51.100.200/32 owned=true
		address added eth1 198.51.100.201/32 owned=true
		link changed eth0 #4 up=true primary=192.0.2.1
		address added eth0 192.0.2.1/24 owned=false`)
	tr.setAddress(3, standing("198.51.100.200/32 *")[0])
	r.want(t, `address added eth1 198.51.100.200/32 owned=true`)
}

func TestOwnAddresses(t *testing.T) {
	list := standing("192.0.2.200/24 *", "192.0.2.1/24 s", "127.0.0.9/32", "198.51.100.1/24", "198.51.100.2/25",
		"2001:db8::1/64", "fe80::200/64 *", "fe80::1/64")
	list[2].scope = 254 // host
	primary, linkLocal := ownAddresses(list)
	if primary.String() != "198.51.100.1" || linkLocal.String() != "fe80::1" {
		t.Errorf("own addresses %s and %s, want 198.51.100.1 and fe80::1", primary, linkLocal)
	}
}
