//go:build linux && kernel

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"baton/internal/nstest"
)

// imported are virtual_servers as keepalived has them. Without checks all servers are in the
// table as soon as it has begun.
const imported = `
virtual_server_group web {
    192.168.16.201 80
    192.168.16.210-212 8080
    fwmark 7
}
virtual_server 192.168.16.200 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    persistence_timeout
    persistence_granularity 255.255.255.0
    real_server 192.168.16.103 80 {
        weight 3
        uthreshold 2000
        lthreshold 1500
    }
    real_server 192.168.16.104 80 {
    }
}
virtual_server 192.168.16.200 53 {
    lb_algo mh
    mh-port
    protocol UDP
    ops
    real_server 192.168.16.103 5353 {
        weight 0
    }
}
virtual_server 192.168.16.200 5000 {
    lb_kind NAT
    real_server 192.168.16.103 5000 {
    }
}
virtual_server fwmark 3 {
    lb_kind TUN type gue port 5555 csum
    real_server 192.168.16.103 80 {
    }
    real_server 192.168.16.104 0 {
        lvs_method NAT
    }
}
virtual_server group web {
    lvs_sched sh
    lvs_method DR
    protocol TCP
    real_server 192.168.16.103 80 {
        weight 2
    }
}
virtual_server 2001:db8::200 80 {
    lb_algo wrr
    lb_kind DR
    protocol TCP
    sorry_server 2001:db8::105 80
    real_server 2001:db8::103 80 {
    }
}
`

// TestKernelImport: what keepalived makes of its configuration in the kernel is what Baton
// wants by the imported one.
func TestKernelImport(t *testing.T) {
	nstest.Unshare(t, host)
	dir := t.TempDir()
	old, file := filepath.Join(dir, "keepalived.conf"), filepath.Join(dir, "baton.toml")
	if err := os.WriteFile(old, []byte(imported), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, doubts bytes.Buffer
	if code := run([]string{"import", old}, &out, &doubts); code != exitDone {
		t.Fatalf("baton import: exit code %d: %s", code, &doubts)
	}
	if !strings.Contains(doubts.String(), "virtual_server 192.168.16.200 5000: protocol: ") || strings.Count(doubts.String(), "\n") != 1 {
		t.Errorf("doubts are\n%s", &doubts)
	}
	text := strings.Replace(out.String(), "[global]\n", "[global]\nstate_dir = \""+dir+"\"\nruntime_dir = \""+dir+"\"\n", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Shell(t, "ipvsadm -C")
	cmd := exec.Command("keepalived", "--check", "--dont-fork", "--log-console", "-f", old, "-p", filepath.Join(dir, "pid"), "-c", filepath.Join(dir, "checkers.pid"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start keepalived (install it: apt-get install keepalived): %v", err)
	}
	defer func() {
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Errorf("stop keepalived: %v", err)
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("keepalived said:\n%s", &said)
		}
	}()
	nstest.Eventually(t, "keepalived's table", func() bool {
		return strings.Count(nstest.Shell(t, "ipvsadm -Sn"), "\n-a ") >= 12
	})
	owned(t, dir)
	var commands, notes bytes.Buffer
	if code := run([]string{"plan", "-c", file, "--socket", filepath.Join(dir, "none.sock")}, &commands, &notes); code != exitDone {
		t.Errorf("exit code %d: keepalived has\n%s\nof which baton plan would change\n%s%s", code, nstest.Shell(t, "ipvsadm -Sn"), &commands, &notes)
	}
}
