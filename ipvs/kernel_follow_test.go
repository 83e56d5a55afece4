//go:build linux && kernel

package ipvs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelFollow: servers that come, go and change without a reading stand in the
// kernel as wanted, ipvsadm says, and where somebody was in the way they do so in the
// end; the list of services is ipvsadm's.
func TestKernelFollow(t *testing.T) {
	namespace(t)
	kernel := ipvstest.OpenKernel(t)
	r := ipvs.NewReconciler(kernel)
	const (
		service = "ipvsadm -A -t 192.168.16.200:80 -s rr\nipvsadm -A -f 7 -6 -s wlc\nipvsadm -A -u 192.168.16.200:53 -s rr -o\n"
		at      = "ipvsadm -a -t 192.168.16.200:80 -r 192.168.16."
	)
	ctx := context.Background()
	keys := tableOf(t, service).Keys()
	observed := reconcile(t, r, tableOf(t, service+at+"103:80 -g -w 1"), nil).Observed
	owned := ipvs.Ownership{}.With(observed)
	for _, step := range []struct {
		name, wanted, edit string
		passes             int
	}{
		{"one more, another weight", service + at + "103:80 -g -w 5\n" + at + "104:80 -g -w 1 -x 9 -y 3", "", 0},
		{"one less", service + at + "104:80 -g -w 0", "", 0},
		{"gone already", service, "ipvsadm -d -t 192.168.16.200:80 -r 192.168.16.104:80", 1},
		{"all is well again", service + at + "105:80 -m -w 2", "", 2},
		{"there already", service + at + "105:80 -m -w 2\n" + at + "106:80 -i -w 3", "ipvsadm -a -t 192.168.16.200:80 -r 192.168.16.106:80 -g", 2},
		{"the service is gone", service + at + "107:80 -g -w 1", "ipvsadm -D -t 192.168.16.200:80", 2},
	} {
		if step.edit != "" {
			reconcile(t, r, observed, owned) // after an edit that was met the whole is read
			shell(t, step.edit)
		}
		wanted := tableOf(t, step.wanted)
		res, err := r.Follow(ctx, wanted, owned, keys...)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if res.Passes != step.passes {
			t.Errorf("%s: read %d times, want %d", step.name, res.Passes, step.passes)
		}
		wantTable(t, wanted)
		if observed = res.Over(observed); cmp.Diff(wanted.String(), observed.String()) != "" {
			t.Errorf("%s: observed is\n%s", step.name, observed)
		}
	}
	there, err := kernel.List(ctx)
	if slices.SortFunc(there, ipvs.ServiceKey.Compare); err != nil || !slices.Equal(there, keys) {
		t.Errorf("listed are %v, %v", there, err)
	}
}

// TestKernelReadOver: into the room of an earlier reading is read what Read reads, to
// every server counters of its own, whatever has come and gone in between.
func TestKernelReadOver(t *testing.T) {
	namespace(t)
	kernel := ipvstest.OpenKernel(t)
	const (
		web = "ipvsadm -A -t 192.0.2.1:80 -s rr\n"
		dns = "ipvsadm -A -u 192.0.2.1:53 -s wlc\n"
		rs  = "ipvsadm -a -t 192.0.2.1:80 -r 198.51.100."
	)
	// more than one system call takes, whether it is known before or not
	large := web
	for i := range 250 {
		large += fmt.Sprintf("%s%d:80 -g -w %d\n", rs, i, i)
	}
	var room ipvs.Table
	for i, table := range []string{
		web + rs + "2:80 -g -w 2\n" + rs + "4:80 -g -w 4",
		web + rs + "1:80 -g -w 1\n" + rs + "2:80 -g -w 2\n" + rs + "3:80 -g -w 3\n" + rs + "4:80 -g -w 4\n" + dns,
		dns + web + rs + "3:80 -m -w 9",
		dns,
		"",
		web + rs + "5:80 -g -w 5",
		large,
		dns + large,
		web + rs + "5:80 -g -w 5",
	} {
		shell(t, "ipvsadm -C\nipvsadm -R <<'END'\n"+strings.ReplaceAll(table, "ipvsadm ", "")+"\nEND")
		var err error
		if room, err = kernel.ReadOver(context.Background(), room); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tableOf(t, table).String(), room.String()); diff != "" {
			t.Errorf("table %d: ReadOver (-want +got):\n%s", i, diff)
		}
		counters := map[*ipvs.ServerStats]bool{}
		servers := 0
		for _, e := range room {
			for _, s := range e.Servers {
				servers++
				counters[s.Stats] = true
			}
		}
		if delete(counters, nil); len(counters) != servers {
			t.Errorf("table %d: %d counters of %d servers", i, len(counters), servers)
		}
	}
}
