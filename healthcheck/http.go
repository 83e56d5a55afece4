package healthcheck

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// MaxRequest bounds a request in bytes: it is sent in one go, into the buffer
// of a new socket.
const MaxRequest = 8 << 10

// reservedHeaders are set by the check itself.
var reservedHeaders = []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade", "Expect"}

// HTTP versions of an HTTPSpec.
const (
	version11 = "1.1"
	version2  = "2"
)

// newHTTP returns the checker of kinds http and https: one request for each
// connection, which is not kept.
func newHTTP(b *builder) Checker {
	h := HTTPSpec{}
	if b.spec.HTTP != nil {
		h = *b.spec.HTTP
	}
	if h.Version == "" {
		h.Version = version11
	}
	if h.Version != version11 && h.Version != version2 {
		b.problem("HTTP.Version", `use "1.1" or "2"`, "there is no HTTP/%.20s here", h.Version)
	}
	if n := 1 + len(h.More); n > MaxRequests {
		b.problem("HTTP.More", fmt.Sprintf("use up to %d, or several checks", MaxRequests), "%d requests are too many", n)
	}
	first := b.request(&h, "HTTP", &h.HTTPRequest)
	last := first
	for i := range min(len(h.More), MaxRequests) {
		last.next = b.request(&h, fmt.Sprintf("HTTP.More[%d]", i), &h.More[i])
		last = last.next
	}
	if b.spec.Kind == HTTP && h.TLS != (TLSSpec{}) {
		b.problem("HTTP.TLS", "use kind https", "kind http has no TLS")
	}
	return first
}

// request returns the dialog of one request; field is its name in problems.
func (b *builder) request(h *HTTPSpec, field string, r *HTTPRequest) *dialog {
	req := r.request(b, field)
	j := r.judge(b, field, req)
	var words []byte
	if req != nil {
		words = encode(b, field, req, h.Version)
	}
	answer, listen := func(c net.Conn) error { return j.response(c) }, j.response
	if h.Version == version2 {
		answer, listen = j.exchange, nil
	}
	d := b.dialog(stream)
	if b.spec.Kind == HTTP {
		d.opening, d.await, d.talk, d.listen = words, true, answer, listen
		return d
	}
	protocol := "http/1.1"
	if h.Version == version2 {
		protocol = "h2"
	}
	d.talk = b.overTLS("HTTP.TLS", h.TLS, r.Host, protocol, words, answer)
	return d
}

// overTLS returns what is to be said on a new connection: handshake, words, answer.
func (b *builder) overTLS(field string, t TLSSpec, host, protocol string, words []byte, answer func(net.Conn) error) func(net.Conn) error {
	s := b.secure(field, t, host, protocol)
	return func(nc net.Conn) error {
		c, err := s.client(nc)
		if err != nil {
			return err
		}
		if _, err := c.Write(words); err != nil {
			return tlsError("send request", err)
		}
		return tlsError("", answer(c))
	}
}

// request returns the request, nil when it cannot be made.
func (h *HTTPRequest) request(b *builder, field string) *http.Request {
	before := len(b.problems)
	method := h.Method
	if method == "" {
		method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(method) || method == http.MethodConnect {
		b.problem(field+".Method", "use GET, HEAD, OPTIONS or another method in capitals", "%q is not a method for a check", method)
	}
	path := h.Path
	if path == "" {
		path = "/"
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || path[0] != '/' || strings.ContainsAny(path, "# ") {
		b.problem(field+".Path", `begin it with "/" and escape what is not allowed in a URL`, "%q is not a path", path)
	}
	host := h.Host
	if host == "" {
		host = defaultHost(b.spec.Target, b.spec.Kind)
	} else if !httpguts.ValidHostHeader(host) || strings.ContainsAny(host, "/@ ") {
		b.problem(field+".Host", "use NAME or NAME:PORT", "%q is not a host", host)
	}
	header := http.Header{"User-Agent": {"baton-healthcheck"}}
	own := http.Header{}
	for _, f := range h.Headers {
		name := http.CanonicalHeaderKey(f.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(f.Name):
			b.problem(field+".Headers", "use letters, digits and hyphens", "%q is not a header name", f.Name)
		case !httpguts.ValidHeaderFieldValue(f.Value):
			b.problem(field+".Headers", "leave control characters out", "the value of %q has control characters", f.Name)
		case slices.Contains(reservedHeaders, name):
			b.problem(field+".Headers", "leave it out; Host has its own setting", "%q is set by the check itself", name)
		default:
			own.Add(name, f.Value)
		}
	}
	for name, values := range own {
		header[name] = values
	}
	if len(b.problems) > before {
		return nil
	}
	return &http.Request{
		Method: method, URL: u, Host: host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Close: true,
	}
}

// encode returns the request as it is sent.
func encode(b *builder, field string, req *http.Request, version string) []byte {
	var buf bytes.Buffer
	var err error
	if version == version2 {
		err = writeHTTP2(&buf, b.scheme(), req, nil)
	} else {
		err = req.Write(&buf)
	}
	if err != nil {
		b.problem(field, "mend the request", "%v", err)
		return nil
	}
	if buf.Len() > MaxRequest {
		b.problem(field, "shorten path and headers", "the request has %d bytes, more than %d", buf.Len(), MaxRequest)
	}
	return buf.Bytes()
}

func (b *builder) scheme() string {
	if b.spec.Kind == HTTPS || b.spec.GRPC != nil && b.spec.GRPC.Secure {
		return "https"
	}
	return "http"
}

// judge returns what decides about the answer to req.
func (h *HTTPRequest) judge(b *builder, field string, req *http.Request) *judge {
	j := &judge{request: req, status: h.Status, contains: []byte(h.BodyContains)}
	if len(j.status) == 0 {
		j.status = []StatusRange{{200, 299}}
	}
	for _, r := range h.Status {
		if r.Low < 100 || r.High > 999 || r.Low > r.High {
			b.problem(field+".Status", "use codes from 100 to 999, the lower one first", "%v is not a range of status codes", r)
		}
	}
	if h.BodyRegex != "" {
		var err error
		if j.regex, err = regexp.Compile(h.BodyRegex); err != nil {
			b.problem(field+".BodyRegex", "use RE2 syntax", "%v", err)
		}
	}
	j.without = h.RegexNoMatch
	if h.RegexNoMatch && h.BodyRegex == "" {
		b.problem(field+".RegexNoMatch", "leave it out, or add an expression", "there is no expression that must not match")
	}
	if h.BodySHA256 != "" {
		sum, err := hex.DecodeString(h.BodySHA256)
		if err != nil || len(sum) != sha256.Size {
			b.problem(field+".BodySHA256", "use 64 hexadecimal digits, as sha256sum prints", "%q is not a SHA-256 sum", h.BodySHA256)
		}
		j.digest = sum
	}
	if j.body() && req != nil && req.Method == http.MethodHead {
		b.problem(field+".Method", "use GET", "the answer to HEAD has no body to look at")
	}
	return j
}

// defaultHost is the target as a Host header: without the scheme's own port.
func defaultHost(t netip.AddrPort, k Kind) string {
	port := strconv.Itoa(int(t.Port()))
	if k == HTTP && port == "80" || k == HTTPS && port == "443" {
		if t.Addr().Is6() {
			return "[" + t.Addr().WithZone("").String() + "]"
		}
		return t.Addr().String()
	}
	return net.JoinHostPort(t.Addr().WithZone("").String(), port)
}
