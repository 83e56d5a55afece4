// Command vmrun runs a command, or the kernel tests of packages, on a kernel
// that has IPVS: the running one if we are root and it has it, else a virtual
// machine.
//
//	go run ./integration/vm/vmrun -- ipvsadm -Ln
//	go run ./integration/vm/vmrun -bin bin/baton -- baton drill --up
//	go run ./integration/vm/vmrun -test ./ipvs ./vrrp
//	go run ./integration/vm/vmrun -kernel linux-image-6.12-cloud-amd64 -test ./ipvs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"baton/integration/vm"
)

// options are the flags.
type options struct {
	kernel  string
	timeout time.Duration
	memory  int
	out     string
	bins    list
	files   list
	tests   bool
	fetch   bool
	run     string
	json    bool
}

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var o options
	flag.StringVar(&o.kernel, "kernel", string(vm.Auto), "`which` kernel: auto, running, vm, or the Debian package of the virtual machine's, such as linux-image-6.12-cloud-amd64; "+
		"auto heeds "+vm.KernelVariable+" and "+vm.PackageVariable)
	flag.DurationVar(&o.timeout, "timeout", 15*time.Minute, "time-out of the command, of all tests together; starting the kernel not included")
	flag.IntVar(&o.memory, "memory", 2048, "the virtual machine's memory in `MiB`")
	flag.StringVar(&o.out, "out", "", "`directory` for what the command writes to $BATON_OUT")
	flag.Var(&o.bins, "bin", "`program` to put into PATH (repeatable)")
	flag.Var(&o.files, "file", "`HOST:GUEST` file or tree to copy into the virtual machine (repeatable)")
	flag.BoolVar(&o.tests, "test", false, "the arguments are packages: run their tests tagged kernel")
	flag.StringVar(&o.run, "run", "", "with -test: only tests that match the `pattern`")
	flag.BoolVar(&o.json, "json", false, "with -test: print events as go test -json does")
	flag.BoolVar(&o.fetch, "fetch", false, "get kernel and tools into the cache, run nothing")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, o, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "vmrun: %v\n", err)
	}
	os.Exit(code)
}

func usage() {
	fmt.Fprint(os.Stderr, "usage: vmrun [flags] -- COMMAND [ARGUMENT…]\n       vmrun [flags] -test PACKAGE…\n\n")
	flag.PrintDefaults()
}

// run returns the exit code: the command's own, 125 if it could not be run.
func run(ctx context.Context, o options, args []string) (int, error) {
	if len(args) == 0 && !o.fetch {
		usage()
		return 64, errors.New("nothing to run")
	}
	where, pkg, reason, err := vm.ChooseHere(vm.Where(o.kernel))
	if err != nil {
		return 125, err
	}
	vm.PrintProgress(fmt.Sprintf("kernel: %s (%s)", where, reason))
	switch {
	case o.fetch && where == vm.Running:
		return 0, nil
	case o.fetch:
		m, err := vm.FindMachine(ctx, pkg, vm.PrintProgress)
		if err != nil {
			return 125, err
		}
		vm.PrintProgress(fmt.Sprintf("ready: %s, %s", m.Release, m.Emulator))
		return 0, nil
	case o.tests:
		return runTests(ctx, o, where, pkg, args)
	}
	job := vm.Job{Timeout: o.timeout + starting, Package: pkg, MemoryMiB: o.memory, OutDir: o.out,
		Commands: []vm.Command{{Args: args, Timeout: o.timeout}}}
	if err := addFiles(&job, o); err != nil {
		return 125, err
	}
	exits, err := vm.Run(ctx, where, job)
	switch {
	case errors.Is(err, context.Canceled):
		return 130, errors.New("interrupted")
	case err != nil:
		return 125, err
	case exits[0].TimedOut:
		return exits[0].Code, fmt.Errorf("%s: time-out of %s", args[0], o.timeout)
	}
	return exits[0].Code, nil
}

// starting bounds what comes before the first command: downloads and boot.
const starting = 5 * time.Minute

// addFiles puts the programs into PATH of either kernel, and the files into
// the guest.
func addFiles(job *vm.Job, o options) error {
	for _, b := range o.bins {
		abs, err := filepath.Abs(b)
		if err != nil {
			return err
		}
		job.Path = append(job.Path, filepath.Dir(abs))
		job.Files = append(job.Files, vm.File{Host: abs, Guest: "/usr/local/bin/" + filepath.Base(abs)})
	}
	for _, f := range o.files {
		host, guest, ok := strings.Cut(f, ":")
		if !ok {
			return fmt.Errorf("flag -file %s: want HOST:GUEST", f)
		}
		job.Files = append(job.Files, vm.File{Host: host, Guest: guest})
	}
	return nil
}
