package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/integration/vm/wire"
)

// bootTimeout bounds the time until the guest's init speaks. Emulated, it
// takes three seconds on an idle machine.
const bootTimeout = 2 * time.Minute

const initramfsName = "initramfs"

// guest is one running virtual machine.
type guest struct {
	console string // the kernel's log
	conn    *os.File
	exited  chan struct{} // closed when QEMU has ended
	err     error         // of QEMU, after exited
	stop    context.CancelFunc
}

// arguments of QEMU. The kernel's console is a file; what is said over the
// virtio port comes through descriptor 3.
func arguments(m Machine, accel Accel, memoryMiB, cpus int, image, console string) []string {
	args := []string{"-M", "q35", "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
		"-m", fmt.Sprintf("%dM", memoryMiB), "-smp", fmt.Sprint(cpus)}
	args = append(args, accel.arguments()...)
	for _, d := range m.EmulatorDir {
		args = append(args, "-L", d)
	}
	return append(args,
		"-kernel", m.Image, "-initrd", image,
		"-append", accel.parameters(),
		"-chardev", "file,id=console,path="+console, "-serial", "chardev:console",
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=port,fd=3", "-device", "virtserialport,chardev=port,name="+wire.PortName,
	)
}

// boot starts a guest in dir, which holds its console's log.
func boot(ctx context.Context, m Machine, accel Accel, memoryMiB, cpus int, image, dir string) (*guest, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	g := &guest{console: filepath.Join(dir, "console.log"), conn: ours,
		exited: make(chan struct{}), stop: stop}
	stderr, err := os.Create(filepath.Join(dir, "qemu.log"))
	if err != nil {
		stop()
		theirs.Close()
		g.conn.Close()
		return nil, fmt.Errorf("create log of QEMU: %w", err)
	}
	cmd := exec.CommandContext(ctx, m.Emulator, arguments(m, accel, memoryMiB, cpus, image, g.console)...)
	cmd.Env = append(os.Environ(), m.EmulatorEnv...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = stderr
	go func() {
		err := startAndWait(cmd)
		stderr.Close()
		if text, _ := os.ReadFile(stderr.Name()); err != nil && len(text) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(tail(string(text), 10)))
		}
		g.err = err
		close(g.exited)
		theirs.Close()
	}()
	return g, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("create socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "guest port"), os.NewFile(uintptr(fds[1]), "host port"), nil
}

// close kills the guest if it still runs and waits for its end.
func (g *guest) close() {
	g.stop()
	<-g.exited
	g.conn.Close()
}

// hello waits for the guest's first frame.
func (g *guest) hello(ctx context.Context, r *wire.Reader, limit time.Duration) (wire.Hello, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no word from the guest in %s", limit))
	defer cancel()
	var h wire.Hello
	stop := g.endReadsOn(ctx)
	k, p, err := r.Next()
	if !stop() {
		return h, context.Cause(ctx)
	}
	if err != nil {
		return h, err
	}
	if k != wire.KindHello {
		return h, fmt.Errorf("first frame is %q, want %q", k, wire.KindHello)
	}
	if err := json.Unmarshal(p, &h); err != nil {
		return h, fmt.Errorf("decode hello: %w", err)
	}
	return h, nil
}

// endReadsOn ends reads from the guest when ctx ends. The function that it
// returns takes that back and says whether ctx was still alive.
func (g *guest) endReadsOn(ctx context.Context) func() bool {
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-ctx.Done():
			g.conn.SetReadDeadline(time.Unix(1, 0))
		case <-done:
		}
	}()
	return func() bool {
		close(done)
		<-finished
		return ctx.Err() == nil
	}
}

// runGuest runs the job's commands in a virtual machine.
func runGuest(ctx context.Context, job Job) ([]Exit, error) {
	m, err := FindMachine(ctx, job.Package, job.Progress)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "baton-vm-")
	if err != nil {
		return nil, fmt.Errorf("create directory for the guest: %w", err)
	}
	defer os.RemoveAll(dir)
	guestInit := filepath.Join(dir, "init")
	if err := buildInit(ctx, guestInit); err != nil {
		return nil, err
	}
	accel, err := chooseAccel(ctx, m, guestInit, job.Progress)
	if err != nil {
		return nil, err
	}
	if accel, err = accel.clocked(os.Getenv); err != nil {
		return nil, err
	}
	image := filepath.Join(dir, initramfsName)
	if err := writeImage(image, m, guestInit, job); err != nil {
		return nil, err
	}
	fi, err := os.Stat(image)
	if err != nil {
		return nil, err
	}
	job.Progress(fmt.Sprintf("booting %s with %s, %d MiB of files", m.Release, accel, fi.Size()>>20))
	g, err := boot(ctx, m, accel, job.MemoryMiB, accel.cpus(), image, dir)
	if err != nil {
		return nil, err
	}
	defer g.close()
	exits, err := g.serve(ctx, job)
	if errors.Is(err, context.Canceled) {
		return exits, err
	}
	if err != nil {
		return exits, fmt.Errorf("run guest: %w%s", err, g.lastWords())
	}
	return exits, nil
}

// serve hands on what the guest says until it is done.
func (g *guest) serve(ctx context.Context, job Job) ([]Exit, error) {
	r := wire.NewReader(g.conn)
	h, err := g.hello(ctx, r, bootTimeout)
	if err != nil {
		return nil, g.explain(ctx, err)
	}
	job.Progress(fmt.Sprintf("guest is up: %s after %.1f s of its own time", h.Release, h.Uptime.Seconds()))
	// QEMU has read it; a killed run shall not leave it behind.
	if err := os.Remove(filepath.Join(filepath.Dir(g.console), initramfsName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove initramfs: %w", err)
	}
	alive := g.endReadsOn(ctx)
	exits, err := g.frames(r, job)
	if !alive() {
		return exits, context.Cause(ctx)
	}
	return exits, g.explain(ctx, err)
}

func (g *guest) frames(r *wire.Reader, job Job) (exits []Exit, err error) {
	files := newReceiver(job.OutDir)
	defer func() {
		if e := files.close(); err == nil {
			err = e
		}
	}()
	begun := -1
	for {
		k, p, err := r.Next()
		if err != nil {
			return exits, err
		}
		if begun < len(exits) && len(exits) < len(job.Commands) {
			begun = len(exits)
			job.Before(begun)
		}
		switch k {
		case wire.KindLog:
			job.Progress(string(p))
		case wire.KindStdout:
			_, err = job.Stdout.Write(p)
		case wire.KindStderr:
			_, err = job.Stderr.Write(p)
		case wire.KindFiles:
			err = files.write(p)
		case wire.KindExit:
			var e Exit
			if err = json.Unmarshal(p, &e); err == nil {
				job.After(len(exits), e)
				exits = append(exits, e)
			}
		case wire.KindDone:
			return exits, nil
		default:
			err = fmt.Errorf("unknown frame %q", k)
		}
		if err != nil {
			return exits, fmt.Errorf("handle frame %q: %w", k, err)
		}
	}
}

// explain turns the end of the stream into QEMU's own reason.
func (g *guest) explain(ctx context.Context, err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.ECONNRESET) {
		return err
	}
	select {
	case <-g.exited:
	case <-time.After(5 * time.Second):
		return fmt.Errorf("guest closed its port: %w", err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if g.err != nil {
		return fmt.Errorf("QEMU ended: %w", g.err)
	}
	return errors.New("guest ended before its job was done")
}

// lastWords is the end of the kernel's console, or what it said when it
// panicked.
func (g *guest) lastWords() string {
	raw, err := os.ReadFile(g.console)
	if err != nil || len(raw) == 0 {
		return "; its console is empty"
	}
	return "; its console ends:\n" + lastWords(string(raw))
}

// consoleLines bounds what is shown of the console.
const consoleLines = 25

func lastWords(console string) string {
	for _, sign := range []string{"BUG: ", "Oops: ", "Kernel panic"} {
		if at := strings.Index(console, sign); at >= 0 {
			lines := strings.SplitN(console[strings.LastIndex(console[:at], "\n")+1:], "\n", consoleLines+1)
			return strings.Join(lines[:min(len(lines), consoleLines)], "\n")
		}
	}
	return tail(console, consoleLines)
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\r\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
