package integration

import (
	"strings"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

// listing is ipvsadm's own words about the lab's service, without the counts.
func listing(t *testing.T, l *lab.Lab, node string) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(run(t, l, node, "ipvsadm", "-Ln"), "\n")[3:] {
		f := strings.Fields(line)
		if len(f) > 5 {
			f = f[:4] // address, forwarding, weight: the counts move
		}
		if len(f) > 0 {
			out = append(out, strings.Join(f, " "))
		}
	}
	return strings.Join(out, "\n")
}

const wantListing = `TCP 192.168.16.200:80 rr
-> 192.168.16.103:80 Route 1
-> 192.168.16.104:80 Route 1`

// TestReferenceTopology: both directors hold the table, the master the address,
// and the client's requests go to both servers.
func TestReferenceTopology(t *testing.T) {
	l := start(t, lab.Options{})
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		within(t, "the table of "+node, func() string {
			if got := listing(t, l, node); got != wantListing {
				return "ipvsadm -Ln says\n" + got
			}
			return ""
		})
	}
	if held, err := l.HoldsVIP(lab.LVSA); err != nil || !held {
		t.Errorf("the master holds the address: %v, %v", held, err)
	}
	if held, err := l.HoldsVIP(lab.LVSB); err != nil || held {
		t.Errorf("the backup holds the address: %v, %v", held, err)
	}
	r := load(t, l)()
	noFailure(t, r)
	a, b := r.Answers[lab.RS1], r.Answers[lab.RS2]
	if a == 0 || b == 0 || a-b > 10 || b-a > 10 {
		t.Errorf("round robin gave %v", r.Answers)
	}
}

// TestDriftIsRepairedAndTold is fault 19: one line for each correction.
func TestDriftIsRepairedAndTold(t *testing.T) {
	l := start(t, lab.Options{GlobalTOML: `resync_interval = "1s"`})
	for _, c := range []struct {
		name  string
		args  []string
		lines int
	}{
		{"flushed", []string{"-C"}, 3},
		{"server deleted", []string{"-d", "-t", "192.168.16.200:80", "-r", "192.168.16.103:80"}, 1},
		{"weight changed", []string{"-e", "-t", "192.168.16.200:80", "-r", "192.168.16.104:80", "-g", "-w", "7"}, 1},
		{"scheduler changed", []string{"-E", "-t", "192.168.16.200:80", "-s", "wlc"}, 1},
	} {
		before := len(logged(t, l, lab.LVSA, event.IPVSDrift))
		run(t, l, lab.LVSA, "ipvsadm", c.args...)
		within(t, c.name+": the table to be right again", func() string {
			if got := listing(t, l, lab.LVSA); got != wantListing {
				return "ipvsadm -Ln says\n" + got
			}
			return ""
		})
		within(t, c.name+": the lines", func() string {
			if n := len(logged(t, l, lab.LVSA, event.IPVSDrift)) - before; n < c.lines {
				return "not all there"
			}
			return ""
		})
		if n := len(logged(t, l, lab.LVSA, event.IPVSDrift)) - before; n != c.lines {
			t.Errorf("%s: %d drift lines, want %d", c.name, n, c.lines)
		}
	}
}

// TestForeignServiceIsLeftAlone is fault 20.
func TestForeignServiceIsLeftAlone(t *testing.T) {
	l := start(t, lab.Options{GlobalTOML: `resync_interval = "1s"`})
	run(t, l, lab.LVSA, "ipvsadm", "-A", "-t", "192.0.2.9:99", "-s", "rr")
	within(t, "the foreign service to be told", func() string {
		for _, e := range logged(t, l, lab.LVSA, event.IPVSForeign) {
			if e.Get(event.Service) == "tcp 192.0.2.9:99" {
				return ""
			}
		}
		return "no line"
	})
	if got := run(t, l, lab.LVSA, "ipvsadm", "-Ln"); !strings.Contains(got, "192.0.2.9:99") {
		t.Errorf("the foreign service is gone:\n%s", got)
	}
}

// TestStopLeavesTheTable: connections live on while nobody is there.
func TestStopLeavesTheTable(t *testing.T) {
	l := start(t, lab.Options{})
	if err := l.StopDirector(t.Context(), lab.LVSB); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, l, lab.LVSB); got != wantListing {
		t.Errorf("after a stop ipvsadm -Ln says\n%s", got)
	}
}
