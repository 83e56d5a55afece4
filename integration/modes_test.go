package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"baton/internal/lab"
)

// words is what ipvsadm -Ln calls the way that each topology forwards.
var words = map[lab.Topology]string{lab.DR: "Route", lab.DRRouted: "Route", lab.NAT: "Masq", lab.TUN: "Tunnel"}

// TestModes: in every way of forwarding the client is answered by every server,
// through a director that ipvsadm says forwards so, before and after a planned
// and an unplanned change of master.
func TestModes(t *testing.T) {
	for _, mode := range []lab.Topology{lab.DRRouted, lab.NAT, lab.TUN} {
		t.Run(string(mode), func(t *testing.T) {
			l := start(t, lab.Options{Topology: mode, AdvertInterval: 500 * time.Millisecond, ServerTOML: modeServer[mode]})
			want := fmt.Sprintf("TCP 192.168.16.200:80 rr\n-> %s %s 1\n-> %s %s 1",
				mode.ServerAddress(lab.RS1), words[mode], mode.ServerAddress(lab.RS2), words[mode])
			for _, node := range []string{lab.LVSA, lab.LVSB} {
				if got := listing(t, l, node); got != want {
					t.Errorf("%s: ipvsadm -Ln says\n%s\nwant\n%s", node, got, want)
				}
			}
			stop := load(t, l)
			if err := l.FailOver(t.Context(), lab.LVSA); err != nil {
				t.Fatal(err)
			}
			if err := l.AwaitMaster(t.Context(), lab.LVSB); err != nil {
				t.Fatal(err)
			}
			planned := stop()
			t.Logf("planned: %d requests, failures %v, answers %v", planned.Requests, planned.Failures, planned.Answers)
			// In NAT the answers pass the director: what was in flight is lost
			// without connection synchronisation.
			if mode != lab.NAT {
				noFailure(t, planned)
			}
			if err := l.KillDirector(t.Context(), lab.LVSB); err != nil {
				t.Fatal(err)
			}
			if err := l.AwaitMaster(t.Context(), lab.LVSA); err != nil {
				t.Fatal(err)
			}
			after := load(t, l)()
			noFailure(t, after)
			for name, r := range map[string]lab.Report{"planned": planned, "after a crash": after} {
				if r.Answers[lab.RS1] == 0 || r.Answers[lab.RS2] == 0 {
					t.Errorf("%s: answers came from %v", name, r.Answers)
				}
			}
			if check := modeChecks[mode]; check != nil {
				check(t, l)
			}
		})
	}
}

// modeServer are lines of the virtual_server.
var modeServer = map[lab.Topology]string{}

// modeChecks are what is to be looked at in one mode only; lvs-a is master then
// and lvs-b is dead.
var modeChecks = map[lab.Topology]func(*testing.T, *lab.Lab){
	lab.NAT: gatewayMoves,
	lab.TUN: largeRequests,
}

// gatewayMoves: the real servers' gateway has followed the VIP twice by now.
func gatewayMoves(t *testing.T, l *lab.Lab) {
	for _, rs := range []string{lab.RS1, lab.RS2} {
		got, err := l.Neighbour(rs, lab.InnerVIP)
		if want := "02:00:c0:a8:12:66"; err != nil || got.String() != want {
			t.Errorf("%s sends what is for its gateway to %v, %v; want lvs-a's %s", rs, got, err, want)
		}
	}
}

// largeRequests: what is larger than the tunnel's MTU arrives, for the director
// tells the client of it.
func largeRequests(t *testing.T, l *lab.Lab) {
	body := strings.Repeat("x", 20_000)
	var answer string
	err := l.In(lab.ClientNode, func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(lab.VIP.String(), "80"), patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(conn, "POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return err
		}
		buf := make([]byte, 1024)
		n, err := conn.Read(buf)
		answer = string(buf[:n])
		return err
	})
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") || !strings.HasSuffix(answer, " 20000\n") {
		t.Errorf("a request of %d bytes: %q, %v", len(body), answer, err)
	}
}
