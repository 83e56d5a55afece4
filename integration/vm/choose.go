package vm

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
)

// Where is the kernel that a job runs on.
type Where string

// The kernels.
const (
	Auto    Where = "auto"    // Running if it can do it, else Guest
	Running Where = "running" // the kernel of this machine
	Guest   Where = "vm"      // QEMU
)

// KernelVariable is the environment variable that overrides Auto.
const KernelVariable = "BATON_VM_KERNEL"

// PackageVariable is the environment variable that names the Debian package of
// the guest's kernel, as -kernel does.
const PackageVariable = "BATON_VM_PACKAGE"

const defaultPackage = "linux-image-cloud-" + runtime.GOARCH

var packageName = regexp.MustCompile(`^linux-image-[a-z0-9.+-]+$`)

// Probes are the questions that Choose asks about the running kernel.
type Probes struct {
	Root       func() bool
	Namespaces func() error // can a network namespace be made?
	Family     func() error // is the generic netlink family IPVS there?
	Load       func() error // load ip_vs
}

// Choose picks the kernel for what was asked for. The reason is for the eyes
// of a person. It fails only when the running kernel was asked for by name and
// cannot do it.
func Choose(asked Where, p Probes) (where Where, reason string, err error) {
	switch asked {
	case Guest:
		return Guest, "asked for", nil
	case Auto, Running:
	default:
		return "", "", fmt.Errorf("choose kernel: %q is none of %s, %s, %s", asked, Auto, Running, Guest)
	}
	why := usable(p)
	switch {
	case why == nil:
		return Running, "it has IPVS and we are root", nil
	case asked == Running:
		return "", "", fmt.Errorf("use the running kernel: %w", why)
	}
	return Guest, "the running kernel will not do: " + why.Error(), nil
}

func usable(p Probes) error {
	if !p.Root() {
		return errors.New("we are not root")
	}
	if err := p.Namespaces(); err != nil {
		return fmt.Errorf("create network namespace: %w", err)
	}
	if p.Family() == nil {
		return nil
	}
	if err := p.Load(); err != nil {
		return fmt.Errorf("it has no IPVS: %w", err)
	}
	if err := p.Family(); err != nil {
		return fmt.Errorf("ip_vs was loaded, IPVS does not answer: %w", err)
	}
	return nil
}

// ChooseHere is Choose with the machine's own answers and, for Auto, the
// environment's wish. What is asked for may also be the Debian package of a
// kernel, linux-image-…, which only the guest can run; pkg is "" elsewhere.
func ChooseHere(asked Where) (where Where, pkg, reason string, err error) {
	asked, pkg, err = wish(asked, os.Getenv)
	if err != nil {
		return "", "", "", err
	}
	where, reason, err = Choose(asked, HostProbes())
	return where, pkg, reason, err
}

// wish is what was asked for, with what the environment says where that is Auto.
func wish(asked Where, environment func(string) string) (_ Where, pkg string, err error) {
	from := "-kernel"
	if strings.HasPrefix(string(asked), "linux-image-") {
		pkg, asked = string(asked), Guest
	} else if v := environment(PackageVariable); v != "" && asked != Running {
		pkg, asked, from = v, Guest, PackageVariable
	} else if v := environment(KernelVariable); v != "" && asked == Auto {
		asked = Where(v)
	}
	if pkg != "" && !packageName.MatchString(pkg) {
		return "", "", fmt.Errorf("choose kernel: %s %q is not the name of a kernel's Debian package, such as linux-image-6.12-cloud-amd64", from, pkg)
	}
	return asked, pkg, nil
}
