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

func startKeepalived(t testing.TB, l *lab.Lab, node string, version, priority int, interval time.Duration) *keepalived {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	text := fmt.Sprintf(`global_defs {
    router_id %s
    vrrp_version %d
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface %s
    virtual_router_id 51
    priority %d
    advert_int %g
    virtual_ipaddress {
        %s/24
    }
}
virtual_server %s %d {
    delay_loop 60
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server %s 80 { weight 1 }
    real_server %s 80 { weight 1 }
}
`, node, version, lab.LANInterface, priority, interval.Seconds(), lab.VIP, lab.VIP, lab.ServicePort, lab.Address(lab.RS1), lab.Address(lab.RS2))
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

// TestKeepalivedAsPeer is fault 16 for IPv4 multicast: Baton on lvs-a,
// keepalived on lvs-b, each side as master, take-over both ways.
func TestKeepalivedAsPeer(t *testing.T) {
	for _, version := range []int{2, 3} {
		for _, preferred := range []string{"baton", "keepalived"} {
			t.Run(fmt.Sprintf("v%d/%s preferred", version, preferred), func(t *testing.T) {
				ours, theirs := 150, 100
				if preferred == "keepalived" {
					ours, theirs = 100, 150
				}
				l := start(t, lab.Options{Version: version, Directors: []string{lab.LVSA}, Priorities: map[string]int{lab.LVSA: ours, lab.LVSB: theirs}})
				stop := load(t, l)
				k := startKeepalived(t, l, lab.LVSB, version, theirs, time.Second)
				first, second := lab.LVSA, lab.LVSB
				if preferred == "keepalived" {
					first, second = lab.LVSB, lab.LVSA
				}
				holds(t, l, first)
				expectState(t, l, preferred == "baton")
				// The preferred one leaves on purpose, the other takes over.
				leave := func() {
					if preferred == "baton" {
						if err := l.StopDirector(t.Context(), lab.LVSA); err != nil {
							t.Fatal(err)
						}
						return
					}
					k.stop(t)
				}
				leave()
				holds(t, l, second)
				if preferred == "keepalived" {
					expectState(t, l, true)
				}
				// And comes back.
				if preferred == "baton" {
					if err := l.StartDirector(t.Context(), lab.LVSA); err != nil {
						t.Fatal(err)
					}
				} else {
					startKeepalived(t, l, lab.LVSB, version, theirs, time.Second)
				}
				holds(t, l, first)
				expectState(t, l, preferred == "baton")
				r := stop()
				if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
					t.Errorf("answers came from %v", r.Answers)
				}
				// Told only: keepalived answers connections in flight with a reset.
				t.Logf("%d of %d requests failed, longest gap %v", r.Failed(), r.Requests, r.LongestGap)
			})
		}
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

// expectState asks Baton on lvs-a itself.
func expectState(t testing.TB, l *lab.Lab, master bool) {
	t.Helper()
	want := map[bool]string{true: "MASTER", false: "BACKUP"}[master]
	within(t, "lvs-a to be "+want, func() string {
		st, err := l.DirectorStatus(t.Context(), lab.LVSA)
		if err != nil {
			return err.Error()
		}
		if got := st.Instances[0].State; got != want {
			return "it is " + got
		}
		return ""
	})
}
