//go:build linux && kernel

package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"baton/conf"
	"baton/healthcheck"
	"baton/internal/nstest"
	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// Swaps with the sorry server and back, half of them at once and half in three
// steps, of so many servers behind so many ports that one takes several system
// calls.
const (
	swaps       = 18
	swapServers = 15
	swapPorts   = 10
)

// TestKernelSwapWithTheSorryServer is fault 23 on a real kernel: whoever reads
// its table while a pool dies and comes back never finds a service without a
// server that takes connections. The kernel hands out one service's servers
// under its lock, so that what a reading shows has been there at once.
func TestKernelSwapWithTheSorryServer(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, inhibit := range []bool{false, true} {
		kernel := ipvstest.OpenKernel(t)
		cfg := swapping(inhibit)
		vs := cfg.Services[0]
		watch := newWatch(t, vs)
		directing(t, kernel, t.TempDir(), ipvs.Table{}, cfg, func() {}, func(c *core) {
			judge := func(want string, lines int) {
				t.Helper()
				if got := strings.Count(run(t, "ipvsadm", "-Ln"), want); got != lines {
					t.Errorf("inhibit %v: ipvsadm -Ln shows %q %d times, want %d:\n%s", inhibit, want, got, lines, run(t, "ipvsadm", "-Ln"))
				}
			}
			all := vs.Servers
			c.hand(t, verdicts(true, all...))
			watch.until(t, "the pool is in", swapServers)
			stop := watch.begin()
			for i := range swaps {
				if i%2 == 0 {
					c.hand(t, verdicts(false, all...))
				} else {
					for some := range slices.Chunk(all, swapServers/3) {
						c.hand(t, verdicts(false, some...))
					}
				}
				watch.until(t, "the sorry server stands in", 1)
				if i == 0 {
					judge("192.168.16.99:80             Route   1 ", swapPorts)
				}
				c.hand(t, verdicts(true, all[i%2:]...))
				watch.until(t, "the pool is back", swapServers-i%2)
				if i == 0 {
					judge("192.168.16.99:80             Route   1 ", 0)
				}
			}
			stop()
		})
		pool, sorry := watch.many.Load(), watch.one.Load()
		t.Logf("inhibit %v: %d readings of a service with its pool, %d with one server", inhibit, pool, sorry)
		if pool < swaps || sorry < swaps {
			t.Errorf("inhibit %v: too few readings to show anything", inhibit)
		}
		run(t, "ipvsadm", "-C")
	}
}

// swapping is a pool with a sorry server.
func swapping(inhibit bool) *conf.Config {
	vs := serving(webKey)
	vs.Keys = nil
	for port := range uint16(swapPorts) {
		vs.Keys = append(vs.Keys, ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(webKey.Address, 80+port)))
	}
	for i := range swapServers {
		rs := server(fmt.Sprintf("192.168.16.%d:80", 103+i), 1, fmt.Sprint(i))
		rs.InhibitOnFailure = inhibit
		vs.Servers = append(vs.Servers, rs)
	}
	sorry := server("192.168.16.99:80", 1)
	vs.Sorry, vs.SorryInhibit = &sorry, inhibit
	cfg := tracking()
	cfg.Services = []conf.VirtualServer{vs}
	return cfg
}

// verdicts are those of all checks of the servers.
func verdicts(pass bool, servers ...conf.RealServer) map[string]healthcheck.Verdict {
	var ids []string
	for _, s := range servers {
		ids = append(ids, s.Checks[0].ID)
	}
	if pass {
		return up(ids...)
	}
	return down(up(), ids...)
}

// watch reads services one after the other, as fast as it can.
type watch struct {
	t    *testing.T
	keys []ipvs.ServiceKey
	own  *ipvs.LinuxKernel
	one  atomic.Int64 // readings with one server of a weight above 0
	many atomic.Int64 // readings with several
}

func newWatch(t *testing.T, vs conf.VirtualServer) *watch {
	return &watch{t: t, keys: vs.Keys, own: ipvstest.OpenKernel(t)}
}

// look reads a service and says how many of its servers take connections.
func (w *watch) look(ctx context.Context, k *ipvs.LinuxKernel, key ipvs.ServiceKey) int {
	table, err := k.ReadServices(ctx, []ipvs.ServiceKey{key})
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ipvs.ErrHung) { // a machine may stand still for a while
			w.t.Error(err)
		}
		return -1
	}
	n := 0
	for _, s := range table[key].Servers {
		if s.Weight > 0 {
			n++
		}
	}
	return n
}

// until waits until so many servers of the last service, whose turn comes last
// in each step of a plan, take connections.
func (w *watch) until(t *testing.T, what string, servers int) {
	t.Helper()
	last := w.keys[len(w.keys)-1]
	nstest.Eventually(t, what, func() bool { return w.look(t.Context(), w.own, last) == servers },
		func() string { return run(t, "ipvsadm", "-Ln") })
}

// begin starts a reader with sockets of its own. It tells once what it must not
// see.
func (w *watch) begin() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	k := ipvstest.OpenKernel(w.t)
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := w.keys[i%len(w.keys)]
			switch n := w.look(ctx, k, key); {
			case n == 0:
				w.t.Errorf("%s had no server that takes connections", key)
				return
			case n == 1:
				w.one.Add(1)
			case n > 1:
				w.many.Add(1)
			}
		}
	})
	return func() { cancel(); running.Wait() }
}
