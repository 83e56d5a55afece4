package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const roleTrespasser = "trespasser"

// trespasses are what a program of a director's must not be able to do, and a
// few things that it must, with what comes of it in the unit and elsewhere on
// the machine.
var trespasses = []struct {
	what, unit, elsewhere string
	try                   func() error
}{
	{"write to /etc", "EROFS", "", create("/etc")},
	{"write to /usr", "EROFS", "", create("/usr")},
	{"write to /var", "EROFS", "", create("/var")},
	{"write to /var/lib/baton", "", "", create("/var/lib/baton")},
	{"write to /run/baton", "", "", create("/run/baton")},
	{"see a home", "ENOENT", "", reach("/home/somebody", os.O_RDONLY)},
	{"see another's temporary file", "ENOENT", "", reach("/tmp/somebody", os.O_RDONLY)},
	{"open a device", "ENOENT", "", reach("/dev/kmsg", os.O_WRONLY)},
	{"set a parameter of the kernel", "EROFS", "", reach("/proc/sys/kernel/panic", os.O_WRONLY)},
	{"set a parameter of the network", "", "", reach("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY)},
	{"leave its cgroup", "EROFS", "", reach("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY)},
	// The kernel itself refuses a program of several threads.
	{"make a namespace", "EPERM", "EINVAL", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"ask for a keyring", "EPERM", "", func() error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_PROCESS_KEYRING, true)
		return err
	}},
	{"have its page faults", "EPERM", "", syscall0(unix.SYS_USERFAULTFD)},
	{"open a socket of another family", "EAFNOSUPPORT", "", func() error {
		_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		return err
	}},
	{"make a file setuid", "EPERM", "", func() error { return unix.Chmod("/var/lib/baton/trespass", unix.S_ISUID|0o755) }},
	{"change its personality", "EPERM", "", func() error {
		const linux32 = 8
		if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, linux32, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}},
	{"execute what it has written", "EPERM", "", func() error {
		_, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"trace another", "EPERM", "ESRCH", func() error { return unix.PtraceAttach(1 << 22) }},
}

// trespass tries all of it and prints what came of it.
func trespass() {
	runtime.LockOSThread()
	for _, a := range trespasses {
		fmt.Printf("%s: %s\n", a.what, errno(a.try()))
	}
	os.Exit(0)
}

func errno(err error) string {
	var e unix.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return unix.ErrnoName(e)
	}
	return err.Error()
}

func create(dir string) func() error {
	return reach(filepath.Join(dir, "trespass"), os.O_CREATE|os.O_WRONLY)
}

func reach(name string, flags int) func() error {
	return func() error {
		f, err := os.OpenFile(name, flags, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	}
}

func syscall0(number uintptr) func() error {
	return func() error {
		if _, _, errno := unix.RawSyscall(number, 0, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
}
