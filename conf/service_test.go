package conf_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"baton/conf"
	"baton/healthcheck"
	"baton/ipvs"
)

// TestIPVS holds what [ipvs] says against what it comes to on each node.
func TestIPVS(t *testing.T) {
	const text = `
[ipvs]
sync_threshold = [3, 50]
expire_nodest_conn = true
snat_reroute = 0
conn_reuse_mode = { lvs-a = 0, lvs-b = 1 }
sync_refresh_period = "10s"
lvs_timeouts = { tcp = "1h", udp = 60 }
[ipvs.lvs_sync_daemon]
vrrp_instance = "VI_2"
maxlen = 1400
ttl = 2

[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
virtual_ipaddress = ["192.0.2.1/24"]

[[vrrp_instance]]
name = "VI_2"
interface = { lvs-a = "eth1", lvs-b = "eth2" }
virtual_router_id = 52
virtual_ipaddress = ["192.0.2.2/24"]
`
	for node, want := range map[string]struct{ iface, reuse string }{"lvs-a": {"eth1", "0"}, "lvs-b": {"eth2", "1"}} {
		want := conf.IPVS{
			Timeouts: ipvs.Timeouts{TCP: time.Hour, UDP: time.Minute},
			Sync:     &ipvs.SyncDaemon{Interface: want.iface, SyncID: 52, MaxLen: 1400, TTL: 2},
			Sysctls: []conf.Sysctl{
				{Name: "conn_reuse_mode", Value: want.reuse}, {Name: "expire_nodest_conn", Value: "1"}, {Name: "snat_reroute", Value: "0"},
				{Name: "sync_refresh_period", Value: "10"}, {Name: "sync_threshold", Value: "3 50"},
			},
		}
		if d := cmp.Diff(want, parse(t, node, text).IPVS, addresses); d != "" {
			t.Errorf("on %s (-want +got):\n%s", node, d)
		}
	}
}

// TestPool holds a pool with everything against what it comes to.
func TestPool(t *testing.T) {
	const text = `
[global]
notify_timeout = "7s"

[[virtual_server]]
address = ["[2001:db8::1]:53", "[2001:db8::2]:53"]
protocol = "UDP"
lb_kind = "TUN"
tun_type = "gue"
tun_port = 5555
tun_csum = "remcsum"
persistence_timeout = "1m"
persistence_engine = "sip"
alpha = false
omega = true
quorum = 2
hysteresis = 1
quorum_up = "/bin/up"
notify_timeout = "2s"
sorry_server = { address = "::1", lb_kind = "DR" }
sorry_server_inhibit = true
slow_start = "10s"
drain_timeout = "2m"
path_check = false

[[virtual_server.real_server]]
address = "2001:db8::103"
weight = 2
checks = []

[[virtual_server.real_server]]
address = "192.0.2.104"
tun_type = "gre"
slow_start = 0
checks = []
notify_down = { script = "/bin/down now", user = "nobody nogroup", timeout = "3s" }
`
	key := func(s string) ipvs.ServiceKey { return ipvs.AddressKey(ipvs.UDP, netip.MustParseAddrPort(s)) }
	server := func(s string) ipvs.ServerKey { return ipvs.MakeServerKey(netip.MustParseAddrPort(s)) }
	want := []conf.VirtualServer{{
		Name: "udp [2001:db8::1]:53",
		Service: ipvs.Service{
			Key: key("[2001:db8::1]:53"), Scheduler: "wlc", Persistence: time.Minute, PersistenceEngine: "sip",
		},
		Keys:  []ipvs.ServiceKey{key("[2001:db8::1]:53"), key("[2001:db8::2]:53")},
		Omega: true, Quorum: 2, Hysteresis: 1, SorryInhibit: true, DrainTimeout: 2 * time.Minute,
		QuorumUp: &conf.Command{Args: []string{"/bin/up"}, Timeout: 2 * time.Second},
		Sorry:    &conf.RealServer{Server: ipvs.Server{Key: server("[::1]:53"), Weight: 1, Forward: ipvs.DR}},
		Servers: []conf.RealServer{
			{
				Server: ipvs.Server{
					Key: server("[2001:db8::103]:53"), Weight: 2, Forward: ipvs.TUN,
					Tunnel: ipvs.Tunnel{Type: ipvs.GUE, Port: 5555, Flags: ipvs.TunnelRemoteChecksum},
				},
				SlowStart: 10 * time.Second,
			},
			{
				Server:     ipvs.Server{Key: server("192.0.2.104:53"), Weight: 1, Forward: ipvs.TUN, Tunnel: ipvs.Tunnel{Type: ipvs.GRE}},
				NotifyDown: &conf.Command{Args: []string{"/bin/down", "now"}, User: "nobody", Group: "nogroup", Timeout: 3 * time.Second},
			},
		},
	}}
	if d := cmp.Diff(want, parse(t, "n", text).Services, addresses); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestCheckKinds holds the keys of each kind against the check that they make.
func TestCheckKinds(t *testing.T) {
	const text = `
[global]
nodes = ["lvs-a", "lvs-b"]

[check.alive.ping_check]
connect_timeout = "1s"
bindto = { lvs-a = "192.0.2.7", lvs-b = "192.0.2.8" }
bind_if = "eth1"
fwmark = 9

[[virtual_server]]
address = "192.0.2.1:80"
lb_kind = "NAT"
delay_loop = 10
warmup = "2s"

[virtual_server.misc_check]
misc_path = "/bin/template"
misc_timeout = "7s"

[[virtual_server.real_server]]
address = "192.0.2.10"
weight = { lvs-a = 5, lvs-b = 6 }
checks = "alive"
[[virtual_server.real_server.https_get]]
http_protocol = "2"
virtualhost = "www.example.com"
method = "HEAD"
cert_file = "/c.pem"
key_file = "/c.key"
[[virtual_server.real_server.https_get.url]]
path = "/1"
status_code = 204
[[virtual_server.real_server.https_get.url]]
path = "/2"
method = "GET"
regex = "error"
regex_no_match = true
[[virtual_server.real_server.https_get]]
path = "/3"
headers = { X-A = "1", X-B = "2" }
status_code = ["200-204", 301]
body_contains = "alive"
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
server_name = "tls.example.com"
ca_file = "/ca.pem"
connect_ip = "192.0.2.99"
connect_port = 8443
bind_port = 4000
connect_timeout = "2s"
retry = 4
delay_before_retry = "4s"
delay_loop = "20s"
rise = 5
warmup = "6s"
log_all_failures = true
[virtual_server.real_server.dns_check]
name = "example.com"
type = "MX"
tcp = true
rcode = "NOERROR"
answer = ["10 mx.example.com."]
[virtual_server.real_server.smtp_check]
helo_name = "lvs"
security = "tls"
server_name = "mx"
[virtual_server.real_server.udp_check]
payload = "01 aB"
reply = "?1 f?"
min_reply_len = 3
max_reply_len = 4
[virtual_server.real_server.grpc_check]
service = "s"
authority = "a"
tls = true
verify = false
[virtual_server.real_server.misc_check]
misc_dynamic = true
[virtual_server.real_server.file_check]
file = "/run/weight"
weight = -2
`
	base := func(label string, k healthcheck.Kind) healthcheck.Spec {
		return healthcheck.Spec{
			ID: "tcp 192.0.2.1:80 192.0.2.10:80 " + label, Kind: k, Target: netip.MustParseAddrPort("192.0.2.10:80"), Interval: 10 * time.Second,
			Timeout: 5 * time.Second, Retry: 1, RetryDelay: time.Second, Rise: 1, Warmup: 2 * time.Second,
		}
	}
	for node, own := range map[string]struct {
		source string
		weight int
	}{"lvs-a": {"192.0.2.7", 5}, "lvs-b": {"192.0.2.8", 6}} {
		two, three := base("https_get", healthcheck.HTTPS), base("https_get#2", healthcheck.HTTPS)
		two.RetryDelay, three.RetryDelay = 3*time.Second, 3*time.Second
		two.HTTP = &healthcheck.HTTPSpec{
			HTTPRequest: healthcheck.HTTPRequest{Method: "HEAD", Path: "/1", Host: "www.example.com", Status: []healthcheck.StatusRange{{Low: 204, High: 204}}},
			More:        []healthcheck.HTTPRequest{{Method: "GET", Path: "/2", Host: "www.example.com", BodyRegex: "error", RegexNoMatch: true}},
			Version:     "2", TLS: healthcheck.TLSSpec{CertFile: "/c.pem", KeyFile: "/c.key"},
		}
		three.HTTP = &healthcheck.HTTPSpec{HTTPRequest: healthcheck.HTTPRequest{
			Method: "GET", Path: "/3", Headers: []healthcheck.Header{{Name: "X-A", Value: "1"}, {Name: "X-B", Value: "2"}},
			Status: []healthcheck.StatusRange{{Low: 200, High: 204}, {Low: 301, High: 301}}, BodyContains: "alive",
			BodySHA256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
		}, TLS: healthcheck.TLSSpec{ServerName: "tls.example.com", CAFile: "/ca.pem"}}
		three.LogAllFailures, three.Socket.BindPort, three.Target = true, 4000, netip.MustParseAddrPort("192.0.2.99:8443")
		three.Timeout, three.Retry, three.RetryDelay, three.Interval, three.Rise, three.Warmup = 2*time.Second, 4, 4*time.Second, 20*time.Second, 5, 6*time.Second
		dns := base("dns_check", healthcheck.DNS)
		dns.DNS = &healthcheck.DNSSpec{Name: "example.com", Type: "MX", TCP: true, RCode: []string{"NOERROR"}, Answer: []string{"10 mx.example.com."}}
		smtp := base("smtp_check", healthcheck.SMTP)
		smtp.SMTP = &healthcheck.SMTPSpec{Helo: "lvs", Security: healthcheck.SMTPImplicit, TLS: healthcheck.TLSSpec{ServerName: "mx"}}
		udp := base("udp_check", healthcheck.UDP)
		udp.UDP = &healthcheck.UDPSpec{Payload: []byte{1, 0xab}, Reply: []byte{1, 0xf0}, ReplyMask: []byte{0x0f, 0xf0}, MinReply: 3, MaxReply: 4}
		grpc := base("grpc_check", healthcheck.GRPC)
		grpc.GRPC = &healthcheck.GRPCSpec{Service: "s", Authority: "a", Secure: true, TLS: healthcheck.TLSSpec{SkipVerify: true}}
		misc := base("misc_check", healthcheck.Exec)
		misc.Timeout, misc.Exec = 7*time.Second, &healthcheck.ExecSpec{Args: []string{"/bin/template"}, Dynamic: true}
		file := base("file_check", healthcheck.File)
		file.File = &healthcheck.FileSpec{Path: "/run/weight", Dynamic: true, Multiplier: -2, Weight: own.weight}
		ping := base("ping_check/alive", healthcheck.Ping)
		ping.Timeout = time.Second
		ping.Socket = healthcheck.SocketSpec{BindTo: netip.MustParseAddr(own.source), BindIf: "eth1", FWMark: 9}

		want := []healthcheck.Spec{two, three, dns, smtp, udp, grpc, misc, file, ping}
		got := parse(t, node, text).Checks()
		if d := cmp.Diff(want, got, addresses); d != "" {
			t.Errorf("on %s (-want +got):\n%s", node, d)
		}
	}
}

// TestChecksOfAServer: which of the virtual_server's checks a server has depends on
// what it says itself.
func TestChecksOfAServer(t *testing.T) {
	const service = `
[check.deep]
http_get.path = "/deep"
[[virtual_server]]
address = "192.168.16.200:80"
lb_kind = "DR"
checks = ["deep"]
tcp_check = {}
[[virtual_server.real_server]]
address = "192.168.16.103"
`
	for says, want := range map[string]string{
		"":                                  "tcp_check http_get/deep",
		"tcp_check = {}":                    "tcp_check",
		`checks = ["deep"]`:                 "http_get/deep",
		"checks = []":                       "",
		"checks = []\nping_check = {}":      "ping_check",
		"delay_loop = 1":                    "tcp_check http_get/deep",
		"delay_loop = 1\nchecks = []":       "",
		"delay_loop = 1\nping_check={}":     "ping_check",
		"checks = [\"deep\"]\ntcp_check={}": "tcp_check http_get/deep",
	} {
		cfg := parse(t, "n", service, says)
		var got []string
		for _, c := range cfg.Checks() {
			got = append(got, c.ID[strings.LastIndexByte(c.ID, ' ')+1:])
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("a server with %q has the checks %q, want %q", says, got, want)
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("a server with %q: %s", says, cfg.Warnings)
		}
	}
}
