package integration

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/internal/lab"
)

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
