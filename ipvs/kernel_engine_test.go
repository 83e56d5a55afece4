//go:build linux && kernel

package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/ipvs"
	"baton/ipvs/ipvstest"
)

// TestKernelPersistenceEngine: an engine that the kernel lacks is refused with
// the command that brings it, each time anew; the sip engine is set, read back
// and taken away, and sends the messages of a call to one server wherever they
// come from.
func TestKernelPersistenceEngine(t *testing.T) {
	namespace(t)
	shell(t, `for a in 192.0.2.1 198.51.100.1 198.51.100.2 198.51.100.3 203.0.113.1 203.0.113.2; do ip address add $a/32 dev lo; done`)
	r := ipvs.NewReconciler(ipvstest.OpenKernel(t))
	const with = `-A -u 192.0.2.1:5060 -s rr -o -p 60 --pe sip
		-a -u 192.0.2.1:5060 -r 198.51.100.1:5060 -m -w 1
		-a -u 192.0.2.1:5060 -r 198.51.100.2:5060 -m -w 1
		-a -u 192.0.2.1:5060 -r 198.51.100.3:5060 -m -w 1`
	for range 2 {
		_, err := r.Reconcile(context.Background(), tableOf(t, strings.ReplaceAll(with, "sip", "none_such")), nil)
		if err == nil || !errors.Is(err, ipvs.ErrNoModule) || !strings.Contains(err.Error(), "run modprobe -a ip_vs_rr ip_vs_pe_none_such") {
			t.Fatalf("an engine that nobody has: %v", err)
		}
	}
	if !kernelHas(t, "ip_vs_pe_sip") {
		t.Fatal("this kernel has no ip_vs_pe_sip")
	}
	reconcile(t, r, tableOf(t, with), nil)
	wantTable(t, tableOf(t, with))
	if out := shell(t, "ipvsadm -Ln"); !regexp.MustCompile(`(?m)^UDP +192\.0\.2\.1:5060 rr persistent 60 pe sip ops$`).MatchString(out) {
		t.Errorf("ipvsadm -Ln does not show the engine:\n%s", out)
	}
	calls := callsTo(t, 9)
	for call, servers := range calls {
		if len(servers) != 1 {
			t.Errorf("call %s went to %v", call, servers)
		}
	}
	templates := shell(t, "ipvsadm -Lnc --persistent-conn")
	for call, servers := range calls {
		if !regexp.MustCompile(`(?m)UDP .* ` + servers[0] + ` +sip +` + regexp.QuoteMeta(call) + `$`).MatchString(templates) {
			t.Errorf("ipvsadm -Lnc --persistent-conn does not show that call %s is at %s:\n%s", call, servers[0], templates)
		}
	}
	if used := usedBy(calls); len(used) != 3 {
		t.Errorf("nine calls went to %v alone", used)
	}

	without := strings.ReplaceAll(strings.ReplaceAll(with, " --pe sip", ""), " -p 60", "")
	reconcile(t, r, tableOf(t, without), nil)
	if shell(t, "ipvsadm -Sn | grep -c sip || true") != "0\n" {
		t.Fatal("the engine is still set")
	}
	for call, servers := range callsTo(t, 2) {
		if len(servers) != 3 {
			t.Errorf("without the engine call %s went to %v: the test could not tell", call, servers)
		}
	}
}

// callsTo sends the messages of so many calls to 192.0.2.1:5060, taking turns,
// each from another address or port, and says which servers each call has met.
func callsTo(t *testing.T, n int) map[string][]string {
	t.Helper()
	arrived := make(chan [2]string, 64)
	for i := range 3 {
		server := fmt.Sprintf("198.51.100.%d:5060", i+1)
		c, err := net.ListenPacket("udp", server)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			buf := make([]byte, 2048)
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				_, rest, _ := strings.Cut(string(buf[:n]), "\r\nCall-ID: ")
				call, _, _ := strings.Cut(rest, "\r\n")
				arrived <- [2]string{call, server}
			}
		}()
	}
	calls := map[string][]string{}
	for round, method := range []string{"REGISTER", "INVITE", "INVITE", "BYE"} {
		for i := range n {
			call := fmt.Sprintf("a84b4c76e667%d@192.0.2.77", i)
			from := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 1+round%2)), uint16(20000+100*round+i))
			send(t, from, method, call)
			select {
			case got := <-arrived:
				if got[0] != call {
					t.Fatalf("sent a message of call %q, %q arrived", call, got[0])
				}
				if !slices.Contains(calls[call], got[1]) {
					calls[call] = append(calls[call], got[1])
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("a %s of call %s did not arrive\n%s", method, call, shell(t, "ipvsadm -Ln --stats"))
			}
		}
	}
	return calls
}

// send sends a SIP request (RFC 3261, section 7.1).
func send(t *testing.T, from netip.AddrPort, method, call string) {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:5060")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%s sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK776asdhds\r\nMax-Forwards: 70\r\n"+
		"To: <sip:bob@192.0.2.1>\r\nFrom: <sip:alice@192.0.2.77>;tag=1928301774\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
		method, from, call, method); err != nil {
		t.Fatal(err)
	}
}

func usedBy(calls map[string][]string) []string {
	var used []string
	for _, servers := range calls {
		used = append(used, servers...)
	}
	slices.Sort(used)
	return slices.Compact(used)
}
