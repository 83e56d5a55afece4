package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
)

// TestJournalOfTheConfiguration: it lies in its state_dir, and a socket that a
// dead director has left is as good as none.
func TestJournalOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	line := `{"time":"2026-11-20T03:04:05Z","level":"warn","event":"server.down","source":"director"}` + "\n"
	path := write("events.jsonl", line)
	config := write("baton.toml", fmt.Sprintf("[global]\nstate_dir = %q\n", dir))
	socket := filepath.Join(dir, "c.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"events", "--json", "--socket", socket, "-c", config}, &stdout, &stderr); code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if stdout.String() != line || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), path) {
		t.Errorf("it prints %q and says %q", stdout.String(), stderr.String())
	}
}

// TestDocumentedEventForm: the event that the documents show as JSON is as both
// `baton events --json` and the control interface have it, and each of its keys is
// explained.
func TestDocumentedEventForm(t *testing.T) {
	e := event.New("director", event.ServerDown, event.F(event.Service, "tcp 192.168.16.200:80"),
		event.F(event.Server, "192.168.16.103:80"), event.F(event.Reason, "refused"), event.F(event.Detail, "connect: connection refused"))
	e.Time = time.Date(2026, 11, 20, 3, 4, 5, 678901234, time.UTC)
	socket := filepath.Join(t.TempDir(), "c.sock")
	stop, err := listen(socket, &answers{Events: []event.Event{e}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	var stdout, stderr bytes.Buffer
	if code := run([]string{"events", "--json", "--socket", socket}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	made := map[string]string{"baton events --json": stdout.String(), "the control interface": answer(t, socket, "/v1/events")}

	all := manuals(t)
	shown := regexp.MustCompile(`(?m)^ {4}\{"time":.*\n(?: {6}.*\n)*`)
	for _, file := range []string{"control-api.md", "events.md"} {
		blocks := shown.FindAllString(all[file], -1)
		if len(blocks) != 1 {
			t.Errorf("%s shows %d events as JSON, want one", file, len(blocks))
			continue
		}
		want := regexp.MustCompile(`\n? {4,}`).ReplaceAllString(blocks[0], "")
		for who, line := range made {
			if line != want {
				t.Errorf("%s shows\n%s, %s has\n%s", file, want, who, line)
			}
		}
	}

	_, section, _ := strings.Cut(all["control-api.md"], "\n## Events\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var explained, have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(section, -1) {
		explained = append(explained, m[1])
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[event.Event](), reflect.TypeFor[event.Field]()} {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			have = append(have, name)
		}
	}
	if !slices.Equal(explained, have) {
		t.Errorf("control-api.md explains the keys %v, an event has %v", explained, have)
	}
}

// answer is the body of a GET on a control socket.
func answer(t *testing.T, socket, path string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	got, err := c.Get("http://baton" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
