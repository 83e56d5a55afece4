package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"baton/integration/vm/wire"
)

// Accel is how QEMU runs the guest's code.
type Accel string

// The accelerators.
const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"

	// Counted is TCG with another clock: each instruction takes a nanosecond, and what
	// nobody works in takes no time at all. Programs can be compared on it, for what
	// they cost is what they do, whatever the host does besides and however dear QEMU
	// finds an instruction. It is too slow for tests: a busy second takes 5 to 60.
	Counted Accel = "tcg, a nanosecond for each instruction"
)

// ClockVariable is the environment variable that has a guest that is emulated count
// its time in instructions.
const ClockVariable = "BATON_VM_CLOCK"

// The values of ClockVariable.
const (
	clockHost         = "host" // as without it
	clockInstructions = "instructions"
)

// clocked is the accelerator with the clock that the environment asks for. A processor
// with KVM needs none to be compared on.
func (a Accel) clocked(environment func(string) string) (Accel, error) {
	switch v := environment(ClockVariable); v {
	case "", clockHost:
		return a, nil
	case clockInstructions:
		if a == TCG {
			return Counted, nil
		}
		return a, nil
	default:
		return "", fmt.Errorf("choose clock: %s is %q: want %s or %s", ClockVariable, v, clockHost, clockInstructions)
	}
}

func (a Accel) arguments() []string {
	switch a {
	case KVM:
		return []string{"-accel", "kvm", "-cpu", "host"}
	case Counted:
		return []string{"-accel", "tcg,thread=single", "-cpu", "max", "-icount", "shift=0,sleep=off"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
}

// cpus is how many processors a guest has. Where instructions are counted Linux does
// not get a second one to start (Debian's QEMU 7.2 with Linux 6.1).
func (a Accel) cpus() int {
	if a == Counted {
		return 1
	}
	return 2
}

// parameters are the kernel's. Linux does not believe that an emulated processor's
// TSC is the same on both, which QEMU sees to, and would read the time from the HPET:
// by a system call each time, and an access to a device behind QEMU's one lock.
func (a Accel) parameters() string {
	const common = "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on"
	if a == KVM {
		return common
	}
	return common + " tsc=reliable"
}

// trialTimeout bounds the trial boot with KVM, which takes about one second
// where it works. On some hosts it hangs after "Booting from ROM" for good.
const trialTimeout = 8 * time.Second

// chooseAccel takes KVM if a guest has once booted with it on this host; the
// answer is kept, for it needs seconds to be found out.
func chooseAccel(ctx context.Context, m Machine, guestInit string, progress func(string)) (Accel, error) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return TCG, nil
	}
	f.Close()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return TCG, nil
	}
	name := fmt.Sprintf("accel-%s-on-%s", m.Release, strings.TrimSpace(string(release)))
	dir, err := cached(ctx, name, func(dir string) error {
		answer := KVM
		progress(fmt.Sprintf("trying KVM, for at most %s", trialTimeout))
		image := filepath.Join(dir, initramfsName)
		defer os.Remove(image)
		if err := writeImage(image, m, guestInit, Job{}); err != nil {
			return err
		}
		if err := trial(ctx, m, image, dir); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			progress(fmt.Sprintf("KVM does not work here, emulating from now on (%v)", err))
			answer = TCG
		}
		return os.WriteFile(filepath.Join(dir, "answer"), []byte(answer), 0o644)
	})
	if err != nil {
		return "", err
	}
	answer, err := os.ReadFile(filepath.Join(dir, "answer"))
	if err != nil {
		return "", fmt.Errorf("read remembered accelerator: %w", err)
	}
	if Accel(answer) == KVM {
		return KVM, nil
	}
	return TCG, nil
}

// trial boots a guest with KVM that has nothing to do.
func trial(ctx context.Context, m Machine, image, dir string) error {
	g, err := boot(ctx, m, KVM, 512, 1, image, dir)
	if err != nil {
		return err
	}
	defer g.close()
	if _, err := g.hello(ctx, wire.NewReader(g.conn), trialTimeout); err != nil {
		return g.explain(ctx, err)
	}
	return nil
}
