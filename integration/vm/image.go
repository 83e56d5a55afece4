package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"baton/integration/vm/wire"
)

// accounts are the users that programs in the guest drop their privileges to.
var accounts = []string{"root:0", "nobody:65534", "baton:990", "keepalived_script:991", "tcpdump:992", "www-data:33"}

// emptyDirs are the directories that programs expect.
var emptyDirs = []string{"/proc", "/sys", "/dev", "/run", "/root", "/var/log/nginx", "/var/lib/nginx/body",
	"/var/cache", "/etc/baton", "/etc/keepalived", "/etc/iproute2"}

// shellPrograms lie in /usr/bin, behind the Tools in PATH: a shell and the small
// commands around it. Busybox's own shell would prefer its own ip to iproute2's.
var shellPrograms = map[string]string{"busybox": "busybox", "dash": "sh"}

// writeImage writes the initramfs of a job. Host files stand before the
// machine's own, so that a program under test is not hidden by a tool.
func writeImage(path string, m Machine, guestInit string, job Job) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create initramfs: %w", err)
	}
	defer f.Close()
	a, err := NewInitramfs(f, Linker{Roots: m.Roots})
	if err != nil {
		return err
	}
	if err := addBase(a, m, guestInit); err != nil {
		return err
	}
	plan, err := addModules(a, m)
	if err != nil {
		return err
	}
	for _, file := range job.Files {
		if err := a.Add(file); err != nil {
			return err
		}
	}
	for _, c := range job.Commands {
		plan.Commands = append(plan.Commands, wire.Command{
			Args: c.Args, Env: append(guestEnvironment(), c.Env...), Dir: c.Dir, Timeout: c.Timeout,
		})
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("encode job: %w", err)
	}
	if err := a.Data(wire.JobFile, 0o644, string(raw)); err != nil {
		return err
	}
	if err := a.Close(); err != nil {
		return err
	}
	return f.Close()
}

func guestEnvironment() []string {
	return append(guestVariables(wire.OutDir), "HOME=/root", "TERM=dumb", "TMPDIR=/tmp", "LANG=C.UTF-8",
		"PATH="+wire.Path)
}

func addBase(a *Initramfs, m Machine, guestInit string) error {
	for _, d := range emptyDirs {
		if err := a.Dir(d, 0o755); err != nil {
			return err
		}
	}
	for _, d := range []string{"/tmp", wire.OutDir} {
		if err := a.Dir(d, 0o777|fs.ModeSticky); err != nil {
			return err
		}
	}
	for _, d := range []string{"/var/run:../run", "/etc/mtab:../proc/self/mounts"} {
		link, target, _ := strings.Cut(d, ":")
		if err := a.Link(link, target); err != nil {
			return err
		}
	}
	var passwd, group strings.Builder
	for _, u := range accounts {
		name, id, _ := strings.Cut(u, ":")
		fmt.Fprintf(&passwd, "%s:x:%s:%s::/root:/bin/sh\n", name, id, id)
		fmt.Fprintf(&group, "%s:x:%s:\n", name, id)
	}
	for p, content := range map[string]string{
		"/etc/passwd": passwd.String(), "/etc/group": group.String(),
		"/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n", "/etc/hostname": "baton-vm\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	} {
		if err := a.Data(p, 0o644, content); err != nil {
			return err
		}
	}
	if err := a.Add(File{Host: guestInit, Guest: "/init"}); err != nil {
		return err
	}
	return addTools(a, m)
}

func addTools(a *Initramfs, m Machine) error {
	places := map[string]string{"kmod": "/usr/sbin/modprobe"} // the kernel calls it
	for name := range Tools {
		places[name] = "/usr/sbin/" + name
	}
	for name, as := range shellPrograms {
		places[name] = "/usr/bin/" + as
	}
	for name, guest := range places {
		p, err := findProgram(name, m.Roots...)
		if err != nil {
			return err
		}
		if err := a.Add(File{Host: p, Guest: guest}); err != nil {
			return err
		}
	}
	for _, file := range toolFiles {
		p, err := findFirst(file, m.Roots...)
		if err != nil {
			return err
		}
		if err := a.Add(File{Host: p, Guest: file}); err != nil {
			return err
		}
	}
	return nil
}

func addModules(a *Initramfs, m Machine) (wire.Job, error) {
	tree, err := OpenModules(m.Modules)
	if err != nil {
		return wire.Job{}, err
	}
	transport, rest, files, err := tree.plan("/lib/modules/" + m.Release)
	if err != nil {
		return wire.Job{}, err
	}
	for _, f := range files {
		if err := a.Add(f); err != nil {
			return wire.Job{}, err
		}
	}
	return wire.Job{Transport: transport, Modules: rest}, nil
}

// buildInit compiles the guest's init.
func buildInit(ctx context.Context, out string) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := ModuleRoot(wd)
	if err != nil {
		return err
	}
	return BuildStatic(ctx, root, "baton/integration/vm/guest", out)
}

// skipBuilt leaves out of the repository's tree what git does not have.
func skipBuilt(root string) func(string, fs.DirEntry) bool {
	return func(p string, d fs.DirEntry) bool {
		switch d.Name() {
		case ".git", ".cache":
			return true
		case "bin", "dist":
			return filepath.Dir(p) == root
		}
		return strings.HasSuffix(p, ".test")
	}
}
