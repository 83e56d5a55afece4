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
)

func (a Accel) arguments() []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
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
