package integration

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// keep opens long connections, to both servers, and returns what says that each
// of them lives. In the end none may have broken.
func keep(t *testing.T, l *lab.Lab) (alive func(after string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// They are looked at after the test's own context has ended.
	long, err := l.StartLong(context.WithoutCancel(t.Context()), lab.LongOptions{})
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, c := range long.Connections() {
		served[c.Kind+" "+c.Server] = true
	}
	if len(served) != 4 {
		t.Errorf("long connections are %v, want one of each kind to each server", served)
	}
	if err := long.Alive(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		all, err := long.Stop(ctx)
		if err != nil {
			t.Errorf("stop long connections: %v", err)
		}
		for _, c := range all {
			if c.Broken != "" {
				t.Errorf("the %s connection to %s broke after %d bytes: %s", c.Kind, c.Server, c.Bytes, c.Broken)
			}
		}
	})
	return func(after string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := long.Alive(ctx); err != nil {
			t.Fatalf("after %s: %v; they are %+v", after, err, long.Connections())
		}
	}
}

// TestConnectionsSurvive is fault 26: a slow download and an idle connection to
// each server live through whatever is done to the directors.
func TestConnectionsSurvive(t *testing.T) {
	l := start(t, lab.Options{CheckInterval: 5 * time.Second,
		GlobalTOML: "drain_timeout = \"10m\"", ExtraTOML: syncDaemon})
	alive := keep(t, l)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()

	both := config(t, l)
	rewrite(t, l, bytes.Replace(both, []byte("lb_algo = \"rr\""), []byte("lb_algo = \"wlc\""), 1))
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if r := reload(t, l, node); !r.OK || len(r.Changes) == 0 {
			t.Fatalf("%s: reload says %+v", node, r)
		}
	}
	alive("a reload")

	do(l.StopDirector(ctx, lab.LVSA))
	do(l.AwaitMaster(ctx, lab.LVSB))
	unrelayed(t, l, lab.LVSA)
	alive("a stop of the master")
	do(l.StartDirector(ctx, lab.LVSA))
	do(l.AwaitMaster(ctx, lab.LVSA))
	unrelayed(t, l, lab.LVSB)
	alive("its return")

	// The backup's crash changes nothing; the master's comes to its successor
	// without a word.
	for _, node := range []string{lab.LVSB, lab.LVSA} {
		do(l.KillDirector(ctx, node))
		if node == lab.LVSA {
			do(l.AwaitMaster(ctx, lab.LVSB))
			alive("a crash of the master")
		}
		do(l.StartDirector(ctx, node))
		do(l.AwaitMaster(ctx, lab.LVSA))
		alive("a crash of " + node + " and its return")
	}

	// rs2 is taken out of the file: it drains, and whoever it serves keeps it.
	one := config(t, l)
	entry := []byte("\n[[virtual_server.real_server]]\naddress = \"192.168.16.104:80\"\nweight = 1\n")
	rewrite(t, l, bytes.Replace(one, entry, nil, 1))
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if r := reload(t, l, node); !r.OK || len(r.Changes) != 1 {
			t.Fatalf("%s: reload says %+v", node, r)
		}
	}
	within(t, "rs2 to drain", func() string {
		if got := listing(t, l, lab.LVSA); !strings.Contains(got, "192.168.16.104:80 Route 0") {
			return got
		}
		return ""
	})
	fresh := load(t, l)()
	noFailure(t, fresh)
	if fresh.Answers[lab.RS2] > 0 {
		t.Errorf("a server that drains got %d new connections", fresh.Answers[lab.RS2])
	}
	alive("a drain")

	// A node that loses its power takes all that its kernel knew with it.
	do(l.Destroy(ctx, lab.LVSA))
	within(t, "lvs-b to be master", func() string {
		if m := l.Masters(ctx); len(m) != 1 || m[0] != lab.LVSB {
			return strings.Join(m, " ")
		}
		return ""
	})
	alive("the loss of a whole node")
}
