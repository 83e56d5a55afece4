package director

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
)

func logged(t *testing.T, format string, events ...event.Event) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	l := newLogger(f, format)
	for _, e := range events {
		l.write(e)
	}
	l.close()
	f.Close()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var sample = event.Event{
	Time: time.Date(2026, 3, 1, 3, 4, 5, 6_000_000, time.UTC), Level: event.LevelWarn, Name: event.LinkDown, Source: "speaker",
	Fields: []event.Field{{Key: event.Interface, Value: "eth0"}, {Key: event.Reason, Value: "no carrier"}},
}

func TestJSONLine(t *testing.T) {
	var got map[string]string
	if err := json.Unmarshal([]byte(logged(t, "json", sample)), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"time": "2026-03-01T03:04:05.006Z", "level": "warn", "source": "speaker",
		"msg": "link.down", "interface": "eth0", "reason": "no carrier"} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
}

func TestConsoleLine(t *testing.T) {
	want := "03:04:05.006  WARN  speaker  link.down  {\"interface\": \"eth0\", \"reason\": \"no carrier\"}\n"
	if got := logged(t, "console", sample); got != want {
		t.Errorf("line is %q, want %q", got, want)
	}
}

func TestAFileGetsJSONByItself(t *testing.T) {
	if got := logged(t, "auto", sample); !strings.HasPrefix(got, "{") {
		t.Errorf("line is %q", got)
	}
}

// TestBlockedLogReaderBlocksNobody holds fault 33: a reader that has stopped
// costs lines, which are counted, not time.
func TestBlockedLogReaderBlocksNobody(t *testing.T) {
	r, w := io.Pipe() // a write blocks until somebody reads
	a := newAsyncWriter(w, 3)
	for range 10 {
		if _, err := a.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	// One line may be with the blocked writer, three are queued.
	if d := a.lost(); d < 6 || d > 7 {
		t.Errorf("dropped %d of 10, want 6 or 7", d)
	}
	if d := a.lost(); d != 0 {
		t.Errorf("%d are told twice", d)
	}
	var out bytes.Buffer
	read := make(chan struct{})
	go func() { _, _ = io.Copy(&out, r); close(read) }()
	a.close()
	w.Close()
	<-read
	if n := strings.Count(out.String(), "line\n"); n < 3 || n > 4 {
		t.Errorf("after the reader came back %d lines were written, want those that were queued", n)
	}
}

func TestSecondDaemonIsRefusedWithThePidOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	first, err := lockRuntime(dir, runsAlready)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockRuntime(dir, runsAlready)
	if err == nil || !strings.Contains(err.Error(), "runs already with pid "+pidOf(t, dir)) {
		t.Errorf("second lock: %v", err)
	}
	first.Close()
	again, err := lockRuntime(dir, runsAlready)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	again.Close()
}

func pidOf(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "baton.pid"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}
