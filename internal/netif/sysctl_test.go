package netif

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sysctls makes a /proc/sys of files.
func sysctls(t *testing.T, values map[string]string) {
	t.Helper()
	was := procSys
	procSys = t.TempDir()
	t.Cleanup(func() { procSys = was })
	for name, v := range values {
		path := filepath.Join(procSys, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(v+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func value(t *testing.T, name string) string {
	t.Helper()
	v, err := ReadSysctl(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSysctlsRestore(t *testing.T) {
	const ignore, announce, forward = "net/ipv4/conf/eth0.100/arp_ignore", "net/ipv4/conf/all/arp_announce", "net/ipv4/ip_forward"
	sysctls(t, map[string]string{ignore: "0", announce: "0", forward: "1"})
	var s Sysctls
	for _, c := range [][2]string{{ignore, "1"}, {announce, "2"}, {forward, "1"}, {announce, "1"}} {
		if err := s.Set(c[0], c[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := value(t, announce); got != "1" {
		t.Errorf("%s is %q, want 1", announce, got)
	}
	if err := WriteSysctl(forward, "0"); err != nil { // was as wanted: not ours to restore
		t.Fatal(err)
	}
	if err := WriteSysctl(ignore, "8"); err != nil { // somebody else's choice since
		t.Fatal(err)
	}
	if err := s.Restore(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{ignore: "8", announce: "0", forward: "0"} {
		if got := value(t, name); got != want {
			t.Errorf("%s is %q afterwards, want %q", name, got, want)
		}
	}
	if err := WriteSysctl(announce, "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(); err != nil || value(t, announce) != "1" {
		t.Errorf("restored a second time, %v", err)
	}
}

func TestSysctlsRestoreGone(t *testing.T) {
	const name = "net/ipv4/conf/eth0/rp_filter"
	sysctls(t, map[string]string{name: "1"})
	var s Sysctls
	if err := s.Set(name, "0"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(procSys, "net")); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(); err != nil {
		t.Errorf("interface gone: %v, want no error", err)
	}
}

func TestSysctlErrors(t *testing.T) {
	sysctls(t, nil)
	for _, name := range []string{"", "../hostname", "/etc/passwd", "net/../../x", "net//ipv4"} {
		if _, err := ReadSysctl(name); err == nil || !strings.Contains(err.Error(), "must be a path below /proc/sys") {
			t.Errorf("ReadSysctl(%q): %v, want a refusal", name, err)
		}
	}
	err := WriteSysctl("net/ipv4/missing", "1")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
	if want := "set sysctl net/ipv4/missing to 1: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if _, err := os.Stat(filepath.Join(procSys, "net/ipv4/missing")); err == nil {
		t.Error("made a file for a parameter that does not exist")
	}
}
