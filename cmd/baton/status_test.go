package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/internal/control"
)

// frames cuts a watch short after some writes.
type frames struct {
	got  []string
	each func(n int)
}

func (f *frames) Write(p []byte) (int, error) {
	f.got = append(f.got, string(p))
	f.each(len(f.got))
	return len(p), nil
}

// TestWatchOutlivesTheDirector: a restart is what one watches, so it is shown
// and the watch goes on.
func TestWatchOutlivesTheDirector(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c.sock")
	first := start(t, socket, "one")
	defer func() { first() }()
	ctx, cancel := context.WithCancel(t.Context())
	out := &frames{each: func(n int) {
		switch n {
		case 2:
			first()
		case 4:
			first = start(t, socket, "two")
		case 5:
			cancel()
		}
	}}
	client := control.NewClient(socket)
	defer client.Close()
	v := view{out: out, client: client, watch: true, screen: true, every: time.Millisecond}
	if err := v.follow(ctx); err != nil {
		t.Fatal(err)
	}
	const redraw = "\x1b[H\x1b[2J"
	for i, want := range []string{"one", "one", "is baton running?", "is baton running?", "two"} {
		if len(out.got) <= i || !strings.HasPrefix(out.got[i], redraw) || !strings.Contains(out.got[i], want) {
			t.Fatalf("frame %d of %q, want %q", i, out.got, want)
		}
	}
}

func TestWatchOfNobodyFailsAtOnce(t *testing.T) {
	client := control.NewClient(filepath.Join(t.TempDir(), "c.sock"))
	v := view{out: &frames{}, client: client, watch: true, every: time.Hour}
	if err := v.follow(t.Context()); err == nil || !strings.Contains(err.Error(), "is baton running?") {
		t.Error(err)
	}
}

func TestWatchWithoutATerminalSeparatesItsFrames(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c.sock")
	defer start(t, socket, "one")()
	for asJSON, ends := range map[bool]string{false: "\n\n", true: "}\n"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &frames{each: func(n int) {
			if n == 2 {
				cancel()
			}
		}}
		client := control.NewClient(socket)
		defer client.Close()
		v := view{out: out, client: client, watch: true, json: asJSON, every: time.Millisecond}
		if err := v.follow(ctx); err != nil {
			t.Error(err)
		}
		for _, f := range out.got {
			if !strings.HasSuffix(f, ends) || strings.Contains(f, "\x1b") {
				t.Errorf("json %v: frame %q", asJSON, f)
			}
		}
	}
}
