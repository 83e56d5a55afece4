package healthcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/encoding/protowire"
)

// healthMethod is the standard health service's, grpc/health/v1/health.proto.
const healthMethod = "/grpc.health.v1.Health/Check"

// Numbers of gRPC's status codes that have words here.
const (
	grpcOK            = "0"
	grpcNotFound      = "5"
	grpcUnimplemented = "12"
)

// healthNames are those of HealthCheckResponse.ServingStatus.
var healthNames = map[uint64]string{0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

// maxHealth bounds the answer's message in bytes; it has two.
const maxHealth = 4 << 10

// newGRPC returns the checker of kind grpc: one call of the health service.
func newGRPC(b *builder) Checker {
	g := GRPCSpec{}
	if b.spec.GRPC != nil {
		g = *b.spec.GRPC
	}
	authority := g.Authority
	if authority == "" {
		authority = b.spec.Target.String()
	} else if !httpguts.ValidHostHeader(authority) || strings.ContainsAny(authority, "/@ ") {
		b.problem("GRPC.Authority", "use NAME or NAME:PORT", "%q is not an authority", authority)
	}
	if len(g.Service) > 1024 {
		b.problem("GRPC.Service", "use up to 1024", "%d bytes are too many", len(g.Service))
	}
	var words bytes.Buffer
	if err := writeHTTP2(&words, b.scheme(), &http.Request{
		Method: http.MethodPost, Host: authority, URL: &url.URL{Path: healthMethod},
		Header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"baton-healthcheck"}},
	}, healthRequest(g.Service)); err != nil {
		b.problem("GRPC", "mend the call", "%v", err)
	}
	answer := func(c net.Conn) error { return g.answer(c) }
	d := b.dialog(stream)
	if g.Secure {
		d.talk = b.overTLS("GRPC.TLS", g.TLS, g.Authority, "h2", words.Bytes(), answer)
		return d
	}
	if g.TLS != (TLSSpec{}) {
		b.problem("GRPC.TLS", "set Secure, or leave it out", "the call is made without TLS")
	}
	d.opening, d.await, d.talk = words.Bytes(), true, answer
	return d
}

// healthRequest returns a HealthCheckRequest as gRPC frames it.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// answer reads what the server says to the call.
func (g *GRPCSpec) answer(c io.ReadWriter) error {
	s := readHTTP2(c)
	defer s.close()
	var kind, status, message string
	s.header = func(name, value string) {
		switch name {
		case "content-type":
			kind = value
		case "grpc-status":
			status = value
		case "grpc-message":
			message = value
		}
	}
	if err := s.final(); err != nil {
		return err
	}
	if s.status != http.StatusOK {
		return failure(Status, "HTTP status %d, which no gRPC server sends", s.status)
	}
	if !strings.HasPrefix(kind, "application/grpc") {
		return failure(Protocol, "content type %.60q is not gRPC's", kind)
	}
	raw, err := io.ReadAll(io.LimitReader(s, maxHealth+1))
	switch {
	case err != nil:
		return err
	case len(raw) > maxHealth:
		return failure(Protocol, "the answer has more than %d bytes", maxHealth)
	}
	switch status {
	case grpcOK:
	case "":
		return failure(Protocol, "the answer has no grpc-status")
	case grpcUnimplemented:
		return failure(Status, "the server has no health service (UNIMPLEMENTED %.100s)", message)
	case grpcNotFound:
		return failure(Status, "the server does not know the service %q (NOT_FOUND %.100s)", g.Service, message)
	default:
		return failure(Status, "grpc-status %.10q: %.100s", status, message)
	}
	serving, err := healthStatus(raw)
	switch {
	case err != nil:
		return failure(Protocol, "read the answer: %v", err)
	case serving == 1:
		return nil
	case healthNames[serving] == "":
		return failure(Status, "health status %d", serving)
	default:
		return failure(Status, "health status %s", healthNames[serving])
	}
}

// healthStatus reads a HealthCheckResponse as gRPC frames it.
func healthStatus(raw []byte) (uint64, error) {
	if len(raw) < 5 {
		return 0, fmt.Errorf("%d bytes are no message", len(raw))
	}
	if raw[0] != 0 {
		return 0, errors.New("it is compressed, which was not offered")
	}
	m := raw[5:]
	if n := binary.BigEndian.Uint32(raw[1:5]); uint64(n) != uint64(len(m)) {
		return 0, fmt.Errorf("a message of %d bytes in %d", n, len(m))
	}
	var status uint64
	for len(m) > 0 {
		number, typ, n := protowire.ConsumeTag(m)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		m = m[n:]
		if number == 1 && typ == protowire.VarintType {
			status, n = protowire.ConsumeVarint(m)
		} else {
			n = protowire.ConsumeFieldValue(number, typ, m)
		}
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		m = m[n:]
	}
	return status, nil
}
