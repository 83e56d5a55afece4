package integration

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

var many = flag.Int("many", 60, "virtual routers in TestManyRouters, at most 255")

// TestManyRouters is fault 39 on one interface: virtual routers with 20
// addresses each start, are held by one director, and are taken over.
func TestManyRouters(t *testing.T) {
	r := routers{wires: 1, perWire: *many, addresses: 20, interval: time.Second}
	l := start(t, lab.Options{Directors: []string{}})
	r.lay(t, l)
	r.run(t, l, lab.LVSA, false)
	t.Logf("%v: lvs-a holds all after %v", r, r.awaitHeld(t, l, lab.LVSA, r.total()))
	r.expectAll(t, l, lab.LVSA, "MASTER")
	r.run(t, l, lab.LVSB, false)
	r.expectAll(t, l, lab.LVSB, "BACKUP")
	if n := r.held(t, l, lab.LVSB); n > 0 {
		t.Errorf("the backup holds %d addresses", n)
	}
	kill(t, l, lab.LVSA)
	t.Logf("lvs-b has taken all over after %v", r.awaitHeld(t, l, lab.LVSB, r.total()))
	r.expectAll(t, l, lab.LVSB, "MASTER")
	if r.held(t, l, lab.LVSB) != r.total() {
		t.Errorf("lvs-b holds %d of %d addresses", r.held(t, l, lab.LVSB), r.total())
	}
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if failed := logged(t, l, node, event.AddressFailed, event.AnnounceFailed, event.VRRPSendFailed, event.ChildExited); len(failed) > 0 {
			t.Errorf("%s: %d failures, the first: %v", node, len(failed), failed[0])
		}
	}
}

// expectAll waits until every virtual router on a node is in a state.
func (r routers) expectAll(t testing.TB, l *lab.Lab, node, state string) {
	t.Helper()
	within(t, fmt.Sprintf("all of %s to be %s", node, state), func() string {
		st, err := l.DirectorStatus(t.Context(), node)
		if err != nil {
			return err.Error()
		}
		is := map[string]int{}
		for _, in := range st.Instances {
			is[in.State]++
		}
		if is[state] != r.wires*r.perWire {
			return fmt.Sprintf("they are %v", is)
		}
		return ""
	})
}
