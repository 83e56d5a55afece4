package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A machine is a root whose process 1 is systemd, with processes, mounts,
// network, name and cgroups of its own.
type machine struct {
	t    *testing.T
	root string
	pid  int // of its process 1
}

const (
	roleMachine   = "machine"
	machineRoot   = "BATON_TEST_ROOT"
	machineCgroup = "BATON_TEST_CGROUP"
	// systemd lies where Debian has it, as do the units that a boot needs.
	systemdProgram = "/lib/systemd/systemd"
	systemdUnits   = "/lib/systemd/system"
)

// bootUnits are those of systemd's own units that baton's are ordered by, and
// the journal.
var bootUnits = []string{
	"basic.target", "emergency.target", "modprobe@.service", "multi-user.target", "network-online.target", "network-pre.target", "network.target",
	"paths.target", "shutdown.target", "slices.target", "sockets.target", "sysinit.target", "systemd-journald-dev-log.socket",
	"systemd-journald.service", "systemd-journald.socket", "timers.target",
}

// addSystemd puts systemd, its journal and its tools into a clean root.
func addSystemd(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"systemctl", "journalctl", "systemd-analyze"} {
		transplantTool(t, root, name)
	}
	for _, dir := range []string{"usr/lib/systemd/system/sysinit.target.wants", "etc/systemd/system", "home", "old"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{systemdProgram, systemdProgram + "-journald"} {
		transplant(t, root, program, program)
	}
	for _, unit := range bootUnits {
		write(t, root, filepath.Join(systemdUnits, unit), read(t, systemdUnits, unit))
	}
	if err := os.Symlink("../systemd-journald.service", filepath.Join(root, systemdUnits, "sysinit.target.wants/systemd-journald.service")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run", filepath.Join(root, "var/run")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "etc/systemd/journald.conf", "[Journal]\nReadKMsg=no\n")
	write(t, root, "etc/machine-id", strings.Repeat("0ba7", 8)+"\n")
}

// boot starts systemd in the root and waits until it has started what is enabled.
func boot(t *testing.T, root string) *machine {
	t.Helper()
	cgroup := "/sys/fs/cgroup/it-machine"
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		t.Fatalf("this needs cgroups of version 2: %v", err)
	}
	t.Cleanup(func() { removeCgroups(t, cgroup) })
	cmd := again(context.Background(), t, roleMachine)
	cmd.Env = append(cmd.Env, machineRoot+"="+root, machineCgroup+"="+cgroup)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, root: root, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := m.try("journalctl", "--no-pager", "-b") // none: it has not come so far
			t.Logf("systemd said:\n%s\njournal:\n%s", &out, journal)
		}
		_ = cmd.Process.Kill() // and with process 1 all others
		_ = cmd.Wait()
	})
	within(t, "systemd to have booted", func() string {
		said, _ := m.try("systemctl", "is-system-running")
		if strings.TrimSpace(said) == "running" {
			return ""
		}
		return said
	})
	return m
}

func removeCgroups(t *testing.T, top string) {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	slices.Reverse(dirs)
	within(t, "the machine's cgroups to be empty", func() string {
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err.Error()
			}
		}
		return ""
	})
}

// enter is nsenter(1) for a program, by its path: busybox would prefer its own.
func (m *machine) enter(namespaces []string, program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", slices.Concat([]string{"-t", strconv.Itoa(m.pid)}, namespaces, []string{program}, args)...)
}

// try runs a program in the machine and returns what it printed.
func (m *machine) try(name string, args ...string) (string, error) {
	program := "/usr/sbin/" + name
	if _, err := os.Stat(filepath.Join(m.root, program)); err != nil {
		program = "/usr/bin/" + name
	}
	cmd := m.enter([]string{"-m", "-u", "-i", "-n", "-p"}, program, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// call is try for what must succeed.
func (m *machine) call(name string, args ...string) string {
	m.t.Helper()
	out, err := m.try(name, args...)
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// network runs a program that the machine lacks in its network.
func (m *machine) network(name string, args ...string) string {
	m.t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := m.enter([]string{"-n"}, program, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// becomeMachine is process 1 before it is systemd.
func becomeMachine() error {
	runtime.LockOSThread()
	root := os.Getenv(machineRoot)
	if err := os.WriteFile(filepath.Join(os.Getenv(machineCgroup), "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare cgroups: %w", err)
	}
	if err := mountMachine(root); err != nil {
		return err
	}
	// The initramfs is no file system that pivot_root could leave.
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s: %w", root, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Exec(systemdProgram, []string{systemdProgram, "--unit=multi-user.target", "--show-status=no"},
		[]string{"container=baton-test", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}

func mountMachine(root string) error {
	type mount struct {
		what, where, kind, data string
		flags                   uintptr
	}
	mounts := []mount{
		{where: "/", flags: unix.MS_REC | unix.MS_PRIVATE},
		{what: root, where: root, flags: unix.MS_BIND},
		{"proc", root + "/proc", "proc", "", 0},
		{"sysfs", root + "/sys", "sysfs", "", 0},
		{"cgroup2", root + "/sys/fs/cgroup", "cgroup2", "", 0},
		{"tmpfs", root + "/run", "tmpfs", "mode=755", 0},
		{"tmpfs", root + "/tmp", "tmpfs", "mode=1777", 0},
		{"tmpfs", root + "/dev", "tmpfs", "mode=755", 0},
	}
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty", "kmsg"} {
		mounts = append(mounts, mount{what: "/dev/" + dev, where: root + "/dev/" + dev, flags: unix.MS_BIND})
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.what, "/dev/") {
			if err := os.WriteFile(m.where, nil, 0o666); err != nil {
				return err
			}
		}
		if err := unix.Mount(m.what, m.where, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	for _, dir := range []string{"/dev/pts", "/dev/shm"} {
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", root+"/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"); err != nil {
		return fmt.Errorf("mount devpts: %w", err)
	}
	return os.Symlink("pts/ptmx", root+"/dev/ptmx")
}

// path is a file of the machine's, seen from outside.
func (m *machine) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", name)
}
