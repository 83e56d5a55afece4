package netif

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// belowVMAC puts the parameters of an interface eth0, which has none yet, into
// files, and returns their directory and the file of the record.
func belowVMAC(t *testing.T) (conf, record string) {
	t.Helper()
	dir, was := t.TempDir(), procSys
	t.Cleanup(func() { procSys = was })
	procSys = filepath.Join(dir, "sys")
	conf = filepath.Join(procSys, "net/ipv4/conf/eth0")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	return conf, filepath.Join(dir, "parents.json")
}

// What one run changes the next one changes back.
func TestParentsAreRemembered(t *testing.T) {
	conf, file := belowVMAC(t)
	put := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(conf, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is := func(name, want string) {
		t.Helper()
		if got, err := ReadSysctl("net/ipv4/conf/eth0/" + name); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	put("arp_ignore", "0")
	put("arp_announce", "2")
	if err := readParents(file).prepare("eth0"); err != nil {
		t.Fatal(err)
	}
	is("arp_ignore", "1")

	next := readParents(file)
	if err := next.prepare("eth0"); err != nil { // as the next run does
		t.Fatal(err)
	}
	if err := next.restore(map[string]bool{"eth0": true}); err != nil {
		t.Fatal(err)
	}
	is("arp_ignore", "1")
	if err := readParents(file).restore(nil); err != nil {
		t.Fatal(err)
	}
	is("arp_ignore", "0")
	is("arp_announce", "2")
	put("arp_ignore", "1") // an administrator's
	if err := readParents(file).restore(nil); err != nil {
		t.Fatal(err)
	}
	is("arp_ignore", "1")
}

// The second parameter cannot be set: the next run knows of the first one.
func TestParentsAreRememberedWhenOneFails(t *testing.T) {
	conf, file := belowVMAC(t)
	if err := os.WriteFile(filepath.Join(conf, "arp_ignore"), []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readParents(file).prepare("eth0"); err == nil || !strings.Contains(err.Error(), "arp_announce") {
		t.Errorf("without arp_announce: %v", err)
	}
	if got, err := ReadSysctl("net/ipv4/conf/eth0/arp_ignore"); err != nil || got != "1" {
		t.Errorf("arp_ignore is %q, %v", got, err)
	}
	if err := readParents(file).restore(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadSysctl("net/ipv4/conf/eth0/arp_ignore"); err != nil || got != "0" {
		t.Errorf("after the next run arp_ignore is %q, %v", got, err)
	}
}

func TestParentsUnreadable(t *testing.T) {
	for name, content := range map[string]string{
		"cut off":         `{"eth0":[{"name":"net/ipv4/conf/eth0/arp`,
		"another's":       `{"eth0":[{"name":"net/ipv4/conf/eth1/arp_ignore","was":"0","now":"1"}]}`,
		"out of the tree": `{"eth0":[{"name":"net/ipv4/conf/eth0/../../../../../etc/passwd","was":"0","now":"1"}]}`,
		"too large":       strings.Repeat(" ", maxParents) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "parents.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			p := readParents(file)
			if len(p.changed) > 0 {
				t.Errorf("it takes over %v", p.changed)
			}
			if err := p.restore(nil); err == nil || !strings.Contains(err.Error(), "remove the file; arp_ignore and arp_announce") {
				t.Errorf("it says %v", err)
			}
			if err := p.restore(nil); err != nil {
				t.Errorf("told again: %v", err)
			}
		})
	}
}
