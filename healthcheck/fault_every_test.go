package healthcheck

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// secureFaults are the ways of fault 21 over TLS: in the handshake, and behind it.
func secureFaults(t *testing.T) []fault {
	cert, ca := authority(t, time.Now().Add(24*time.Hour), "127.0.0.1")
	own := &tls.Config{Certificates: []tls.Certificate{cert}}
	trusting := &HTTPSpec{TLS: TLSSpec{CAFile: ca}}
	needle := &HTTPSpec{HTTPRequest: HTTPRequest{BodyContains: "needle"}, TLS: TLSSpec{CAFile: ca}}
	secure := with(&GRPCSpec{Secure: true, TLS: TLSSpec{CAFile: ca}})
	wantTLS := with(&SMTPSpec{Security: SMTPImplicit, TLS: TLSSpec{CAFile: ca}})
	long := strings.Repeat("x", 8192)
	return []fault{
		{name: "https refused", kind: HTTPS, http: trusting, target: closedPort, want: Refused},
		{name: "https black hole", kind: HTTPS, http: trusting, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "https reset in the handshake", kind: HTTPS, http: trusting, serve: resetAtOnce, want: Reset},
		{name: "https reset after the request", kind: HTTPS, http: trusting, serve: func(c net.Conn) {
			overTLS(own, func(tc net.Conn) { readRequest(tc); reset(c); c.Close() })(c)
		}, want: Reset},
		{name: "https slow drip in the handshake", kind: HTTPS, http: trusting, serve: dripAtOnce("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"), want: Timeout},
		{name: "https endless handshake", kind: HTTPS, http: trusting, serve: func(c net.Conn) {
			writeOn(c, "\x16\x03\x03\x40\x00\x02\xff\xff\xff"+strings.Repeat("\x00", 0x4000-4))
		}, want: TLS},
		{name: "https endless header", kind: HTTPS, http: trusting, serve: overTLS(own, endless(okHead, "X-Y: "+long+"\r\n", 0)), want: Protocol, detail: "header has more than"},
		{name: "https slow drip in the header", kind: HTTPS, http: trusting, serve: overTLS(own, endless(okHead, "X: y\r\n", 5*ms)), want: Timeout},
		{name: "https endless body", kind: HTTPS, http: needle, serve: overTLS(own, endless(okHead+"\r\n", long, 0)), want: Body, detail: "only the first"},
		{name: "https slow drip in the body", kind: HTTPS, http: needle, serve: overTLS(own, endless(okHead+"\r\n", "x", 5*ms)), want: Timeout},
		{name: "https truncated body", kind: HTTPS, http: needle, serve: overTLS(own, answer(okHead+"Content-Length: 100\r\n\r\nneedle")), want: Protocol, detail: "before the body's end"},

		{name: "grpc in TLS, bad TLS", kind: GRPC, set: secure, serve: answerAtOnce("\x16\x03\x03\x00\x04\x02\x00\x00\x00"), want: TLS},
		{name: "grpc in TLS, hang in the handshake", kind: GRPC, set: secure, serve: hold, want: Timeout},
		{name: "smtp in TLS, bad TLS", kind: SMTP, set: wantTLS, serve: answerAtOnce("220 hello\r\n"), want: TLS},
		{name: "smtp in TLS, hang in the handshake", kind: SMTP, set: wantTLS, serve: hold, want: Timeout},
		{name: "smtp in TLS, hang behind it", kind: SMTP, set: wantTLS, serve: overTLS(own, hold), want: Timeout},
	}
}

// frameFaults are those of what speaks HTTP/2: http and grpc; and what was left
// of the other kinds that have connections.
func frameFaults() []fault {
	h2 := ask("/", func(h *HTTPSpec) { h.BodyContains = "needle" })
	overStream := with(&DNSSpec{TCP: true})
	// head is a header that says so much.
	head := func(f *http2.Framer, end bool, fields ...string) {
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for i := 0; i < len(fields); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
	begun := func(then func(*http2.Framer)) func(net.Conn) {
		return frames(func(f *http2.Framer) {
			f.WriteSettings()
			head(f, false, ":status", "200", "content-type", "application/grpc")
			then(f)
		})
	}
	data := func(piece string, pause time.Duration) func(*http2.Framer) {
		return func(f *http2.Framer) {
			for tick := time.NewTicker(max(pause, 1)); f.WriteData(1, false, []byte(piece)) == nil; {
				if pause > 0 {
					<-tick.C
				}
			}
		}
	}
	continued := frames(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
		for f.WriteContinuation(1, false, make([]byte, 4096)) == nil {
		}
	})
	serving := []byte("\x00\x00\x00\x00\x02\x08\x01")
	return []fault{
		{name: "http/2 refused", kind: HTTP, http: h2, target: closedPort, want: Refused},
		{name: "http/2 black hole", kind: HTTP, http: h2, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "http/2 reset", kind: HTTP, http: h2, serve: resetAtOnce, want: Reset},
		{name: "http/2 slow drip in the body", kind: HTTP, http: h2, serve: begun(data("x", 5*ms)), want: Timeout},
		{name: "http/2 hang after the header", kind: HTTP, http: h2, serve: begun(func(*http2.Framer) {}), want: Timeout},

		{name: "grpc black hole", kind: GRPC, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "grpc hang after the header", kind: GRPC, serve: begun(func(*http2.Framer) {}), want: Timeout},
		{name: "grpc endless header", kind: GRPC, serve: continued, want: Protocol},
		{name: "grpc endless body", kind: GRPC, serve: begun(data(strings.Repeat("x", 1000), 0)), want: Protocol, detail: "more than 4096 bytes"},
		{name: "grpc slow drip", kind: GRPC, serve: begun(data("x", 5*ms)), want: Timeout},
		{name: "grpc closed", kind: GRPC, serve: answerAndClose(""), want: Protocol, detail: "closed before the answer's end"},
		{name: "grpc fine by hand", kind: GRPC, serve: begun(func(f *http2.Framer) { f.WriteData(1, false, serving); head(f, true, "grpc-status", "0") })},
		{name: "grpc without its status", kind: GRPC, serve: begun(func(f *http2.Framer) { f.WriteData(1, true, serving) }), want: Protocol, detail: "no grpc-status"},
		{name: "grpc another status", kind: GRPC, serve: begun(func(f *http2.Framer) { head(f, true, "grpc-status", "14", "grpc-message", "busy") }), want: Status, detail: `grpc-status "14": busy`},
		{name: "grpc cut message", kind: GRPC, serve: begun(func(f *http2.Framer) { f.WriteData(1, false, serving[:6]); head(f, true, "grpc-status", "0") }), want: Protocol, detail: "a message of 2 bytes in 1"},
		{name: "grpc of another content", kind: GRPC, serve: frames(func(f *http2.Framer) { head(f, false, ":status", "200", "content-type", "text/html") }), want: Protocol, detail: "is not gRPC's"},

		{name: "smtp fine under its name", kind: SMTP, set: with(&SMTPSpec{Helo: "lvs.example.org"}), serve: func(c net.Conn) {
			io.WriteString(c, "220 hello\r\n")
			if line, _ := bufio.NewReader(c).ReadString('\n'); line == "EHLO lvs.example.org\r\n" {
				dialogue("250 hi", "221 bye")(c)
			}
		}},
		{name: "smtp slow drip", kind: SMTP, serve: func(c net.Conn) { drip(c, "220-x\r\n") }, want: Timeout},
		{name: "smtp reset at once", kind: SMTP, serve: reset, want: Reset},
		{name: "smtp unwilling to end", kind: SMTP, serve: dialogue("220 hello", "250 hi", "500 what?", ""), want: Status, detail: "the answer to QUIT is 500"},
		{name: "dns over TCP black hole", kind: DNS, set: overStream, target: blackHole, want: Timeout, detail: "no connection"},
		{name: "dns over TCP reset", kind: DNS, set: overStream, serve: resetAtOnce, want: Reset},
		{name: "dns over TCP slow drip", kind: DNS, set: overStream, serve: dripAtOnce("\xff\xff"), want: Timeout},
		{name: "dns over TCP endless", kind: DNS, set: overStream, serve: func(c net.Conn) { writeOn(c, strings.Repeat("\xff", 8192)) }, want: Protocol, detail: "no DNS message"},
	}
}

// resetAtOnce resets when the first bytes have come.
func resetAtOnce(c net.Conn) {
	c.Read(make([]byte, 1))
	reset(c)
}

// drip sends a piece each 5 ms.
func drip(c net.Conn, piece string) {
	tick := time.NewTicker(5 * ms)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
		<-tick.C
	}
}

// dripAtOnce waits for the first bytes, and sends its own and then one each 5 ms.
func dripAtOnce(begin string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, begin)
		drip(c, "\x00")
	}
}
