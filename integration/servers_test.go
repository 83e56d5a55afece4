package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"
)

const hangup = syscall.SIGHUP

// TestRealServerFails is fault 21 as far as a client sees it: refusing,
// hanging, and back.
func TestRealServerFails(t *testing.T) {
	l := start(t, lab.Options{})
	drill(t, l, "real-server")
	var reasons []string
	for _, e := range logged(t, l, lab.LVSA, event.ServerDown) {
		reasons = append(reasons, e.Get(event.Reason))
	}
	if got := strings.Join(reasons, " "); got != "refused timeout" {
		t.Errorf("the lines name the reasons %q", got)
	}
}

// TestNginxAsRealServer: the real thing behind the address: answering, its
// check's page missing, stopped, and back.
func TestNginxAsRealServer(t *testing.T) {
	l := start(t, lab.Options{})
	if err := l.SetServer(t.Context(), lab.RS1, lab.Refuse); err != nil {
		t.Fatal(err)
	}
	if err := l.AwaitServer(t.Context(), lab.RS1, false); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	page := write("healthz", "rs1\n")
	write("index.html", "rs1\n")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := write("nginx.conf", `
user root root; daemon off; master_process off; pid `+dir+`/pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log off; default_type text/plain;
  `+nginxTemp(dir)+`
  server { listen 80; root `+dir+`; }
}`)
	ctx, cancel := context.WithCancel(t.Context())
	nginx := l.Command(ctx, "nginx", "-c", conf, "-p", dir)
	nginx.Stderr = os.Stderr
	if err := l.Start(lab.RS1, nginx); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = nginx.Wait() })
	if err := l.AwaitServer(t.Context(), lab.RS1, true); err != nil {
		t.Fatal(err)
	}
	r := load(t, l)()
	noFailure(t, r)
	if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
		t.Errorf("answers came from %v", r.Answers)
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	if err := l.AwaitServer(t.Context(), lab.RS1, false); err != nil {
		t.Fatal(err)
	}
	down := logged(t, l, lab.LVSA, event.ServerDown)
	last := down[len(down)-1]
	if last.Get(event.Reason) != "status" || !strings.Contains(last.Get(event.Detail), "404") {
		t.Errorf("a missing page is told as %v", last.Fields)
	}
	write("healthz", "rs1\n")
	if err := l.AwaitServer(t.Context(), lab.RS1, true); err != nil {
		t.Fatal(err)
	}
}
