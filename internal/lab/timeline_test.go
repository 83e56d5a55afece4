package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/internal/event"
)

const transition = `{"level":"info","time":"2026-01-02T03:04:05.25+01:00","source":"speaker","msg":"vrrp.transition","instance":"VI_1","vrid":"51","interface":"eth0","from":"BACKUP","to":"MASTER","reason":"no advert","priority":"100"}`

func TestLogLineBecomesAnEntry(t *testing.T) {
	e, ok := parseLine([]byte(transition), LVSB)
	if !ok || e.Event != event.VRRPTransition || e.Get(event.To) != "MASTER" || e.Node != LVSB {
		t.Fatalf("%+v", e)
	}
	if want := time.Date(2026, 1, 2, 2, 4, 5, 250_000_000, time.UTC); !e.Time.Equal(want) {
		t.Errorf("time is %s", e.Time)
	}
	got := e.format(e.Time.Add(-3600 * time.Millisecond))
	if want := "  +3.600 s  lvs-b  vrrp.transition      VI_1 BACKUP → MASTER interface=eth0 priority=100 (no advert)"; got != want {
		t.Errorf("printed as\n%q, want\n%q", got, want)
	}
}

func TestEntryIsPrintedOnOneLine(t *testing.T) {
	up := Entry{Event: event.ServerUp, Fields: map[event.Key]string{
		event.Service: "tcp V", event.Server: "S", event.Check: "tcp V S http_get", event.From: "unknown",
	}}
	if got, want := up.describe(), "tcp V S from unknown check=http_get"; got != want {
		t.Errorf("printed as %q, want %q", got, want)
	}
	long := Entry{Text: "a\n\tb " + strings.Repeat("é", 2*maxShown)}
	if got := []rune(long.describe()); len(got) != maxShown+1 || string(got[:4]) != "a b " || got[maxShown] != '…' {
		t.Errorf("printed as %q", string(got))
	}
}

func TestLineThatIsNoEventIsKeptAsText(t *testing.T) {
	for _, line := range []string{"panic: runtime error", `{"a":1}`, `{"msg":"x.y","time":"yesterday"}`, `[1]`} {
		if e, ok := parseLine([]byte(line), LVSA); !ok || e.Text != line || e.Event != "" {
			t.Errorf("%s: %+v", line, e)
		}
	}
	if _, ok := parseLine([]byte(" \n"), LVSA); ok {
		t.Error("an empty line became an entry")
	}
}

func TestGrowingLogIsReadLineByLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r := &logReader{path: path, node: LVSA}
	if got, err := r.next(); err != nil || len(got) != 0 {
		t.Fatalf("a log that is not there yet: %v, %v", got, err)
	}
	write := func(s string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	half := len(transition) / 2
	write(transition + "\npanic: oh\n" + transition[:half])
	got, err := r.next()
	if err != nil || len(got) != 2 || got[1].Text != "panic: oh" || !got[1].Time.Equal(got[0].Time) {
		t.Fatalf("%+v, %v", got, err)
	}
	write(transition[half:] + "\n")
	if got, err = r.next(); err != nil || len(got) != 1 || got[0].Event != event.VRRPTransition {
		t.Fatalf("%+v, %v", got, err)
	}
	// A line longer than the bound comes in pieces and harms nobody.
	write(strings.Repeat("x", 3*maxLogLine) + "\n" + transition + "\n")
	if got, err = r.next(); err != nil || got[len(got)-1].Event != event.VRRPTransition {
		t.Fatalf("%d entries, %v", len(got), err)
	}
}

func TestEntriesAreMergedInTime(t *testing.T) {
	a := []Entry{{Time: at(1), Node: "a"}, {Time: at(4), Node: "a"}}
	b := []Entry{{Time: at(2), Node: "b"}, {Time: at(4), Node: "b"}}
	var order string
	for _, e := range merge(a, b) {
		order += e.Node
	}
	if order != "abab" {
		t.Errorf("order is %s", order)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{transition, "panic: x", `{"msg":1,"time":2}`, "", `{"time":"2026-01-02T03:04:05Z","msg":"a.b","from":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, ok := parseLine(line, LVSA)
		if !ok {
			return
		}
		if (e.Event == "") == (e.Text == "") {
			t.Errorf("%q is both event and text, or neither: %+v", line, e)
		}
		if strings.TrimSpace(e.format(origin)) == "" {
			t.Errorf("%q is printed as nothing", line)
		}
	})
}
