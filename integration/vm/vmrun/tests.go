package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"baton/integration/vm"
)

// runTests runs the tagged tests of all packages on one kernel, one package
// after the other, each in its own directory.
func runTests(ctx context.Context, o options, where vm.Where, pkg string, patterns []string) (int, error) {
	packages, err := vm.KernelTests(ctx, patterns...)
	if err != nil {
		return 125, err
	}
	if len(packages) == 0 {
		return 125, fmt.Errorf("none of %s has tests with the build tag %s", strings.Join(patterns, " "), vm.KernelTag)
	}
	bin, err := os.MkdirTemp("", "baton-tests-")
	if err != nil {
		return 125, fmt.Errorf("create directory for tests: %w", err)
	}
	defer os.RemoveAll(bin)
	job, err := testJob(ctx, o, where, packages, bin)
	if err != nil {
		return 125, err
	}
	sink := newSink(o.json, packages)
	job.Package = pkg
	job.Stdout, job.Stderr = sink, sink
	job.Before, job.After = sink.begin, sink.end
	exits, err := vm.Run(ctx, where, job)
	err = errors.Join(err, sink.close())
	code := 0
	for i, e := range exits {
		vm.PrintProgress(fmt.Sprintf("%-28s exit %d after %.1f s", packages[i].ImportPath, e.Code, e.Took.Seconds()))
		if e.Code != 0 {
			code = 1
		}
	}
	if err != nil {
		code = 125
	}
	return code, err
}

func testJob(ctx context.Context, o options, where vm.Where, packages []vm.TestPackage, bin string) (vm.Job, error) {
	job := vm.Job{Timeout: o.timeout + starting, MemoryMiB: o.memory, OutDir: o.out}
	if err := addFiles(&job, o); err != nil {
		return job, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return job, err
	}
	root, err := vm.ModuleRoot(wd)
	if err != nil {
		return job, err
	}
	job.Files = append(job.Files, vm.File{Host: bin, Guest: "/tests"}, vm.SourceTree(root))
	for _, p := range packages {
		vm.PrintProgress(fmt.Sprintf("building %d kernel tests of %s", len(p.Tests), p.ImportPath))
		file := strings.ReplaceAll(p.ImportPath, "/", "_") + ".test"
		if err := p.BuildTests(ctx, filepath.Join(bin, file)); err != nil {
			return job, err
		}
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return job, err
		}
		c := vm.Command{Args: []string{filepath.Join(bin, file)}, Dir: p.Dir, Timeout: o.timeout}
		if where == vm.Guest {
			c = vm.Command{Args: []string{"/tests/" + file}, Dir: filepath.Join(vm.GuestSource, rel), Timeout: o.timeout}
		}
		c.Args = append(c.Args, testArguments(o, p)...)
		job.Commands = append(job.Commands, c)
	}
	return job, nil
}

// parallel is how many of the tests that say so run side by side: they wait for a
// peer's timers, not for a processor.
const parallel = 6

func testArguments(o options, p vm.TestPackage) []string {
	pattern := "^(" + strings.Join(p.Tests, "|") + ")$"
	if o.run != "" {
		pattern = o.run
	}
	verbose := "true"
	if o.json {
		verbose = "test2json"
	}
	return []string{"-test.v=" + verbose, "-test.run=" + pattern, "-test.parallel=" + strconv.Itoa(parallel),
		"-test.timeout=" + (o.timeout - time.Minute/2).String()}
}

// sink is where the tests' output goes: to standard output, or through go's
// test2json of the package that is running.
type sink struct {
	packages []vm.TestPackage
	json     bool
	w        io.WriteCloser
	wait     func() error
	err      error
}

func newSink(json bool, packages []vm.TestPackage) *sink {
	return &sink{packages: packages, json: json}
}

func (s *sink) begin(i int) {
	if !s.json {
		return
	}
	cmd := exec.Command("go", "tool", "test2json", "-t", "-p", s.packages[i].ImportPath)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	w, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.err = errors.Join(s.err, fmt.Errorf("start test2json: %w", err))
		return
	}
	s.w, s.wait = w, cmd.Wait
}

func (s *sink) end(int, vm.Exit) { s.finish() }

// finish ends the running package's converter.
func (s *sink) finish() {
	if s.w == nil {
		return
	}
	s.err = errors.Join(s.err, s.w.Close(), s.wait())
	s.w = nil
}

func (s *sink) Write(p []byte) (int, error) {
	if s.w == nil {
		return os.Stdout.Write(p)
	}
	return s.w.Write(p)
}

func (s *sink) close() error {
	s.finish()
	return s.err
}
