package integration

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

// procStatus reads the fields of /proc/PID/status.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	return statusIn(t, "/proc", pid)
}

// statusIn is procStatus with a /proc of another namespace.
func statusIn(t *testing.T, proc string, pid int) map[string]string {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("%s/%d/status", proc, pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok {
			out[k] = strings.Join(strings.Fields(v), " ")
		}
	}
	return out
}

const (
	none         = "0000000000000000"
	netAdminRaw  = "0000000000003000" // CAP_NET_ADMIN 12, CAP_NET_RAW 13
	schedRR      = "2"
	policyField  = 41 // of /proc/PID/stat, proc(5)
	unlockedZero = "0 kB"
)

// TestPrivileges reads from /proc what the three processes may do.
func TestPrivileges(t *testing.T) {
	l := start(t, lab.Options{})
	prober := childPID(t, l, lab.LVSA, "prober")
	st := procStatus(t, prober)
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if st[set] != none {
			t.Errorf("prober: %s is %s", set, st[set])
		}
	}
	if uids := strings.Fields(st["Uid"]); len(uids) != 4 || strings.Contains(" "+st["Uid"]+" ", " 0 ") {
		t.Errorf("prober runs with the uids %q", st["Uid"])
	}
	if strings.Contains(" "+st["Gid"]+" ", " 0 ") || st["Groups"] != "" && st["Groups"] != strings.Fields(st["Gid"])[0] {
		t.Errorf("prober runs with the gids %q and groups %q", st["Gid"], st["Groups"])
	}
	if st["NoNewPrivs"] != "1" {
		t.Errorf("prober: NoNewPrivs is %s", st["NoNewPrivs"])
	}

	speaker := childPID(t, l, lab.LVSA, "speaker")
	st = procStatus(t, speaker)
	for _, set := range []string{"CapPrm", "CapEff"} {
		if st[set] != netAdminRaw {
			t.Errorf("speaker: %s is %s", set, st[set])
		}
	}
	if st["VmLck"] == unlockedZero {
		t.Errorf("speaker has no locked memory, and says %v", logged(t, l, lab.LVSA, event.ChildLimited))
	}
	inRealTime(t, "/proc", speaker)

	st = procStatus(t, l.PID(lab.LVSA))
	if st["CapEff"] == "000001ffffffffff" || st["CapEff"] == none {
		t.Errorf("director: CapEff is %s", st["CapEff"])
	}
	info, err := os.Stat(l.Paths(lab.LVSA).Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("control socket has mode %v, %v", info.Mode(), err)
	}
}

// inRealTime wants all threads of a process under SCHED_RR.
func inRealTime(t *testing.T, proc string, pid int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("%s/%d/task/*/stat", proc, pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("list threads: %v, %v", tasks, err)
	}
	for _, file := range tasks {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has just ended
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if got := fields[policyField-3]; got != schedRR {
			t.Errorf("%s: policy %s, want SCHED_RR", file, got)
		}
	}
}
