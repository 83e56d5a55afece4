package director

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/event"
)

// fields reads an entry of journald's native protocol.
func fields(t *testing.T, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			t.Fatalf("the entry ends in %q", b)
		}
		name, value, plain := bytes.Cut(line, []byte("="))
		if plain {
			out[string(name)], b = string(value), rest
			continue
		}
		n := binary.LittleEndian.Uint64(rest)
		out[string(name)], b = string(rest[8:8+n]), rest[8+n+1:]
	}
	return out
}

func journalAt(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func received(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	buf := make([]byte, 256<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return fields(t, buf[:n])
}

// TestJournaldGetsFields: an event is an entry with its fields, over a restart of
// journald too, and while there is none a line on standard error.
func TestJournaldGetsFields(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	conn := journalAt(t, socket)
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	j, err := newJournald(socket, stderr)
	if err != nil {
		t.Fatal(err)
	}
	l := &logger{entries: true, out: newAsyncWriter(j, 16)}
	l.write(sample)
	got := received(t, conn)
	for k, want := range map[string]string{
		"MESSAGE": `link.down interface=eth0 reason="no carrier"`, "PRIORITY": "4", "SYSLOG_IDENTIFIER": "baton", "EVENT": "link.down",
		"SOURCE": "speaker", "INTERFACE": "eth0", "REASON": "no carrier", "MESSAGE_ID": messageID(event.LinkDown),
	} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}

	long := event.New("director", event.ConfigProblem, event.F(event.Detail, "two\nlines "+strings.Repeat("x", 1<<20)))
	l.write(long)
	if got := received(t, conn)["DETAIL"]; !strings.HasPrefix(got, "two\nlines xxx") || len(got) > maxJournalField+3 {
		t.Errorf("a long field of two lines came as %d bytes, %.20q", len(got), got)
	}

	conn.Close()
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	l.write(sample)
	for deadline := time.Now().Add(20 * time.Second); ; {
		raw, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) == "link.down interface=eth0 reason=\"no carrier\"\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without journald standard error has %q", raw)
		}
	}
	again := journalAt(t, socket)
	l.write(sample)
	if got := received(t, again)["EVENT"]; got != "link.down" {
		t.Errorf("after a restart of journald came %q", got)
	}
	l.close()
}

// TestJournaldIsFoundByItsStream: only where standard error is what JOURNAL_STREAM
// names; a redirected one is not the journal.
func TestJournaldIsFoundByItsStream(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		"": false, "1:2": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
	} {
		if got := startedByJournald(f, stream); got != want {
			t.Errorf("JOURNAL_STREAM=%q: %v", stream, got)
		}
	}
}

// TestJournaldLevels: the number is what journalctl -p goes by, syslog(3)'s.
func TestJournaldLevels(t *testing.T) {
	for level, want := range map[event.Level]string{event.LevelDebug: "7", event.LevelInfo: "6", event.LevelWarn: "4", event.LevelError: "3"} {
		if got := fields(t, journalEntry(event.Event{Level: level}))["PRIORITY"]; got != want {
			t.Errorf("level %v has the priority %s, want %s", level, got, want)
		}
	}
}

// TestMessageIDsAreStable: rules written for one must find it in every version,
// and docs/events.md says how it comes about.
func TestMessageIDsAreStable(t *testing.T) {
	if got := messageID(event.VRRPTransition); got != "960329cfa57d018979b2f477677438f7" {
		t.Errorf("the id of vrrp.transition is %s", got)
	}
	seen := map[string]event.Name{}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	ours := fields(t, journalEntry(event.New("", "")))
	for _, s := range event.Catalogue {
		id := messageID(s.Name)
		if seen[id] != "" {
			t.Errorf("%s and %s share %s", s.Name, seen[id], id)
		}
		seen[id] = s.Name
		for _, k := range s.Fields {
			n := journalName(k)
			if _, taken := ours[n]; taken || !name.MatchString(n) {
				t.Errorf("%s of %s cannot be the field %s of the journal", k, s.Name, n)
			}
		}
	}
}
