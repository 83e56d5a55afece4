//go:build linux && kernel

package healthcheck

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"baton/internal/nstest"
)

// TestKernelUnreachable: a router says by ICMP that there is no way to the
// server or that it is forbidden, or nobody has the address, and every kind of
// check that sends packets hears of it. A udp check that wants no reply would else
// take a dead host for a silent one. What vanishes without a word is a time-out.
func TestKernelUnreachable(t *testing.T) {
	if !nstest.InNamespace(t) {
		return
	}
	here, router := nstest.Here(t), nstest.New(t)
	here.Cable("eth0", router, "eth0")
	here.Address("eth0", "192.168.16.101/24")
	here.Address("eth0", "2001:db8::101/64")
	router.Address("eth0", "192.168.16.1/24")
	router.Address("eth0", "2001:db8::1/64")
	for _, set := range []string{"ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1", "ipv4.icmp_ratemask=0", "ipv6.icmp.ratelimit=0"} {
		router.Run("sysctl", "-qw", "net."+set)
	}
	for dst, kind := range map[string]string{"10.9.0.0/24": "unreachable", "2001:db8:9::/64": "unreachable", "2001:db8:a::/64": "prohibit", "10.9.2.0/24": "blackhole", "2001:db8:b::/64": "blackhole"} {
		router.Run("ip", "route", "add", kind, dst)
	}
	here.Run("ip", "route", "add", "10.0.0.0/8", "via", "192.168.16.1")
	here.Run("ip", "route", "add", "2001:db8::/32", "via", "2001:db8::1")
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
		t.Fatal(err)
	}
	var specs []Spec
	// The kernel answers five packets of a host at a time so. An attempt is made again
	// when this machine stood still during it: each kind is a host of its own.
	for i, kind := range []Kind{TCP, HTTP, DNS, UDP, Ping} {
		source := fmt.Sprintf("192.168.16.%d", 111+i)
		here.Address("eth0", source+"/24")
		for _, a := range []string{"10.9.0.1", "2001:db8:9::1", "2001:db8:a::1", "192.168.16.77", "2001:db8::77", "10.9.2.1", "2001:db8:b::1"} {
			specs = append(specs, spec(fmt.Sprint(kind, " ", a), func(s *Spec) {
				s.Kind, s.Target = kind, netip.AddrPortFrom(netip.MustParseAddr(a), 80)
				if s.Target.Addr().Is4() {
					s.Socket.BindTo = netip.MustParseAddr(source)
				}
				s.Interval, s.Timeout = 60*sec, 60*sec // far longer than the kernel waits for a neighbour
				if vanishes(s.Target.Addr()) {
					s.Timeout = sec
					if kind == UDP {
						s.UDP = &UDPSpec{RequireReply: true}
					}
				}
			}))
		}
	}
	verdicts := make(chan Verdict, len(specs))
	s := NewScheduler(Options{Notify: func(v Verdict) { verdicts <- v }})
	if err := s.Apply(specs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(t)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	left := map[string]bool{}
	for _, s := range specs {
		left[s.ID] = true
	}
	for range specs {
		select {
		case v := <-verdicts:
			delete(left, v.ID)
			want := Unreachable
			if vanishes(netip.MustParseAddr(strings.Fields(v.ID)[1])) {
				want = Timeout
			}
			if v.Up || v.Reason != want {
				t.Errorf("%s: up %v, %s %s, want %s", v.ID, v.Up, v.Reason, v.Detail, want)
			}
		case <-ctx.Done():
			t.Fatalf("no verdict of %v", slices.Collect(maps.Keys(left)))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// vanishes: the router drops what is for that address.
func vanishes(a netip.Addr) bool {
	return netip.MustParsePrefix("10.9.2.0/24").Contains(a) || netip.MustParsePrefix("2001:db8:b::/64").Contains(a)
}
