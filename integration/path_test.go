package integration

import (
	"fmt"
	"strings"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

// TestServerWithoutTheAddressIsTold is fault 41: a real server loses the virtual
// address, then answers ARP for it. Its health checks pass all the time. Master
// and backup tell it by name, what they say mends it, and they tell that too.
func TestServerWithoutTheAddressIsTold(t *testing.T) {
	l := start(t, lab.Options{ServerTOML: `path_check_interval = "1s"`})
	nodes := []string{lab.LVSA, lab.LVSB}
	told := func(n int, from, to, reason string) {
		t.Helper()
		for _, node := range nodes {
			within(t, node+" tells "+to+" "+reason, func() string {
				lines := logged(t, l, node, event.ServerPath)
				if len(lines) < n {
					return fmt.Sprintf("%d lines", len(lines))
				}
				e := lines[n-1]
				if e.Get(event.Server) != "192.168.16.103:80" || e.Get(event.From) != from || e.Get(event.To) != to || e.Get(event.Reason) != reason {
					t.Fatalf("%s: line %d has %v", node, n, e.Fields)
				}
				return ""
			})
		}
	}
	mend := func() { // as the line says, without what only a terminal has
		t.Helper()
		words := strings.Fields(logged(t, l, lab.LVSA, event.ServerPath)[0].Get(event.Command))
		dir := t.TempDir()
		run(t, l, lab.RS1, words[0], append(words[1:], "--runtime-dir", dir, "--state-dir", dir)...)
	}
	for _, node := range nodes { // what was never seen to be right is told from "unknown"
		within(t, node+" to have asked", func() string {
			st, err := l.DirectorStatus(t.Context(), node)
			if err != nil {
				return err.Error()
			}
			for _, s := range st.Services[0].Servers {
				if s.Path == nil || s.Path.State != "ok" {
					return fmt.Sprintf("the path to %s is %+v", s.Address, s.Path)
				}
			}
			return ""
		})
	}
	run(t, l, lab.RS1, "ip", "address", "del", "192.168.16.200/32", "dev", "lo")
	told(1, "ok", "broken", "no-answer")
	mend()
	told(2, "broken", "ok", "")

	run(t, l, lab.RS1, "sysctl", "-w", "net.ipv4.conf.all.arp_ignore=0")
	told(3, "ok", "broken", "answers-arp")
	mend()
	told(4, "broken", "ok", "")
	for _, node := range nodes {
		for _, e := range logged(t, l, node, event.ServerDown) {
			if e.Get(event.Reason) != "timeout" { // a machine may be too slow for a check
				t.Errorf("%s: a server went down by its health checks: %v", node, e.Fields)
			}
		}
		if lines := logged(t, l, node, event.ServerPath); len(lines) != 4 {
			t.Errorf("%s told %d times, want once each change: %v", node, len(lines), lines)
		}
	}
}
