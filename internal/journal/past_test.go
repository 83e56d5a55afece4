package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/internal/event"
)

// appendWritten appends the events from..to-1 and returns when they are in the file.
func appendWritten(t *testing.T, j *Journal, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		j.Append(numberedEvent(n))
	}
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		j.mu.Lock()
		written := j.done == j.count
		j.mu.Unlock()
		if written {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the writer does not write: %+v", j.Stats())
		}
	}
}

func numbersUpTo(from, to int) string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " ")
}

func past(j *Journal, t time.Time) []event.Event { return slices.Collect(j.Past(t)) }

func TestPastReachesIntoTheFiles(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Count: 3, MaxBytes: 1000, Files: 3, Failed: func(err error, _ uint64) { t.Error(err) }}
	j := open(t, o)
	appendWritten(t, j, 0, 3)
	wantNumbers(t, past(j, base), "0 1 2")
	for n := 3; n < 16; n++ {
		appendWritten(t, j, n, n+1)
	}
	if s := j.Stats(); s.Rotations != 2 {
		t.Fatalf("stats are %+v, the bounds of this test do not fit", s)
	}
	wantNumbers(t, past(j, time.Time{}), "13 14 15")
	wantNumbers(t, past(j, base.Add(13*time.Second)), "13 14 15")
	wantNumbers(t, past(j, base.Add(12*time.Second)), "12 13 14 15")
	wantNumbers(t, past(j, base.Add(-time.Hour)), numbersUpTo(0, 16))
	for e := range j.Past(base) {
		wantNumbers(t, []event.Event{e}, "0")
		break
	}

	// What the bound on the files has taken is gone.
	for n := 16; j.Stats().Rotations < 5; n++ {
		appendWritten(t, j, n, n+1)
	}
	got := past(j, base)
	if first := got[0].Get(event.Count); first == "0" || len(got) < 10 {
		t.Errorf("events are %q", numbers(got))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// The next run does as well.
	k := open(t, o)
	wantNumbers(t, past(k, base), numbers(got))
}

// TestPastOfLateReports: what a child reports happened earlier than what was
// appended before it, also where one is in memory and the other no longer.
func TestPastOfLateReports(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), Count: 1})
	appendWritten(t, j, 9, 10)
	appendWritten(t, j, 4, 5)
	wantNumbers(t, past(j, base.Add(6*time.Second)), "9")
	wantNumbers(t, past(j, base), "9 4")
}

// TestPastTellsEventsApart: those that are alike are as many as they were.
func TestPastTellsEventsApart(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), Count: 2})
	for range 4 {
		appendWritten(t, j, 7, 8)
	}
	wantNumbers(t, past(j, base), "7 7 7 7")
	// JSON cannot hold this, so that the file has another text than memory.
	odd := event.New("prober", event.ServerDown, event.F(event.Count, "\xff\x00"))
	odd.Time = base
	j.Append(odd)
	appendWritten(t, j, 8, 9)
	wantNumbers(t, past(j, base), "7 7 7 7 \xff\x00 8")
}

func TestPastPassesOverDamage(t *testing.T) {
	dir := t.TempDir()
	line := func(n int) string { return lineOf(t, n) }
	long := strings.Repeat("x", maxLine+1) // what follows fits the buffer and is an event
	text := line(0) + "\n\x00\x00garbage\n{}\n[1]\n\n" + line(1)[:30] + "\n" + long + "\n" + long + line(2) + "\n" + line(3) + "\n" + line(4)[:20]
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, Options{Dir: dir, Count: 1, Failed: func(err error, _ uint64) { t.Error(err) }})
	appendWritten(t, j, 5, 6)
	wantNumbers(t, past(j, base), "0 3 5")
}

// TestNothingIsLostAtTheSeam: between files and memory, while it goes on.
func TestNothingIsLostAtTheSeam(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, j *Journal){
		"memory turns round": func(t *testing.T, j *Journal) { appendWritten(t, j, 10, 15) },
		"one comes":          func(t *testing.T, j *Journal) { appendWritten(t, j, 10, 11) },
		"files rotate": func(t *testing.T, j *Journal) {
			for n, r := 10, j.Stats().Rotations; j.Stats().Rotations < r+2; n++ {
				appendWritten(t, j, n, n+1)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var j *Journal
			done := false
			j = open(t, Options{Dir: t.TempDir(), Count: 4, MaxBytes: 700, Files: 9, opened: func() {
				if !done {
					done = true
					meanwhile(t, j)
				}
			}})
			for n := range 10 {
				appendWritten(t, j, n, n+1)
			}
			got := past(j, base)
			if len(got) < 11 || numbers(got) != numbersUpTo(0, len(got)) {
				t.Errorf("events are %q", numbers(got))
			}
		})
	}
}

// TestPastWhileItIsWritten: nothing is missing, twice or out of its place
// wherever a reader meets the writer.
func TestPastWhileItIsWritten(t *testing.T) {
	const total = 3000
	j := open(t, Options{Dir: t.TempDir(), Count: 1024, Queue: 32, MaxBytes: 8 << 10, Files: 100})
	appendWritten(t, j, 0, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; n < total; {
			if waits := len(j.queue); waits == 0 {
				for range min(16, total-n) {
					j.Append(numberedEvent(n))
					n++
				}
			}
			runtime.Gosched()
		}
	}()
	for last := false; !last; {
		select {
		case <-ended:
			last = true
		default:
		}
		got := past(j, base)
		if numbers(got) != numbersUpTo(0, len(got)) || last && len(got) != total {
			t.Fatalf("%d events are %q", len(got), numbers(got))
		}
	}
}

// TestRotationMeanwhileShowsNoFileTwice: it has moved a file that is open.
func TestRotationMeanwhileShowsNoFileTwice(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	appendWritten(t, j, 0, 3)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(numbered(dir, 0), numbered(dir, 1)); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantNumbers(t, slices.Collect(f.Events()), "0 1 2")
}

// TestFilesWithoutADirector: they are read where they lie.
func TestFilesWithoutADirector(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenFiles(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), Path(dir)) {
		t.Errorf("without a file: %v", err)
	}
	loop := numbered(dir, 2)
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFiles(dir); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("with a file that cannot be opened: %v", err)
	}
	raw, err := json.Marshal(numberedEvent(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(numbered(dir, 1), append(raw, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantNumbers(t, slices.Collect(f.Events()), "3")
	if err := f.Err(); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("what could not be read is told as %v", err)
	}
}

// TestUnreadableFileIsTold: and what is in memory comes all the same.
func TestUnreadableFileIsTold(t *testing.T) {
	dir := t.TempDir()
	failed := make(chan error, 1)
	j := open(t, Options{Dir: dir, Count: 1, Failed: func(err error, _ uint64) { failed <- err }})
	appendWritten(t, j, 0, 2)
	loop := numbered(dir, 1)
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, past(j, base), "0 1")
	if err := <-failed; !errors.Is(err, syscall.ELOOP) {
		t.Errorf("told is %v", err)
	}
}
