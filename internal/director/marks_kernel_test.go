//go:build linux && kernel

package director

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"baton/healthcheck"
	"baton/internal/event"
	"baton/internal/ipc"
	"baton/internal/nstest"
)

// TestMain lets this test binary be the prober, as the director starts it.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == proberCommand {
		if err := RunProber(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// markedChecks are a check with a mark and one without of each kind of socket,
// of http with two connections.
func markedChecks(mark uint32) []healthcheck.Spec {
	var all []healthcheck.Spec
	for _, target := range []string{"10.9.0.1:80", "[fd09::1]:80"} {
		at := netip.MustParseAddrPort(target)
		for _, kind := range []healthcheck.Kind{healthcheck.TCP, healthcheck.HTTP, healthcheck.UDP, healthcheck.Ping} {
			for _, m := range []uint32{mark, 0} {
				spec := healthcheck.Spec{
					ID: fmt.Sprintf("%s %s mark %d", kind, at.Addr(), m), Kind: kind, Target: at,
					Interval: 100 * time.Millisecond, Timeout: 5 * time.Second, Retry: 0, Rise: 1,
					Socket: healthcheck.SocketSpec{FWMark: m},
				}
				switch kind {
				case healthcheck.HTTP:
					spec.HTTP = &healthcheck.HTTPSpec{More: []healthcheck.HTTPRequest{{Path: "/more"}}}
				case healthcheck.UDP:
					spec.UDP = &healthcheck.UDPSpec{Payload: []byte("?"), RequireReply: true}
				}
				all = append(all, spec)
			}
		}
	}
	return all
}

// TestKernelMarkedChecks: the prober, as it is started in production, has checks
// marked by the director. Routing judges: only with the mark is there a way to
// the servers. A mark that no check of the configuration has is not set. A check
// that comes later and finds no way has the others of its server made at once.
func TestKernelMarkedChecks(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const mark = 7
	run(t, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
	here, there := nstest.Here(t), nstest.New(t)
	here.Cable("eth0", there, "eth0")
	for f, at := range map[string]struct{ ours, theirs, network string }{
		"-4": {"192.0.2.1/24", "10.9.0.1/24", "10.9.0.0/24"}, "-6": {"2001:db8::1/64", "fd09::1/64", "fd09::/64"},
	} {
		here.Address("eth0", at.ours)
		there.Address("eth0", at.theirs)
		there.Run("ip", f, "route", "add", "default", "dev", "eth0")
		here.Run("ip", f, "route", "add", "unreachable", at.network)
		here.Run("ip", f, "route", "add", at.network, "dev", "eth0", "table", "100")
		here.Run("ip", f, "rule", "add", "fwmark", fmt.Sprint(mark), "table", "100")
	}
	// Answers are not marked, and so come from where no route leads.
	here.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")
	answerOn(t, there)

	c := &core{inbox: make(chan func(), 100)}
	s, err := c.proberChild("nobody")
	if err != nil {
		t.Fatal(err)
	}
	checks := markedChecks(mark)
	foreign := checks[0]
	foreign.ID, foreign.Socket.FWMark = "foreign", mark+1
	c.marks.learn(checks)
	type started struct {
		pid  int
		conn *ipc.Conn
	}
	begun, said := make(chan started, 1), make(chan ipc.Message, 1000)
	s.Started = func(pid int, conn *ipc.Conn) {
		if err := conn.Send(kindApply, proberState{Checks: append(checks, foreign)}); err != nil {
			t.Error(err)
		}
		begun <- started{pid, conn}
	}
	s.Message = func(m ipc.Message) { said <- m }
	s.Exited = func(int, string) {}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Supervise(ctx, stopChild) }()
	defer func() { cancel(); <-ended }()

	prober := <-begun
	got, refused := map[string]healthcheck.Verdict{}, false
	for patience := time.After(time.Minute); len(got) < len(checks) || !refused; {
		select {
		case m := <-said:
			var v healthcheck.Verdict
			switch m.Kind {
			case kindVerdict:
				if err := m.Decode(&v); err != nil {
					t.Fatal(err)
				}
				got[v.ID] = v
			case kindEvent:
				refused = refused || strings.Contains(string(m.Body), "foreign") && strings.Contains(string(m.Body), "mark packets with 8: permission denied")
			}
		case <-patience:
			t.Fatalf("%d of %d verdicts, the foreign mark refused: %v; %v", len(got), len(checks), refused, got)
		}
	}
	for _, spec := range checks {
		v := got[spec.ID]
		if marked := spec.Socket.FWMark != 0; v.Up != marked || !marked && v.Reason != healthcheck.Unreachable {
			t.Errorf("%s: %+v", spec.ID, v)
		}
	}
	if _, ok := got["foreign"]; ok {
		t.Error("a verdict about a check whose mark may not be set")
	}
	late := checks[1]
	late.ID = "late"
	if err := prober.conn.Send(kindApply, proberState{Checks: append(checks, foreign, late)}); err != nil {
		t.Fatal(err)
	}
	for patience, hinted := time.After(time.Minute), false; !hinted; {
		select {
		case m := <-said:
			hinted = m.Kind == kindEvent && strings.Contains(string(m.Body), string(event.CheckTriggered)) && strings.Contains(string(m.Body), "found no way")
		case <-patience:
			t.Fatal("a check that finds no way triggers no other")
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", prober.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("the prober has not %q:\n%s", line, status)
		}
	}
}

// answerOn starts servers on another host, of TCP with HTTP and of UDP.
func answerOn(t *testing.T, host *nstest.Host) {
	t.Helper()
	host.Must(func() error {
		l, err := net.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		u, err := net.ListenPacket("udp", ":80")
		if err != nil {
			return err
		}
		t.Cleanup(func() { u.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					if n, _ := c.Read(make([]byte, 4096)); n > 0 {
						fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}()
			}
		}()
		go func() {
			buf := make([]byte, 64)
			for {
				n, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteTo(buf[:n], from) // who gets none asks again
			}
		}()
		return nil
	})
}
