package ipvs_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestFollowReadsNothing: servers that come, go or change are taken for done when the
// kernel has acknowledged them; of services that do, the reading counts.
func TestFollowReadsNothing(t *testing.T) {
	kernel := &reads{Kernel: &ipvstest.Kernel{}}
	r := ipvs.NewReconciler(kernel)
	table := bigTable(20, 3)
	res, err := r.Follow(context.Background(), table, nil, table.Keys()...)
	if err != nil || !res.Whole || kernel.whole != 2 {
		t.Fatalf("the first time: %v, %d readings", err, kernel.whole)
	}
	observed, owned := res.Observed, res.Owned
	kernel.whole = 0
	follow := func(next ipvs.Table, keys ...ipvs.ServiceKey) ipvs.Result {
		t.Helper()
		kernel.services = nil
		res, err := r.Follow(context.Background(), next, owned, keys...)
		if err != nil {
			t.Fatal(err)
		}
		if observed = res.Over(observed); observed.String() != kernel.String() || kernel.String() != next.String() {
			t.Errorf("wanted is\n%s, observed\n%s, the kernel's\n%s", next, observed, kernel.Kernel)
		}
		return res
	}
	next := table.Clone()
	for _, k := range next.Keys()[:15] { // of most of them
		e := next[k]
		e.Servers = slices.Clone(e.Servers[1:])
		e.Servers[0].Weight = 7
		e.Servers.Put(ipvs.Server{Key: ipvs.MakeServerKey(netip.MustParseAddrPort("203.0.113.7:80")), Weight: 1, Forward: ipvs.DR})
		next[k] = e
	}
	res = follow(next, next.Keys()...)
	if res.Passes != 0 || len(res.Applied) != 45 || res.Drift != nil || res.Keys != nil || kernel.whole != 0 || kernel.services != nil {
		t.Errorf("%d passes, %d operations, drift %v, keys %v; %d readings, and of services %v",
			res.Passes, len(res.Applied), res.Drift, res.Keys, kernel.whole, kernel.services)
	}
	key := next.Keys()[0]
	next = next.Clone()
	e := next[key]
	e.Service.Scheduler = "sh"
	next[key] = e
	if follow(next, key); len(kernel.services) != 2 {
		t.Errorf("a service that changes: read are %v", kernel.services)
	}
}

// TestFollowMeetsAnEditor: an operation that another's edit makes fail has the service
// read; what he has done in it besides is found then, too, and told as drift.
func TestFollowMeetsAnEditor(t *testing.T) {
	const (
		at   = " -t 192.168.16.200:80 -r 192.168.16."
		does = "ipvsadm"
	)
	for _, tc := range []struct {
		name, edit, change, commands, drift string
		read                                int
	}{
		{"gone already", "-d" + at + "104:80", "-d" + at + "104:80", "", "", 1},
		{"gone, and needed", "-d" + at + "104:80", "-e" + at + "104:80 -g -w 5", does + " -a" + at + "104:80 -g -w 5", "", 2},
		{"there already", "-a" + at + "105:80 -g -w 1", "-a" + at + "105:80 -g -w 2", does + " -e" + at + "105:80 -g -w 2", "", 2},
		{"and more", "-d" + at + "104:80\n-e" + at + "103:80 -g -w 9", "-d" + at + "104:80", does + " -e" + at + "103:80 -g -w 1", does + " -e" + at + "103:80 -g -w 1", 2},
		{"in no one's way", "-e" + at + "103:80 -g -w 9", "-d" + at + "104:80", does + " -d" + at + "104:80", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kernel, wanted := &reads{Kernel: &ipvstest.Kernel{}}, ipvstest.New(reference)
			r := ipvs.NewReconciler(kernel)
			res := mustChange(t, r, wanted.Table(), nil)
			if err := kernel.Run(tc.edit); err != nil {
				t.Fatal(err)
			}
			if err := wanted.Run(tc.change); err != nil {
				t.Fatal(err)
			}
			res, err := r.Follow(context.Background(), wanted.Table(), res.Owned, wanted.Table().Keys()...)
			if err != nil {
				t.Fatal(err)
			}
			wantCommands(t, "applied", commandsOf(res.Applied), tc.commands)
			wantCommands(t, "drift", commandsOf(res.Drift), tc.drift)
			if len(kernel.services) != tc.read {
				t.Errorf("read %v, want %d", kernel.services, tc.read)
			}
			if tc.read > 0 && kernel.String() != wanted.String() {
				t.Errorf("the table is\n%s, want\n%s", kernel.Kernel, wanted)
			}
			res = mustReconcile(t, r, wanted.Table(), res.Owned)
			if kernel.String() != wanted.String() || (tc.read == 0) != (len(res.Drift) == 1) {
				t.Errorf("after a Reconcile the table is\n%s, drift %v", kernel.Kernel, res.Drift)
			}
		})
	}
}
