package integration

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// TestNoPermission is fault 29: without CAP_NET_ADMIN a director says in one
// line what it needs, ends with 1 and has changed nothing.
func TestNoPermission(t *testing.T) {
	l := start(t, lab.Options{Directors: []string{}})
	binary, err := findBaton()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "run", "-c", l.ConfigFile(), "--node", lab.LVSA)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	err = l.In(lab.LVSA, func() error {
		// Of this thread, which ends: what it starts cannot have it either.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0); err != nil {
			return err
		}
		return cmd.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	said := strings.TrimSpace(out.String())
	if strings.Contains(said, "\n") || !strings.Contains(said, "CAP_NET_ADMIN") {
		t.Errorf("it says %q, want one line that names CAP_NET_ADMIN", said)
	}
	if got := listing(t, l, lab.LVSA); got != "" {
		t.Errorf("ipvsadm -Ln says\n%s", got)
	}
}
