package integration

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"baton/internal/event"
	"baton/internal/lab"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// kindServers have a check of each kind but tcp and http, which the lab's own
// service has: what they weigh while all is well, and once everything is broken or
// why they are out then. DIR is where their files lie.
var kindServers = []struct {
	server, check string
	weight        string
	broken        string // weight
	reason        string // if there is none
}{
	{"192.168.16.103:70", `misc_check = { misc_path = "DIR/plain" }`, "1", "", "exit"},
	{"192.168.16.103:71", `misc_check = { misc_path = "DIR/dynamic", misc_dynamic = true }`, "10", "20", ""},
	{"192.168.16.103:72", `file_check = { file = "DIR/number" }`, "1", "", "file"},
	{"192.168.16.103:73", `file_check = { file = "DIR/number", weight = 3 }`, "1", "7", ""},
	{"192.168.16.103:53", `dns_check = { name = "www.example.org", type = "A", answer = "192.0.2.1" }`, "1", "", "dns"},
	{"192.168.16.103:54", `dns_check = { connect_port = 53, name = "www.example.org", type = "A", tcp = true }`, "1", "", "dns"},
	// Of any name server that has found what the question was for.
	{"192.168.16.103:55", `udp_check = { connect_port = 53, payload = "QUESTION", reply = "12 34 8? ?0" }`, "1", "", "body"},
	{"192.168.16.103:56", `udp_check = { connect_timeout = "1s" }`, "1", "", "refused"},
	{"192.168.16.103:587", `smtp_check = { security = "starttls", ca_file = "DIR/cert.pem" }`, "1", "", "refused"},
	{"192.168.16.103:5051", `grpc_check = { service = "shop" }`, "1", "", "status"},
	{"192.168.16.103:443", `https_get = { path = "/healthz", ca_file = "DIR/cert.pem" }`, "1", "", "tls"},
	{"192.168.16.104:7", `ping_check = { connect_timeout = "2s" }`, "1", "", "timeout"},
}

// TestKindsOfChecks has a director check a server in each way: all pass, then what
// each is there to notice happens to all at once, and then all are mended.
func TestKindsOfChecks(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	must(os.Chmod(filepath.Dir(dir), 0o755)) // for the prober's user
	const service = "[[virtual_server]]\naddress = \"192.168.16.200:9000\"\nlb_kind = \"NAT\"\n" +
		"delay_loop = \"1s\"\nconnect_timeout = \"20s\"\nretry = 1\ndelay_before_retry = \"200ms\"\n"
	fill := strings.NewReplacer("DIR", dir, "QUESTION", fmt.Sprintf("%x", rawQuestion))
	text, well, broken, reasons := service, map[string]string{}, map[string]string{}, map[string]string{}
	for _, k := range kindServers {
		text += fmt.Sprintf("[[virtual_server.real_server]]\naddress = %q\n%s\n", k.server, fill.Replace(k.check))
		well[k.server] = k.weight
		if broken[k.server] = k.broken; k.reason != "" {
			delete(broken, k.server)
			reasons[k.server] = k.reason
		}
	}
	l := start(t, lab.Options{Directors: []string{}, ExtraTOML: text})
	set := kindTargets(t, l, dir)
	set(true)
	must(l.In(lab.LVSA, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0)
	}))
	must(l.StartDirector(t.Context(), lab.LVSA))
	holds := func(what string, want map[string]string) {
		t.Helper()
		within(t, what, func() string {
			got := map[string]string{}
			for line := range strings.Lines(listing(t, l, lab.LVSA)) {
				if f := strings.Fields(line); len(f) == 4 && f[2] == "Masq" {
					got[f[1]] = f[3]
				}
			}
			if !maps.Equal(got, want) {
				return fmt.Sprintf("ipvsadm -Ln has the weights %v, want %v", got, want)
			}
			return ""
		})
	}
	holds("every check to pass", well)
	before := len(logged(t, l, lab.LVSA, event.ServerDown))
	set(false)
	holds("every check to notice", broken)
	told := map[string]string{}
	for _, e := range logged(t, l, lab.LVSA, event.ServerDown)[before:] {
		told[e.Get(event.Server)] += e.Get(event.Reason)
	}
	if !maps.Equal(told, reasons) {
		t.Errorf("server.down tells of\n%v, want\n%v", told, reasons)
	}
	set(true)
	holds("every check to pass again", well)
}

// kindTargets starts what the checks ask, in the real servers' network; set breaks it or
// mends it.
func kindTargets(t *testing.T, l *lab.Lab, dir string) (set func(well bool)) {
	const rs1 = "192.168.16.103"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string, mode os.FileMode, content string) {
		t.Helper()
		// As a whole: a program must not read a part of it.
		must(os.WriteFile(filepath.Join(dir, name+".new"), []byte(content), mode))
		must(os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
	}
	files := func(well, broken string) func(bool, string) {
		return func(is bool, name string) {
			if is {
				file(name, 0o644, well)
			} else {
				file(name, 0o644, broken)
			}
		}
	}
	for name, port := range map[string]string{"plain": "70", "dynamic": "71"} {
		file(name, 0o755, fmt.Sprintf("#!/bin/sh\n[ $BATON_ADDRESS:$BATON_PORT = %s:%s ] || exit 1\nexit $(cat %s.exit)\n", rs1, port, filepath.Join(dir, name)))
	}
	plain, dynamic, number, hosts := files("0", "1"), files("12", "22"), files("0\n", "2\n"), files("192.0.2.1 www.example.org\n", "")

	foreign := filepath.Join(dir, "foreign")
	must(os.Mkdir(foreign, 0o755))
	for _, d := range []string{dir, foreign} {
		must(certify(d, net.ParseIP(rs1)))
	}
	conf := func(certificate, mail string) string {
		pair := fmt.Sprintf("ssl_certificate %s/cert.pem; ssl_certificate_key %[1]s/key.pem;", certificate)
		return "load_module " + mailModule + "; user root root; daemon off; pid " + dir + "/nginx.pid; error_log stderr;\n" +
			"events { worker_connections 64; }\n" +
			"mail { server_name mail.example.org; smtp_auth plain; auth_http 127.0.0.1:8080/auth; " + pair + mail + "}\n" +
			"http { access_log off; " + nginxTemp(dir) + pair + "server { listen " + rs1 + ":443 ssl; location = /healthz { return 200; } } }\n"
	}
	web := files(conf(dir, "server { listen "+rs1+":587; protocol smtp; starttls on; }"), conf(foreign, ""))

	services, calls := health.NewServer(), grpc.NewServer()
	healthpb.RegisterHealthServer(calls, services)
	var listener net.Listener
	var silent net.PacketConn
	must(l.In(lab.RS1, func() (err error) {
		listener, err = net.Listen("tcp4", rs1+":5051")
		return err
	}))
	go calls.Serve(listener)
	t.Cleanup(calls.Stop)

	var running []*os.Process
	return func(well bool) {
		t.Helper()
		plain(well, "plain.exit")
		dynamic(well, "dynamic.exit")
		number(well, "number")
		hosts(well, "hosts")
		web(well, "nginx.conf")
		status, ignore := healthpb.HealthCheckResponse_NOT_SERVING, "1"
		if well {
			status, ignore = healthpb.HealthCheckResponse_SERVING, "0"
		}
		services.SetServingStatus("shop", status)
		must(l.In(lab.RS2, func() error { return os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte(ignore), 0) }))
		if well {
			must(l.In(lab.RS1, func() (err error) {
				silent, err = net.ListenPacket("udp4", rs1+":56")
				return err
			}))
			t.Cleanup(func() { _ = silent.Close() })
		} else {
			must(silent.Close())
		}
		// These two read their files again.
		for _, p := range running {
			must(p.Signal(syscall.SIGHUP))
		}
		if len(running) > 0 {
			return
		}
		for _, args := range [][]string{
			{"nginx", "-c", dir + "/nginx.conf", "-p", dir},
			{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--listen-address=" + rs1,
				"--bind-interfaces", "--no-resolv", "--no-hosts", "--addn-hosts=" + dir + "/hosts"},
		} {
			var said bytes.Buffer
			cmd := l.Command(t.Context(), args[0], args[1:]...)
			cmd.Stdout, cmd.Stderr = &said, &said
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // nginx ends its worker
			must(l.Start(lab.RS1, cmd))
			running = append(running, cmd.Process)
			t.Cleanup(func() {
				_ = cmd.Wait() // told to by the end of the test's context
				if t.Failed() {
					t.Logf("%s said:\n%s", args[0], &said)
				}
			})
		}
	}
}
