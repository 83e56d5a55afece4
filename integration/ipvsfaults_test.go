package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/control"
	"baton/internal/event"
	"baton/internal/lab"
)

// meddling is an operator, or a script of his, who does not know of Baton: a
// server and the service deleted and made again, weights, schedulers and a
// server of his own.
const meddling = `
s=192.168.16.200:80
while :; do
	ipvsadm -d -t $s -r 192.168.16.103:80
	ipvsadm -e -t $s -r 192.168.16.104:80 -g -w 7
	ipvsadm -E -t $s -s sh
	ipvsadm -a -t $s -r 192.168.16.109:80 -g
	ipvsadm -a -t $s -r 192.168.16.103:80 -g -w 9
	ipvsadm -D -t $s
	ipvsadm -A -t $s -s wlc
done 2>/dev/null`

// TestOutsideEditor is fault 28: somebody edits the table all the time, while
// the configuration changes. Nothing is given up, and when the editing ends the
// table is that of the configuration.
func TestOutsideEditor(t *testing.T) {
	l := start(t, lab.Options{Directors: []string{lab.LVSA}, GlobalTOML: `resync_interval = "1s"`})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	editor := l.Command(ctx, "sh", "-c", meddling)
	if err := l.Start(lab.LVSA, editor); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() { _ = editor.Wait() }) // killed, in the end
	plain := config(t, l)
	for _, algorithm := range []string{"wrr", "lc", "sed", "rr"} {
		rewrite(t, l, bytes.Replace(plain, []byte(`lb_algo = "rr"`), []byte(`lb_algo = "`+algorithm+`"`), 1))
		if r := reload(t, l, lab.LVSA); !r.OK {
			t.Errorf("reload to %s: %+v", algorithm, r)
		}
	}
	// He is at it, and it is told.
	before := len(logged(t, l, lab.LVSA, event.IPVSDrift))
	within(t, "the editing to be told", func() string {
		if len(logged(t, l, lab.LVSA, event.IPVSDrift)) < before+5 {
			return "too few lines"
		}
		return ""
	})
	cancel()
	ended.Wait()
	within(t, "the table to be the configuration's", func() string {
		if got := listing(t, l, lab.LVSA); got != wantListing {
			return "ipvsadm -Ln says\n" + got
		}
		return ""
	})
	if !l.Running(lab.LVSA) {
		t.Error("the director has ended")
	}
}

// begin starts `baton run` as lvs-a of a lab without directors, from a thread that
// prepare has first made poorer: what it starts cannot be richer.
func begin(t *testing.T, l *lab.Lab, config string, prepare func() error) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	binary, err := findBaton()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, "run", "-c", config, "--node", lab.LVSA)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := l.In(lab.LVSA, func() error {
		if err := prepare(); err != nil {
			return err
		}
		return cmd.Start()
	}); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// refuses sees to it that a start ends with 1 after one line with the words, and
// that nothing was changed.
func refuses(t *testing.T, l *lab.Lab, config string, prepare func() error, words ...string) {
	t.Helper()
	cmd, out := begin(t, l, config, prepare)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	said := strings.TrimSpace(out.String())
	for _, w := range words {
		if strings.Contains(said, "\n") || !strings.Contains(said, w) {
			t.Errorf("it says %q, want one line with %q", said, w)
		}
	}
	if got := listing(t, l, lab.LVSA); got != "" {
		t.Errorf("ipvsadm -Ln says\n%s", got)
	}
	if got := run(t, l, lab.LVSA, "ip", "address", "show", "to", lab.VIP.String()); got != "" {
		t.Errorf("the address is there:\n%s", got)
	}
}

func without(capability uintptr) func() error {
	return func() error { return unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0) }
}

// readOnlySysctls gives the thread a /proc/sys as a container has it.
func readOnlySysctls() error {
	for _, f := range []func() error{
		func() error { return unix.Unshare(unix.CLONE_NEWNS) },
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, "") },
		func() error { return unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "") },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// TestNoPermission is fault 29: without what it needs a director says in one line
// what that is, ends with 1 and has changed nothing. What it can do without is
// fault 37: without CAP_SYS_NICE and with a /proc/sys that is read-only it works,
// and says once what it lacks.
func TestNoPermission(t *testing.T) {
	l := start(t, lab.Options{Directors: []string{}})
	refuses(t, l, l.ConfigFile(), without(unix.CAP_NET_ADMIN), "CAP_NET_ADMIN")

	text, err := os.ReadFile(l.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	sets := filepath.Join(t.TempDir(), "baton.toml")
	if err := os.WriteFile(sets, append(text, "\n[ipvs]\nexpire_nodest_conn = true\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, l, sets, readOnlySysctls, "[ipvs] has expire_nodest_conn = 1", "/proc/sys is mounted read-only: set it outside the container")

	cmd, _ := begin(t, l, l.ConfigFile(), func() error { return errors.Join(without(unix.CAP_SYS_NICE)(), readOnlySysctls()) })
	client := control.NewClient(l.Paths(lab.LVSA).Socket)
	within(t, "the director to be master", func() string {
		st, err := client.Status(t.Context())
		if err != nil {
			return err.Error()
		}
		return map[bool]string{false: st.Instances[0].State}[st.Instances[0].State == "MASTER"]
	})
	var lacks []string
	if err := client.Events(t.Context(), control.EventsQuery{}, func(e event.Event) error {
		if e.Name == event.ChildLimited {
			lacks = append(lacks, fmt.Sprint(e))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lacks, "\n"); strings.Count(got, "SCHED_RR") != 1 || !strings.Contains(got, "CAP_SYS_NICE") {
		t.Errorf("it says that it lacks\n%s", got)
	}
	out, err := l.Run(t.Context(), lab.LVSA, "baton", "doctor", "-c", l.ConfigFile(), "--node", lab.LVSA)
	if err == nil || !strings.Contains(out, "[limit.rtprio]") || !strings.Contains(out, "VI_1 is MASTER here and holds its addresses") {
		t.Errorf("baton doctor ends with %v and says\n%s", err, out)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
