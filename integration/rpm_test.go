package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRPM has rpm itself, Debian's, read the package, install it in a root that has
// nothing of ours, upgrade it beside a director that runs, and remove it. Its
// dependency systemd is a package of rpm's kind, which a Debian system has not:
// that it is asked for is all that is seen of it.
func TestRPM(t *testing.T) {
	name, next := packageFile(t, "*.rpm"), packageFile(t, nextDir+"/*.rpm")
	root := cleanRoot(t)
	// Debian's own place for the database is in root's home.
	rpm := func(args ...string) string {
		return call(t, append([]string{"rpm", "--dbpath", "/var/lib/rpm", "--root", root}, args...)...)
	}
	if got := call(t, "rpmkeys", "--dbpath", filepath.Join(root, "var/lib/rpm"), "--checksig", name); !strings.Contains(got, "digests OK") {
		t.Errorf("rpmkeys says of the package %q", got)
	}
	rpm("--install", "--nodeps", name)
	if got := rpm("-q", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH}; %{LICENSE}; %{SUMMARY}", "baton"); got != "baton 9.8.7 1 x86_64; Apache-2.0; High-availability director for Linux IPVS" {
		t.Errorf("it is %s", got)
	}
	var requires []string
	for _, r := range strings.Fields(rpm("-q", "--qf", `[%{REQUIRENAME}\n]`, "baton")) {
		if !strings.HasPrefix(r, "rpmlib(") && !slices.Contains(requires, r) {
			requires = append(requires, r)
		}
	}
	slices.Sort(requires)
	if got := strings.Join(requires, " "); got != "/bin/sh systemd" && got != "systemd" {
		t.Errorf("it requires %s", got)
	}
	var files []string
	owned := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(rpm("-q", "--qf", `[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]`, "baton")), "\n") {
		file, rest, _ := strings.Cut(line, " ")
		files = append(files, file)
		owned[file] = strings.TrimSpace(rest)
	}
	checkFiles(t, "rpm", files)
	for file, got := range owned {
		want := "-rw-r--r-- root:root"
		switch file {
		case "/usr/sbin/baton":
			want = "-rwxr-xr-x root:root"
		case "/etc/baton/baton.toml":
			want += " cn" // configuration, not replaced
		}
		if got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	// What lies there is what the package says: content, mode, owner.
	rpm("--verify", "--nodeps", "baton")
	installedUser(t, root)
	answers(t, root)

	pid := runInRoot(t, root)
	const operators = "[global]\nnodes = [\"lvs-a\", \"lvs-b\"]\n"
	write(t, root, "etc/baton/baton.toml", operators)
	rpm("--upgrade", "--nodeps", next)
	if !alive(pid) {
		t.Error("an upgrade ends the director")
	}
	if got := read(t, root, "etc/baton/baton.toml"); got != operators {
		t.Errorf("an upgrade makes the operator's configuration\n%s", got)
	}
	if got := read(t, root, "etc/baton/baton.toml.rpmnew"); !strings.HasSuffix(got, "# "+nextDir+"\n") {
		t.Errorf("beside it lies\n%s", got)
	}
	rpm("--erase", "baton")
	if alive(pid) {
		t.Error("after the removal the director lives")
	}
	if got := read(t, root, "etc/baton/baton.toml.rpmsave"); got != operators {
		t.Errorf("a removal leaves of the operator's configuration\n%s", got)
	}
}
