package vm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const simulation = `NOTE: This is only a simulation!
Reading package lists...
Inst gcc-12-base (12.2.0-14 Debian:12.11/stable [amd64]) []
Inst libc6 (2.36-9+deb12u14 Debian:12.11/stable [amd64]) []
Inst perl-base (5.36.0-7 Debian:12.11/stable [amd64])
Inst zlib1g:amd64 (1:1.2.13.dfsg-1 Debian:12.11/stable [amd64])
Inst initramfs-tools (0.142 Debian:12.11/stable [all])
Inst linux-image-6.1.0-56-cloud-amd64 (6.1.192-2 Debian-Security:12/stable-security [amd64])
Inst linux-image-cloud-amd64 (6.1.192-2 Debian-Security:12/stable-security [amd64])
Inst keepalived (1:2.2.7-1+b2 Debian:12.11/stable [amd64])
Conf libc6 (2.36-9+deb12u14 Debian:12.11/stable [amd64])
`

func TestSelectPackagesLeavesOutMaintainerScriptsNeeds(t *testing.T) {
	b := Bundle{Packages: []string{"keepalived", "linux-image-cloud-amd64"}, Keep: kernelParts}
	want := []string{
		"keepalived=1:2.2.7-1+b2", "libc6=2.36-9+deb12u14", "linux-image-6.1.0-56-cloud-amd64=6.1.192-2",
		"linux-image-cloud-amd64=6.1.192-2", "zlib1g:amd64=1:1.2.13.dfsg-1",
	}
	if got := selectPackages([]byte(simulation), b); !slices.Equal(got, want) {
		t.Errorf("packages are %v, want %v", got, want)
	}
}

func TestBundleKeyChangesWithReleaseAndPackages(t *testing.T) {
	b := guestBundle(defaultPackage)
	same, other := b.key("bookworm"), b.key("trixie")
	if kernel := guestBundle("linux-image-6.12-cloud-amd64").key("bookworm"); kernel == same {
		t.Errorf("another kernel has the key %s too", kernel)
	}
	b.Packages = append(b.Packages, "conntrack")
	if more := b.key("bookworm"); same == other || same == more || !strings.HasPrefix(same, "guest-bookworm-") {
		t.Errorf("keys are %s, %s, %s", same, other, more)
	}
}

func TestDebianRelease(t *testing.T) {
	for content, want := range map[string]string{
		"ID=debian\nVERSION_CODENAME=bookworm\n":     "bookworm",
		"VERSION_CODENAME=\"trixie\"\nID=\"debian\"": "trixie",
		"ID=debian\n":                     "sid",
		"ID=fedora\nVERSION_CODENAME=x\n": "",
	} {
		file := filepath.Join(t.TempDir(), "os-release")
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := debianRelease(file)
		if got != want || (want == "") != errors.Is(err, ErrNoApt) {
			t.Errorf("%q: release %q, %v; want %q", content, got, err, want)
		}
	}
	if _, err := debianRelease("/no/such/os-release"); !errors.Is(err, ErrNoApt) {
		t.Errorf("no os-release: error is %v", err)
	}
}

func TestStreamLinesKeepsTheReason(t *testing.T) {
	var lines []string
	cmd := exec.CommandContext(context.Background(), "sh", "-c",
		"echo 'Get:1 a [31.5 kB]'; echo 'Get:2 b [26.7 MB]'; echo Fetched; echo 'E: no space left' >&2; exit 100")
	err := streamLines(cmd, func(s string) { lines = append(lines, s) })
	if err == nil || !strings.Contains(err.Error(), "E: no space left") {
		t.Errorf("error is %v", err)
	}
	if want := []string{"  Get:2 b [26.7 MB]", "  Fetched"}; !slices.Equal(lines, want) {
		t.Errorf("lines are %q, want %q", lines, want)
	}
}
