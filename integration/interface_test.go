package integration

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"baton/internal/event"
	"baton/internal/lab"
)

// TestInterfacesComeAndGo is fault 13, and of fault 5 that preempt_delay is
// kept across a reload.
func TestInterfacesComeAndGo(t *testing.T) {
	l := start(t, lab.Options{AdvertInterval: 250 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("address removed by hand", func(t *testing.T) {
		c, err := l.Capture(lab.RouterNode, lab.LANInterface)
		must(err)
		defer c.Close()
		run(t, l, lab.LVSA, "ip", "address", "del", lab.VIP.String()+"/24", "dev", lab.LANInterface)
		holds(t, l, lab.LVSA)
		within(t, "the line about it", func() string {
			for _, e := range logged(t, l, lab.LVSA, event.AddressRestored) {
				if e.Get(event.Address) == lab.VIP.String()+"/24" {
					return ""
				}
			}
			return "there is none"
		})
		_, err = c.Await(ctx, func(f lab.Frame) bool {
			return f.ARP.Gratuitous(lab.VIP) && f.Source.String() == lab.HardwareAddress(lab.LVSA).String()
		})
		must(err)
		if n := len(logged(t, l, lab.LVSA, event.VRRPTransition)); n != 2 {
			t.Errorf("%d transitions, want the two of the start", n)
		}
	})

	t.Run("address on another host", func(t *testing.T) {
		mac := lab.HardwareAddress(lab.RS2)
		c, err := l.Capture(lab.RouterNode, lab.LANInterface)
		must(err)
		defer c.Close()
		must(l.In(lab.RS2, func() error { return announce(mac, lab.VIP) }))
		within(t, "the line about it", func() string {
			for _, e := range logged(t, l, lab.LVSA, event.AnnounceConflict) {
				if e.Get(event.MAC) == mac.String() {
					return ""
				}
			}
			return "there is none"
		})
		// Whoever believed the other is told better.
		claimed, err := c.Await(ctx, func(f lab.Frame) bool { return f.ARP.Gratuitous(lab.VIP) && f.Source.String() == mac.String() })
		must(err)
		_, err = c.Await(ctx, func(f lab.Frame) bool {
			return f.ARP.Gratuitous(lab.VIP) && f.Source.String() == lab.HardwareAddress(lab.LVSA).String() && f.Time.After(claimed.Time)
		})
		must(err)
	})

	// is waits for the state of the instance.
	is := func(node, state string) {
		t.Helper()
		within(t, node+" to be "+state, func() string {
			st, err := l.DirectorStatus(ctx, node)
			if err != nil {
				return err.Error()
			}
			if i := st.Instances[0]; i.State != state {
				return "it is " + i.State + ": " + i.Reason
			}
			return ""
		})
	}

	t.Run("renamed", func(t *testing.T) {
		for _, command := range [][]string{{"down"}, {"name", "renamed"}} {
			run(t, l, lab.LVSB, "ip", append([]string{"link", "set", lab.LANInterface}, command...)...)
		}
		run(t, l, lab.LVSB, "ip", "link", "set", "renamed", "up")
		is(lab.LVSB, "FAULT")
		run(t, l, lab.LVSB, "ip", "link", "set", "renamed", "down")
		run(t, l, lab.LVSB, "ip", "link", "set", "renamed", "name", lab.LANInterface)
		run(t, l, lab.LVSB, "ip", "link", "set", lab.LANInterface, "up")
		is(lab.LVSB, "BACKUP")
	})

	t.Run("deleted under the master and made again", func(t *testing.T) {
		must(l.Unlink(lab.LVSA))
		is(lab.LVSB, "MASTER")
		is(lab.LVSA, "FAULT")
		must(l.Relink(lab.LVSA))
		must(l.AwaitMaster(ctx, lab.LVSA))
		holds(t, l, lab.LVSA)
	})

	t.Run("without carrier at the start", func(t *testing.T) {
		must(l.StopDirector(ctx, lab.LVSB))
		must(l.Cut(lab.LVSB))
		must(l.StartDirector(ctx, lab.LVSB))
		is(lab.LVSB, "FAULT")
		must(l.Plug(lab.LVSB))
		is(lab.LVSB, "BACKUP")
		must(l.Settle(ctx))
		if masters := l.Masters(ctx); len(masters) != 1 || masters[0] != lab.LVSA {
			t.Errorf("masters are %v", masters)
		}
	})

	t.Run("preempt_delay across a reload", func(t *testing.T) {
		const delay, reloadAt = 6 * time.Second, 4 * time.Second
		was := config(t, l)
		edit := func(old, with string) {
			t.Helper()
			changed := bytes.Replace(config(t, l), []byte(old), []byte(with), 1)
			if bytes.Equal(changed, config(t, l)) {
				t.Fatalf("the configuration has no %q", old)
			}
			rewrite(t, l, changed)
		}
		edit("virtual_ipaddress = ", "preempt_delay = \"6s\"\nvirtual_ipaddress = ")
		must(l.StopDirector(ctx, lab.LVSA))
		must(l.AwaitMaster(ctx, lab.LVSB))
		before := len(logged(t, l, lab.LVSA, event.VRRPPreemptDelayed))
		must(l.StartDirector(ctx, lab.LVSA))
		var begun time.Time
		within(t, "lvs-a to wait", func() string {
			lines := logged(t, l, lab.LVSA, event.VRRPPreemptDelayed)
			if len(lines) <= before {
				return "no line says so"
			}
			begun = lines[before].Time
			return ""
		})
		time.Sleep(time.Until(begun.Add(reloadAt)))
		edit("preempt_delay", "garp_master_repeat = 4\npreempt_delay")
		if r := reload(t, l, lab.LVSA); !r.OK || len(r.Changes) != 1 {
			t.Fatalf("reload says %+v", r)
		}
		must(l.AwaitMaster(ctx, lab.LVSA))
		lines := logged(t, l, lab.LVSA, event.VRRPTransition)
		took := lines[len(lines)-1].Time.Sub(begun)
		// Begun anew by the reload it would be over after 10 s.
		if took < delay-time.Second || took > reloadAt+delay-time.Second {
			t.Errorf("lvs-a preempted after %v, want %v", took, delay)
		}
		t.Logf("preempted after %v", took)
		rewrite(t, l, was)
	})
}

// announce sends a gratuitous ARP from the interface of the node that it runs in.
func announce(mac net.HardwareAddr, address netip.Addr) error {
	frame := append(bytes.Repeat([]byte{0xff}, 6), mac...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(append(frame, mac...), address.AsSlice()...)
	frame = append(append(frame, make([]byte, 6)...), address.AsSlice()...)
	return transmit(frame)
}

// transmit sends a whole frame through the interface of the node that it runs in.
func transmit(frame []byte) error {
	ifi, err := net.InterfaceByName(lab.LANInterface)
	if err != nil {
		return err
	}
	c, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]})
	return err
}
