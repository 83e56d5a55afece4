package control

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// served is whether somebody answers at an address.
func served(at netip.AddrPort) bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + at.String() + "/v1/status")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// port is one of the loopback's that nobody has.
func port(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestReadersMove(t *testing.T) {
	first, second, taken := port(t), port(t), port(t)
	other, err := net.Listen("tcp", taken.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := NewReading(ReadOptions{Address: first, Reader: &backend{}, Notify: func(err error) { t.Error(err) }})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	await := func(at netip.AddrPort, want bool) {
		t.Helper()
		for begun := time.Now(); served(at) != want; {
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("%v answers: %v", at, !want)
			}
		}
	}
	open := func(at netip.AddrPort) *Opening {
		t.Helper()
		o, err := r.Open(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	await(first, true)

	// What cannot be had, and what is not used, changes nothing.
	if _, err := r.Open(ctx, taken); err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "ss -ltnp") {
		t.Errorf("a port that is taken: %v", err)
	}
	every := netip.AddrPortFrom(netip.IPv4Unspecified(), taken.Port())
	if _, err := r.Open(ctx, every); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port that somebody else has at one address: %v", err)
	}
	unused := open(second)
	unused.Close()
	unused.Use()
	open(first).Use() // the same
	await(first, true)
	await(second, false)

	moved := open(second)
	moved.Use()
	moved.Close() // too late
	await(second, true)
	await(first, false)

	// To all addresses of its port and back, each time at once, and nobody else is
	// let in by that.
	elsewhere := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), second.Port())
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(netip.IPv4Unspecified(), second.Port()), second, netip.AddrPortFrom(netip.IPv6Unspecified(), second.Port()), second,
	} {
		unused := open(to)
		unused.Close()
		if !served(second) {
			t.Errorf("nobody answers after a move to %v that was given up", to)
		}
		open(to).Use()
		await(second, true)
		await(elsewhere, to != second)
		if l, err := net.Listen("tcp", second.String()); err == nil {
			l.Close()
			t.Errorf("somebody else can listen at %v after the move to %v", second, to)
		}
	}

	// Nowhere, and back to an address that was left.
	open(netip.AddrPort{}).Use()
	await(second, false)
	open(first).Use()
	await(first, true)

	left := open(second)
	stop()
	running.Wait()
	left.Use() // of a reload that comes too late
	for _, at := range []netip.AddrPort{first, second} {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			c.Close()
			t.Errorf("%v is listened at after the end", at)
		}
	}
}
