package integration

import (
	"strings"
	"testing"
	"time"

	"baton/internal/event"
	"baton/internal/lab"
)

// TestNeighbourFails: the cable of a real server that is checked once in ten
// minutes is pulled while clients use it. It is out as soon as the kernel's
// neighbour table has given it up and the check so triggered has failed.
func TestNeighbourFails(t *testing.T) {
	l := start(t, lab.Options{Directors: []string{}, ServerTOML: "[virtual_server.tcp_check]\ndelay_loop = \"10m\"\nconnect_timeout = \"2s\"\nretry = 1\ndelay_before_retry = \"100ms\""})
	// The kernel gives up within two seconds instead of most of a minute. A neighbour
	// that it knows already would keep its old time.
	for _, s := range []string{"base_reachable_time_ms=500", "delay_first_probe_time=1", "retrans_time_ms=200"} {
		run(t, l, lab.LVSA, "sysctl", "-qw", "net.ipv4.neigh."+lab.LANInterface+"."+s)
	}
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if err := l.StartDirector(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := load(t, l)
	if err := l.Cut(lab.RS1); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	server := lab.Address(lab.RS1).String()
	var down lab.Entry
	within(t, "the server to be out", func() string {
		for _, e := range logged(t, l, lab.LVSA, event.ServerDown) {
			if strings.Contains(e.Fields["server"], server) {
				down = e
				return ""
			}
		}
		return "it is in"
	})
	hints := logged(t, l, lab.LVSA, event.CheckTriggered)
	t.Logf("out after %v; %v; %v", down.Time.Sub(cut), hints, down)
	if len(hints) == 0 || hints[0].Fields["address"] != server || hints[0].Fields["count"] != "1" {
		t.Errorf("triggered: %v", hints)
	}
	if n := len(hints); n > 1+int(time.Since(cut)/time.Second) {
		t.Errorf("triggered %d times", n)
	}
	stop() // some requests have failed
}
