package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
