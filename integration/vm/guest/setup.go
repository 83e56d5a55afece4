//go:build linux

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/integration/vm/wire"
)

var mounts = []struct {
	dir, kind, data string
	flags           uintptr
}{
	{"/proc", "proc", "", 0},
	{"/sys", "sysfs", "", 0},
	{"/dev", "devtmpfs", "", 0},
	{"/dev/pts", "devpts", "mode=620,ptmxmode=666", 0},
	{"/dev/shm", "tmpfs", "mode=1777", 0},
	{"/run", "tmpfs", "mode=755", 0},
	{"/tmp", "tmpfs", "mode=1777", 0},
	{"/sys/fs/cgroup", "cgroup2", "", 0},
}

func mountAll() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return fmt.Errorf("create %s: %w", m.dir, err)
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, m.flags, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+target, "/dev/"+name); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link /dev/%s: %w", name, err)
		}
	}
	return nil
}

// load inserts a module. Kernels that compress their modules decompress them.
func load(m wire.Module) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(m.Path) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), m.Params, flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", filepath.Base(m.Path), err)
	}
	return nil
}

// openPort opens the virtio-serial port of that name, which appears a moment
// after its driver.
func openPort(name string) (*os.File, error) {
	for range 500 {
		ports, _ := filepath.Glob("/sys/class/virtio-ports/*/name") // a constant pattern is a good one
		for _, p := range ports {
			if raw, err := os.ReadFile(p); err == nil && strings.TrimSpace(string(raw)) == name {
				dev := "/dev/" + filepath.Base(filepath.Dir(p))
				fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
				if err == nil {
					return os.NewFile(uintptr(fd), dev), nil
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("open port %s: it did not appear within 5 s", name)
}

// prepare makes the guest a machine on which tests can run.
func prepare(w *wire.Writer, job wire.Job) error {
	begin := time.Now()
	for _, m := range job.Modules {
		if err := load(m); err != nil {
			if err := w.Send(wire.KindLog, []byte(err.Error())); err != nil {
				return err
			}
		}
	}
	if err := os.Chmod("/", 0o755); err != nil {
		return err
	}
	for _, name := range busyboxCommands() {
		_ = os.Symlink("/usr/bin/busybox", "/usr/bin/"+name) // a tool of its own wins
	}
	if err := unix.Sethostname([]byte("baton-vm")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if out, err := exec.Command("/usr/sbin/ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("set lo up: %w: %s", err, out)
	}
	return w.Send(wire.KindLog, fmt.Appendf(nil, "%d modules loaded in %.1f s",
		len(job.Transport)+len(job.Modules), time.Since(begin).Seconds()))
}

// busyboxCommands are busybox's applets that have no program of their own.
func busyboxCommands() []string {
	out, err := exec.Command("/usr/bin/busybox", "--list").Output()
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range strings.Fields(string(out)) {
		if _, err := os.Stat("/usr/sbin/" + n); err != nil {
			names = append(names, n)
		}
	}
	return names
}

// sendFiles sends a tar archive of dir, unless it is empty.
func sendFiles(w *wire.Writer, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	t := tar.NewWriter(w.Stream(wire.KindFiles))
	if err := t.AddFS(os.DirFS(dir)); err != nil {
		return fmt.Errorf("send files: %w", err)
	}
	return t.Close()
}
