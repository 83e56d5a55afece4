package healthcheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// maxCAFile bounds the authorities' file, in bytes.
const maxCAFile = 4 << 20

// newTLS returns the conversation of kind https after the connection stands.
func newTLS(b *builder, h HTTPSpec, req *http.Request, j *judge) func(net.Conn) error {
	cfg := &tls.Config{
		ServerName:         serverName(b, h),
		InsecureSkipVerify: h.TLS.SkipVerify,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
	}
	if h.TLS.CAFile != "" {
		if h.TLS.SkipVerify {
			b.problem("HTTP.TLS.CAFile", "leave one of the two out", "has no effect with SkipVerify")
		}
		cfg.RootCAs = authorities(b, h.TLS.CAFile)
	}
	var request []byte
	if req != nil {
		request = encode(b, req)
	}
	return func(nc net.Conn) error {
		c := tls.Client(nc, cfg)
		if err := c.Handshake(); err != nil {
			return tlsError("TLS handshake", err)
		}
		if _, err := c.Write(request); err != nil {
			return tlsError("send request", err)
		}
		return tlsError("", j.response(c))
	}
}

// serverName is whom the certificate must name.
func serverName(b *builder, h HTTPSpec) string {
	name := h.TLS.ServerName
	if name == "" {
		name = h.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		name = strings.Trim(name, "[]")
	}
	if name == "" {
		return b.spec.Target.Addr().WithZone("").String()
	}
	if strings.ContainsAny(name, " \t\r\n/:@") && net.ParseIP(name) == nil {
		b.problem("HTTP.TLS.ServerName", "use the name that the certificate carries", "%q is not a host name", name)
	}
	return name
}

func authorities(b *builder, path string) *x509.CertPool {
	f, err := os.Open(path)
	if err != nil {
		b.unreadable("HTTP.TLS.CAFile", "make it readable for the user that checks run as", err)
		return nil
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	if err != nil {
		b.unreadable("HTTP.TLS.CAFile", "name a file", err)
		return nil
	}
	if len(pem) > maxCAFile {
		b.problem("HTTP.TLS.CAFile", "name a smaller one", "%s has more than %d bytes", path, maxCAFile)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		b.problem("HTTP.TLS.CAFile", "name a PEM file with certificates", "%s has no certificate", path)
		return nil
	}
	return pool
}

// tlsError gives what went wrong below HTTP its reason. An alert arrives as a
// net.OpError, in TLS 1.3 perhaps only with the first read.
func tlsError(doing string, err error) error {
	if err == nil {
		return nil
	}
	var op *net.OpError
	alert := errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
	if alert || doing != "" && ReasonOf(err) == Protocol {
		if errors.Is(err, io.EOF) {
			return failure(TLS, "%s: the server closed the connection", doing)
		}
		return failure(TLS, "%s", strings.TrimPrefix(doing+": "+err.Error(), ": "))
	}
	if doing == "" {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
