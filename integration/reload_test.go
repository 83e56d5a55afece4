package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/lab"
)

func reload(t *testing.T, l *lab.Lab, node string) control.Reload {
	t.Helper()
	d, err := l.Director(node)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := d.Reload(ctx)
	if err != nil {
		t.Fatalf("reload %s: %v", node, err)
	}
	return r
}

func rewrite(t *testing.T, l *lab.Lab, data []byte) {
	t.Helper()
	// Written in place: the directors keep the path, not the file.
	if err := os.WriteFile(l.ConfigFile(), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func config(t *testing.T, l *lab.Lab) []byte {
	t.Helper()
	raw, err := os.ReadFile(l.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestReloadRemovesAndAddsAServerUnderTraffic: the server drains, nobody
// notices, and it comes back.
func TestReloadRemovesAndAddsAServerUnderTraffic(t *testing.T) {
	l := start(t, lab.Options{GlobalTOML: `drain_timeout = "20s"`})
	both := config(t, l)
	entry := []byte("\n[[virtual_server.real_server]]\naddress = \"192.168.16.104:80\"\nweight = 1\n")
	one := bytes.Replace(both, entry, nil, 1)
	if bytes.Equal(one, both) {
		t.Fatalf("the lab's configuration has no such entry:\n%s", both)
	}
	stop := load(t, l)
	rewrite(t, l, one)
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if r := reload(t, l, node); !r.OK || len(r.Changes) != 1 || !strings.Contains(r.Changes[0], "192.168.16.104:80") {
			t.Errorf("%s: reload says %+v", node, r)
		}
	}
	within(t, "the server to be drained", func() string {
		if got := listing(t, l, lab.LVSA); strings.Contains(got, "192.168.16.104") {
			return got
		}
		return ""
	})
	rewrite(t, l, both)
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		if r := reload(t, l, node); !r.OK || len(r.Changes) != 1 {
			t.Errorf("%s: reload says %+v", node, r)
		}
	}
	within(t, "the server to be back", func() string {
		if got := listing(t, l, lab.LVSA); got != wantListing {
			return got
		}
		return ""
	})
	noFailure(t, stop())
	if n := len(logged(t, l, lab.LVSA, event.ServerDraining, event.ServerDrained)); n != 2 {
		t.Errorf("%d lines about the drain, want two", n)
	}
	if n := len(logged(t, l, lab.LVSA, event.VRRPTransition)); n != 2 {
		t.Errorf("the master logged %d transitions, want the two of its start", n)
	}
}

// TestSIGHUPReloads: the signal does what the command does.
func TestSIGHUPReloads(t *testing.T) {
	l := start(t, lab.Options{})
	rewrite(t, l, bytes.Replace(config(t, l), []byte("weight = 1"), []byte("weight = 5"), 1))
	if err := l.SignalDirector(lab.LVSA, hangup); err != nil {
		t.Fatal(err)
	}
	within(t, "the new weight", func() string {
		if got := listing(t, l, lab.LVSA); !strings.Contains(got, "192.168.16.103:80 Route 5") {
			return got
		}
		return ""
	})
}

// TestRefusedReloads: each of the broken files is refused by a running daemon
// with exactly the words that `baton check` has for it, and nothing moves.
func TestRefusedReloads(t *testing.T) {
	l := start(t, lab.Options{})
	stop := load(t, l)
	good := config(t, l)
	dir := filepath.Join("..", "conf", "testdata", "invalid")
	names, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil || len(names) < 25 {
		t.Fatalf("found %d broken files in %s: %v", len(names), dir, err)
	}
	before, err := l.DirectorStatus(t.Context(), lab.LVSA)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, name := range names {
		base := filepath.Base(name)
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // a directory or an unreadable file: not for a copy
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, ".toml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, l, raw)
		r := reload(t, l, lab.LVSA)
		got := strings.ReplaceAll(strings.Join(r.Problems, "\n"), l.ConfigFile()+":", base+":")
		if r.OK || got != strings.TrimRight(string(want), "\n") {
			t.Errorf("%s: ok=%v\n%s\nwant\n%s", base, r.OK, got, want)
		}
		refused++
	}
	rewrite(t, l, good)
	after, err := l.DirectorStatus(t.Context(), lab.LVSA)
	if err != nil {
		t.Fatal(err)
	}
	if after.Config.Hash != before.Config.Hash || after.Config.LastOK || len(after.Config.Problems) == 0 {
		t.Errorf("after the refusals the configuration is %+v, before %+v", after.Config, before.Config)
	}
	if got := fmt.Sprint(after.Children[0].PID, after.Children[1].PID); got != fmt.Sprint(before.Children[0].PID, before.Children[1].PID) {
		t.Errorf("a child was restarted: %+v, before %+v", after.Children, before.Children)
	}
	if got := listing(t, l, lab.LVSA); got != wantListing {
		t.Errorf("ipvsadm -Ln says\n%s", got)
	}
	if n := len(logged(t, l, lab.LVSA, event.ConfigRejected)); n != refused {
		t.Errorf("%d lines for %d refusals", n, refused)
	}
	if n := len(logged(t, l, lab.LVSA, event.VRRPTransition)); n != 2 {
		t.Errorf("the master logged %d transitions, want the two of its start", n)
	}
	noFailure(t, stop())
}

// TestSecondRunIsRefused is fault 35.
func TestSecondRunIsRefused(t *testing.T) {
	l := start(t, lab.Options{})
	out, err := l.Run(t.Context(), lab.LVSA, "baton", "run", "-c", l.ConfigFile(), "--node", lab.LVSA)
	want := fmt.Sprintf("pid %d", l.PID(lab.LVSA))
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("a second daemon: %v, printed %q, want a refusal with %q", err, out, want)
	}
	if !slices.Equal(l.Masters(t.Context()), []string{lab.LVSA}) {
		t.Errorf("masters are %v", l.Masters(t.Context()))
	}
}
