package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"baton/internal/lab"
)

// keepalived is Debian's package as the director of a node. Its IPVS part is
// ours to write, so that a client can be served by either side.
type keepalived struct {
	pid  int
	log  string // file
	done chan struct{}
}

// startKeepalived has it as the peer of the lab's own instance.
func startKeepalived(t testing.TB, l *lab.Lab, node string, version, priority int, interval time.Duration) *keepalived {
	t.Helper()
	return startKeepalivedWith(t, l, node, fmt.Sprintf(`vrrp_instance VI_1 {
    state BACKUP
    interface %s
    virtual_router_id 51
    version %d
    priority %d
    advert_int %g
    virtual_ipaddress {
        %s/24
    }
}
`, lab.LANInterface, version, priority, interval.Seconds(), lab.VIP))
}

func startKeepalivedWith(t testing.TB, l *lab.Lab, node, instances string) *keepalived {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	text := fmt.Sprintf(`global_defs {
    router_id %s
    script_user root
}
%s
virtual_server %s %d {
    delay_loop 60
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server %s 80 { weight 1 }
    real_server %s 80 { weight 1 }
}
`, node, instances, lab.VIP, lab.ServicePort, lab.Address(lab.RS1), lab.Address(lab.RS2))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &keepalived{log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(k.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := l.Command(ctx, "keepalived", "-n", "-l", "-D", "-f", conf, "-p", filepath.Join(dir, "pid"),
		"-r", filepath.Join(dir, "vrrp.pid"), "-c", filepath.Join(dir, "checkers.pid"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := l.Start(node, cmd); err != nil {
		cancel()
		t.Fatal(err)
	}
	k.pid = cmd.Process.Pid
	go func() { _ = cmd.Wait(); close(k.done) }()
	said := func() []byte {
		raw, err := os.ReadFile(k.log)
		if err != nil {
			t.Error(err)
		}
		return raw
	}
	t.Cleanup(func() {
		cancel()
		<-k.done
		if t.Failed() {
			t.Logf("keepalived on %s:\n%s", node, said())
		}
	})
	within(t, "keepalived to listen", func() string {
		if !bytes.Contains(said(), []byte("Entering BACKUP STATE")) {
			return "it is still starting"
		}
		return ""
	})
	return k
}

// stop ends keepalived as systemd would.
func (k *keepalived) stop(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(k.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.done:
	case <-time.After(patience):
		t.Fatal("keepalived does not end")
	}
}

// holds waits until the node has the address and the other one has not.
func holds(t testing.TB, l *lab.Lab, node string) {
	t.Helper()
	other := map[string]string{lab.LVSA: lab.LVSB, lab.LVSB: lab.LVSA}[node]
	within(t, node+" alone to hold the address", func() string {
		has, err := l.HoldsVIP(node)
		if err != nil {
			return err.Error()
		}
		still, err := l.HoldsVIP(other)
		if err != nil {
			return err.Error()
		}
		if !has || still {
			return fmt.Sprintf("%s: %v, %s: %v", node, has, other, still)
		}
		return ""
	})
}
