package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// mode is what TestModes does in one topology.
type mode struct {
	topology lab.Topology
	word     string // of ipvsadm -Ln
	ipv6     bool
	extra    string // configuration
	// prepare makes what the configuration needs beyond the lab; check looks at
	// what only this mode has, with lvs-a as master and lvs-b dead.
	prepare, check func(*testing.T, *lab.Lab)
}

var modes = []mode{
	{topology: lab.DR, word: "Route", ipv6: true, extra: datagramService, check: directRouting},
	{topology: lab.DRRouted, word: "Route"},
	{topology: lab.NAT, word: "Masq", extra: translatedServices, prepare: markPackets, check: translation},
	{topology: lab.TUN, word: "Tunnel", check: tunnels},
}

// syncDaemon makes connections survive a change of master. The kernel tells of
// a connection with its third packet, and of an old one with every tenth.
const syncDaemon = `
[ipvs]
sync_threshold = [3, 10]
[ipvs.lvs_sync_daemon]
interface = "eth0"
`

// TestModes: in every way of forwarding the client is answered by every server,
// through directors that ipvsadm says forward so, before and after a planned
// and an unplanned change of master, and connections that are open meanwhile
// stay open (faults 2, 3, 26).
func TestModes(t *testing.T) {
	for _, m := range modes {
		t.Run(string(m.topology), func(t *testing.T) {
			l := start(t, lab.Options{
				Topology: m.topology, IPv6: m.ipv6, CheckInterval: 5 * time.Second,
				ExtraTOML: syncDaemon + m.extra,
			})
			if m.prepare != nil {
				m.prepare(t, l)
			}
			want := fmt.Sprintf("TCP 192.168.16.200:80 rr\n-> %s %s 1\n-> %s %s 1",
				m.topology.ServerAddress(lab.RS1), m.word, m.topology.ServerAddress(lab.RS2), m.word)
			for _, node := range []string{lab.LVSA, lab.LVSB} {
				if got := listing(t, l, node); !strings.Contains(got+"\n", want+"\n") {
					t.Errorf("%s: ipvsadm -Ln says\n%s\nwant\n%s", node, got, want)
				}
			}
			alive := keep(t, l)
			stop := load(t, l)
			if err := l.FailOver(t.Context(), lab.LVSA); err != nil {
				t.Fatal(err)
			}
			if err := l.AwaitMaster(t.Context(), lab.LVSB); err != nil {
				t.Fatal(err)
			}
			// The client is there until its connections are relayed no longer.
			unrelayed(t, l, lab.LVSA)
			planned := stop()
			t.Logf("planned: %d requests, failures %v, answers %v", planned.Requests, planned.Failures, planned.Answers)
			// In NAT the answers pass the director: what is too young to be
			// synchronised is lost.
			if m.topology != lab.NAT {
				noFailure(t, planned)
			}
			alive("the planned change of master")
			if err := l.KillDirector(t.Context(), lab.LVSB); err != nil {
				t.Fatal(err)
			}
			if err := l.AwaitMaster(t.Context(), lab.LVSA); err != nil {
				t.Fatal(err)
			}
			after := load(t, l)()
			noFailure(t, after)
			alive("the unplanned one")
			for name, r := range map[string]lab.Report{"planned": planned, "after a crash": after} {
				if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
					t.Errorf("%s: answers came from %v", name, r.Answers)
				}
			}
			if m.check != nil {
				m.check(t, l)
			}
		})
	}
}

// unrelayed waits until the old master forwards nothing any more that its
// successor relays to it: what lives then does not live by that.
func unrelayed(t *testing.T, l *lab.Lab, old string) {
	t.Helper()
	within(t, "the relay to end", func() string {
		if rules := run(t, l, old, "ip", "rule", "show"); strings.Contains(rules, "ipproto tcp") {
			return rules
		}
		return ""
	})
}

// datagramService schedules each datagram by itself.
var datagramService = service("address = \"192.168.16.200:80\"\nprotocol = \"UDP\"\nops = true", lab.DR)

// service is a virtual_server, which begins with some lines, and its two real
// servers.
func service(lines string, topology lab.Topology) string {
	text := "[[virtual_server]]\n" + lines + "\nlb_algo = \"rr\"\nlb_kind = \"" + strings.ToUpper(string(topology)) + "\"\n"
	for _, rs := range []string{lab.RS1, lab.RS2} {
		text += fmt.Sprintf("[[virtual_server.real_server]]\naddress = %q\n", topology.ServerAddress(rs))
	}
	return text + "\n"
}

// directRouting: IPv6 and one-packet scheduling.
func directRouting(t *testing.T, l *lab.Lab) {
	got := listing(t, l, lab.LVSA)
	for _, want := range []string{
		"TCP [2001:db8:16::200]:80 rr\n-> [2001:db8:16::103]:80 Route 1\n-> [2001:db8:16::104]:80 Route 1",
		"UDP 192.168.16.200:80 rr ops\n-> 192.168.16.103:80 Route 1\n-> 192.168.16.104:80 Route 1",
	} {
		if !strings.Contains(got+"\n", want+"\n") {
			t.Errorf("ipvsadm -Ln says\n%s\nwithout\n%s", got, want)
		}
	}
	// What SIGKILL left on lvs-b goes when it starts: until then two hosts answer
	// the router's first question for the IPv6 address.
	if err := l.StartDirector(t.Context(), lab.LVSB); err != nil {
		t.Fatal(err)
	}
	within(t, "lvs-b to give up the IPv6 address", func() string {
		if got := run(t, l, lab.LVSB, "ip", "-6", "address", "show", "dev", lab.LANInterface); strings.Contains(got, lab.VIP6.String()+"/") {
			return got
		}
		return ""
	})
	six := loadAt(t, l, lab.LoadOptions{Target: "http://[" + lab.VIP6.String() + "]/", Interval: 20 * time.Millisecond, Timeout: 20 * time.Second})()
	noFailure(t, six)
	if six.Answers[lab.RS1] == 0 || six.Answers[lab.RS2] == 0 {
		t.Errorf("over IPv6 answers came from %v", six.Answers)
	}
	// One socket: but for ops all its datagrams would be one connection.
	conn := dial(t, l, "udp", "192.168.16.200:80")
	answers := map[string]int{}
	for range 6 {
		answers[ask(t, conn, "?")]++
	}
	if answers["rs1\n"] != 3 || answers["rs2\n"] != 3 {
		t.Errorf("datagrams were answered by %v, want three by each", answers)
	}
}

// translatedServices are several ports with one pool, a firewall mark, and
// persistence.
var translatedServices = `
[[virtual_server_group]]
name = "web"
addresses = ["192.168.16.200:81-82"]

` + service("virtual_server_group = \"web\""+checked, lab.NAT) + service("fwmark = 7"+checked, lab.NAT) +
	service("address = \"192.168.16.200:83\"\npersistence_timeout = 300"+checked, lab.NAT)

const checked = "\ndelay_loop = \"1s\"\ntcp_check.retry = 3"

// markPackets gives what comes for ports 90 to 99 the mark 7.
func markPackets(t *testing.T, l *lab.Lab) {
	for _, node := range []string{lab.LVSA, lab.LVSB} {
		run(t, l, node, "nft", "add table ip marks; add chain ip marks pre { type filter hook prerouting priority mangle; }; "+
			"add rule ip marks pre ip daddr 192.168.16.200 tcp dport 90-99 meta mark set 7")
	}
}

// translation: the real servers' gateway has followed the VIP twice by now, and
// groups, marks and persistence send each client where they should.
func translation(t *testing.T, l *lab.Lab) {
	for _, rs := range []string{lab.RS1, lab.RS2} {
		got, err := l.Neighbour(rs, lab.InnerVIP)
		if want := "02:00:c0:a8:12:66"; err != nil || got.String() != want {
			t.Errorf("%s sends what is for its gateway to %v, %v; want lvs-a's %s", rs, got, err, want)
		}
	}
	table := listing(t, l, lab.LVSA)
	const servers = "\n-> 192.168.18.103:8080 Masq 1\n-> 192.168.18.104:8080 Masq 1"
	for _, want := range []string{"TCP 192.168.16.200:81 rr", "TCP 192.168.16.200:82 rr", "FWM 7 rr", "TCP 192.168.16.200:83 rr persistent 300"} {
		if !strings.Contains(table+"\n", want+servers+"\n") {
			t.Errorf("ipvsadm -Ln says\n%s\nwithout\n%s", table, want+servers)
		}
	}
	for port, several := range map[string]bool{"81": true, "82": true, "90": true, "99": true, "83": false} {
		var names []string
		for range 4 {
			conn := dial(t, l, "tcp", net.JoinHostPort(lab.VIP.String(), port))
			answer := ask(t, conn, "GET / HTTP/1.0\r\n\r\n")
			_, name, _ := strings.Cut(answer, "\r\n\r\n")
			names = append(names, strings.TrimSpace(name))
		}
		slices.Sort(names)
		got := slices.Compact(slices.Clone(names))
		if len(got) != 2 && several || len(got) != 1 && !several || got[0] == "" {
			t.Errorf("port %s: answers came from %v", port, names)
		}
	}
}

// tunnels: what is larger than the tunnel's MTU arrives, for the director tells
// the client of it; and there are other tunnels than ipip.
func tunnels(t *testing.T, l *lab.Lab) {
	large := func() {
		t.Helper()
		body := strings.Repeat("x", 20_000)
		conn := dial(t, l, "tcp", net.JoinHostPort(lab.VIP.String(), "80"))
		answer := ask(t, conn, fmt.Sprintf("POST /size HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if !strings.HasPrefix(answer, "HTTP/1.0 200") || !strings.HasSuffix(answer, " 20000\n") {
			t.Errorf("a request of %d bytes is answered by %q", len(body), answer)
		}
	}
	large()
	ipip := config(t, l)
	for _, c := range []struct{ toml, saved string }{
		{"tun_type = \"gue\"\ntun_port = 6080", "--tun-type gue --tun-port 6080"},
		{"tun_type = \"gre\"", "--tun-type gre"},
	} {
		rewrite(t, l, bytes.Replace(ipip, []byte("lb_kind = \"TUN\"\n"), []byte("lb_kind = \"TUN\"\n"+c.toml+"\n"), 1))
		if r := reload(t, l, lab.LVSA); !r.OK {
			t.Fatalf("reload says %+v", r)
		}
		within(t, c.toml, func() string {
			if saved := run(t, l, lab.LVSA, "ipvsadm", "-Sn"); strings.Count(saved, c.saved) != 2 {
				return "ipvsadm -Sn says\n" + saved
			}
			return ""
		})
		r := load(t, l)()
		noFailure(t, r)
		if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
			t.Errorf("%s: answers came from %v", c.toml, r.Answers)
		}
		large()
	}
}

// dial connects from the client node.
func dial(t *testing.T, l *lab.Lab, network, address string) net.Conn {
	t.Helper()
	var conn net.Conn
	err := l.In(lab.ClientNode, func() error {
		// Without a fallback to another family there is no goroutine, which would
		// be in another namespace.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var err error
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		t.Fatalf("connect to %s: %v", address, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ask sends something and returns the answer: one datagram, or all until the
// end.
func ask(t *testing.T, conn net.Conn, what string) string {
	t.Helper()
	if _, err := io.WriteString(conn, what); err != nil {
		t.Fatalf("send to %s: %v", conn.RemoteAddr(), err)
	}
	buf := make([]byte, 4096)
	if conn.RemoteAddr().Network() == "udp" {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("wait for %s: %v", conn.RemoteAddr(), err)
		}
		return string(buf[:n])
	}
	raw, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	if err != nil {
		t.Fatalf("read from %s: %v", conn.RemoteAddr(), err)
	}
	return string(raw)
}
