package director

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"baton/internal/event"
	"baton/internal/ipc"
	"baton/ipvs/ipvstest"
)

// mute is a child that takes every message. It answers what it is asked while answers is
// true, which belongs to the core.
func mute(t *testing.T, c *core, name string, l *link, answers *bool) {
	t.Helper()
	ours, theirs := net.Pipe()
	down := ipc.NewConn(theirs)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := down.Receive()
			if err != nil {
				return
			}
			c.postAlways(func() {
				if *answers && m.Kind == kindAlive {
					c.alive(name, l)
				}
			})
		}
	}()
	if err := c.ask(t.Context(), func() { l.connect(7, ipc.NewConn(ours), c.tellUnsendable(name)) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.ask(context.Background(), l.disconnect); err != nil {
			t.Error(err)
		}
		ours.Close()
		theirs.Close()
		<-ended
	})
}

// TestSilentChild: a child that stands still is told once, shown, and has no figures; then
// it is told that it answers.
func TestSilentChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := two()
		cfg.Global.KeepalivedNames = true
		c := running(t, cfg)
		c.reading = &reading{kernel: ipvstest.New("")}
		answers := true
		mute(t, c, "speaker", &c.speaker, &answers)
		told := func() string { return strings.Join(c.told(event.ChildSilent, event.ChildAnswers), "; ") }
		silent := func() bool {
			st, err := c.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return !st.Children[0].SilentSince.IsZero()
		}
		time.Sleep(time.Minute)
		if got := told(); got != "" || silent() {
			t.Errorf("a child that answers: told %q, silent %v", got, silent())
		}
		if err := c.ask(t.Context(), func() { answers = false }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := told(); got != "child.silent child=speaker pid=7 took=15s" || !silent() {
			t.Errorf("a child that does not: told %q, silent %v", got, silent())
		}
		for series, v := range scrape(t, c) {
			if strings.Contains(series, "vrrp_state") || strings.HasPrefix(series, "keepalived_") && series != "keepalived_up" {
				t.Errorf("%s is %s", series, v)
			}
		}
		if err := c.ask(t.Context(), func() { answers = true; c.alive("speaker", &c.speaker) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := told(); !strings.HasSuffix(got, "took=15s; child.answers child=speaker pid=7 took=1m3s") || silent() {
			t.Errorf("a child that answers again: told %q, silent %v", got, silent())
		}
	})
}
