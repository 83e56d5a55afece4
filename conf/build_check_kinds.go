package conf

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"baton/healthcheck"
)

func (*rawTCPCheck) word() string  { return "tcp_check" }
func (*rawHTTPGet) word() string   { return "http_get" }
func (*rawHTTPSGet) word() string  { return "https_get" }
func (*rawDNSCheck) word() string  { return "dns_check" }
func (*rawSMTPCheck) word() string { return "smtp_check" }
func (*rawUDPCheck) word() string  { return "udp_check" }
func (*rawPingCheck) word() string { return "ping_check" }
func (*rawGRPCCheck) word() string { return "grpc_check" }
func (*rawMiscCheck) word() string { return "misc_check" }
func (*rawFileCheck) word() string { return "file_check" }

func (*rawTCPCheck) kind() healthcheck.Kind  { return healthcheck.TCP }
func (*rawHTTPGet) kind() healthcheck.Kind   { return healthcheck.HTTP }
func (*rawHTTPSGet) kind() healthcheck.Kind  { return healthcheck.HTTPS }
func (*rawDNSCheck) kind() healthcheck.Kind  { return healthcheck.DNS }
func (*rawSMTPCheck) kind() healthcheck.Kind { return healthcheck.SMTP }
func (*rawUDPCheck) kind() healthcheck.Kind  { return healthcheck.UDP }
func (*rawPingCheck) kind() healthcheck.Kind { return healthcheck.Ping }
func (*rawGRPCCheck) kind() healthcheck.Kind { return healthcheck.GRPC }
func (*rawMiscCheck) kind() healthcheck.Kind { return healthcheck.Exec }
func (*rawFileCheck) kind() healthcheck.Kind { return healthcheck.File }

func (*rawTCPCheck) fill(*checkBuilder, *healthcheck.Spec, check)  {}
func (*rawPingCheck) fill(*checkBuilder, *healthcheck.Spec, check) {}

func (o *rawHTTPGet) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	s.HTTP = c.http(&o.rawHTTP, &tmpl.(*rawHTTPGet).rawHTTP)
}

func (o *rawHTTPSGet) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawHTTPSGet)
	s.HTTP = c.http(&o.rawHTTP, &t.rawHTTP)
	s.HTTP.TLS = c.tls("HTTP.TLS", &o.rawTLS, &t.rawTLS)
}

// http fills the requests: those of url, else one of the check's own keys.
func (c *checkBuilder) http(o, t *rawHTTP) *healthcheck.HTTPSpec {
	h := &healthcheck.HTTPSpec{}
	if v := from(c, "HTTP.Version", &o.Protocol, &t.Protocol).v; v != "1.1" {
		h.Version = v
	}
	urls := o.URLs
	if len(urls) == 0 {
		urls = t.URLs
	}
	if len(urls) == 0 {
		h.HTTPRequest = c.request("HTTP", &o.rawRequest, &o.rawRequest, &t.rawRequest)
		return h
	}
	for i := range urls {
		if i == 0 {
			h.HTTPRequest = c.request("HTTP", &urls[i].rawRequest, &o.rawRequest, &t.rawRequest)
			continue
		}
		h.More = append(h.More, c.request(fmt.Sprintf("HTTP.More[%d]", i-1), &urls[i].rawRequest, &o.rawRequest, &t.rawRequest))
	}
	return h
}

func (c *checkBuilder) request(at string, u, o, t *rawRequest) healthcheck.HTTPRequest {
	r := healthcheck.HTTPRequest{
		Method:       cmp.Or(from(c, at+".Method", &u.Method, &o.Method, &t.Method).v, "GET"),
		Path:         cmp.Or(from(c, at+".Path", &u.Path, &o.Path, &t.Path).v, "/"),
		Host:         from(c, at+".Host", &u.VirtualHost, &o.VirtualHost, &t.VirtualHost).v,
		BodyContains: from(c, at+".BodyContains", &u.BodyContains, &o.BodyContains, &t.BodyContains).v,
		BodyRegex:    from(c, at+".BodyRegex", &u.Regex, &o.Regex, &t.Regex).v,
		RegexNoMatch: from(c, at+".RegexNoMatch", &u.RegexNoMatch, &o.RegexNoMatch, &t.RegexNoMatch).v,
		BodySHA256:   from(c, at+".BodySHA256", &u.SHA256, &o.SHA256, &t.SHA256).v,
	}
	for _, x := range from(c, at+".Headers", &u.Headers, &o.Headers, &t.Headers).v {
		r.Headers = append(r.Headers, healthcheck.Header{Name: x.name, Value: x.value})
	}
	for _, x := range from(c, at+".Status", &u.StatusCode, &o.StatusCode, &t.StatusCode).v {
		r.Status = append(r.Status, healthcheck.StatusRange{Low: x.low, High: x.high})
	}
	return r
}

func (o *rawDNSCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawDNSCheck)
	s.DNS = &healthcheck.DNSSpec{
		Name:   from(c, "DNS.Name", &o.Name, &t.Name).v,
		Type:   from(c, "DNS.Type", &o.Type, &t.Type).v,
		TCP:    from(c, "DNS.TCP", &o.TCP, &t.TCP).v,
		RCode:  from(c, "DNS.RCode", &o.RCode, &t.RCode).v,
		Answer: from(c, "DNS.Answer", &o.Answer, &t.Answer).v,
	}
}

func (o *rawSMTPCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawSMTPCheck)
	security := from(c, "SMTP.Security", &o.Security, &t.Security)
	s.SMTP = &healthcheck.SMTPSpec{
		Helo:     from(c, "SMTP.Helo", &o.Helo, &t.Helo).v,
		Security: strings.TrimPrefix(security.v, "plain"),
	}
	if security.v != "plain" || security.bad {
		s.SMTP.TLS = c.tls("SMTP.TLS", &o.rawTLS, &t.rawTLS)
		return
	}
	c.noTLS(&o.rawTLS, `security = "starttls" or "tls"`)
}

func (o *rawUDPCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawUDPCheck)
	payload, reply := from(c, "UDP.Payload", &o.Payload, &t.Payload), from(c, "UDP.Reply", &o.Reply, &t.Reply)
	u := &healthcheck.UDPSpec{
		RequireReply: from(c, "UDP.RequireReply", &o.RequireReply, &t.RequireReply).v,
		MinReply:     from(c, "UDP.MinReply", &o.MinReplyLen, &t.MinReplyLen).v,
		MaxReply:     from(c, "UDP.MaxReply", &o.MaxReplyLen, &t.MaxReplyLen).v,
	}
	var mask []byte
	if u.Payload, mask = c.hexadecimal(payload); mask != nil {
		c.b.errorf(payload.path(), "%q has a ? in it, and what is sent is known", clip(payload.v)).remedy("write hexadecimal digits only")
	}
	u.Reply, u.ReplyMask = c.hexadecimal(reply)
	c.origin["UDP.ReplyMask"] = c.origin["UDP.Reply"]
	s.UDP = u
}

// hexadecimal reads bytes as pairs of hexadecimal digits, blanks between them
// or not. A ? is a digit that does not matter; mask is nil if there is none.
func (c *checkBuilder) hexadecimal(v *value[string]) (data, mask []byte) {
	digits := strings.ReplaceAll(v.v, " ", "")
	if digits == "" {
		return nil, nil
	}
	data, err := hex.DecodeString(strings.ReplaceAll(digits, "?", "0"))
	if err != nil {
		c.b.errorf(v.path(), "%q is not hexadecimal", clip(v.v)).remedy(`write two digits for each byte, as in "50 49 4e 47"; ? stands for any digit of a reply`)
		return nil, nil
	}
	if !strings.Contains(digits, "?") {
		return data, nil
	}
	for i := 0; i < len(digits); i += 2 {
		m := byte(0xff)
		if digits[i] == '?' {
			m &= 0x0f
		}
		if digits[i+1] == '?' {
			m &= 0xf0
		}
		mask = append(mask, m)
	}
	return data, mask
}

func (o *rawGRPCCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawGRPCCheck)
	secure := from(c, "GRPC.Secure", &o.TLS, &t.TLS)
	s.GRPC = &healthcheck.GRPCSpec{
		Service:   from(c, "GRPC.Service", &o.Service, &t.Service).v,
		Authority: from(c, "GRPC.Authority", &o.Authority, &t.Authority).v,
		Secure:    secure.v,
	}
	if secure.v || secure.bad {
		s.GRPC.TLS = c.tls("GRPC.TLS", &o.rawTLS, &t.rawTLS)
		return
	}
	c.noTLS(&o.rawTLS, "tls = true")
}

func (o *rawMiscCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawMiscCheck)
	path := from(c, "Exec.Args", &o.Path, &t.Path)
	if timeout := pick(&o.Timeout, &t.Timeout); timeout.set && !timeout.bad {
		s.Timeout = from(c, "Timeout", timeout).v.std()
	}
	s.Exec = &healthcheck.ExecSpec{Args: path.v, Dynamic: from(c, "Exec.Dynamic", &o.Dynamic, &t.Dynamic).v}
	if len(path.v) == 0 {
		s.Exec.Args = []string{"/bin/true"} // told here
		if !path.set && !c.b.recovered {
			c.b.errorf(o.base().path, "has no misc_path").remedy(`add misc_path = "/usr/local/bin/check"`)
		}
	}
}

func (o *rawFileCheck) fill(c *checkBuilder, s *healthcheck.Spec, tmpl check) {
	t := tmpl.(*rawFileCheck)
	file := from(c, "File.Path", &o.File, &t.File)
	s.File = &healthcheck.FileSpec{Path: file.v}
	if weight := from(c, "File.Multiplier", &o.Weight, &t.Weight).v; weight != 0 {
		c.b.individual = true // each server and node has its weight
		s.File.Dynamic, s.File.Multiplier, s.File.Weight = true, weight, c.rs.Weight.get(c.b.node)
	}
	if !file.set || file.bad {
		s.File.Path = "/"
		if !file.set && !c.b.recovered {
			c.b.errorf(o.base().path, "has no file").remedy(`add file = "/run/baton/weight"`)
		}
	} else if !filepath.IsAbs(file.v) {
		s.File.Path = "/"
		c.b.errorf(file.path(), "%q is not an absolute path", clip(file.v)).remedy("begin it with /")
	}
}
