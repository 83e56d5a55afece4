package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what a guest is made of: an emulator, a kernel with its modules,
// and the roots in which programs and libraries are found.
type Machine struct {
	Emulator    string   // qemu-system-x86_64
	EmulatorEnv []string // its libraries, if it isn't installed
	EmulatorDir []string // its firmware, if it isn't installed
	Release     string   // of the kernel
	Image       string
	Modules     string
	Roots       []string
}

const emulator = "qemu-system-x86_64"

// FindMachine gets what is missing: on Debian from its archive into the cache,
// elsewhere it takes the host's own kernel, QEMU and tools.
//
// pkg is the Debian package of the kernel, "" for the usual one. Only Debian's
// archive has it.
func FindMachine(ctx context.Context, pkg string, progress func(string)) (Machine, error) {
	if runtime.GOARCH != "amd64" {
		return Machine{}, fmt.Errorf("find kernel: the virtual machine is made for amd64, this is %s: "+
			"load ip_vs and run as root", runtime.GOARCH)
	}
	m, err := debianMachine(ctx, cmp.Or(pkg, defaultPackage), progress)
	if pkg != "" || !errors.Is(err, ErrNoApt) {
		return m, err
	}
	h, hostErr := hostMachine("/")
	if hostErr != nil {
		return Machine{}, fmt.Errorf("find kernel with IPVS: %w; of this system's own parts: %w; remedy: "+
			"`sudo modprobe ip_vs` and run as root, or install %s and a readable kernel image", err, hostErr, emulator)
	}
	return h, nil
}

func debianMachine(ctx context.Context, pkg string, progress func(string)) (Machine, error) {
	u, err := guestBundle(pkg).Fetch(ctx, progress)
	if err != nil {
		return Machine{}, err
	}
	m := Machine{Roots: []string{u.Root, u.Libc, "/"}}
	if m.Release, err = moduleRelease(u.Root); err != nil {
		return Machine{}, err
	}
	m.Image = filepath.Join(u.Root, "boot/vmlinuz-"+m.Release)
	if m.Modules, err = findIn(u.Root, "lib/modules/"+m.Release); err != nil {
		return Machine{}, err
	}
	if m.Emulator, err = exec.LookPath(emulator); err == nil {
		return m, nil
	}
	q, err := emulatorBundle().Fetch(ctx, progress)
	if err != nil {
		return Machine{}, err
	}
	if m.Emulator, err = findProgram(emulator, q.Root); err != nil {
		return Machine{}, err
	}
	plugins, _ := filepath.Glob(filepath.Join(q.Root, "usr/lib/*-linux-gnu/qemu")) // a constant pattern is a good one
	m.EmulatorEnv = []string{"LD_LIBRARY_PATH=" + libraryPath(q.Root), "QEMU_MODULE_DIR=" + strings.Join(plugins, ":")}
	m.EmulatorDir = []string{filepath.Join(q.Root, "usr/share/seabios"), filepath.Join(q.Root, "usr/share/qemu")}
	return m, nil
}

// hostMachine is made of what is installed below root.
func hostMachine(root string) (Machine, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return Machine{}, fmt.Errorf("ask kernel release: %w", err)
	}
	m := Machine{Release: unix.ByteSliceToString(uts.Release[:]), Roots: []string{root}}
	var err error
	if m.Emulator, err = findProgram(emulator, root); err != nil {
		return Machine{}, err
	}
	if m.Modules, err = findIn(root, "lib/modules/"+m.Release); err != nil {
		return Machine{}, err
	}
	for _, image := range []string{filepath.Join(m.Modules, "vmlinuz"), filepath.Join(root, "boot/vmlinuz-"+m.Release)} {
		f, err := os.Open(image)
		if err == nil {
			f.Close()
			m.Image = image
			return m, nil
		}
	}
	return Machine{}, fmt.Errorf("find kernel image: no readable vmlinuz of %s in %s or %s/boot", m.Release, m.Modules, root)
}
