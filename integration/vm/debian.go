package vm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"
)

// Bundle is a set of Debian packages unpacked into a directory of the cache.
//
// Nothing is installed on the host and no root is needed: apt resolves the
// packages against an empty system, downloads and verifies them, dpkg-deb
// unpacks them. So no maintainer script runs, no service starts, and the guest
// has the same tools whatever the host has.
type Bundle struct {
	Name     string
	Packages []string
	Keep     *regexp.Regexp // which of their dependencies to take along
	// Finish completes the unpacked tree.
	Finish func(ctx context.Context, root string) error
}

// Unpacked is a bundle in the cache. The C library lies apart: programs of
// Root that run on the host must use the one that the host's loader belongs to.
type Unpacked struct{ Root, Libc string }

// A Debian library package is called lib*; the rest of the dependencies are
// for maintainer scripts, which never run.
var libraries = regexp.MustCompile(`^(lib|zlib1g)`)

var kernelParts = regexp.MustCompile(`^(lib|zlib1g|linux-(image|binary|modules|base)-[0-9])`)

// guestBundle is the kernel of that package and the tools of the guest.
func guestBundle(kernel string) Bundle {
	return Bundle{
		Name: "guest",
		Packages: []string{kernel, "busybox-static", "dash", "dnsmasq-base", "dpkg", "iproute2", "ipvsadm",
			"keepalived", "kmod", "libc6", "libnginx-mod-mail", "nftables", "nginx", "opensmtpd", "rpm", "rpm-common", "systemd", "tar", "tcpdump"},
		Keep:   kernelParts,
		Finish: depmod,
	}
}

// emulatorBundle is QEMU, for a host that has none.
func emulatorBundle() Bundle {
	return Bundle{
		Name:     "qemu",
		Packages: []string{"qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"},
		Keep:     libraries,
	}
}

// ErrNoApt means that this machine cannot fetch Debian's packages.
var ErrNoApt = errors.New("this is not a Debian system with apt-get and dpkg-deb")

// Fetch returns the unpacked bundle, from the cache if it is there.
func (b Bundle) Fetch(ctx context.Context, progress func(string)) (Unpacked, error) {
	release, err := debianRelease("/etc/os-release")
	if err != nil {
		return Unpacked{}, err
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return Unpacked{}, fmt.Errorf("%w: %v", ErrNoApt, err)
		}
	}
	dir, err := cached(ctx, b.key(release), func(dir string) error {
		return b.fill(ctx, dir, progress)
	})
	if err != nil {
		return Unpacked{}, fmt.Errorf("fetch %s packages: %w", b.Name, err)
	}
	return Unpacked{Root: filepath.Join(dir, "root"), Libc: filepath.Join(dir, "libc")}, nil
}

// key names the cache entry: another release or list of packages is another.
func (b Bundle) key(release string) string {
	sum := sha256.Sum256([]byte(strings.Join(b.Packages, " ") + " " + b.Keep.String()))
	return fmt.Sprintf("%s-%s-%s-%x", b.Name, release, runtime.GOARCH, sum[:4])
}

func debianRelease(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrNoApt, err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[k] = strings.Trim(v, `"`)
	}
	if values["ID"] != "debian" {
		return "", fmt.Errorf("%w: %s says ID=%s", ErrNoApt, file, values["ID"])
	}
	if v := values["VERSION_CODENAME"]; v != "" {
		return v, nil
	}
	return "sid", nil
}

func (b Bundle) fill(ctx context.Context, dir string, progress func(string)) error {
	apt, err := newApt(dir)
	if err != nil {
		return err
	}
	defer apt.clean()
	progress("asking apt for " + strings.Join(b.Packages, " "))
	debs, err := apt.get(ctx, b, progress)
	if err != nil {
		return err
	}
	root, libc := filepath.Join(dir, "root"), filepath.Join(dir, "libc")
	progress(fmt.Sprintf("unpacking %d packages", len(debs)))
	for _, d := range debs {
		to := root
		if strings.HasPrefix(filepath.Base(d), "libc6_") {
			to = libc
		}
		cmd := exec.CommandContext(ctx, "dpkg-deb", "-x", d, to)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(d), err, bytes.TrimSpace(out))
		}
	}
	if b.Finish == nil {
		return nil
	}
	return b.Finish(ctx, root)
}

// apt is apt-get with an empty system of its own.
type apt struct {
	scratch string // removed at the end
	options []string
}

func newApt(dir string) (*apt, error) {
	scratch := filepath.Join(dir, "apt")
	for _, d := range []string{"archives/partial", "lists/partial"} {
		if err := os.MkdirAll(filepath.Join(scratch, d), 0o755); err != nil {
			return nil, err
		}
	}
	status := filepath.Join(scratch, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	return &apt{scratch: scratch, options: []string{
		"-o", "Dir::State::status=" + status,
		"-o", "Dir::Cache::archives=" + filepath.Join(scratch, "archives"),
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "Debug::NoLocking=1", "-o", "APT::Install-Recommends=0", "-o", "APT::Get::List-Cleanup=0",
		"-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30",
	}}, nil
}

func (a *apt) clean() { os.RemoveAll(a.scratch) }

// get downloads with the machine's package lists; where these are missing or
// name files that are gone, with fresh ones that only this run sees.
func (a *apt) get(ctx context.Context, b Bundle, progress func(string)) ([]string, error) {
	debs, first := a.download(ctx, b, progress)
	if first == nil || ctx.Err() != nil {
		return debs, first
	}
	progress("updating a private copy of the package lists (" + firstLine(first) + ")")
	a.options = append(a.options, "-o", "Dir::State::lists="+filepath.Join(a.scratch, "lists"))
	if err := a.stream(ctx, progress, "update"); err != nil {
		return nil, err
	}
	return a.download(ctx, b, progress)
}

func (a *apt) download(ctx context.Context, b Bundle, progress func(string)) ([]string, error) {
	plan, err := a.output(ctx, append([]string{"-s", "install"}, b.Packages...)...)
	if err != nil {
		return nil, err
	}
	wanted := selectPackages(plan, b)
	progress(fmt.Sprintf("downloading %d packages", len(wanted)))
	before := a.scratch + "/archives"
	cmd := a.command(ctx, append([]string{"download"}, wanted...)...)
	cmd.Dir = before
	if err := streamLines(cmd, progress); err != nil {
		return nil, fmt.Errorf("apt-get download: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(before, "*.deb"))
	if err == nil && len(debs) < len(wanted) {
		err = fmt.Errorf("apt-get download: got %d packages of %d", len(debs), len(wanted))
	}
	return debs, err
}

var instLine = regexp.MustCompile(`(?m)^Inst (\S+) \((\S+) `)

// selectPackages picks name=version of what was asked for and of those
// dependencies that the bundle keeps out of apt's simulation.
func selectPackages(simulation []byte, b Bundle) []string {
	asked := map[string]bool{}
	for _, p := range b.Packages {
		asked[p] = true
	}
	var out []string
	for _, m := range instLine.FindAllSubmatch(simulation, -1) {
		name, version := string(m[1]), string(m[2])
		if bare, _, _ := strings.Cut(name, ":"); asked[bare] || b.Keep.MatchString(bare) {
			out = append(out, name+"="+version)
		}
	}
	sort.Strings(out)
	return out
}

func (a *apt) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "apt-get", append(append([]string{}, a.options...), args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

func (a *apt) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := a.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

func (a *apt) stream(ctx context.Context, progress func(string), args ...string) error {
	if err := streamLines(a.command(ctx, args...), progress); err != nil {
		return fmt.Errorf("apt-get %s: %w", args[0], err)
	}
	return nil
}

// streamLines runs cmd and hands on what it says, small downloads left out;
// what it says on standard error is part of the error.
func streamLines(cmd *exec.Cmd, progress func(string)) error {
	r, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	s := bufio.NewScanner(r)
	for s.Scan() {
		if small := strings.HasPrefix(s.Text(), "Get:") && !strings.Contains(s.Text(), " MB]"); !small {
			progress("  " + s.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return s.Err()
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// depmod writes the dependencies of the kernel's modules, which the package
// leaves to its installation.
func depmod(ctx context.Context, root string) error {
	release, err := moduleRelease(root)
	if err != nil {
		return err
	}
	kmod, err := findProgram("kmod", root)
	if err != nil {
		return err
	}
	base := root
	if _, err := os.Stat(filepath.Join(root, "lib/modules", release)); err != nil {
		base = filepath.Join(root, "usr")
	}
	cmd := exec.CommandContext(ctx, kmod, "-b", base, release)
	cmd.Args[0] = "depmod"
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraryPath(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("depmod: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// moduleRelease is the release of the one kernel whose modules are in root.
func moduleRelease(root string) (string, error) {
	dir, err := findIn(root, "lib/modules")
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		return "", fmt.Errorf("find kernel release: want one directory in %s, got %d (%v)", dir, len(entries), err)
	}
	return entries[0].Name(), nil
}
