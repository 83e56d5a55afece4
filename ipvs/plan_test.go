package ipvs_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

const pairs = 10_000

// TestPlanProperties checks on random pairs of tables what Plan promises, and
// that a Reconcile performs exactly the plan, in two readings, and the second
// time nothing.
func TestPlanProperties(t *testing.T) {
	setChecks(t, pairs)
	checked := 0
	rapid.Check(t, func(t *rapid.T) {
		checked++
		desired, observed, owned := genPair(t)
		kernel := &ipvstest.Kernel{}
		kernel.Edit(func(k ipvs.Table) { maps.Copy(k, observed.Clone()) })
		kernel.AfterApply = func(op ipvs.Op, now ipvs.Table) {
			k := op.Service.Key
			if usable(desired[k]) && usable(observed[k]) && !usable(now[k]) {
				t.Fatalf("%s is without a usable server after %s", k, op)
			}
		}

		plan := ipvs.Plan(desired, observed, owned)
		for i, op := range plan {
			if i > 0 && op.Kind < plan[i-1].Kind {
				t.Fatalf("%s stands behind %s", op, plan[i-1])
			}
			if _, wanted := desired[op.Service.Key]; !wanted && !owned.Has(op.Service.Key) {
				t.Fatalf("foreign service touched: %s", op)
			}
		}
		sameOps(t, "plans of the same tables", plan, ipvs.Plan(desired, observed, owned))
		r := ipvs.NewReconciler(kernel)
		res, err := r.Reconcile(context.Background(), desired, owned)
		if err != nil {
			t.Fatal(err)
		}
		sameOps(t, "planned and performed", plan, res.Applied)

		want := desired.Clone()
		for k, e := range observed {
			if _, wanted := desired[k]; !wanted && !owned.Has(k) {
				want[k] = e
			}
		}
		if want, got := want.String(), kernel.String(); want != got {
			t.Fatalf("after the plan the kernel differs (-want +got):\n%s", cmp.Diff(want, got))
		}
		if again := ipvs.Plan(desired, kernel.Table(), owned); again != nil {
			t.Fatalf("a second plan is not empty: %v", again)
		}
		if len(res.Owned)+len(res.Foreign) != len(want) {
			t.Fatalf("owned %v and foreign %v do not make up the table", res.Owned.Keys(), res.Foreign)
		}
		res, err = r.Reconcile(context.Background(), desired, res.Owned)
		if err != nil || res.Applied != nil || res.Passes != 1 || res.Adopted != nil {
			t.Fatalf("the second time: applied %v in %d passes, adopted %v, error %v", res.Applied, res.Passes, res.Adopted, err)
		}
	})
	if checked < pairs {
		t.Fatalf("%d pairs checked, want %d", checked, pairs)
	}
}

// sameOps compares without cmp, which takes longer than all the rest, until
// there is something to show.
func sameOps(t *rapid.T, what string, want, got []ipvs.Op) {
	t.Helper()
	if len(want) == len(got) && (len(want) == 0 || reflect.DeepEqual(want, got)) {
		return
	}
	t.Fatalf("%s (-want +got):\n%s", what, cmp.Diff(want, got, cmpNetip))
}

// setChecks makes rapid draw n cases for the rest of the test.
func setChecks(t *testing.T, n int) {
	t.Helper()
	for name, value := range map[string]string{"rapid.checks": fmt.Sprint(n), "rapid.nofailfile": "true"} {
		f := flag.Lookup(name)
		before := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(before) })
	}
}

var cmpNetip = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// usable says whether the service can take a new connection.
func usable(e ipvs.Entry) bool {
	for _, s := range e.Servers {
		if s.Weight > 0 {
			return true
		}
	}
	return false
}

// TestPlanIgnores: what the kernel cannot tell apart is no difference.
func TestPlanIgnores(t *testing.T) {
	vip := netip.MustParseAddrPort("192.0.2.1:80")
	rs := netip.MustParseAddrPort("198.51.100.1:80")
	k := ipvs.AddressKey(ipvs.TCP, vip)
	entry := func(svc ipvs.Service, s ipvs.Server) ipvs.Table {
		svc.Key, s.Key = k, ipvs.MakeServerKey(rs)
		return ipvs.Table{k: {Service: svc, Servers: ipvs.Servers{s}}}
	}
	observed := entry(ipvs.Service{Scheduler: "rr"}, ipvs.Server{Weight: 1, Forward: ipvs.DR})
	mapped := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	mappedKey := ipvs.ServiceKey{Protocol: ipvs.TCP, Address: mapped(vip).Addr(), Port: 80}
	mappedServer := ipvs.ServerKey{Address: mapped(rs).Addr(), Port: 80}

	for name, desired := range map[string]ipvs.Table{
		"same": observed,
		"mask without persistence": entry(ipvs.Service{Scheduler: "rr", PersistenceMask: 0xff},
			ipvs.Server{Weight: 1, Forward: ipvs.DR}),
		"tunnel of a DR server": entry(ipvs.Service{Scheduler: "rr"},
			ipvs.Server{Weight: 1, Forward: ipvs.DR, Tunnel: ipvs.Tunnel{Type: ipvs.GUE, Port: 5}}),
		"counters": entry(ipvs.Service{Scheduler: "rr"},
			ipvs.Server{Weight: 1, Forward: ipvs.DR, Stats: &ipvs.ServerStats{Active: 9}}),
		"IPv4-mapped keys": {mappedKey: {Service: ipvs.Service{Key: mappedKey, Scheduler: "rr"},
			Servers: ipvs.Servers{{Key: mappedServer, Weight: 1, Forward: ipvs.DR}}}},
	} {
		if ops := ipvs.Plan(desired, observed, nil); ops != nil {
			t.Errorf("%s: plan is %v, want none", name, ops)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	desired := bigTable(2500, 4)
	changed := desired.Clone()
	for i, k := range changed.Keys() {
		if i%10 == 0 {
			for j := range changed[k].Servers {
				changed[k].Servers[j].Weight++
			}
		}
	}
	for _, c := range []struct {
		name     string
		observed ipvs.Table
		ops      int
	}{
		{"empty table", ipvs.Table{}, 12500},
		{"no change", desired.Clone(), 0},
		{"10 % changed", changed, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := len(ipvs.Plan(desired, c.observed, nil)); n != c.ops {
					b.Fatalf("%d operations, want %d", n, c.ops)
				}
			}
		})
	}
}

// bigTable has n services with m DR servers each.
func bigTable(n, m int) ipvs.Table {
	t := make(ipvs.Table, n)
	for i := range n {
		vip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		k := ipvs.AddressKey(ipvs.TCP, netip.AddrPortFrom(vip, 80))
		e := ipvs.Entry{Service: ipvs.Service{Key: k, Scheduler: "wlc"}, Servers: make(ipvs.Servers, 0, m)}
		for j := range m {
			rs := netip.AddrFrom4([4]byte{10, byte(1 + j), byte(i >> 8), byte(i)})
			sk := ipvs.MakeServerKey(netip.AddrPortFrom(rs, 80))
			e.Servers.Put(ipvs.Server{Key: sk, Weight: 1, Forward: ipvs.DR})
		}
		t[k] = e
	}
	return t
}
