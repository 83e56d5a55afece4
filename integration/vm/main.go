package vm

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Program is a main package that the tests call by its name: Main builds it
// static and puts it into a directory of PATH.
type Program struct {
	Name    string // baton
	Package string // baton/cmd/baton
	// Flags are for the go command, before the package.
	Flags []string
	// Make, where it is set, makes a directory of that name instead.
	Make func(ctx context.Context, root, dir string) error
	// For are the only tests that call it; none stands for all. Where none of
	// them runs it is not made.
	For []string
}

// Main is for TestMain of a package whose tests need a kernel with IPVS. Where
// BATON_KERNEL is set it runs the tests. Elsewhere it runs this very test
// binary again with the same flags on a kernel that has IPVS, in its package's
// directory, and passes output and exit code on, so that `go test -run X -v`
// works anywhere. It does not return.
func Main(m interface{ Run() int }, programs ...Program) {
	flag.Parse()
	if os.Getenv("BATON_KERNEL") != "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := rerun(ctx, os.Args[1:], programs)
	if err != nil {
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

func rerun(ctx context.Context, args []string, programs []Program) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	root, err := ModuleRoot(wd)
	if err != nil {
		return 0, err
	}
	bin, err := os.MkdirTemp("", "baton-bin-")
	if err != nil {
		return 0, fmt.Errorf("create directory for binaries: %w", err)
	}
	defer os.RemoveAll(bin)
	for _, p := range programs {
		if p.For != nil && !slices.ContainsFunc(p.For, func(test string) bool { return selected(args, test) }) {
			continue
		}
		if p.Make != nil {
			if err := p.Make(ctx, root, filepath.Join(bin, p.Name)); err != nil {
				return 0, fmt.Errorf("make %s: %w", p.Name, err)
			}
			continue
		}
		if err := BuildStatic(ctx, root, p.Package, filepath.Join(bin, p.Name), p.Flags...); err != nil {
			return 0, err
		}
	}
	where, pkg, reason, err := ChooseHere(Auto)
	if err != nil {
		return 0, err
	}
	PrintProgress(fmt.Sprintf("kernel: %s (%s)", where, reason))
	passed, outputs, timeout := testFlags(args)
	job := Job{Timeout: timeout, Package: pkg, OutDir: outDirOf(outputs, wd)}
	c := Command{Args: append([]string{self}, args...), Dir: wd}
	if where == Guest {
		rel, err := filepath.Rel(root, wd)
		if err != nil {
			return 0, err
		}
		c.Args = append([]string{"/usr/local/bin/" + filepath.Base(self)}, passed...)
		c.Dir = filepath.Join(GuestSource, rel)
		job.Files = []File{
			{Host: self, Guest: c.Args[0]},
			{Host: bin, Guest: "/usr/local/bin"},
			SourceTree(root),
		}
	} else {
		c.Args = append([]string{self}, dropFlag(args, "test.testlogfile")...)
		job.Path = []string{bin}
	}
	job.Commands = []Command{c}
	exits, err := Run(ctx, where, job)
	if len(exits) == 1 {
		return exits[0].Code, err
	}
	return 1, err
}

// selected says whether the flags of a test binary have it run the test.
func selected(args []string, test string) bool {
	run := ""
	for _, a := range args {
		if name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "="); ok && name == "test.run" {
			run, _, _ = strings.Cut(value, "/")
		}
	}
	re, err := regexp.Compile(run)
	return err != nil || re.MatchString(test) // the test binary will say what is wrong with it
}

// GuestSource is where the guest finds the repository's files.
const GuestSource = "/src"

// SourceTree is the repository without its history and what was built from it:
// tests read testdata, examples and documents beside their package.
func SourceTree(root string) File {
	return File{Host: root, Guest: GuestSource, Skip: skipBuilt(root)}
}

// BuildStatic builds a main package without cgo, so that it runs in any guest.
func BuildStatic(ctx context.Context, root, pkg, out string, flags ...string) error {
	args := append(append([]string{"build", "-trimpath", "-o", out}, flags...), pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr, cmd.Stdout = root, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := startAndWait(cmd); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

// ModuleRoot is the nearest directory above dir that has a go.mod.
func ModuleRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find go.mod: none in %s or above", dir)
		}
	}
}

// fileFlags are the flags of a test binary that name a file to write.
var fileFlags = []string{"test.coverprofile", "test.cpuprofile", "test.memprofile",
	"test.blockprofile", "test.mutexprofile", "test.trace"}

// testFlags turns the flags of a test binary into those for the guest: files
// to write go to the output directory, go test's record of opened files goes
// nowhere. It returns the written files by name and the tests' time-out plus a
// minute for the boot, 0 for none.
func testFlags(args []string) (guest []string, outputs map[string]string, timeout time.Duration) {
	outputs = map[string]string{}
	for _, a := range dropFlag(args, "test.testlogfile", "test.outputdir", "test.gocoverdir") {
		name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if ok && name == "test.timeout" {
			if d, err := time.ParseDuration(value); err == nil && d > 0 {
				timeout = d + time.Minute
			}
		}
		for _, f := range fileFlags {
			if ok && name == f {
				base := filepath.Base(value)
				outputs[base] = value
				a = "-" + f + "=/out/" + base
			}
		}
		guest = append(guest, a)
	}
	return guest, outputs, timeout
}

// outDirOf is where the guest's output files belong: the directory of the
// first that was asked for. go test gives them all the same one.
func outDirOf(outputs map[string]string, wd string) string {
	for _, host := range outputs {
		if !filepath.IsAbs(host) {
			host = filepath.Join(wd, host)
		}
		return filepath.Dir(host)
	}
	return ""
}

func dropFlag(args []string, names ...string) []string {
	var kept []string
next:
	for _, a := range args {
		for _, n := range names {
			if strings.HasPrefix(strings.TrimLeft(a, "-"), n+"=") {
				continue next
			}
		}
		kept = append(kept, a)
	}
	return kept
}
