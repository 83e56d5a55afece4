package healthcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// packetServer is a socket on loopback whose datagrams serve gets. It ends with the test.
func packetServer(t *testing.T, serve func(net.PacketConn, net.Addr, []byte)) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serve(pc, from, buf[:n])
			}
		}
	})
	t.Cleanup(func() { pc.Close(); group.Wait() })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// closedDatagramPort is a port that answers with an ICMP error: its socket is
// connected to somebody else.
func closedDatagramPort(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// silent is a socket that reads and says nothing.
func silent(net.PacketConn, net.Addr, []byte) {}

// reply answers each datagram with those.
func reply(answers ...[]byte) func(net.PacketConn, net.Addr, []byte) {
	return func(pc net.PacketConn, from net.Addr, _ []byte) {
		for _, a := range answers {
			pc.WriteTo(a, from)
		}
	}
}

// named answers a question after change has had the answer.
func named(change func(*dns.Msg)) func([]byte) []byte {
	return func(raw []byte) []byte {
		var q dns.Msg
		if q.Unpack(raw) != nil || len(q.Question) != 1 {
			return nil
		}
		m := new(dns.Msg).SetReply(&q)
		if q.Question[0].Qtype == dns.TypeA && q.Question[0].Name == "www.example.org." {
			for _, s := range []string{"www.example.org. 60 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.1", "web.example.org. 60 IN A 192.0.2.2"} {
				rr, _ := dns.NewRR(s)
				m.Answer = append(m.Answer, rr)
			}
		}
		change(m)
		out, _ := m.Pack()
		return out
	}
}

// overUDP sends what f makes of each datagram.
func overUDP(fs ...func([]byte) []byte) func(net.PacketConn, net.Addr, []byte) {
	return func(pc net.PacketConn, from net.Addr, raw []byte) {
		for _, f := range fs {
			pc.WriteTo(f(raw), from)
		}
	}
}

// overTCP sends what f makes of the first message, with its length.
func overTCP(f func([]byte) []byte) func(net.Conn) {
	return func(c net.Conn) {
		var n [2]byte
		io.ReadFull(c, n[:])
		raw := make([]byte, binary.BigEndian.Uint16(n[:]))
		io.ReadFull(c, raw)
		out := f(raw)
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		hold(c)
	}
}

// dialogue is a server that says the first line at once, and each following one
// after a line of the client's; "" hangs up, "reset" resets, "hang" says no more.
func dialogue(lines ...string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for i, l := range lines {
			if i > 0 {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
			}
			switch l {
			case "":
				return
			case "reset":
				reset(c)
				return
			case "hang":
				io.Copy(io.Discard, r)
				return
			}
			io.WriteString(c, l+"\r\n")
		}
	}
}

// startTLS is dialogue up to a handshake, and goes on over TLS.
func startTLS(cfg *tls.Config, before []string, after ...string) func(net.Conn) {
	return func(c net.Conn) {
		dialogue(before...)(c)
		overTLS(cfg, func(tc net.Conn) {
			bufio.NewReader(tc).ReadString('\n')
			dialogue(after...)(tc)
		})(c)
	}
}

// frames is a server that reads the client's preface and then writes frames.
func frames(write func(f *http2.Framer)) func(net.Conn) {
	return func(c net.Conn) {
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		heard := make(chan struct{})
		go func() { defer close(heard); hold(c) }() // who writes for long must be read, too
		write(http2.NewFramer(c, c))
		<-heard
	}
}

// webServer is net/http's own server over HTTP/2.
func webServer(t *testing.T, cfg *tls.Config) func(testing.TB) netip.AddrPort {
	return func(testing.TB) netip.AddrPort {
		t.Helper()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s of %s by %s", r.Proto, r.Host, r.Header.Get("X-Who"))
		})
		mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
			w.Write(bytes.Repeat([]byte("x"), MaxBody-6))
			io.WriteString(w, "needle")
		})
		mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(204) })
		mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		s := &http.Server{Handler: mux, TLSConfig: cfg.Clone(), Protocols: new(http.Protocols), ErrorLog: discardLog}
		s.Protocols.SetHTTP2(true)
		s.Protocols.SetUnencryptedHTTP2(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if cfg != nil {
				s.ServeTLS(l, "", "")
			} else {
				s.Serve(l)
			}
		}()
		t.Cleanup(func() { s.Close(); <-done })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
}

// grpcServer is grpc-go's server, with its health service or without.
func grpcServer(t *testing.T, cfg *tls.Config, serving bool) func(testing.TB) netip.AddrPort {
	return func(testing.TB) netip.AddrPort {
		t.Helper()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var o []grpc.ServerOption
		if cfg != nil {
			o = append(o, grpc.Creds(credentials.NewTLS(cfg)))
		}
		s := grpc.NewServer(o...)
		if serving {
			h := health.NewServer()
			h.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
			h.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
			healthpb.RegisterHealthServer(s, h)
		}
		done := make(chan struct{})
		go func() { defer close(done); s.Serve(l) }()
		t.Cleanup(func() { s.Stop(); <-done })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
}

// with makes a function that gives a spec a part.
func with(part any) func(*Spec) {
	return func(s *Spec) {
		switch p := part.(type) {
		case *DNSSpec:
			s.DNS = p
		case *SMTPSpec:
			s.SMTP = p
		case *UDPSpec:
			s.UDP = p
		case *GRPCSpec:
			s.GRPC = p
		}
	}
}

func ask(path string, change func(*HTTPSpec)) *HTTPSpec {
	h := &HTTPSpec{HTTPRequest: HTTPRequest{Path: path}, Version: "2"}
	if change != nil {
		change(h)
	}
	return h
}

// kindFaults are the servers of every kind besides tcp and HTTP/1.1.
func kindFaults(t *testing.T) []fault {
	cert, ca := authority(t, time.Now().Add(24*time.Hour), "127.0.0.1")
	own := &tls.Config{Certificates: []tls.Certificate{cert}}
	trusting := TLSSpec{CAFile: ca}
	certFile, keyFile := clientFiles(t, cert)
	mutual := &tls.Config{Certificates: own.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	mutual.ClientCAs.AddCert(leaf)
	asClient := TLSSpec{CAFile: ca, CertFile: certFile, KeyFile: keyFile}
	long := strings.Repeat("x", 8192)
	fine := named(func(*dns.Msg) {})
	a := func(answers ...string) func(*Spec) {
		return with(&DNSSpec{Name: "www.example.org", Type: "a", Answer: answers})
	}
	overStream := with(&DNSSpec{TCP: true})
	greeting := []string{"220 mail.example.org ESMTP", "250-mail.example.org\r\n250-PIPELINING\r\n250 STARTTLS", "220 go ahead"}
	wantTLS := with(&SMTPSpec{Helo: "lvs.example.org", Security: SMTPStartTLS, TLS: trusting})
	settings := func(f *http2.Framer) { f.WriteSettings() }
	from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.7"), closedPort(t).Port())
	return []fault{
		{name: "dns fine", kind: DNS, packet: overUDP(fine)},
		{name: "dns fine through an alias", kind: DNS, set: a("192.0.2.2", "192.0.2.1"), packet: overUDP(fine)},
		{name: "dns fine though truncated", kind: DNS, packet: overUDP(named(func(m *dns.Msg) { m.Truncated = true }))},
		{name: "dns fine after an answer with another id", kind: DNS, packet: overUDP(named(func(m *dns.Msg) { m.Id++ }), fine)},
		{name: "dns fine refusal", kind: DNS, set: with(&DNSSpec{RCode: []string{"refused", "NXDOMAIN"}}), packet: overUDP(named(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }))},
		{name: "dns wrong record", kind: DNS, set: a("192.0.2.3"), packet: overUDP(fine), want: DNSAnswer, detail: "no A \"192.0.2.3\" among 3 records"},
		{name: "dns wanted record cut off", kind: DNS, set: a("192.0.2.3"), packet: overUDP(named(func(m *dns.Msg) { m.Truncated = true })), want: DNSAnswer, detail: "ask over TCP"},
		{name: "dns wrong response code", kind: DNS, packet: overUDP(named(func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })), want: DNSAnswer, detail: "response code SERVFAIL, wanted NOERROR"},
		{name: "dns wrong id", kind: DNS, packet: overUDP(named(func(m *dns.Msg) { m.Id++ })), want: Timeout},
		{name: "dns wrong question", kind: DNS, packet: overUDP(named(func(m *dns.Msg) { m.Question[0].Name = "example.com." })), want: Timeout},
		{name: "dns our own question back", kind: DNS, packet: overUDP(func(q []byte) []byte { return q }), want: Timeout},
		{name: "dns flood of other answers", kind: DNS, packet: func(pc net.PacketConn, from net.Addr, q []byte) {
			for range maxStray + 1 {
				pc.WriteTo(named(func(m *dns.Msg) { m.Id++ })(q), from)
			}
		}, want: Protocol, detail: "other questions"},
		{name: "dns from elsewhere", kind: DNS, packet: func(_ net.PacketConn, from net.Addr, q []byte) {
			if c, err := net.Dial("udp4", from.String()); err == nil {
				c.Write(fine(q))
				c.Close()
			}
		}, want: Timeout, detail: "no answer from 127.0.0.1:"},
		{name: "dns garbage", kind: DNS, packet: reply([]byte("220 mail ESMTP\r\n")), want: Protocol, detail: "no DNS message"},
		{name: "dns empty", kind: DNS, packet: reply(nil), want: Protocol, detail: "no DNS message"},
		{name: "dns silent", kind: DNS, packet: silent, want: Timeout, detail: "no answer from 127.0.0.1:"},
		{name: "dns refused", kind: DNS, target: closedDatagramPort, want: Refused},
		{name: "dns over TCP fine", kind: DNS, set: overStream, serve: overTCP(fine)},
		{name: "dns over TCP wrong class", kind: DNS, set: overStream, serve: overTCP(named(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })), want: Protocol, detail: "another question"},
		{name: "dns over TCP wrong id", kind: DNS, set: overStream, serve: overTCP(named(func(m *dns.Msg) { m.Id++ })), want: Protocol, detail: "another question"},
		{name: "dns over TCP truncated", kind: DNS, set: overStream, serve: answerAndClose("\x00\x20short"), want: Protocol, detail: "before the answer's end"},
		{name: "dns over TCP closed", kind: DNS, set: overStream, serve: answerAndClose(""), want: Protocol, detail: "before the answer's end"},
		{name: "dns over TCP hang", kind: DNS, set: overStream, serve: hold, want: Timeout, detail: "not a byte"},
		{name: "dns over TCP slow", kind: DNS, set: overStream, serve: answerAtOnce("\xff\xff\x00"), want: Timeout},
		{name: "dns over TCP refused", kind: DNS, set: overStream, target: closedPort, want: Refused},

		{name: "udp fine", kind: UDP, set: with(&UDPSpec{Payload: []byte("ping"), Reply: []byte("poNg"), ReplyMask: []byte{0xff, 0xff, 0, 0xff}, MinReply: 4, MaxReply: 8}), packet: overUDP(func(b []byte) []byte { return bytes.Replace(b, []byte("i"), []byte("o"), 1) })},
		{name: "udp fine with silence", kind: UDP, set: func(s *Spec) { s.Timeout = 200 * ms }, packet: silent},
		{name: "udp fine with anything at once", kind: UDP, packet: reply([]byte("?"))},
		{name: "udp fine with an empty reply", kind: UDP, set: with(&UDPSpec{RequireReply: true}), packet: reply(nil)},
		{name: "udp refused", kind: UDP, target: closedDatagramPort, want: Refused, detail: "connection refused"},
		{name: "udp no reply", kind: UDP, set: with(&UDPSpec{RequireReply: true}), packet: silent, want: Timeout},
		{name: "udp other reply", kind: UDP, set: with(&UDPSpec{Reply: []byte("pong")}), packet: reply([]byte("pang")), want: Body, detail: "byte 2 of the reply is 61, wanted 6f"},
		{name: "udp too short", kind: UDP, set: with(&UDPSpec{MinReply: 5}), packet: reply([]byte("pang")), want: Body, detail: "at least 5"},
		{name: "udp shorter than the wanted", kind: UDP, set: with(&UDPSpec{Reply: []byte("pong")}), packet: reply([]byte("po")), want: Body, detail: "begins with"},
		{name: "udp too long", kind: UDP, set: with(&UDPSpec{MaxReply: 3}), packet: reply([]byte("pang")), want: Body, detail: "at most 3"},

		{name: "smtp fine", kind: SMTP, serve: dialogue("220 hello", "250 hi", "221 bye")},
		{name: "smtp fine in several lines", kind: SMTP, serve: dialogue("220-hello\r\n220 you", "250-hi\r\n250 SIZE 1", "221 bye")},
		{name: "smtp fine without EHLO", kind: SMTP, serve: dialogue("220 hello", "500 what?", "250 hi", "221 bye")},
		{name: "smtp fine with STARTTLS", kind: SMTP, set: wantTLS, serve: startTLS(own, greeting, "250 again", "221 bye")},
		{name: "smtp fine in TLS", kind: SMTP, set: with(&SMTPSpec{Security: SMTPImplicit, TLS: trusting}), serve: overTLS(own, dialogue("220 hello", "250 hi", "221 bye"))},
		{name: "smtp refused", kind: SMTP, target: closedPort, want: Refused},
		{name: "smtp black hole", kind: SMTP, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "smtp hang", kind: SMTP, serve: hold, want: Timeout, detail: "not a byte"},
		{name: "smtp closed", kind: SMTP, serve: dialogue(""), want: Protocol, detail: "closed before the banner"},
		{name: "smtp reset", kind: SMTP, serve: dialogue("220 hello", "reset"), want: Reset},
		{name: "smtp busy", kind: SMTP, serve: dialogue("421 too many\r\n"), want: Status, detail: `the banner is 421 "too many", wanted 220`},
		{name: "smtp unwilling", kind: SMTP, serve: dialogue("220 hello", "550 no", ""), want: Status, detail: "the answer to EHLO is 550"},
		{name: "smtp hang after the banner", kind: SMTP, serve: dialogue("220 hello", "hang"), want: Timeout},
		{name: "smtp hang at the end", kind: SMTP, serve: dialogue("220 hello", "250 hi", "hang"), want: Timeout},
		{name: "smtp cut short", kind: SMTP, serve: func(c net.Conn) { io.WriteString(c, "220-hello\r\n") }, want: Protocol, detail: "closed before the banner"},
		{name: "smtp garbage", kind: SMTP, serve: dialogue("HTTP/1.1 400 Bad Request"), want: Protocol, detail: "the banner is none"},
		{name: "smtp endless lines", kind: SMTP, serve: func(c net.Conn) { writeOn(c, "220-"+long+"\r\n") }, want: Protocol, detail: "more than 65536 bytes"},
		{name: "smtp endless line", kind: SMTP, serve: func(c net.Conn) { writeOn(c, "220 "+long) }, want: Protocol, detail: "more than 65536 bytes"},
		{name: "smtp no STARTTLS", kind: SMTP, set: wantTLS, serve: dialogue("220 hello", "250-hi\r\n250 SIZE", ""), want: TLS, detail: "does not offer STARTTLS"},
		{name: "smtp STARTTLS refused", kind: SMTP, set: wantTLS, serve: dialogue(greeting[0], greeting[1], "454 not now", ""), want: Status, detail: "STARTTLS is 454"},
		{name: "smtp STARTTLS with a word too much", kind: SMTP, set: wantTLS, serve: dialogue(greeting[0], greeting[1], "220 go ahead\r\n250 injected", "hang"), want: Protocol, detail: "went on talking"},
		{name: "smtp STARTTLS of an unknown authority", kind: SMTP, set: with(&SMTPSpec{Security: SMTPStartTLS}), serve: startTLS(own, greeting, "250 again"), want: TLS, detail: "unknown authority"},
		{name: "smtp bad TLS after STARTTLS", kind: SMTP, set: wantTLS, serve: func(c net.Conn) { dialogue(greeting...)(c); answerAtOnce("no TLS here\r\n")(c) }, want: TLS},

		{name: "http/2 fine", kind: HTTP, http: ask("/ok", func(h *HTTPSpec) {
			h.Host, h.Headers, h.BodyRegex = "www.example.org", []Header{{"X-Who", "me"}}, "^HTTP/2.0 of www.example.org by me$"
		}), target: webServer(t, nil)},
		{name: "http/2 fine in a long body", kind: HTTP, http: ask("/long", func(h *HTTPSpec) { h.BodyContains = "needle" }), target: webServer(t, nil)},
		{name: "http/2 fine after interim answers", kind: HTTP, http: ask("/hints", nil), target: webServer(t, nil)},
		{name: "http/2 wrong status", kind: HTTP, http: ask("/none", nil), target: webServer(t, nil), want: Status, detail: "status 404"},
		{name: "http/2 endless body", kind: HTTP, http: ask("/endless", func(h *HTTPSpec) { h.BodyContains = "needle" }), target: webServer(t, nil), want: Body, detail: "only the first 1048576"},
		{name: "http/2 not spoken", kind: HTTP, http: ask("/", nil), serve: answerAtOnce("HTTP/1.1 400 Bad Request\r\n\r\n"), want: Protocol, detail: "HTTP/1.1"},
		{name: "http/2 closed", kind: HTTP, http: ask("/", nil), serve: answerAndClose(""), want: Protocol, detail: "closed before the answer's end"},
		{name: "http/2 hang", kind: HTTP, http: ask("/", nil), serve: hold, want: Timeout},
		{name: "http/2 hang after the settings", kind: HTTP, http: ask("/", nil), serve: frames(settings), want: Timeout},
		{name: "http/2 flood of settings", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) {
			for f.WriteSettings() == nil {
			}
		}), want: Protocol, detail: "more than 1000 frames"},
		{name: "http/2 goes away", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) { f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) }), want: Reset, detail: "ENHANCE_YOUR_CALM"},
		{name: "http/2 resets the stream", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) { f.WriteRSTStream(1, http2.ErrCodeRefusedStream) }), want: Reset, detail: "REFUSED_STREAM"},
		{name: "http/2 data first", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) { f.WriteData(1, false, []byte("x")) }), want: Protocol, detail: "not expected"},
		{name: "http/2 oversized frame", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) { f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, maxFrame+1)) }), want: Protocol, detail: "too large"},
		{name: "http/2 endless header", kind: HTTP, http: ask("/", nil), serve: frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
			for f.WriteContinuation(1, false, make([]byte, 4096)) == nil {
			}
		}), want: Protocol},
		{name: "http/2 endless padding", kind: HTTP, http: ask("/", func(h *HTTPSpec) { h.BodyContains = "needle" }), serve: frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true})
			for f.WriteDataPadded(1, false, []byte("x"), make([]byte, 255)) == nil {
			}
		}), want: Protocol, detail: "framing has more than"},
		{name: "https/2 fine", kind: HTTPS, http: ask("/ok", func(h *HTTPSpec) { h.TLS = trusting }), target: webServer(t, own)},
		{name: "https/2 not offered", kind: HTTPS, http: ask("/", func(h *HTTPSpec) { h.TLS = trusting }), serve: overTLS(&tls.Config{Certificates: own.Certificates}, hold), want: TLS, detail: "does not offer HTTP/2"},
		{name: "https fine with a client certificate", kind: HTTPS, http: ask("/ok", func(h *HTTPSpec) { h.TLS = asClient }), target: webServer(t, mutual)},
		{name: "https without the client certificate", kind: HTTPS, http: ask("/ok", func(h *HTTPSpec) { h.TLS = trusting }), target: webServer(t, mutual), want: TLS, detail: "certificate required"},

		{name: "http fine in several requests", kind: HTTP, http: ask("/ok", func(h *HTTPSpec) { h.More = []HTTPRequest{{Path: "/hints"}, {Path: "/long", BodyContains: "needle"}} }), target: webServer(t, nil)},
		{name: "http second request fails", kind: HTTP, http: ask("/ok", func(h *HTTPSpec) { h.More = []HTTPRequest{{Path: "/none"}} }), target: webServer(t, nil), want: Status, detail: "404"},
		{name: "http second request hangs", kind: HTTP, http: &HTTPSpec{More: []HTTPRequest{{Path: "/2"}}}, serve: onlyFirst(answer(okHead + "\r\n")), want: Timeout},

		{name: "grpc fine", kind: GRPC, target: grpcServer(t, nil, true)},
		{name: "grpc fine service", kind: GRPC, set: with(&GRPCSpec{Service: "up", Authority: "www.example.org:50051"}), target: grpcServer(t, nil, true)},
		{name: "grpc fine in TLS", kind: GRPC, set: with(&GRPCSpec{Service: "up", Secure: true, TLS: trusting}), target: grpcServer(t, own, true)},
		{name: "grpc not serving", kind: GRPC, set: with(&GRPCSpec{Service: "down"}), target: grpcServer(t, nil, true), want: Status, detail: "health status NOT_SERVING"},
		{name: "grpc unknown service", kind: GRPC, set: with(&GRPCSpec{Service: "what"}), target: grpcServer(t, nil, true), want: Status, detail: `does not know the service "what"`},
		{name: "grpc without the health service", kind: GRPC, target: grpcServer(t, nil, false), want: Status, detail: "no health service"},
		{name: "grpc of an unknown authority", kind: GRPC, set: with(&GRPCSpec{Secure: true}), target: grpcServer(t, own, true), want: TLS, detail: "unknown authority"},
		{name: "grpc without TLS where it is wanted", kind: GRPC, target: grpcServer(t, own, true), want: Protocol},
		{name: "grpc but the server is a web server", kind: GRPC, target: webServer(t, nil), want: Status, detail: "HTTP status 404"},
		{name: "grpc refused", kind: GRPC, target: closedPort, want: Refused},
		{name: "grpc hang", kind: GRPC, serve: hold, want: Timeout, detail: "not a byte"},
		{name: "grpc reset", kind: GRPC, serve: func(c net.Conn) { c.Read(make([]byte, 1)); reset(c) }, want: Reset},
		{name: "grpc garbage", kind: GRPC, serve: answerAtOnce(strings.Repeat("garbage", 10)), want: Protocol},

		{name: "from an address and port fine", kind: HTTP, set: func(s *Spec) { s.Socket = SocketSpec{BindTo: from.Addr(), BindPort: from.Port()} }, serve: func(c net.Conn) {
			if c.RemoteAddr().String() == from.String() {
				answer(okHead + "\r\n")(c)
			}
		}},
		{name: "by an interface fine", kind: UDP, set: func(s *Spec) { s.Socket.BindIf = "lo"; s.UDP = &UDPSpec{RequireReply: true} }, packet: reply(nil)},
	}
}

func writeOn(c net.Conn, piece string) {
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
}

// answerAndClose waits for the first bytes, sends s and ends its side.
func answerAndClose(s string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, s)
		c.(*net.TCPConn).CloseWrite()
		hold(c)
	}
}

// onlyFirst serves the first of each two connections and holds the second.
func onlyFirst(serve func(net.Conn)) func(net.Conn) {
	var mu sync.Mutex
	n := 0
	return func(c net.Conn) {
		mu.Lock()
		n++
		first := n%2 == 1
		mu.Unlock()
		if first {
			serve(c)
		} else {
			hold(c)
		}
	}
}

// clientFiles writes a certificate and its key.
func clientFiles(t *testing.T, cert tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pemFile(t, "CERTIFICATE", cert.Certificate[0]), pemFile(t, "PRIVATE KEY", key)
}

// TestPing pings this machine, or tells what must be allowed for it.
func TestPing(t *testing.T) {
	for _, target := range []string{"127.0.0.1:0", "[::1]:0"} {
		sp := spec("ping", func(s *Spec) { s.Kind, s.Target = Ping, netip.MustParseAddrPort(target) })
		c, err := NewChecker(sp, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := contextFor(t)
		defer cancel()
		err = c.Check(ctx)
		fd, may := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
		switch {
		case may == nil:
			unix.Close(fd)
			if err != nil && !(ReasonOf(err) == Unreachable || ReasonOf(err) == Resources) {
				t.Errorf("%s: %v", target, err)
			}
			if err != nil && target == "127.0.0.1:0" {
				t.Errorf("%s: %v", target, err)
			}
		case ReasonOf(err) != Config || !strings.Contains(err.Error(), "sysctl -w net.ipv4.ping_group_range"):
			t.Errorf("%s, forbidden: %v", target, err)
		}
	}
}

// TestSocketThatCannotBeHad says nothing about the server.
func TestSocketThatCannotBeHad(t *testing.T) {
	for what, socket := range map[string]SocketSpec{
		"bind to 192.0.2.77:0":          {BindTo: netip.MustParseAddr("192.0.2.77")},
		"bind to interface nonesuch0: ": {BindIf: "nonesuch0"},
	} {
		c, err := NewChecker(spec("x", func(s *Spec) { s.Socket = socket }), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); ReasonOf(err) != Config || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestExecAndFile: exit statuses and numbers as in keepalived.
func TestExecAndFile(t *testing.T) {
	dir := t.TempDir()
	gone := make(chan struct{})
	results := map[string]Ended{
		"0":    {},
		"1":    {Exit: 1, Text: "exit status 1", Output: "no disk"},
		"2":    {Exit: 2, Text: "exit status 2"},
		"255":  {Exit: 255, Text: "exit status 255"},
		"sig":  {Exit: -1, Text: "ended by signal 9"},
		"slow": {TimedOut: true, Exit: -1, Text: "timed out after 1s", Gone: gone},
		"none": {Err: os.ErrNotExist, Reason: Config, Exit: -1},
	}
	var env []string
	run := func(_ context.Context, p Program) Ended { env = p.Env; return results[p.Args[1]] }
	check := func(name string, sp Spec) string {
		t.Helper()
		sp.Target = netip.MustParseAddrPort("192.0.2.1:0")
		c, err := NewChecker(sp, run)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = c.Check(t.Context())
		if err != nil {
			return string(ReasonOf(err)) + ": " + detailOf(err)
		}
		if w := c.(weigher).weight(); w != nil {
			return fmt.Sprint("pass ", *w)
		}
		return "pass"
	}
	file := filepath.Join(dir, "number")
	for _, tc := range []struct{ what, how, want string }{
		{"exec", "0", "pass"},
		{"exec", "1", "exit: exit status 1: no disk"},
		{"exec", "2", "exit: exit status 2"},
		{"exec", "sig", "exit: ended by signal 9"},
		{"exec", "slow", "timeout: timed out after 1s"},
		{"exec", "none", "config: file does not exist"},
		{"dynamic", "0", "pass"},
		{"dynamic", "1", "exit: exit status 1: no disk"},
		{"dynamic", "2", "pass 0"},
		{"dynamic", "255", "pass 253"},
		{"dynamic", "sig", "exit: ended by signal 9"},
		{"file", "0\n", "pass"},
		{"file", " -0 ", "pass"},
		{"file", "7", "file: " + file + " has 7, wanted 0"},
		{"file", "", "config: " + file + ` has "", which is no decimal number from -2147483648 to 2147483647`},
		{"file", strings.Repeat(" ", 70) + "1", "config: " + file + ` has "", which is no decimal number from -2147483648 to 2147483647`},
		{"file", "0x1", "config: " + file + ` has "0x1", which is no decimal number from -2147483648 to 2147483647`},
		{"weight", "3", "pass 4"},
		{"weight", "5", "pass 0"},
		{"weight", "6", "file: " + file + " has 6, which makes a weight of -2"},
		{"weight", "-40000", "pass 65535"},
		{"weight", "-2147483648", "pass 65535"},
	} {
		sp := spec(tc.what, func(s *Spec) {
			switch tc.what {
			case "exec", "dynamic":
				s.Kind, s.Exec = Exec, &ExecSpec{Args: []string{"/bin/x", tc.how}, Dynamic: tc.what == "dynamic"}
			default:
				s.Kind, s.File = File, &FileSpec{Path: file}
				if tc.what == "weight" {
					s.File.Dynamic, s.File.Multiplier, s.File.Weight = true, -2, 10
				}
				if err := os.WriteFile(file, []byte(tc.how), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
		if got := check(tc.what+" "+tc.how, sp); got != tc.want {
			t.Errorf("%s %q: %q, want %q", tc.what, tc.how, got, tc.want)
		}
	}
	if want := []string{"BATON_ADDRESS=192.0.2.1", "BATON_PORT=0", "BATON_CHECK=dynamic"}; fmt.Sprint(env) != fmt.Sprint(want) {
		t.Errorf("environment %q, want %q", env, want)
	}
	os.Remove(file)
	missing := spec("missing", func(s *Spec) { s.Kind, s.File = File, &FileSpec{Path: file} })
	if got := check("missing", missing); got != "pass" {
		t.Errorf("a missing file: %q", got)
	}
	missing.File = &FileSpec{Path: dir}
	if got := check("directory", missing); !strings.HasPrefix(got, "config: ") {
		t.Errorf("a directory: %q", got)
	}

	// A run that cannot be ended is waited for.
	slow := spec("slow", func(s *Spec) { s.Kind, s.Exec = Exec, &ExecSpec{Args: []string{"/bin/x", "slow"}} })
	c, err := NewChecker(slow, run)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Reason{Timeout, Resources, Timeout} {
		if i == 2 {
			close(gone)
		}
		if err := c.Check(t.Context()); ReasonOf(err) != want {
			t.Errorf("run %d: %v, want %s", i+1, err, want)
		}
	}
}

// TestRenewedCertificateIsUsed: a file that changes is read again, without a reload.
func TestRenewedCertificateIsUsed(t *testing.T) {
	old, oldCA := authority(t, time.Now().Add(time.Hour), "127.0.0.1")
	renewed, renewedCA := authority(t, time.Now().Add(2*time.Hour), "127.0.0.1")
	var mu sync.Mutex
	now := old
	target := server(t, overTLS(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		return &now, nil
	}}, answer(okHead+"\r\n")))
	c, err := NewChecker(Spec{
		ID: "a", Kind: HTTPS, Target: target, Interval: sec, Timeout: 5 * sec, HTTP: &HTTPSpec{TLS: TLSSpec{CAFile: oldCA}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, want Reason) {
		t.Helper()
		ctx, cancel := contextFor(t)
		defer cancel()
		if err := c.Check(ctx); ReasonOf(err) != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	try("first", "")
	mu.Lock()
	now = renewed
	mu.Unlock()
	try("the server's new certificate", TLS)
	if err := os.Rename(renewedCA, oldCA); err != nil {
		t.Fatal(err)
	}
	try("and the new authority", "")
	if err := os.Remove(oldCA); err != nil {
		t.Fatal(err)
	}
	try("no authority", Config)
}

// TestSpecsOfEveryKind: what can never work is told with its place and remedy.
func TestSpecsOfEveryKind(t *testing.T) {
	for _, tc := range []struct {
		kind Kind
		set  func(*Spec)
		want []string
	}{
		{DNS, with(&DNSSpec{Name: strings.Repeat("x", 70), Type: "AXFR", RCode: []string{"OK"}, Answer: []string{"x"}}), []string{
			`DNS.Name: "` + strings.Repeat("x", 60) + `" is not a domain name`, `DNS.Type: "AXFR" is not a type to ask for`, `DNS.RCode: "OK" is not a response code`, `DNS.Answer: "x" is not the data of a record of type AXFR`}},
		{DNS, with(&DNSSpec{Type: "A", Answer: []string{"www.example.org"}}), []string{`DNS.Answer: "www.example.org" is not the data of a record of type A`}},
		{DNS, with(&DNSSpec{Type: "TYPE65280"}), nil},
		{SMTP, with(&SMTPSpec{Helo: "a b", Security: "ssl"}), []string{`SMTP.Helo: "a b"`, `SMTP.Security: "ssl"`}},
		{SMTP, with(&SMTPSpec{TLS: TLSSpec{SkipVerify: true}}), []string{"SMTP.TLS: the conversation has no TLS"}},
		{SMTP, with(&SMTPSpec{Security: SMTPStartTLS, TLS: TLSSpec{KeyFile: "/k"}}), []string{"SMTP.TLS.CertFile: a certificate needs its key"}},
		{UDP, with(&UDPSpec{Payload: make([]byte, MaxDatagram+1), Reply: []byte("x"), ReplyMask: []byte("xx"), MinReply: -1, MaxReply: 70000}), []string{
			"UDP.Payload: 1401 bytes", "UDP.ReplyMask: 2 bytes for a reply of 1", "UDP.MinReply: -1", "UDP.MaxReply: 70000"}},
		{UDP, with(&UDPSpec{Reply: []byte("xyz"), MaxReply: 2}), []string{"UDP.MaxReply: 2"}},
		{GRPC, with(&GRPCSpec{Authority: "a/b", Service: strings.Repeat("x", 1025), TLS: TLSSpec{SkipVerify: true}}), []string{"GRPC.Authority", "GRPC.Service: 1025 bytes", "GRPC.TLS: the call is made without TLS"}},
		{Exec, func(s *Spec) {}, []string{"Exec.Args: is empty"}},
		{Exec, func(s *Spec) {
			s.Exec = &ExecSpec{Args: append([]string{"bin/../x", "a\x00"}, make([]string, 63)...)}
			s.Socket.BindIf = "eth0"
		}, []string{"Socket: kind exec opens no connection", `Exec.Args: "bin/../x" is not an absolute path`, `Exec.Args: "a\x00" has a zero byte`, "Exec.Args: 65 arguments"}},
		{File, func(s *Spec) {}, []string{"File.Path: is empty"}},
		{File, func(s *Spec) { s.File = &FileSpec{Path: "x", Multiplier: 1 << 31, Weight: 65536} }, []string{
			`File.Path: "x" is not an absolute path`, "File.Multiplier: 2147483648 is out of range", "File.Weight: 65536", "File.Multiplier: has no effect"}},
		{Ping, func(s *Spec) {
			s.Socket = SocketSpec{BindPort: 1, BindTo: netip.MustParseAddr("::1"), BindIf: "a b"}
			s.UDP = &UDPSpec{}
		}, []string{"Socket.BindTo: ::1 cannot reach 192.0.2.1", "Socket.BindPort", `Socket.BindIf: "a b"`, "UDP: kind ping has no settings"}},
		{HTTP, func(s *Spec) {
			s.HTTP = &HTTPSpec{Version: "3", More: make([]HTTPRequest, MaxRequests)}
			s.HTTP.More[1].Path = "x"
		}, []string{"HTTP.Version: there is no HTTP/3 here", "HTTP.More: 33 requests", `HTTP.More[1].Path: "x" is not a path`}},
		{HTTPS, func(s *Spec) {
			s.HTTP = &HTTPSpec{More: make([]HTTPRequest, 2), TLS: TLSSpec{CAFile: "/nonexistent"}}
		}, []string{"HTTP.TLS.CAFile: open /nonexistent"}},
	} {
		err := Validate(spec("x", func(s *Spec) { s.Kind = tc.kind; tc.set(s) }))
		var got []string
		if err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if len(got) != len(tc.want) {
			t.Errorf("%s: %d faults, want %d: %v", tc.kind, len(got), len(tc.want), err)
			continue
		}
		for i, w := range tc.want {
			if !strings.HasPrefix(got[i], `check "x": `+w) || !strings.HasSuffix(got[i], ")") {
				t.Errorf("%s: %s\nwant %s", tc.kind, got[i], w)
			}
		}
	}
}
