package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/integration/vm/wire"
)

// pair is a guest whose other end a test holds.
func pair(t *testing.T) (*guest, *os.File) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{conn: ours, exited: make(chan struct{})}
	close(g.exited)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return g, theirs
}

// script is what a guest says in a test.
func script(t *testing.T, say func(w *wire.Writer) error) *wire.Reader {
	t.Helper()
	var b bytes.Buffer
	if err := say(wire.NewWriter(&b)); err != nil {
		t.Fatal(err)
	}
	return wire.NewReader(&b)
}

func quiet(job Job) Job {
	job.Progress = func(string) {}
	job.setDefaults()
	return job
}

func TestFramesReachTheirPlaces(t *testing.T) {
	var out, stderr bytes.Buffer
	var order []string
	dir := t.TempDir()
	job := quiet(Job{Commands: make([]Command, 2), Stdout: &out, Stderr: &stderr, OutDir: dir,
		Before: func(i int) { order = append(order, "before "+string(rune('0'+i))) },
		After:  func(i int, e Exit) { order = append(order, "after "+string(rune('0'+i))) },
	})
	r := script(t, func(w *wire.Writer) error {
		return errors.Join(
			w.Send(wire.KindStdout, []byte("one")), w.Send(wire.KindStderr, []byte("warn")), w.SendJSON(wire.KindExit, Exit{Code: 3}),
			w.Send(wire.KindStdout, []byte("two")), w.SendJSON(wire.KindExit, Exit{TimedOut: true, Code: 124}),
			w.Send(wire.KindFiles, tarOf(t, "sub/report.json", "{}")), w.Send(wire.KindDone, nil))
	})
	exits, err := (&guest{}).frames(r, job)
	if err != nil || !slices.Equal(exits, []Exit{{Code: 3}, {TimedOut: true, Code: 124}}) {
		t.Errorf("exits are %v, %v", exits, err)
	}
	if out.String() != "onetwo" || stderr.String() != "warn" {
		t.Errorf("stdout is %q, stderr %q", &out, &stderr)
	}
	if want := []string{"before 0", "after 0", "before 1", "after 1"}; !slices.Equal(order, want) {
		t.Errorf("calls are %v, want %v", order, want)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "sub/report.json")); err != nil || string(raw) != "{}" {
		t.Errorf("report is %q, %v", raw, err)
	}
}

func tarOf(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	dir := &tar.Header{Typeflag: tar.TypeDir, Name: filepath.Dir(name) + "/", Mode: 0o755}
	file := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	for _, h := range []*tar.Header{dir, file} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGuestCannotWriteOutsideTheOutputDirectory(t *testing.T) {
	dir := t.TempDir()
	err := unpack(bytes.NewReader(tarOf(t, "../escaped", "x")), filepath.Join(dir, "out"))
	if err == nil || !strings.Contains(err.Error(), "path escapes") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "escaped")); err == nil {
		t.Error("the file was written")
	}
}

func TestGuestThatDiesIsAnErrorWithWhatItDidBefore(t *testing.T) {
	g, theirs := pair(t)
	g.err = errors.New("signal: killed")
	w := wire.NewWriter(theirs)
	if err := errors.Join(w.SendJSON(wire.KindHello, wire.Hello{Release: "6.1"}), w.SendJSON(wire.KindExit, Exit{})); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	exits, err := g.serve(context.Background(), quiet(Job{Commands: make([]Command, 2)}))
	if len(exits) != 1 || err == nil || !strings.Contains(err.Error(), "QEMU ended: signal: killed") {
		t.Errorf("serve = %v, %v", exits, err)
	}
}

func TestGuestThatIsSilentTimesOut(t *testing.T) {
	g, _ := pair(t)
	_, err := g.hello(context.Background(), wire.NewReader(g.conn), time.Millisecond)
	if err == nil || err.Error() != "no word from the guest in 1ms" {
		t.Errorf("error is %v", err)
	}
}

func TestInterruptEndsAServingGuest(t *testing.T) {
	g, theirs := pair(t)
	ctx, cancel := context.WithCancel(context.Background())
	w := wire.NewWriter(theirs)
	if err := w.SendJSON(wire.KindHello, wire.Hello{}); err != nil {
		t.Fatal(err)
	}
	job := Job{Commands: make([]Command, 1), Before: func(int) { cancel() }}
	if err := w.Send(wire.KindStdout, []byte("x")); err != nil {
		t.Fatal(err)
	}
	job.Stdout = io.Discard
	if _, err := g.serve(ctx, quiet(job)); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestArguments(t *testing.T) {
	m := Machine{Image: "/k/vmlinuz", EmulatorDir: []string{"/c/seabios"}}
	for accel, want := range map[Accel][]string{
		TCG: {"-M q35", "-accel tcg,thread=multi -cpu max", "-m 2048M -smp 2", "-no-reboot", "-kernel /k/vmlinuz -initrd /t/initramfs",
			"panic=-1 mitigations=off random.trust_cpu=on tsc=reliable", "-L /c/seabios", "virtserialport,chardev=port,name=baton", "file,id=console,path=/t/console.log"},
		KVM:     {"-accel kvm -cpu host", "-smp 2", "random.trust_cpu=on -chardev"},
		Counted: {"-accel tcg,thread=single -cpu max -icount shift=0,sleep=off", "-smp 1", "tsc=reliable"},
	} {
		got := strings.Join(arguments(m, accel, 2048, accel.cpus(), "/t/initramfs", "/t/console.log"), " ")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is missing in %s", accel, w, got)
			}
		}
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		accel Accel
		value string
		want  Accel
	}{
		{TCG, "", TCG}, {TCG, "host", TCG}, {TCG, "instructions", Counted}, {KVM, "instructions", KVM}, {TCG, "sundial", ""},
	} {
		got, err := c.accel.clocked(func(name string) string { return map[string]string{ClockVariable: c.value}[name] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s with %q: %q, %v, want %q", c.accel, c.value, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), `BATON_VM_CLOCK is "sundial": want host or instructions`) {
			t.Error(err)
		}
	}
}

func TestTail(t *testing.T) {
	for in, want := range map[string]string{"": "", "a\n": "a", "a\nb\nc\n": "b\nc", "b\r\nc\r\n": "b\r\nc"} {
		if got := tail(in, 2); got != want {
			t.Errorf("tail(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLastWordsBeginAtThePanic(t *testing.T) {
	boot := strings.Repeat("[ 1.0] booting\n", 100)
	trace := strings.Repeat("[ 2.1]  frame\n", 100)
	got := lastWords(boot + "[ 2.0] Kernel panic - not syncing: no init\n" + trace)
	if !strings.HasPrefix(got, "[ 2.0] Kernel panic") || strings.Count(got, "\n") >= consoleLines {
		t.Errorf("last words are\n%s", got)
	}
	if got := lastWords(boot); strings.Count(got, "\n") != consoleLines-1 {
		t.Errorf("last words are %d lines", strings.Count(got, "\n")+1)
	}
}

// emulated is a machine whose emulator is a shell script.
func emulated(t *testing.T, script string) Machine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "emulator")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Machine{Emulator: file}
}

// TestEmulatorThatHangsIsKilled is the KVM trial on a host where KVM hangs.
func TestEmulatorThatHangsIsKilled(t *testing.T) {
	g, err := boot(t.Context(), emulated(t, "exec sleep 1000"), KVM, 512, 1, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.hello(t.Context(), wire.NewReader(g.conn), 10*time.Millisecond); err == nil {
		t.Error("a guest that hangs said hello")
	}
	g.close()
	if g.err == nil || !strings.Contains(g.err.Error(), "killed") {
		t.Errorf("the emulator ended with %v, want it killed", g.err)
	}
}

func TestEmulatorThatFailsTellsWhy(t *testing.T) {
	g, err := boot(t.Context(), emulated(t, "echo 'failed to set MSR' >&2; exit 1"), KVM, 512, 1, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	_, err = g.serve(t.Context(), quiet(Job{}))
	if err == nil || !strings.Contains(err.Error(), "QEMU ended: exit status 1: failed to set MSR") {
		t.Errorf("error is %v", err)
	}
}

func TestEmulatorThatIsMissing(t *testing.T) {
	g, err := boot(t.Context(), Machine{Emulator: "/no/such/qemu"}, TCG, 512, 1, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	_, err = g.serve(t.Context(), quiet(Job{}))
	if err == nil || !strings.Contains(err.Error(), "/no/such/qemu") {
		t.Errorf("error is %v", err)
	}
}
