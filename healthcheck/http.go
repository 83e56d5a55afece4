package healthcheck

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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

// newHTTP returns the checker of kinds http and https: one HTTP/1.1 request,
// whose connection is not kept.
func newHTTP(b *builder) Checker {
	h := HTTPSpec{}
	if b.spec.HTTP != nil {
		h = *b.spec.HTTP
	}
	req := h.request(b)
	j := h.judge(b, req)
	d := b.dialog(stream)
	if b.spec.Kind == HTTPS {
		d.talk = newTLS(b, h, req, j)
		return d
	}
	if h.TLS != (TLSSpec{}) {
		b.problem("HTTP.TLS", "use kind https", "kind http has no TLS")
	}
	if req != nil {
		d.opening = encode(b, req)
	}
	d.await = true
	d.talk = func(c net.Conn) error { return j.response(c) }
	return d
}

// request returns the request, nil when it cannot be made.
func (h *HTTPSpec) request(b *builder) *http.Request {
	before := len(b.problems)
	method := h.Method
	if method == "" {
		method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(method) || method == http.MethodConnect {
		b.problem("HTTP.Method", "use GET, HEAD, OPTIONS or another method in capitals", "%q is not a method for a check", method)
	}
	path := h.Path
	if path == "" {
		path = "/"
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || path[0] != '/' || strings.ContainsAny(path, "# ") {
		b.problem("HTTP.Path", `begin it with "/" and escape what is not allowed in a URL`, "%q is not a path", path)
	}
	host := h.Host
	if host == "" {
		host = defaultHost(b.spec.Target, b.spec.Kind)
	} else if !httpguts.ValidHostHeader(host) || strings.ContainsAny(host, "/@ ") {
		b.problem("HTTP.Host", "use NAME or NAME:PORT", "%q is not a host", host)
	}
	header := http.Header{"User-Agent": {"baton-healthcheck"}}
	own := http.Header{}
	for _, f := range h.Headers {
		name := http.CanonicalHeaderKey(f.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(f.Name):
			b.problem("HTTP.Headers", "use letters, digits and hyphens", "%q is not a header name", f.Name)
		case !httpguts.ValidHeaderFieldValue(f.Value):
			b.problem("HTTP.Headers", "leave control characters out", "the value of %q has control characters", f.Name)
		case slices.Contains(reservedHeaders, name):
			b.problem("HTTP.Headers", "leave it out; Host has its own setting", "%q is set by the check itself", name)
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
func encode(b *builder, req *http.Request) []byte {
	var buf bytes.Buffer
	if err := req.Write(&buf); err != nil {
		b.problem("HTTP", "mend the request", "%v", err)
		return nil
	}
	if buf.Len() > MaxRequest {
		b.problem("HTTP", "shorten path and headers", "the request has %d bytes, more than %d", buf.Len(), MaxRequest)
	}
	return buf.Bytes()
}

// judge returns what decides about the answer to req.
func (h *HTTPSpec) judge(b *builder, req *http.Request) *judge {
	j := &judge{request: req, status: h.Status, contains: []byte(h.BodyContains)}
	if len(j.status) == 0 {
		j.status = []StatusRange{{200, 299}}
	}
	for _, r := range h.Status {
		if r.Low < 100 || r.High > 999 || r.Low > r.High {
			b.problem("HTTP.Status", "use codes from 100 to 999, the lower one first", "%v is not a range of status codes", r)
		}
	}
	if h.BodyRegex != "" {
		var err error
		if j.regex, err = regexp.Compile(h.BodyRegex); err != nil {
			b.problem("HTTP.BodyRegex", "use RE2 syntax", "%v", err)
		}
	}
	j.without = h.RegexNoMatch
	if h.RegexNoMatch && h.BodyRegex == "" {
		b.problem("HTTP.RegexNoMatch", "leave it out, or add an expression", "there is no expression that must not match")
	}
	if h.BodySHA256 != "" {
		sum, err := hex.DecodeString(h.BodySHA256)
		if err != nil || len(sum) != sha256.Size {
			b.problem("HTTP.BodySHA256", "use 64 hexadecimal digits, as sha256sum prints", "%q is not a SHA-256 sum", h.BodySHA256)
		}
		j.digest = sum
	}
	if j.body() && req != nil && req.Method == http.MethodHead {
		b.problem("HTTP.Method", "use GET", "the answer to HEAD has no body to look at")
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
