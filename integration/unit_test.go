package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"baton/internal/control"
)

// packagedInstance is what an installed director is given: it is master at once.
const packagedInstance = `[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
priority = 150
advert_int = "100ms"
virtual_ipaddress = ["192.0.2.200/24"]
`

// unitConfig has a master, a service with a server that refuses, and a program
// that tries what it must not.
const unitConfig = `[global]
script_user = "root"

` + packagedInstance + `notify_master = "/usr/sbin/trespass"

[[virtual_server]]
address = "192.0.2.200:80"
lb_kind = "NAT"
delay_loop = "1s"
tcp_check = {}
[[virtual_server.real_server]]
address = "192.0.2.2:81"
`

// director is what the one that runs says of itself.
func (m *machine) director() control.Status {
	m.t.Helper()
	var st control.Status
	if err := json.Unmarshal([]byte(m.call("baton", "status", "--json")), &st); err != nil {
		m.t.Fatal(err)
	}
	return st
}

// lacks is "" where a text has a part.
func lacks(text, part string) string {
	if strings.Contains(text, part) {
		return ""
	}
	return fmt.Sprintf("no %q in %q", part, text)
}

// properties are the unit's, as systemctl shows them.
func (m *machine) properties() map[string]string {
	m.t.Helper()
	is := map[string]string{}
	for line := range strings.Lines(m.call("systemctl", "show", "baton")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		is[name] = value
	}
	return is
}

func (m *machine) wants(when string, properties map[string]string) {
	m.t.Helper()
	is := m.properties()
	for name, want := range properties {
		if is[name] != want {
			m.t.Errorf("%s the unit's %s is %q, want %q", when, name, is[name], want)
		}
	}
}

// holds says whether the machine has the virtual address.
func (m *machine) holds() bool {
	return strings.Contains(m.network("ip", "address", "show", "dev", "eth0"), "192.0.2.200/24")
}

func (m *machine) awaitAddress() {
	m.t.Helper()
	within(m.t, "the address", func() string {
		if !m.holds() {
			return "it is not here"
		}
		return ""
	})
}

// journal are the entries of the unit, as journalctl gives them to a program.
func (m *machine) journal(matches ...string) []map[string]any {
	m.t.Helper()
	var entries []map[string]any
	d := json.NewDecoder(strings.NewReader(m.call("journalctl", append([]string{"-o", "json", "-u", "baton"}, matches...)...)))
	for d.More() {
		var e map[string]any
		if err := d.Decode(&e); err != nil {
			m.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// awaitJournal waits for an entry: they reach the journal a moment later.
func (m *machine) awaitJournal(matches ...string) (entry map[string]any) {
	m.t.Helper()
	within(m.t, fmt.Sprintf("%q in the journal", matches), func() string {
		found := m.journal(matches...)
		if len(found) == 0 {
			return "it is not there"
		}
		entry = found[len(found)-1]
		return ""
	})
	return entry
}

// TestUnit installs the Debian package on a machine that systemd has booted and
// does what an operator does: enable, reload, upgrade, remove. It breaks what the
// unit is there to mend: a director that hangs, and one that is killed with all of
// its processes (fault 3). Nothing that runs may do more than docs/install.md says.
func TestUnit(t *testing.T) {
	root := cleanRoot(t)
	addSystemd(t, root)
	for _, name := range []string{"dpkg", "dpkg-deb", "dpkg-split", "tar"} {
		transplantTool(t, root, name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	transplant(t, root, self, "usr/sbin/it.test")
	write(t, root, "usr/sbin/trespass", "#!/bin/sh\n"+roleVariable+"="+roleTrespasser+" exec /usr/sbin/it.test >/var/lib/baton/trespasses\n")
	if err := os.Chmod(filepath.Join(root, "usr/sbin/trespass"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyInto(t, packageFile(t, "*.deb"), root, "baton.deb")
	copyInto(t, packageFile(t, nextDir+"/*.deb"), root, "next.deb")

	m := boot(t, root)
	m.network("ip", "link", "set", "lo", "up")
	m.network("ip", "link", "add", "eth0", "type", "dummy")
	m.network("ip", "link", "set", "eth0", "up")
	m.network("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
	dpkg := func(args ...string) string {
		return m.call("dpkg", append([]string{"--force-depends", "--force-bad-path"}, args...)...)
	}
	dpkg("-i", "/baton.deb")
	m.wants("after the installation", map[string]string{"UnitFileState": "disabled", "ActiveState": "inactive"})
	write(t, root, "etc/baton/baton.toml", "")
	m.call("systemctl", "start", "baton")
	m.wants("without a configuration", map[string]string{"ActiveState": "inactive", "Result": "success", "ConditionResult": "no"})
	write(t, root, "etc/baton/baton.toml", unitConfig)
	write(t, root, "home/somebody", "")
	m.call("sh", "-c", ": >/tmp/somebody")

	m.call("systemctl", "enable", "--now", "baton")
	st := m.director() // answers at once: the start has waited for it
	m.wants("after the start", map[string]string{"ActiveState": "active", "UnitFileState": "enabled", "Type": "notify", "WatchdogUSec": "30s",
		"NRestarts": "0", "MainPID": strconv.Itoa(st.PID),
		// How it ends, and what then: as docs/install.md says, in systemd's words.
		"KillMode": "control-group", "TimeoutStopUSec": "1min", "TimeoutAbortUSec": "20s", "Restart": "always", "RestartUSec": "1s",
		"OOMPolicy": "continue", "RuntimeDirectoryPreserve": "yes", "StateDirectoryMode": "0750",
		"LimitNOFILE": "65536", "LimitMEMLOCK": "infinity", "LimitRTPRIO": "10",
		// The director keeps no other of its own accord, but not what else the unit runs.
		"CapabilityBoundingSet": "cap_chown cap_dac_override cap_kill cap_setgid cap_setuid cap_setpcap cap_net_admin cap_net_raw cap_ipc_lock cap_sys_nice cap_sys_resource"})
	m.awaitAddress()
	within(t, "systemd to be told of it", func() string {
		return lacks(m.properties()["StatusText"], "VI_1 MASTER")
	})
	unitRestricts(t, m, st)
	unitExposure(t, m)
	unitJournal(t, m)
	config := unitReload(t, m, root)

	// An upgrade leaves the director, its address and the operator's file alone.
	said := dpkg("--force-confold", "-i", "/next.deb")
	if now := m.director(); now.PID != st.PID || !m.holds() {
		t.Error("an upgrade ends the director, or takes its address")
	}
	if !strings.Contains(said, "Restart the backup first") {
		t.Errorf("an upgrade does not say what to do now:\n%s", said)
	}
	if got := read(t, root, "etc/baton/baton.toml"); got != config {
		t.Errorf("an upgrade makes the operator's configuration\n%s", got)
	}
	if got := read(t, root, "etc/baton/baton.toml.dpkg-dist"); !strings.HasSuffix(got, "# "+nextDir+"\n") {
		t.Errorf("beside it lies\n%s", got)
	}

	unitKilled(t, m)
	unitWatchdog(t, m)
	dpkg("-r", "baton")
	if m.holds() {
		t.Error("after the removal the address is here")
	}
	unitStopped(t, m)
	m.wants("after the removal", map[string]string{"LoadState": "not-found", "ActiveState": "inactive"})
	if links, err := filepath.Glob(filepath.Join(root, "etc/systemd/system/*.wants/*")); err != nil || len(links) > 0 {
		t.Errorf("after the removal there are %v, %v", links, err)
	}
}

func copyInto(t *testing.T, file, root, name string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, name, string(raw))
}

// unitRestricts has a program of the operator's try what none may, and looks at
// what the three processes are.
func unitRestricts(t *testing.T, m *machine, st control.Status) {
	outcome := func(text string) map[string]string {
		came := map[string]string{}
		for line := range strings.Lines(text) {
			what, of, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			came[what] = of
		}
		return came
	}
	var in map[string]string
	within(t, "the notify script to have run", func() string {
		text, _ := os.ReadFile(m.path("/var/lib/baton/trespasses")) // it is not there yet
		in = outcome(string(text))
		if len(in) < len(trespasses) {
			return fmt.Sprintf("it said %q", text)
		}
		return ""
	})
	out := outcome(m.call("sh", "-c", roleVariable+"="+roleTrespasser+" exec it.test"))
	for _, a := range trespasses {
		if in[a.what] != a.unit {
			t.Errorf("in the unit: %s: %q, want %q", a.what, in[a.what], a.unit)
		}
		if got, ran := out[a.what]; !ran || got != a.elsewhere {
			t.Errorf("outside of the unit: %s: %q, want %q", a.what, got, a.elsewhere)
		}
	}
	proc := m.path("/proc")
	pids := map[string]int{"director": st.PID}
	for _, c := range st.Children {
		pids[c.Name] = c.PID
	}
	// NET_ADMIN, NET_RAW, SYS_NICE, IPC_LOCK, SETUID, SETGID, SETPCAP, KILL,
	// CHOWN, DAC_OVERRIDE, SYS_RESOURCE.
	const bounding = "00000000018071e3"
	for name, pid := range pids {
		is := statusIn(t, proc, pid)
		want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": bounding}
		switch name {
		case "prober":
			want["CapBnd"], want["CapEff"] = none, none
		case "speaker":
			want["CapBnd"], want["CapEff"] = netAdminRaw, netAdminRaw
		}
		for field, value := range want {
			if is[field] != value {
				t.Errorf("%s: %s is %s, want %s", name, field, is[field], value)
			}
		}
	}
	inRealTime(t, proc, pids["speaker"])
	if got := statusIn(t, proc, pids["speaker"])["VmLck"]; got == unlockedZero {
		t.Error("the speaker has no locked memory")
	}
}

// unitExposure compares systemd's judgement of the unit with what
// docs/install.md says of it.
func unitExposure(t *testing.T, m *machine) {
	found := regexp.MustCompile(`systemd-analyze security baton. says \*\*(\S+) (\S+)\*\* \(systemd (\d+);`).FindStringSubmatch(read(t, "../docs", "install.md"))
	if found == nil {
		t.Fatal("docs/install.md does not say what systemd-analyze security does")
	}
	if version := m.call("systemctl", "--version"); !strings.HasPrefix(version, "systemd "+found[3]+" ") {
		t.Logf("the documents are about systemd %s, this is %.30q", found[3], version)
		found[1], found[2] = `\d\.\d`, "OK"
	}
	out := m.call("systemd-analyze", "security", "--no-pager", "baton.service")
	if !regexp.MustCompile(`Overall exposure level for baton\.service: ` + found[1] + ` ` + found[2]).MatchString(out) {
		t.Errorf("want %s %s:\n%s", found[1], found[2], out)
	}
}

// unitJournal asks the journal as docs/events.md says.
func unitJournal(t *testing.T, m *machine) {
	e := m.awaitJournal("EVENT=vrrp.transition", "TO=MASTER")
	for field, want := range map[string]string{
		"_SYSTEMD_UNIT": "baton.service", "SYSLOG_IDENTIFIER": "baton", "PRIORITY": "6", "SOURCE": "speaker",
		"INSTANCE": "VI_1", "VRID": "51", "INTERFACE": "eth0", "FROM": "BACKUP",
		"MESSAGE_ID": "960329cfa57d018979b2f477677438f7",
	} {
		if e[field] != want {
			t.Errorf("%s is %v, want %s", field, e[field], want)
		}
	}
	if message, _ := e["MESSAGE"].(string); !strings.HasPrefix(message, "vrrp.transition instance=VI_1 ") {
		t.Errorf("MESSAGE is %v", e["MESSAGE"])
	}
	if e := m.awaitJournal("EVENT=server.down", "SERVER=192.0.2.2:81"); e["REASON"] != "refused" || e["PRIORITY"] != "4" {
		t.Errorf("the server that refuses is told as %v", e)
	}
	m.call("baton", "log", "vrrp=debug", "--for", "5s")
	if e := m.awaitJournal("EVENT=vrrp.advert.sent"); e["PRIORITY"] != "7" || e["VRRP_PRIORITY"] != "150" {
		t.Errorf("an advert is told as %v", e)
	}
	if other := m.journal("-p", "warning", "EVENT=vrrp.transition"); len(other) > 0 {
		t.Errorf("among the warnings is %v", other)
	}
}

// unitReload changes the configuration, and then breaks it. What is in force lies
// there again when it returns.
func unitReload(t *testing.T, m *machine, root string) (config string) {
	changed := strings.Replace(unitConfig, "priority = 150", "priority = 140", 1)
	write(t, root, "etc/baton/baton.toml", changed)
	m.call("systemctl", "reload", "baton")
	if got := m.director().Instances[0].Priority; got != 140 {
		t.Errorf("after a reload the priority is %d", got)
	}
	write(t, root, "etc/baton/baton.toml", strings.Replace(unitConfig, "priority = 150", "prioritty = 150", 1))
	if said, err := m.try("systemctl", "reload", "baton"); err == nil {
		t.Errorf("a reload of a mistake succeeds: %s", said)
	}
	within(t, "the mistake in the journal", func() string {
		return lacks(m.call("journalctl", "-o", "cat", "-u", "baton"), "/etc/baton/baton.toml:8:1: vrrp_instance[0].prioritty")
	})
	m.wants("after a reload that was refused", map[string]string{"ActiveState": "active"})
	if st := m.director(); st.Instances[0].Priority != 140 || !m.holds() {
		t.Errorf("after a reload that was refused the director is %+v", st)
	}
	write(t, root, "etc/baton/baton.toml", changed)
	return changed
}

// dropIn changes the unit as `systemctl edit` does.
func (m *machine) dropIn(text string) {
	m.t.Helper()
	const dir = "etc/systemd/system/baton.service.d"
	if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
		m.t.Fatal(err)
	}
	write(m.t, m.root, dir+"/override.conf", "[Service]\n"+text)
	m.call("systemctl", "daemon-reload")
}

// unitKilled kills all processes at once, and systemd does not start another: what
// they have set must go all the same.
func unitKilled(t *testing.T, m *machine) {
	m.dropIn("Restart=no\n")
	m.call("systemctl", "kill", "-s", "KILL", "baton")
	within(t, "the unit to have failed", func() string { return lacks(m.properties()["ActiveState"], "failed") })
	m.wants("after SIGKILL", map[string]string{"Result": "signal"})
	if m.holds() {
		t.Error("the address is still here")
	}
	log := m.call("journalctl", "-o", "cat", "-u", "baton", "-n", "20")
	if !strings.Contains(log, "192.0.2.200/24") {
		t.Errorf("baton cleanup does not say what it has removed:\n%s", log)
	}
	if got := m.network("ipvsadm", "-Ln"); !strings.Contains(got, "192.0.2.200:80") {
		t.Errorf("the table is gone:\n%s", got)
	}
}

// unitStopped looks at what the last stop was: the director alone was told, and ended
// its children when it had handed over. Nothing was left for systemd or a clean-up.
func unitStopped(t *testing.T, m *machine) {
	log := m.call("journalctl", "-o", "cat", "-u", "baton")
	log = log[strings.LastIndex(log, "director.started"):]
	for _, want := range []string{"stopped the director, pid ", "handover.begun instance=VI_1", "director.stopped", "nothing to remove"} {
		if !strings.Contains(log, want) {
			t.Errorf("the last stop does not say %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "child.exited") {
		t.Errorf("in the last stop a child ended before its director:\n%s", log)
	}
}

// unitWatchdog stops the director; its speaker goes on. systemd ends it, and the
// next one has the address.
func unitWatchdog(t *testing.T, m *machine) {
	m.dropIn("WatchdogSec=6s\n")
	m.call("systemctl", "start", "baton")
	m.awaitAddress()
	before := m.director()
	m.call("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "baton")
	within(t, "systemd to start another one", func() string {
		is := m.properties()
		if is["MainPID"] == strconv.Itoa(before.PID) || is["NRestarts"] == "0" {
			return fmt.Sprintf("main process %s, %s restarts", is["MainPID"], is["NRestarts"])
		}
		return lacks(" "+is["ActiveState"], " active")
	})
	m.awaitAddress()
	_, log, _ := strings.Cut(m.call("journalctl", "-o", "cat", "-u", "baton"), "Watchdog timeout")
	for _, want := range []string{"SIGABRT: abort", "goroutine "} {
		if !strings.Contains(log, want) {
			t.Errorf("after the watchdog's time-out the journal has no %q:\n%s", want, log)
		}
	}
	// Its speaker lived, and handed over.
	if strings.Contains(log, "removed address") {
		t.Errorf("baton cleanup had to remove the address:\n%s", log)
	}
}
