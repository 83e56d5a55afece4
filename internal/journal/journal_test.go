package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"baton/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var base = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// numberedEvent is the n-th event, a second after the one before.
func numberedEvent(n int) event.Event {
	e := event.New("director", event.ConfigApplied, event.F(event.Count, n))
	e.Time = base.Add(time.Duration(n) * time.Second)
	return e
}

// lineOf is that event's line in a file.
func lineOf(t *testing.T, n int) string {
	t.Helper()
	raw, err := json.Marshal(numberedEvent(n))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func open(t *testing.T, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// numbers renders events as "3 4 5".
func numbers(events []event.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Get(event.Count))
	}
	return strings.Join(out, " ")
}

func wantNumbers(t *testing.T, got []event.Event, want string) {
	t.Helper()
	if n := numbers(got); n != want {
		t.Errorf("events are %q, want %q", n, want)
	}
}

func TestMemoryIsBoundedByCount(t *testing.T) {
	j := open(t, Options{Count: 3})
	wantNumbers(t, j.Since(time.Time{}), "")
	for n := range 3 {
		j.Append(numberedEvent(n))
	}
	wantNumbers(t, j.Since(time.Time{}), "0 1 2")
	j.Append(numberedEvent(3))
	j.Append(numberedEvent(4))
	wantNumbers(t, j.Since(time.Time{}), "2 3 4")
	wantNumbers(t, j.Since(base.Add(3*time.Second)), "3 4")
	wantNumbers(t, j.Since(base.Add(5*time.Second)), "")
}

// TestLateReportsKeepTheirPlace: what a child reports happened earlier than
// what was appended before it.
func TestLateReportsKeepTheirPlace(t *testing.T) {
	j := open(t, Options{Count: 4})
	for _, n := range []int{1, 5, 2, 6} {
		j.Append(numberedEvent(n))
	}
	wantNumbers(t, j.Since(base.Add(2*time.Second)), "5 2 6")
}

func TestNextRunReadsBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	j, err := Open(Options{Dir: dir, Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		j.Append(numberedEvent(n))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Written != 5 || s.Dropped != 0 || s.LastError != nil {
		t.Errorf("stats are %+v", s)
	}

	k := open(t, Options{Dir: dir, Count: 3})
	wantNumbers(t, k.Since(time.Time{}), "2 3 4")
	k.Append(numberedEvent(5))
	wantNumbers(t, k.Since(time.Time{}), "3 4 5")
	if got := k.Since(time.Time{})[0]; !got.Time.Equal(base.Add(3*time.Second)) || got.Name != event.ConfigApplied || got.Level != event.LevelInfo {
		t.Errorf("event came back as %+v", got)
	}
}

func TestDamageCostsOnlyTheDamagedLine(t *testing.T) {
	dir := t.TempDir()
	line := func(n int) string { return lineOf(t, n) }
	torn := line(2)[:20]
	text := line(0) + "\n\x00\x00garbage\n{}\n[1]\n\n" + line(1) + "\n" + torn
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, j.Since(time.Time{}), "0 1")
	j.Append(numberedEvent(3))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The new line must not have been glued to the torn one.
	k := open(t, Options{Dir: dir})
	wantNumbers(t, k.Since(time.Time{}), "0 1 3")
}

func TestFilesAreRotatedWithinTheirBound(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, MaxBytes: 1000, Files: 3, Count: 12, Queue: 1}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for j.Stats().Rotations < 5 {
		written := j.Stats().Written
		j.Append(numberedEvent(total))
		total++
		for deadline := time.Now().Add(10 * time.Second); j.Stats().Written == written; {
			if time.Now().After(deadline) {
				t.Fatal("the writer does not write")
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > o.MaxBytes || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s has %d bytes and mode %v", e.Name(), info.Size(), info.Mode())
		}
	}
	if got := strings.Join(names, " "); got != "events.jsonl events.jsonl.1 events.jsonl.2" {
		t.Errorf("files are %s", got)
	}
	k := open(t, o)
	var want []string
	for n := total - 12; n < total; n++ {
		want = append(want, fmt.Sprint(n))
	}
	wantNumbers(t, k.Since(time.Time{}), strings.Join(want, " "))
}

func TestOneFileIsEnough(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(Options{Dir: dir, MaxBytes: 1, Files: 1})
	if err != nil {
		t.Fatal(err)
	}
	j.Append(numberedEvent(0))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	k, err := Open(Options{Dir: dir, MaxBytes: 1, Files: 1})
	if err != nil {
		t.Fatal(err)
	}
	k.Append(numberedEvent(1))
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || strings.Count(string(raw), "\n") != 1 || !strings.Contains(string(raw), `"v":"1"`) {
		t.Errorf("file is %q, %v", raw, err)
	}
}

// fullDisk makes the journal file a device that always answers ENOSPC.
func fullDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFullDisk: fault 33.
func TestFullDisk(t *testing.T) {
	dir := fullDisk(t)
	failed := make(chan error, 1)
	j := open(t, Options{Dir: dir, Failed: func(err error, _ uint64) { failed <- err }})
	j.Append(numberedEvent(0))
	if err := <-failed; !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), fileName) {
		t.Errorf("reported is %v", err)
	}
	wantNumbers(t, j.Since(time.Time{}), "0")
	if s := j.Stats(); s.Dropped != 1 || s.Written != 0 {
		t.Errorf("stats are %+v", s)
	}
	// It goes on by itself when there is room again.
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	j.Append(numberedEvent(1))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	k := open(t, Options{Dir: dir})
	wantNumbers(t, k.Since(time.Time{}), "1")
}

func TestFailureIsReportedAtMostOnceAMinute(t *testing.T) {
	dir := fullDisk(t)
	synctest.Test(t, func(t *testing.T) {
		var counts []uint64
		var mu sync.Mutex
		j, err := Open(Options{Dir: dir, Failed: func(_ error, n uint64) {
			mu.Lock()
			defer mu.Unlock()
			counts = append(counts, n)
		}})
		if err != nil {
			t.Fatal(err)
		}
		reported := func() string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return fmt.Sprint(counts)
		}
		step := func(what, want string) {
			t.Helper()
			if got := reported(); got != want {
				t.Errorf("%s: reported %s, want %s", what, got, want)
			}
		}
		j.Append(numberedEvent(0))
		step("first", "[1]")
		j.Append(numberedEvent(1))
		j.Append(numberedEvent(2))
		step("within the minute", "[1]")
		<-time.After(reportEvery)
		step("after a minute", "[1 2]")
		<-time.After(10 * reportEvery)
		// The event that tells of the failure fails as well; it must not keep
		// the reports going.
		j.Append(event.New("director", event.JournalFailed, event.F(event.Count, 2)))
		step("own event", "[1 2]")
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBlockedDisk: fault 33. A pipe without a reader hangs the writer in
// open(2), as a dead NFS server does.
func TestBlockedDisk(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, fileName)
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	j, err := Open(Options{Dir: dir, Queue: 8, Count: 100, closeWithin: time.Millisecond,
		Failed: func(err error, _ uint64) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	// A batch is as many as were queued when it began, and so many wait again.
	for n := range 100 {
		j.Append(numberedEvent(n))
	}
	if err := <-failed; !errors.Is(err, errSlow) {
		t.Errorf("reported is %v", err)
	}
	if got := j.Since(time.Time{}); len(got) != 100 {
		t.Errorf("%d events are in memory", len(got))
	}
	if s := j.Stats(); s.Dropped == 0 || s.Written != 0 {
		t.Errorf("stats are %+v", s)
	}
	if err := j.Close(); !errors.Is(err, errSlow) {
		t.Errorf("close: %v", err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY, 0) // lets the writer end
	if err != nil {
		t.Fatal(err)
	}
	<-j.written
	reader.Close()
}

func TestFileThatWasTakenAwayIsMadeAgain(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"file removed": func(dir string) error { return os.Remove(filepath.Join(dir, fileName)) },
		"file renamed": func(dir string) error { return os.Rename(filepath.Join(dir, fileName), filepath.Join(dir, "kept")) },
		"file replaced": func(dir string) error {
			name := filepath.Join(dir, fileName)
			if err := os.Rename(name, name+".kept"); err != nil {
				return err
			}
			return os.WriteFile(name, nil, 0o600)
		},
		"directory removed": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			j := open(t, Options{Dir: dir})
			f := &file{opts: j.opts}
			defer f.close()
			if _, err := f.append([]byte("one\n")); err != nil {
				t.Fatal(err)
			}
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := f.append([]byte("two\n")); err != nil {
				t.Fatal(err)
			}
			if raw, err := os.ReadFile(filepath.Join(dir, fileName)); err != nil || string(raw) != "two\n" {
				t.Errorf("file is %q, %v", raw, err)
			}
		})
	}
}

// TestHandleThatWentBadIsReplaced: the file is opened anew after an error.
func TestHandleThatWentBadIsReplaced(t *testing.T) {
	o, err := Options{Dir: t.TempDir()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f := &file{opts: o}
	defer f.close()
	if _, err := f.append([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	name := f.f.Name()
	f.close()
	if f.f, err = os.Open(name); err != nil { // cannot be written through
		t.Fatal(err)
	}
	if _, err := f.append([]byte("two\n")); !errors.Is(err, syscall.EBADF) {
		t.Errorf("append: %v", err)
	}
	if _, err := f.append([]byte("three\n")); err != nil {
		t.Error(err)
	}
	// The empty line: two may have been written in part.
	if raw, err := os.ReadFile(name); err != nil || string(raw) != "one\n\nthree\n" {
		t.Errorf("file is %q, %v", raw, err)
	}
}

// TestUnreadableJournalIsNoReasonNotToStart: fault 33.
func TestUnreadableJournalIsNoReasonNotToStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not-a-directory")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	j := open(t, Options{Dir: dir, Failed: func(err error, _ uint64) { failed <- err }})
	if err := <-failed; !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("reported is %v", err)
	}
	j.Append(numberedEvent(0))
	wantNumbers(t, j.Since(time.Time{}), "0")
}

func TestNegativeBoundIsRefused(t *testing.T) {
	for _, o := range []Options{{Count: -1}, {MaxBytes: -1}, {Files: -1}, {Queue: -1}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), Count: 64, MaxBytes: 4096})
	ctx, cancel := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range j.Follow(ctx) {
				j.Since(base)
			}
		})
		writers.Go(func() {
			for n := range 500 {
				j.Append(numberedEvent(n))
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Written+s.Dropped != 2000 {
		t.Errorf("written and dropped are %+v, not 2000 together", s)
	}
}
