package script

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long is a time-out that no test reaches.
const long = time.Minute

// program writes an executable file of that text.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// sh is a shell script's one line.
func sh(t *testing.T, line string, args ...string) Command {
	return Command{Args: append([]string{program(t, "#!/bin/sh\n"+line+"\n")}, args...), Timeout: long}
}

func TestResultOfWhatEndsByItself(t *testing.T) {
	for line, want := range map[string]struct {
		ok     bool
		reason string
		output string
	}{
		"exit 0":                           {true, "exit status 0", ""},
		"echo out; echo err >&2; exit 3":   {false, "exit status 3", "out err"},
		"kill -USR1 $$":                    {false, "ended by signal 10 (user defined signal 1)", ""},
		`echo "$1 $#"; cat; pwd`:           {true, "exit status 0", "a b 1 /"},
		`echo "$PATH" "$BATON_TO" "$HOME"`: {true, "exit status 0", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MASTER"},
		"printf '\\377\\n\\tx'":            {true, "exit status 0", "? x"},
	} {
		c := sh(t, line, "a b")
		c.Env = []string{"BATON_TO=MASTER"}
		r := Run(t.Context(), c)
		if r.OK() != want.ok || r.Reason() != want.reason || r.Excerpt() != want.output {
			t.Errorf("%q: ok %v, %q, output %q; want %+v", line, r.OK(), r.Reason(), r.Excerpt(), want)
		}
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"):          "no such file or directory",
		plain:                                  "not executable (mend with: chmod +x " + plain,
		dir:                                    "it is no file",
		program(t, "#!/no/such/interpreter\n"): "its interpreter is missing",
		program(t, "just words\n"):             "its first line must name an interpreter",
		"bin/true":                             "not an absolute path",
	} {
		r := Run(t.Context(), Command{Args: []string{path}, Timeout: long})
		if r.Err == nil || r.OK() || !strings.Contains(r.Reason(), want) || !strings.Contains(r.Reason(), path) {
			t.Errorf("%s: reason is %q, want %q", path, r.Reason(), want)
		}
	}
}

// TestOpenForWriting: a program that is being written is started when it has been,
// and one that stays open is told.
func TestOpenForWriting(t *testing.T) {
	c := sh(t, "echo done")
	for name, still := range map[string]time.Duration{"for a moment": 3 * retry, "for good": long} {
		w, err := os.OpenFile(c.Args[0], os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		closing := time.AfterFunc(still, func() { w.Close() })
		r := Run(t.Context(), c)
		if still < long && (!r.OK() || r.Output != "done\n" || r.Took < still) {
			t.Errorf("%s: %s, %q after %v", name, r.Reason(), r.Output, r.Took)
		}
		if closing.Stop() {
			w.Close()
		}
		if still == long && (!strings.HasSuffix(r.Reason(), "open for writing: put a new version in its place with mv") || r.Took < busy) {
			t.Errorf("%s: %s after %v", name, r.Reason(), r.Took)
		}
	}
}

// started waits for the file that a script writes when it has done what the
// test is about, and returns the pids in it. A run that is done before is none.
func started(t *testing.T, file string, n int, done <-chan Result) []int {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		raw, err := os.ReadFile(file)
		words := strings.Fields(string(raw))
		if err == nil && len(words) >= n && strings.HasSuffix(string(raw), "\n") {
			var pids []int
			for _, w := range words {
				pid, err := strconv.Atoi(w)
				if err != nil {
					t.Fatalf("%s holds %q", file, raw)
				}
				pids = append(pids, pid)
			}
			return pids
		}
		select {
		case <-time.After(time.Millisecond):
		case r := <-done:
			t.Fatalf("ended before it was stopped: %s: %q", r.Reason(), r.Output)
		case <-deadline:
			t.Fatalf("%s holds %q, want %d pids", file, raw, n)
		}
	}
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	p, ok := readStat(pid)
	return ok && p.alive()
}

// hangs are programs that do not end, with the number of processes that they
// note in $1: deaf to SIGTERM, with children, with a child in a session of its
// own, and with a grandchild whose parent is gone.
var hangs = map[string]struct {
	line string
	pids int
}{
	"alone":                {`echo $$ >"$1"; exec tail -f /dev/null`, 1},
	"deaf":                 {`trap '' TERM; echo $$ >"$1"; while :; do tail -f /dev/null; done`, 1},
	"children":             {`tail -f /dev/null & a=$!; tail -f /dev/null & echo $$ $a $! >"$1"; wait`, 3},
	"own session":          {`setsid tail -f /dev/null & a=$!; echo $$ $a >"$1"; wait`, 2},
	"daemon":               {`sh -c 'setsid sh -c "trap \"\" TERM; echo \$\$ >>$1; while :; do tail -f /dev/null; done" >/dev/null 2>&1 &' x "$1"; exec tail -f /dev/null`, 1},
	"children of a killed": {`sh -c 'trap "" TERM; setsid tail -f /dev/null & echo $$ $! >"$1"; while :; do tail -f /dev/null; done' x "$1" & wait`, 2},
}

// TestTimeoutEndsTheWholeFamily: fault 18.
func TestTimeoutEndsTheWholeFamily(t *testing.T) {
	for name, h := range hangs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan Result, 1)
			go func() {
				c := sh(t, h.line, file)
				done <- Run(ctx, c)
			}()
			pids := started(t, file, h.pids, done)
			cancel() // the same end as at the time-out, without waiting for it
			r := <-done
			if !r.Canceled || r.OK() || r.Survived != 0 || r.Reason() != "interrupted" {
				t.Errorf("result is %+v", r)
			}
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("process %d of %v lives", pid, pids)
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
			select {
			case <-r.Gone:
			default:
				t.Error("the program is not reaped")
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	c := sh(t, "echo begun; exec tail -f /dev/null")
	c.Timeout = 300 * time.Millisecond
	r := Run(t.Context(), c)
	if !r.TimedOut || r.OK() || !strings.HasPrefix(r.Reason(), "timed out after ") || r.Signal != syscall.SIGTERM {
		t.Errorf("result is %+v", r)
	}
	if r.Took < c.Timeout {
		t.Errorf("timed out after %v already", r.Took)
	}
}

// TestFlood: what floods its output is read, not kept, and ends at its time-out.
func TestFlood(t *testing.T) {
	c := sh(t, "exec yes 0123456789012345678901234567890")
	c.Timeout = 500 * time.Millisecond
	r := Run(t.Context(), c)
	if !r.TimedOut || len(r.Output) != MaxOutput || r.Dropped < freeBytes/2 {
		t.Errorf("timed out %v, kept %d, dropped %d", r.TimedOut, len(r.Output), r.Dropped)
	}
	// 64 KiB in a pause of 10 ms and what was free, with room for a slow clock.
	if most := int64(freeBytes + 64<<10*int(r.Took/pause+20)); r.Dropped > most {
		t.Errorf("%d bytes were read in %v, more than %d", r.Dropped, r.Took, most)
	}
	if x := r.Excerpt(); len(x) > excerptBytes+40 || !strings.Contains(x, "bytes more") {
		t.Errorf("excerpt is %q", x)
	}
}

// TestWhatIsLeftBehind: a child that holds the output open does not hold up
// the result, and lives on only where it may.
func TestWhatIsLeftBehind(t *testing.T) {
	for _, leave := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "pids")
		c := sh(t, `tail -f /dev/null & echo $! >"$1"; echo done`, file)
		c.Leave = leave
		r := Run(t.Context(), c)
		pid := started(t, file, 1, nil)[0]
		if !r.OK() || r.Output != "done\n" {
			t.Errorf("leave %v: result is %+v", leave, r)
		}
		if alive(pid) != leave {
			t.Errorf("leave %v: process %d lives: %v", leave, pid, alive(pid))
		}
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// TestNoZombies: every program that Run has started is reaped by it.
func TestNoZombies(t *testing.T) {
	for range 5 {
		Run(t.Context(), sh(t, "exit 1"))
	}
	for _, p := range processes() {
		if p.parent == os.Getpid() && p.state == 'Z' {
			t.Errorf("process %d is a zombie", p.pid)
		}
	}
}

func TestRunsAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: only the refusal is seen")
		r := Run(t.Context(), Command{Args: []string{"/bin/true"}, As: &Identity{UID: 65533}, Timeout: long})
		if r.Err == nil || !strings.Contains(r.Reason(), "only root can") {
			t.Errorf("result is %+v", r)
		}
		return
	}
	r := Run(t.Context(), Command{Args: []string{"/usr/bin/id"}, As: &Identity{UID: 65533, GID: 65532, Groups: []uint32{65531}}, Timeout: long})
	if want := "uid=65533 gid=65532 groups=65532,65531"; !r.OK() || r.Excerpt() != want {
		t.Errorf("%s: %q, want %q", r.Reason(), r.Excerpt(), want)
	}
}

// TestAnotherUserHasNoCapability: those of root go with the change of user.
func TestAnotherUserHasNoCapability(t *testing.T) {
	c := sh(t, "grep CapPrm /proc/self/status; grep CapEff /proc/self/status")
	if os.Geteuid() == 0 {
		for d := filepath.Dir(c.Args[0]); d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c.As = &Identity{UID: 65533, GID: 65533}
	}
	if r := Run(t.Context(), c); r.Excerpt() != "CapPrm: 0000000000000000 CapEff: 0000000000000000" {
		t.Errorf("%s: %q", r.Reason(), r.Excerpt())
	}
}

func TestRootRunsOnlyWhatRootAloneCanChange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: what root must not run cannot be made")
		if err := checkFile("/bin/sh", 0); err != nil {
			t.Error(err)
		}
		return
	}
	for name, spoil := range map[string]func(dir, file string) error{
		"":                  func(string, string) error { return nil },
		"others than root":  func(_, file string) error { return os.Chmod(file, 0o757) },
		"belongs to user":   func(_, file string) error { return os.Chown(file, 65533, 0) },
		"could replace it":  func(dir, _ string) error { return os.Chown(dir, 65533, 0) },
		"(mend with: chmod": func(dir, _ string) error { return os.Chmod(dir, 0o777) },
		"others than root can": func(_, file string) error {
			if err := os.Chown(file, 0, 65533); err != nil {
				return err
			}
			return os.Chmod(file, 0o775)
		},
	} {
		file := program(t, "#!/bin/sh\n")
		if err := spoil(filepath.Dir(file), file); err != nil {
			t.Fatal(err)
		}
		err := checkFile(file, 0)
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("want %q, got %v", name, err)
		}
		if err := checkFile(file, 65533); err != nil {
			t.Errorf("for another user: %v", err)
		}
	}
	// Through a link as well.
	file := program(t, "#!/bin/sh\n")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := checkFile(link, 0); err == nil {
		t.Error("a link hides a program that everybody can change")
	}
}

func TestLookup(t *testing.T) {
	id, err := Lookup("root", "")
	if err != nil || id.UID != 0 || id.GID != 0 {
		t.Errorf("root is %+v, %v", id, err)
	}
	if id, err := Lookup("0", "0"); err != nil || id.UID != 0 {
		t.Errorf("0 is %+v, %v", id, err)
	}
	for user, group := range map[string]string{"nosuchuser": "", "root": "nosuchgroup"} {
		if _, err := Lookup(user, group); err == nil || !strings.Contains(err.Error(), "nosuch") {
			t.Errorf("%s %s: %v", user, group, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	p, ok := parseStat(7, []byte("7 (a) R (b) S 1 2 3 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0"))
	if want := (process{pid: 7, parent: 1, session: 3, state: 'S', started: 12345}); !ok || p != want {
		t.Errorf("got %+v, %v", p, ok)
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S", "7 (x) S a b c 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 z 0 0"} {
		if p, ok := parseStat(7, []byte(bad)); ok {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

// FuzzParseStat: a name may hold anything that a user can put there.
func FuzzParseStat(f *testing.F) {
	f.Fuzz(func(t *testing.T, comm string, parent, session int) {
		raw := fmt.Appendf(nil, "7 (%s) S %d 2 %d 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0", comm, parent, session)
		want := process{pid: 7, parent: parent, session: session, state: 'S', started: 12345}
		if p, ok := parseStat(7, raw); !ok || p != want {
			t.Errorf("%q is %+v, %v", raw, p, ok)
		}
	})
}
