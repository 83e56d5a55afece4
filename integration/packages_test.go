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

	"github.com/cavaliergopher/rpm"
	"golang.org/x/sys/unix"
)

// packagesDir is where the packages lie, beside the program under test.
const packagesDir = "packages"

// makePackages makes them as `make packages` does.
func makePackages(ctx context.Context, root, dir string) error {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "packages", "VERSION=v9.8.7", "DIST="+dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stderr, os.Stderr
	return cmd.Run()
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
// runs a director there as the package set it up, installs it again over the
// running one, and removes it. Of the other package it reads what it holds.
func TestPackages(t *testing.T) {
	t.Run("rpm", func(t *testing.T) { rpmHolds(t, packageFile(t, "*.rpm")) })
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
	user := ""
	for _, line := range strings.Split(read(t, root, "etc/passwd"), "\n") {
		if f := strings.Split(line, ":"); f[0] == "baton" {
			user = f[2]
			if f[6] != "/usr/sbin/nologin" {
				t.Errorf("user baton may log in: %s", line)
			}
		}
	}
	if user == "" || user == "0" {
		t.Fatalf("the installation made no user baton:\n%s", read(t, root, "etc/passwd"))
	}
	if enabled, err := filepath.Glob(filepath.Join(root, "etc/systemd/system/*.wants/baton*")); err != nil || len(enabled) > 0 {
		t.Errorf("the installation enabled %v, %v", enabled, err)
	}
	if got := inRoot("/usr/sbin/baton", "version"); !strings.HasPrefix(got, "baton v9.8.7 ") {
		t.Errorf("baton version says %q", got)
	}
	if got := inRoot("/usr/sbin/baton", "check"); !strings.Contains(got, "0 vrrp_instances, 0 virtual_servers") {
		t.Errorf("baton check says of a fresh configuration %q", got)
	}

	pid := runInRoot(t, root)
	status := func(args ...string) string { return inRoot(append([]string{"/usr/sbin/baton"}, args...)...) }
	within(t, "the director to run", func() string {
		out, err := exec.Command("chroot", root, "/usr/sbin/baton", "status").CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	})
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

	// The operator's own configuration lives through an upgrade, and so does
	// the director, its address with it.
	write(t, root, "etc/baton/baton.toml", `[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_int = "100ms"
virtual_ipaddress = ["192.0.2.200/24"]
`)
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
	dpkg("-i", deb)
	if !held() || !alive(pid) {
		t.Error("an upgrade ends the director, or takes its address")
	}
	if !strings.Contains(read(t, root, "etc/baton/baton.toml"), "VI_1") {
		t.Error("an upgrade replaces the operator's configuration")
	}

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

func rpmHolds(t *testing.T, name string) {
	p, err := rpm.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "baton" || p.Version() != "9.8.7" || p.License() != "Apache-2.0" || p.Summary() != "High-availability director for Linux IPVS" {
		t.Errorf("it is %s, version %s, licence %s: %s", p.Name(), p.Version(), p.License(), p.Summary())
	}
	var files []string
	for _, f := range p.Files() {
		files = append(files, f.Name())
		if f.Name() == "/etc/baton/baton.toml" && f.Flags()&(rpm.FileFlagConfig|rpm.FileFlagNoReplace) != rpm.FileFlagConfig|rpm.FileFlagNoReplace {
			t.Error("the configuration is not marked as one that an upgrade leaves alone")
		}
	}
	checkFiles(t, "rpm", files)
	for what, script := range map[string]string{
		"systemd-sysusers baton.conf":    p.PostInstallScript(),
		"systemctl --quiet disable":      p.PreUninstallScript(),
		"systemctl daemon-reload":        p.PostUninstallScript(),
		"[ -d /run/systemd/system ]; th": p.PostInstallScript(),
	} {
		if !strings.Contains(script, what) {
			t.Errorf("no script does %q: %q", what, script)
		}
	}
}

// rootNetns is the name of the network namespace of what runs in a clean root.
const rootNetns = "it-pkg"

// cleanRoot is the least that a package can be installed in: a shell, the
// program that makes users, and dpkg's own records.
func cleanRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for _, dir := range []string{"etc", "usr/bin", "usr/sbin", "usr/lib", "usr/share", "usr/lib64", "run", "tmp", "proc", "sys", "dev", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, merged := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+merged, filepath.Join(root, merged)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, "var/lib/dpkg/status", "")
	write(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root, "etc/group", "root:x:0:\n")
	write(t, root, "etc/nsswitch.conf", "passwd: files\ngroup: files\n")
	for _, name := range []string{"sh", "rm", "systemd-sysusers"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if program, err = filepath.EvalSymlinks(program); err != nil {
			t.Fatal(err)
		}
		transplant(t, root, program, "usr/bin/"+name)
	}
	for _, dir := range []string{"proc", "sys", "dev"} {
		at := filepath.Join(root, dir)
		if err := unix.Mount("/"+dir, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", at, "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	return root
}

// transplant copies a program with the libraries that it is linked to.
func transplant(t *testing.T, root, program, to string) {
	t.Helper()
	raw, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, to), raw, 0o755); err != nil {
		t.Fatal(err)
	}
	const loader = "/lib64/ld-linux-x86-64.so.2"
	out, err := exec.Command(loader, "--list", program).CombinedOutput()
	if err != nil {
		return // it is static
	}
	for _, word := range strings.Fields(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		lib, err := os.ReadFile(word)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(root, word)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, lib, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

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
	return cmd.Process.Pid
}

// alive says whether a process runs; one that only waits to be asked for its
// end does not.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

// call runs a program and returns what it printed.
func call(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
