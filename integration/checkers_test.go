package integration

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/healthcheck"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestCheckersOfRealServers lets every kind of check that speaks with a server
// meet one that other people wrote, up and then gone.
func TestCheckersOfRealServers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := again(ctx, t, roleCheckers)
	// Its own loopback and /var, so that nothing meets what this machine runs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "GOGC=100", checkersDir+"="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v", err)
	}
	got := map[string]bool{}
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		got[s.Text()] = true
	}
	want := []string{
		"ping forbidden: config, remedy sysctl -w net.ipv4.ping_group_range",
		"ping 127.0.0.1 up", "ping ::1 up", "ping unreachable",
	}
	for _, sp := range realSpecs("") {
		want = append(want, sp.ID+" up", sp.ID+" refused")
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("not told: %s", w)
		}
	}
	if t.Failed() {
		t.Logf("told:\n%s", out)
	}
}

const checkersDir = "BATON_TEST_DIR"

// A question for the address of www.example.org, with the identifier 0x1234.
const rawQuestion = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01"

// realSpecs are the checks of the servers that checkRealServers starts.
func realSpecs(dir string) []healthcheck.Spec {
	tls := healthcheck.TLSSpec{CAFile: dir + "/cert.pem", CertFile: dir + "/cert.pem", KeyFile: dir + "/key.pem"}
	verify := healthcheck.TLSSpec{CAFile: tls.CAFile}
	page := healthcheck.HTTPRequest{Path: "/page", BodyRegex: "^nginx .* HTTP/2.0$"}
	ask := healthcheck.DNSSpec{Name: "www.example.org", Type: "A", Answer: []string{"192.0.2.1"}}
	overTCP := ask
	overTCP.TCP = true
	out := []healthcheck.Spec{
		{ID: "http/1.1 nginx", Kind: healthcheck.HTTP, Target: loopback(8080), HTTP: &healthcheck.HTTPSpec{
			HTTPRequest: healthcheck.HTTPRequest{Path: "/page", BodyContains: "HTTP/1.1"},
			More:        []healthcheck.HTTPRequest{{Path: "/none", Status: []healthcheck.StatusRange{{Low: 404, High: 404}}}}}},
		{ID: "http/2 nginx", Kind: healthcheck.HTTP, Target: loopback(8081), HTTP: &healthcheck.HTTPSpec{HTTPRequest: page, Version: "2"}},
		{ID: "https/2 nginx with a client certificate", Kind: healthcheck.HTTPS, Target: loopback(8443), HTTP: &healthcheck.HTTPSpec{HTTPRequest: page, Version: "2", TLS: tls}},
		{ID: "dns dnsmasq", Kind: healthcheck.DNS, Target: loopback(5353), DNS: &ask},
		{ID: "dns dnsmasq over TCP", Kind: healthcheck.DNS, Target: loopback(5353), DNS: &overTCP},
		{ID: "udp dnsmasq", Kind: healthcheck.UDP, Target: loopback(5353), Socket: healthcheck.SocketSpec{BindIf: "lo"},
			UDP: &healthcheck.UDPSpec{Payload: []byte(rawQuestion), Reply: []byte("\x12\x34\x81"), ReplyMask: []byte{0xff, 0xff, 0x81}}},
		{ID: "smtp opensmtpd", Kind: healthcheck.SMTP, Target: loopback(2525), SMTP: &healthcheck.SMTPSpec{Helo: "lvs-a"}},
		{ID: "smtp nginx with STARTTLS of OpenSSL", Kind: healthcheck.SMTP, Target: loopback(2587), SMTP: &healthcheck.SMTPSpec{Helo: "lvs-a", Security: healthcheck.SMTPStartTLS, TLS: verify}},
		{ID: "smtp nginx over TLS of OpenSSL", Kind: healthcheck.SMTP, Target: loopback(2465), SMTP: &healthcheck.SMTPSpec{Security: healthcheck.SMTPImplicit, TLS: verify}},
		{ID: "grpc", Kind: healthcheck.GRPC, Target: loopback(5051), GRPC: &healthcheck.GRPCSpec{Service: "shop"}},
	}
	for i := range out {
		out[i].Interval, out[i].Timeout = 300*time.Millisecond, 20*time.Second
	}
	return out
}

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// checkRealServers is the role: it starts the servers, checks until all are up,
// ends them, and prints each verdict on a line.
func checkRealServers() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir := os.Getenv(checkersDir)
	if err := ownMachine(dir); err != nil {
		return err
	}
	if err := pingFirst(ctx); err != nil {
		return err
	}
	stop, err := startRealServers(ctx, dir)
	defer stop()
	if err != nil {
		return err
	}
	specs := realSpecs(dir)
	verdicts := make(chan healthcheck.Verdict, 1000)
	sched := healthcheck.NewScheduler(healthcheck.Options{Notify: func(v healthcheck.Verdict) { verdicts <- v }})
	if err := sched.Apply(specs); err != nil {
		return err
	}
	run, end := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- sched.Run(run) }()
	defer func() { end(); <-ran }()
	for _, up := range []bool{true, false} {
		state := map[string]bool{}
		for len(state) < len(specs) {
			select {
			case v := <-verdicts:
				if v.Up != up {
					delete(state, v.ID)
					fmt.Fprintf(os.Stderr, "%s: up %v, %s %s\n", v.ID, v.Up, v.Reason, v.Detail)
					continue
				}
				state[v.ID] = true
				if up {
					fmt.Println(v.ID, "up")
				}
			case <-ctx.Done():
				return fmt.Errorf("only %d of %d servers are up=%v: %v", len(state), len(specs), up, state)
			}
		}
		stop()
	}
	if err := allRefused(ctx, sched); err != nil {
		return err
	}
	return pings(ctx, netip.MustParseAddr("192.0.2.9"), healthcheck.Unreachable)
}

// allRefused waits until every server that has gone refuses: one that went in
// the middle of an attempt went down with another reason.
func allRefused(ctx context.Context, sched *healthcheck.Scheduler) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for told := map[string]bool{}; ; {
		checks := sched.Status()
		for _, c := range checks {
			if c.State == healthcheck.Down && c.Reason == healthcheck.Refused && !told[c.ID] {
				told[c.ID] = true
				fmt.Println(c.ID, "refused")
			}
		}
		if len(told) == len(checks) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d servers refuse: %v", len(told), len(checks), told)
		}
	}
}

// pingFirst pings before it is allowed, and then.
func pingFirst(ctx context.Context) error {
	c, err := pinger(loopback(0).Addr())
	if err != nil {
		return err
	}
	const remedy = "sysctl -w net.ipv4.ping_group_range"
	if err := c.Check(ctx); healthcheck.ReasonOf(err) == healthcheck.Config && strings.Contains(err.Error(), remedy) {
		fmt.Println("ping forbidden: config, remedy", remedy)
	} else {
		fmt.Fprintln(os.Stderr, "ping without permission:", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0); err != nil {
		return err
	}
	return errors.Join(pings(ctx, loopback(0).Addr(), ""), pings(ctx, netip.IPv6Loopback(), ""))
}

func pinger(target netip.Addr) (healthcheck.Checker, error) {
	return healthcheck.NewChecker(healthcheck.Spec{
		ID: "ping", Kind: healthcheck.Ping, Target: netip.AddrPortFrom(target, 0), Interval: time.Second, Timeout: time.Second,
	}, nil)
}

func pings(ctx context.Context, target netip.Addr, want healthcheck.Reason) error {
	c, err := pinger(target)
	if err != nil {
		return err
	}
	switch err := c.Check(ctx); {
	case healthcheck.ReasonOf(err) != want:
		return fmt.Errorf("ping: %v, want %q", err, want)
	case err == nil:
		fmt.Println("ping", target, "up")
	default:
		fmt.Println("ping", want)
	}
	return nil
}

// ownMachine gives this process a loopback that is up, a /var and /run of its
// own, and the users that opensmtpd drops its privileges to.
func ownMachine(dir string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for name, ids := range map[string]string{"passwd": ":x:%d:%[1]d::/:/usr/sbin/nologin\n", "group": ":x:%d:\n"} {
		raw, err := os.ReadFile("/etc/" + name)
		if err != nil {
			return err
		}
		text := string(raw)
		for i, user := range []string{"opensmtpd", "opensmtpq"} {
			if !strings.HasPrefix(text, user+":") && !strings.Contains(text, "\n"+user+":") {
				text += user + fmt.Sprintf(ids, 890+i)
			}
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, "/etc/"+name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", name, err)
		}
	}
	for _, d := range []string{"/var", "/run"} {
		if err := unix.Mount("tmpfs", d, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", d, err)
		}
	}
	for _, d := range []string{"/var/spool", "/var/log/nginx", "/var/lib/opensmtpd/empty"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", "/var/run"); err != nil {
		return err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return certify(dir, loopback(0).Addr().AsSlice())
}

// mailModule is nginx as an SMTP server, with OpenSSL's TLS. OpenSMTPD of Debian 12
// has none that works with OpenSSL 3: it loses the private key in each handshake.
const mailModule = "/usr/lib/nginx/modules/ngx_mail_module.so"

// nginxTemp has nginx keep in a directory what it would keep in /var.
func nginxTemp(dir string) (directives string) {
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		directives += fmt.Sprintf("%s_temp_path %s/%s; ", what, dir, what)
	}
	return directives
}

// startRealServers starts the servers; stop ends them, once.
func startRealServers(ctx context.Context, dir string) (stop func(), err error) {
	gs := grpc.NewServer()
	h := health.NewServer()
	h.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(gs, h)
	var running []*exec.Cmd
	stop = func() {
		gs.Stop()
		for _, c := range running {
			// Its children are in its process group.
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			_ = c.Wait()
		}
		running = nil
	}
	l, err := net.Listen("tcp4", loopback(5051).String())
	if err != nil {
		return stop, err
	}
	go gs.Serve(l)
	if _, err := os.Stat(mailModule); err != nil {
		return stop, fmt.Errorf("find nginx's part that speaks SMTP: %w (apt-get install libnginx-mod-mail)", err)
	}
	for name, text := range map[string]string{
		"nginx.conf": `load_module ` + mailModule + `; user root root; daemon off; master_process off; pid ` + dir + `/nginx.pid; error_log stderr;
events { worker_connections 64; }
mail { server_name mail.example.org; smtp_auth plain; auth_http 127.0.0.1:8080/auth;
  ssl_certificate ` + dir + `/cert.pem; ssl_certificate_key ` + dir + `/key.pem;
  server { listen 127.0.0.1:2587; protocol smtp; starttls on; }
  server { listen 127.0.0.1:2465 ssl; protocol smtp; } }
http { access_log off; default_type text/plain; ` + nginxTemp(dir) + `
  server { listen 127.0.0.1:8080; listen 127.0.0.1:8081 http2; listen 127.0.0.1:8443 ssl http2;
    ssl_certificate ` + dir + `/cert.pem; ssl_certificate_key ` + dir + `/key.pem;
    ssl_client_certificate ` + dir + `/cert.pem; ssl_verify_client on;
    location = /page { return 200 "nginx says $server_protocol"; }
    location / { return 404; } } }
`,
		"smtpd.conf": `listen on 127.0.0.1 port 2525 hostname mail.example.org
action "local" mbox
match for local action "local"
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return stop, err
		}
	}
	for _, args := range [][]string{
		{"nginx", "-c", dir + "/nginx.conf", "-p", dir},
		{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--port=5353",
			"--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--address=/www.example.org/192.0.2.1"},
		{"smtpd", "-d", "-f", dir + "/smtpd.conf"},
	} {
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			return stop, err
		}
		running = append(running, c)
	}
	return stop, nil
}

// certify writes a certificate of an address and its key, for servers and clients.
func certify(dir string, of net.IP) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{of},
	}
	cert, err1 := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	secret, err2 := x509.MarshalPKCS8PrivateKey(key)
	return errors.Join(err1, err2,
		os.WriteFile(dir+"/cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644),
		os.WriteFile(dir+"/key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
