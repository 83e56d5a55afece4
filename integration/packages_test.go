package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// packagesDir is where the packages lie, beside the program under test.
const packagesDir = "packages"

// nextDir is where those of the next version lie, which differ in their default
// configuration.
const nextDir = "next"

// makePackages makes them as `make packages` does.
func makePackages(ctx context.Context, root, dir string) error {
	packages := func(variables ...string) error {
		cmd := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "packages", "VERSION=v9.8.7"}, variables...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stderr, os.Stderr
		return cmd.Run()
	}
	if err := packages("DIST=" + dir); err != nil {
		return err
	}
	const config = "internal/packaging/baton.toml"
	list, err := os.ReadFile(filepath.Join(root, "internal/packaging/nfpm.yaml"))
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(root, config))
	if err != nil {
		return err
	}
	other := filepath.Join(dir, "baton.toml")
	if err := os.WriteFile(other, append(content, "# "+nextDir+"\n"...), 0o644); err != nil {
		return err
	}
	packaging := filepath.Join(dir, "nfpm.yaml")
	if err := os.WriteFile(packaging, bytes.ReplaceAll(list, []byte(config), []byte(other)), 0o644); err != nil {
		return err
	}
	return packages("DIST="+filepath.Join(dir, nextDir), "PACKAGE_VERSION=9.9.0", "PACKAGING="+packaging)
}

// packaged are the files that both packages have, and no others but manual
// pages, documents and the completion for zsh.
var packaged = []string{
	"/etc/baton/baton.toml", "/usr/sbin/baton", "/usr/lib/sysusers.d/baton.conf",
	"/usr/lib/systemd/system/baton.service", "/usr/lib/systemd/system/baton-realserver.service", "/usr/lib/systemd/system/baton-realserver@.service",
	"/usr/share/bash-completion/completions/baton", "/usr/share/fish/vendor_completions.d/baton.fish",
}

// checkFiles judges the list of files of a package.
func checkFiles(t *testing.T, kind string, files []string) {
	t.Helper()
	for _, want := range append([]string{"/usr/share/man/man8/baton-status.8.gz", "/usr/share/man/man5/baton.toml.5.gz",
		"/usr/share/doc/baton/examples/director-pair-dr.toml", "/usr/share/doc/baton/copyright"}, packaged...) {
		if !slices.Contains(files, want) {
			t.Errorf("%s: %s is missing", kind, want)
		}
	}
	for _, f := range files {
		known := slices.Contains(packaged, f)
		for _, dir := range []string{"/usr/share/man/", "/usr/share/doc/baton/", "/usr/share/zsh/"} {
			known = known || strings.HasPrefix(f, dir)
		}
		if !known {
			t.Errorf("%s: nobody asked for %s", kind, f)
		}
	}
}

func packageFile(t *testing.T, pattern string) string {
	t.Helper()
	binary, err := findBaton()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(binary), packagesDir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v, want one package %s", found, err, pattern)
	}
	return found[0]
}

// TestPackages installs the Debian package in a root that has nothing of ours,
// runs a director there as the package set it up, and removes it: all without
// systemd. TestUnit has it.
func TestPackages(t *testing.T) {
	deb := packageFile(t, "*.deb")
	var files []string
	for _, line := range strings.Split(call(t, "dpkg-deb", "-c", deb), "\n") {
		if f := strings.Fields(line); len(f) > 5 && !strings.HasSuffix(f[5], "/") {
			files = append(files, strings.TrimPrefix(f[5], "."))
		}
	}
	checkFiles(t, "deb", files)
	if got := call(t, "dpkg-deb", "-f", deb, "Package", "Version", "Depends"); !strings.Contains(got, "Package: baton\nVersion: 9.8.7\nDepends: systemd | systemd-standalone-sysusers\n") {
		t.Errorf("dpkg-deb -f says\n%s", got)
	}

	root := cleanRoot(t)
	inRoot := func(args ...string) string { return call(t, append([]string{"chroot", root}, args...)...) }
	dpkg := func(args ...string) string {
		return call(t, append([]string{"dpkg", "--root=" + root, "--force-depends", "--force-bad-path", "--force-not-root"}, args...)...)
	}
	dpkg("-i", deb)
	user := installedUser(t, root)
	if enabled, err := filepath.Glob(filepath.Join(root, "etc/systemd/system/*.wants/baton*")); err != nil || len(enabled) > 0 {
		t.Errorf("the installation enabled %v, %v", enabled, err)
	}
	answers(t, root)

	pid := runInRoot(t, root)
	status := func(args ...string) string { return inRoot(append([]string{"/usr/sbin/baton"}, args...)...) }
	within(t, "the prober to run as baton", func() string {
		children, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range children {
			args, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // of one that has just ended
			n, _ := strconv.Atoi(filepath.Base(dir))
			if string(args) != "baton\x00prober\x00" {
				continue
			}
			if st := procStatus(t, n); st["PPid"] == strconv.Itoa(pid) && strings.HasPrefix(st["Uid"], user+" ") {
				return ""
			}
		}
		return "there is none with the uid " + user
	})

	write(t, root, "etc/baton/baton.toml", packagedInstance)
	status("reload")
	held := func() bool {
		return strings.Contains(call(t, "ip", "-n", rootNetns, "address", "show", "dev", "eth0"), "192.0.2.200/24")
	}
	within(t, "the address", func() string {
		if !held() {
			return status("status")
		}
		return ""
	})

	if out := dpkg("-r", "baton"); !strings.Contains(out, "stopped the director, pid "+strconv.Itoa(pid)) || alive(pid) || held() {
		t.Errorf("after the removal the director lives: %v, the address is here: %v; dpkg says\n%s", alive(pid), held(), out)
	}
	if !strings.Contains(read(t, root, "etc/baton/baton.toml"), "VI_1") {
		t.Error("a removal removes the operator's configuration")
	}
	dpkg("-P", "baton")
	for _, gone := range []string{"etc/baton", "var/lib/baton", "usr/sbin/baton", "usr/share/doc/baton"} {
		if _, err := os.Lstat(filepath.Join(root, gone)); err == nil {
			t.Errorf("after a purge %s is there", gone)
		}
	}
}

// rootNetns is the name of the network namespace of what runs in a clean root.
const rootNetns = "it-pkg"

// runInRoot starts the installed director in a network of its own.
func runInRoot(t *testing.T, root string) (pid int) {
	t.Helper()
	call(t, "ip", "netns", "add", rootNetns)
	t.Cleanup(func() { call(t, "ip", "netns", "del", rootNetns) })
	call(t, "ip", "-n", rootNetns, "link", "set", "lo", "up")
	call(t, "ip", "-n", rootNetns, "link", "add", "eth0", "type", "dummy")
	call(t, "ip", "-n", rootNetns, "link", "set", "eth0", "up")
	call(t, "ip", "-n", rootNetns, "address", "add", "192.0.2.2/24", "dev", "eth0")
	var log bytes.Buffer
	// ip becomes chroot, and that the director.
	cmd := exec.Command("ip", "netns", "exec", rootNetns, "chroot", root, "/usr/sbin/baton", "run")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended if all went well
		<-ended
		if t.Failed() {
			t.Logf("log of the director:\n%s", &log)
		}
	})
	within(t, "the director to run", func() string {
		out, err := exec.Command("chroot", root, "/usr/sbin/baton", "status").CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	})
	return cmd.Process.Pid
}

// installedUser is the uid of the user that the installation has made.
func installedUser(t *testing.T, root string) string {
	t.Helper()
	all := read(t, root, "etc/passwd")
	for _, line := range strings.Split(all, "\n") {
		if f := strings.Split(line, ":"); f[0] == "baton" {
			if f[6] != "/usr/sbin/nologin" || f[2] == "0" {
				t.Errorf("user baton is root or may log in: %s", line)
			}
			return f[2]
		}
	}
	t.Fatalf("the installation made no user baton:\n%s", all)
	return ""
}

// answers has the program that was installed say what it is, and judge the
// configuration that came with it.
func answers(t *testing.T, root string) {
	t.Helper()
	if got := call(t, "chroot", root, "/usr/sbin/baton", "version"); !strings.HasPrefix(got, "baton v9.8.7 ") {
		t.Errorf("baton version says %q", got)
	}
	if got := call(t, "chroot", root, "/usr/sbin/baton", "check"); !strings.Contains(got, "0 vrrp_instances, 0 virtual_servers") {
		t.Errorf("baton check says of a fresh configuration %q", got)
	}
}

// alive says whether a process runs; one that only waits to be asked for its
// end does not.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}
