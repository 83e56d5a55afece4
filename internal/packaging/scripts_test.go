package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a root in which the scripts run: with systemd, and a systemctl that
// removes the links of what it disables and writes down what it was asked.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	m.write("run/systemd/system/.keep", "", 0o644)
	m.write("bin/systemctl", `#!/bin/sh
echo "$*" >>`+m.path("calls")+`
for unit; do :; done
case "$*" in
*masked*) exit 1 ;;
*"disable "*) rm -f -- `+m.path("etc/systemd/system")+`/*/"$unit" ;;
esac
`, 0o755)
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name, content string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
}

// enable makes the link that systemctl enable makes.
func (m *machine) enable(target, unit string) {
	m.t.Helper()
	link := m.path("etc/systemd/system/" + target + "/" + unit)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/systemd/system/baton-realserver@.service", link); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) there(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// run runs a script with its places moved below the root, and returns what it
// prints.
func (m *machine) run(script string, args ...string) string {
	m.t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		m.t.Fatal(err)
	}
	moved := string(text)
	for _, dir := range []string{"/etc/systemd/", "/run/", "/var/lib/", "/usr/sbin/"} {
		moved = strings.ReplaceAll(moved, " "+dir, " "+m.root+dir)
	}
	cmd := exec.Command("sh", append([]string{"-c", moved, script}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+m.path("bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", script, args, err, out)
	}
	return string(out)
}

func (m *machine) calls() string {
	raw, _ := os.ReadFile(m.path("calls")) // there is none before the first call
	return string(raw)
}

const (
	record = "run/baton/realserver.json"
	wants  = "multi-user.target.wants"
)

// A removal leaves no instance enabled whose unit is gone; an upgrade touches
// nothing.
func TestRemovalDisablesInstances(t *testing.T) {
	units := []string{"baton-realserver@192.168.16.200.service", "baton-realserver@2001:db8::200.service", `baton-realserver@masked\x2d1.service`}
	for _, tt := range []struct {
		args    []string
		removes bool
	}{
		{[]string{"remove"}, true}, {[]string{"0"}, true},
		{[]string{"upgrade", "9.9.0"}, false}, {[]string{"1"}, false},
		{[]string{"failed-upgrade", "9.9.0"}, false},
	} {
		m := newMachine(t)
		for _, u := range units {
			m.enable(wants, u)
		}
		m.enable("network.target.requires", units[0])
		m.enable("network.target.requires", units[1])
		m.enable(wants, "other@1.service")
		m.write(record, "{}", 0o644)
		out := m.run("preremove.sh", tt.args...)
		for _, u := range units[:2] {
			if m.there("etc/systemd/system/"+wants+"/"+u) == tt.removes || m.there("etc/systemd/system/network.target.requires/"+u) == tt.removes {
				t.Errorf("%q: %s is enabled: %v; systemctl was asked\n%s", tt.args, u, !tt.removes, m.calls())
			}
			if n := strings.Count(m.calls(), u); tt.removes && n != 1 {
				t.Errorf("%q: %s was disabled %d times", tt.args, u, n)
			}
		}
		if !m.there("etc/systemd/system/" + wants + "/other@1.service") {
			t.Errorf("%q: another one's unit was disabled", tt.args)
		}
		if calls := m.calls(); !tt.removes && calls != "" || strings.Contains(calls, "--now baton-realserver") || strings.Contains(calls, "stop") {
			t.Errorf("%q: systemctl was asked\n%s", tt.args, calls)
		}
		if told := strings.Contains(out, "baton realserver down"); told != tt.removes {
			t.Errorf("%q: what stays is told: %v\n%s", tt.args, told, out)
		}
		if !m.there(record) {
			t.Errorf("%q: the record is gone", tt.args)
		}
	}
	m := newMachine(t)
	if out := m.run("preremove.sh", "remove"); out != "" {
		t.Errorf("where nothing was put up a removal says\n%s", out)
	}
}

// A purge keeps what says how to undo what still stands.
func TestPurgeKeepsTheRecord(t *testing.T) {
	for _, stands := range []bool{false, true} {
		m := newMachine(t)
		m.write("run/baton/realserver.lock", "", 0o644)
		m.write("var/lib/baton/realserver.json", "[]", 0o644)
		if stands {
			m.write(record, `{"wants": []}`, 0o644)
		}
		if m.run("postremove.sh", "remove"); !m.there("var/lib/baton") || !m.there("run/baton") {
			t.Error("a removal that is no purge removes what was remembered")
		}
		out := m.run("postremove.sh", "purge")
		if m.there("var/lib/baton") {
			t.Error("after a purge /var/lib/baton is there")
		}
		if m.there("run/baton") != stands || m.there(record) != stands || strings.Contains(out, "realserver.json") != stands {
			t.Errorf("something stands: %v; /run/baton is there: %v, the record: %v; the purge says\n%s", stands, m.there("run/baton"), m.there(record), out)
		}
	}
}

// The unit of the remembered addresses takes back what it has put up, and goes on
// remembering it: a stop is no disable.
func TestRealServerUnitsUndo(t *testing.T) {
	for name, stop := range map[string]string{
		"baton-realserver.service":  "ExecStop=/usr/sbin/baton realserver down --keep",
		"baton-realserver@.service": "ExecStop=/usr/sbin/baton realserver down --keep %i",
	} {
		raw, err := os.ReadFile("../../examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), "\n"+stop+"\n") {
			t.Errorf("%s has no %s", name, stop)
		}
	}
}
