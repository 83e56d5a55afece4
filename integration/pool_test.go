package integration

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

// TestOperatorTakesServersOut is faults 23 and 27: a weight that is typed, a
// drain that leaves the pool without a server, so that the sorry server stands
// in, and the way back. No request fails.
func TestOperatorTakesServersOut(t *testing.T) {
	// A slow processor must not fail a check: what is asserted is the operator's doing.
	l := start(t, lab.Options{Directors: []string{lab.LVSA}, CheckInterval: 5 * time.Second})
	// The second server becomes the sorry server of the first.
	both := config(t, l)
	second := []byte("\n[[virtual_server.real_server]]\naddress = \"192.168.16.104:80\"\nweight = 1\n")
	one := bytes.Replace(both, second, nil, 1)
	one = bytes.Replace(one, []byte("lb_algo = \"rr\"\n"), []byte("lb_algo = \"rr\"\nsorry_server = \"192.168.16.104:80\"\n"), 1)
	if bytes.Equal(one, both) {
		t.Fatalf("the lab's configuration has no such entries:\n%s", both)
	}
	rewrite(t, l, one)
	if r := reload(t, l, lab.LVSA); !r.OK {
		t.Fatalf("reload says %+v", r)
	}
	holds := func(what, server string) {
		t.Helper()
		want := "TCP 192.168.16.200:80 rr\n-> " + server
		within(t, what, func() string {
			if got := listing(t, l, lab.LVSA); got != want {
				return "ipvsadm -Ln says\n" + got
			}
			return ""
		})
	}
	order := func(args ...string) string {
		t.Helper()
		return run(t, l, lab.LVSA, "baton", append(args, "--socket", l.Paths(lab.LVSA).Socket)...)
	}
	holds("one server", "192.168.16.103:80 Route 1")
	stop := load(t, l)
	if got := order("weight", "192.168.16.103", "7"); !strings.Contains(got, "weight 7 of 1 (weight by baton weight)") {
		t.Errorf("baton weight says %q", got)
	}
	holds("the weight that was typed", "192.168.16.103:80 Route 7")

	if got := order("drain", "192.168.16.103:80", "--timeout", "5m"); !strings.Contains(got, "192.168.16.103:80 of tcp 192.168.16.200:80: drained, no active connection") {
		t.Errorf("baton drain says %q", got)
	}
	holds("the sorry server alone", "192.168.16.104:80 Route 1")
	if got := order("status"); !strings.Contains(got, "192.168.16.104:80 STANDS IN") || !strings.Contains(got, "until baton undrain") {
		t.Errorf("baton status says\n%s", got)
	}
	if got := order("undrain", "192.168.16.103:80", "--service", "192.168.16.200:80"); !strings.Contains(got, "up, weight 7 of 1") {
		t.Errorf("baton undrain says %q", got)
	}
	holds("the server is back with its weight", "192.168.16.103:80 Route 7")
	r := stop()
	noFailure(t, r)
	if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
		t.Errorf("answers came from %v", r.Answers)
	}
	var told []string
	for _, e := range logged(t, l, lab.LVSA, event.ServerDraining, event.ServiceQuorum, event.ServiceSorry, event.ServerDrained, event.ServerUndrained) {
		told = append(told, string(e.Event)+" "+e.Get(event.To))
	}
	want := "server.draining draining;service.quorum down;service.sorry in;server.drained drained;server.undrained up;service.quorum up;service.sorry out"
	if got := strings.Join(told, ";"); !strings.HasSuffix(got, want) {
		t.Errorf("told is %s, want it to end with %s", got, want)
	}
}
