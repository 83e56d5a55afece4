//go:build linux && kernel

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/net/ipv4"
)

func TestRealServersHideTheVIP(t *testing.T) {
	l := up(t, Options{})
	captures := map[string]*Capture{}
	for _, rs := range []string{RS1, RS2} {
		c, err := l.Capture(SwitchNode, rs)
		if err != nil {
			t.Fatal(err)
		}
		captures[rs] = c
	}
	// Nobody holds the VIP: the request reaches both real servers and must
	// stay unanswered.
	load, err := l.StartLoad(t.Context(), LoadOptions{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for rs, c := range captures {
		asked := func(f Frame) bool { return f.Sent && f.ARP != nil && f.ARP.Request && f.ARP.TargetIP == VIP }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := c.Await(ctx, asked); err != nil {
			t.Errorf("%s was not asked, so the test shows nothing: %v", rs, err)
		}
		cancel()
	}
	if r, err := load.Stop(t.Context()); err != nil || r.Requests == 0 || r.Answered() > 0 {
		t.Errorf("client without a director: %v, %+v", err, r)
	}
	for rs, c := range captures {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range c.Frames() {
			if !f.Sent && f.ARP != nil && f.ARP.SenderIP == VIP {
				t.Errorf("%s spoke for the VIP: %s", rs, f)
			}
		}
	}
}

func TestCaptureSeesBothSidesOfTheWire(t *testing.T) {
	l := up(t, Options{})
	atA, err := l.Capture(SwitchNode, LVSA)
	if err != nil {
		t.Fatal(err)
	}
	atB, err := l.Capture(SwitchNode, LVSB)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	err = l.In(LVSA, func() error { return errors.Join(sendGratuitous(VIP), sendAdvert()) })
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Capture{LVSA: atA, LVSB: atB} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		garp, err := c.Await(ctx, func(f Frame) bool { return f.ARP.Gratuitous(VIP) })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// On the switch's port, frames come in from lvs-a and go out to lvs-b.
		if garp.Sent != (name == LVSB) || garp.Source.String() != HardwareAddress(LVSA).String() || !garp.ARP.Request {
			t.Errorf("%s: %+v %+v", name, garp, garp.ARP)
		}
		if d := garp.Time.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("%s: time stamp is %s after the sending", name, d)
		}
		f, err := c.Await(ctx, func(f Frame) bool { return f.Advert != nil })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a := f.Advert
		if a.Version != 3 || a.VRID != 51 || a.Priority != 150 || a.Interval != time.Second || a.TTL != 255 ||
			a.Source != Address(LVSA) || !slices.Equal(a.Addresses, []netip.Addr{VIP}) {
			t.Errorf("%s: advert is %+v", name, a)
		}
		cancel()
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sendGratuitous(vip netip.Addr) error {
	ifi, err := net.InterfaceByName(LANInterface)
	if err != nil {
		return err
	}
	c, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := arp.NewPacket(arp.OperationRequest, ifi.HardwareAddr, vip, ethernet.Broadcast, vip)
	if err != nil {
		return err
	}
	raw, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	f := ethernet.Frame{Destination: ethernet.Broadcast, Source: ifi.HardwareAddr, EtherType: ethernet.EtherTypeARP, Payload: raw}
	if raw, err = f.MarshalBinary(); err != nil {
		return err
	}
	_, err = c.WriteTo(raw, &packet.Addr{HardwareAddr: ethernet.Broadcast})
	return err
}

func sendAdvert() error {
	c, err := net.ListenPacket("ip4:112", Address(LVSA).String())
	if err != nil {
		return err
	}
	defer c.Close()
	p := ipv4.NewPacketConn(c)
	if err := p.SetMulticastTTL(255); err != nil {
		return err
	}
	ifi, err := net.InterfaceByName(LANInterface)
	if err != nil {
		return err
	}
	if err := p.SetMulticastInterface(ifi); err != nil {
		return err
	}
	msg := append([]byte{0x31, 51, 150, 1, 0, 100, 0, 0}, VIP.AsSlice()...)
	_, err = p.WriteTo(msg, nil, &net.IPAddr{IP: net.IPv4(224, 0, 0, 18)})
	return err
}
