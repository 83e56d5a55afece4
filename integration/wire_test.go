package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// TestWire judges what stands on the wire apart from our own codec: adverts of
// either version and the order of a takeover: the advert after the address, the
// gratuitous ARP in both forms.
func TestWire(t *testing.T) {
	for _, version := range []int{2, 3} {
		t.Run([]string{2: "v2", 3: "v3"}[version], func(t *testing.T) {
			l := start(t, lab.Options{Version: version})
			c, err := l.Capture(lab.RouterNode, lab.LANInterface)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			from := func(node string) func(lab.Frame) bool {
				return func(f lab.Frame) bool { return f.Advert != nil && f.Advert.Source == lab.Address(node) }
			}
			f, err := c.Await(ctx, from(lab.LVSA))
			if err != nil {
				t.Fatal(err)
			}
			a := f.Advert
			if a.TTL != 255 || a.Version != version || a.Type != 1 || a.VRID != 51 || a.Priority != 150 ||
				a.Interval != time.Second || a.Destination.String() != "224.0.0.18" || len(a.Addresses) != 1 || a.Addresses[0] != lab.VIP {
				t.Errorf("advert is %+v", a)
			}
			if err := l.StopDirector(ctx, lab.LVSA); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Await(ctx, func(f lab.Frame) bool { return from(lab.LVSA)(f) && f.Advert.Priority == 0 }); err != nil {
				t.Fatalf("the leaving master's priority 0: %v", err)
			}
			if _, err := c.Await(ctx, from(lab.LVSB)); err != nil {
				t.Fatalf("the new master's advert: %v", err)
			}
			mac := lab.HardwareAddress(lab.LVSB).String()
			for _, request := range []bool{true, false} {
				if _, err := c.Await(ctx, func(f lab.Frame) bool {
					return f.ARP != nil && f.ARP.Request == request && f.ARP.Gratuitous(lab.VIP) && f.ARP.SenderHW.String() == mac &&
						f.Destination.String() == "ff:ff:ff:ff:ff:ff"
				}); err != nil {
					t.Errorf("gratuitous ARP (request %v): %v", request, err)
				}
			}
			frames := c.Frames()
			advert := slices.IndexFunc(frames, from(lab.LVSB))
			garp := slices.IndexFunc(frames, func(f lab.Frame) bool {
				return f.ARP != nil && f.ARP.SenderHW.String() == mac && f.ARP.Gratuitous(lab.VIP)
			})
			if advert < 0 || garp < advert {
				t.Errorf("gratuitous ARP is frame %d, the first advert %d", garp, advert)
			}
		})
	}
}

// TestTcpdumpAgrees lets tcpdump decode an advert and verify its checksum, in
// the form with a pseudo-header that it knows and that is sent by default.
func TestTcpdumpAgrees(t *testing.T) {
	l := start(t, lab.Options{})
	out := run(t, l, lab.RouterNode, "tcpdump", "-ni", lab.LANInterface, "-c", "1", "-vvv", "vrrp")
	for _, want := range []string{"192.168.16.102 > 224.0.0.18", "VRRPv3, Advertisement", "vrid 51", "prio 150", "intvl 100cs", "192.168.16.200", "ttl 255"} {
		if !strings.Contains(out, want) {
			t.Errorf("tcpdump does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "bad") {
		t.Errorf("tcpdump finds fault:\n%s", out)
	}
}
