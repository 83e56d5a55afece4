package conf

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"baton/healthcheck"
)

// checkText is a check on one line: what is asked, what is wanted, how often.
func checkText(c healthcheck.Spec) string {
	var b strings.Builder
	if h := c.HTTP; h != nil {
		writeRequest(&b, h.HTTPRequest)
		for _, r := range h.More {
			b.WriteString("then ")
			writeRequest(&b, r)
		}
		if h.Version != "" {
			fmt.Fprintf(&b, "http_protocol %s ", h.Version)
		}
		writeTLS(&b, h.TLS)
	}
	switch {
	case c.DNS != nil:
		writeSettings(&b, c.DNS)
	case c.SMTP != nil:
		fmt.Fprintf(&b, "helo_name %q security %q ", c.SMTP.Helo, c.SMTP.Security)
		writeTLS(&b, c.SMTP.TLS)
	case c.UDP != nil:
		fmt.Fprintf(&b, "payload %x require_reply %t reply %x/%x min_reply_len %d max_reply_len %d ",
			c.UDP.Payload, c.UDP.RequireReply, c.UDP.Reply, c.UDP.ReplyMask, c.UDP.MinReply, c.UDP.MaxReply)
	case c.GRPC != nil:
		fmt.Fprintf(&b, "service %q authority %q tls %t ", c.GRPC.Service, c.GRPC.Authority, c.GRPC.Secure)
		writeTLS(&b, c.GRPC.TLS)
	case c.Exec != nil:
		writeSettings(&b, c.Exec)
	case c.File != nil:
		writeSettings(&b, c.File)
	}
	fmt.Fprintf(&b, "at %s every %s timeout %s retry %d after %s rise %d",
		c.Target, format(c.Interval), format(c.Timeout), c.Retry, format(c.RetryDelay), c.Rise)
	b.WriteString(optional("warmup", span(c.Warmup)))
	if c.LogAllFailures {
		b.WriteString(" log_all_failures")
	}
	s := c.Socket
	b.WriteString(optional("bindto", addrText(s.BindTo)) + optional("bind_port", positive(uint32(s.BindPort))) + optional("bind_if", s.BindIf) + optional("fwmark", positive(s.FWMark)))
	return b.String()
}

func writeRequest(b *strings.Builder, r healthcheck.HTTPRequest) {
	fmt.Fprintf(b, "%s %s ", r.Method, r.Path)
	for _, x := range [][2]string{{"host", r.Host}, {"body_contains", r.BodyContains}, {"regex", r.BodyRegex}, {"sha256", r.BodySHA256}} {
		if x[1] != "" {
			fmt.Fprintf(b, "%s %q ", x[0], x[1])
		}
	}
	if r.RegexNoMatch {
		b.WriteString("regex_no_match ")
	}
	for _, x := range r.Headers {
		// The value may be a password: its hash shows that it changed.
		sum := sha256.Sum256([]byte(x.Value))
		fmt.Fprintf(b, "header %s (#%x) ", x.Name, sum[:3])
	}
	for _, x := range r.Status {
		fmt.Fprintf(b, "status %s ", x)
	}
}

func writeTLS(b *strings.Builder, t healthcheck.TLSSpec) {
	for _, x := range [][2]string{{"server_name", t.ServerName}, {"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}} {
		if x[1] != "" {
			fmt.Fprintf(b, "%s %q ", x[0], x[1])
		}
	}
	if t.SkipVerify {
		b.WriteString("without verification ")
	}
}

// writeSettings writes whatever is not at its default, by its name.
func writeSettings(b *strings.Builder, settings any) {
	raw, err := json.Marshal(settings)
	if err != nil {
		panic(err) // a Spec is plain data
	}
	if s := string(raw); s != "{}" {
		b.WriteString(s + " ")
	}
}
