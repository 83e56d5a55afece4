// Package healthcheck tells whether real servers answer. It schedules any
// number of checks on absolute deadlines, judges the answers and reports a
// verdict when a server's state is first known and whenever it changes. It
// acts on nothing and logs nothing.
package healthcheck

import (
	"net/netip"
	"strconv"
	"time"
)

// Kind names a way of checking.
type Kind string

const (
	TCP   Kind = "tcp"   // a connection can be opened
	HTTP  Kind = "http"  // one HTTP/1.1 request is answered as wanted
	HTTPS Kind = "https" // the same over TLS
)

// Limits of a Spec's numbers.
const (
	MinInterval = 10 * time.Millisecond
	MaxInterval = 24 * time.Hour
	MaxTimeout  = time.Hour
	MaxCount    = 1000 // of Retry and Rise
)

// Spec is one check of one server. It is a plain value: JSON keeps it whole
// and reflect.DeepEqual tells whether it changed.
type Spec struct {
	ID         string         `json:"id"` // unique and stable, the caller's name for the check
	Kind       Kind           `json:"kind"`
	Target     netip.AddrPort `json:"target"`
	Interval   time.Duration  `json:"interval"`              // from one check to the next (keepalived's delay_loop), MinInterval to MaxInterval
	Timeout    time.Duration  `json:"timeout"`               // of one attempt from first packet to last byte, above 0, up to MaxTimeout
	Retry      int            `json:"retry,omitempty"`       // attempts after the first failure before the server is down, 0 to MaxCount
	RetryDelay time.Duration  `json:"retry_delay,omitempty"` // before each of them (delay_before_retry), 0 to MaxInterval
	Rise       int            `json:"rise,omitempty"`        // passes in a row that bring a down server up, 1 to MaxCount; 0 means 1
	HTTP       *HTTPSpec      `json:"http,omitempty"`        // kinds http and https; nil asks for "/" and wants a status of 200 to 299
}

// HTTPSpec is the request of an http or https check and what its answer must
// be. Every criterion that is set must hold; redirects are answers like any
// other and are not followed.
type HTTPSpec struct {
	Method       string        `json:"method,omitempty"`        // default GET
	Path         string        `json:"path,omitempty"`          // path and query, default "/"
	Host         string        `json:"host,omitempty"`          // Host header, default the target's address
	Headers      []Header      `json:"headers,omitempty"`       // besides Host, User-Agent and Connection
	Status       []StatusRange `json:"status,omitempty"`        // default 200 to 299
	BodyContains string        `json:"body_contains,omitempty"` // within the first MaxBody bytes
	BodyRegex    string        `json:"body_regex,omitempty"`    // RE2 syntax, matches anywhere within the first MaxBody bytes
	BodySHA256   string        `json:"body_sha256,omitempty"`   // 64 hexadecimal digits, of the whole body, which must not exceed MaxBody
	TLS          TLSSpec       `json:"tls,omitzero"`            // kind https
}

// Header is one request header.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// StatusRange is an inclusive range of HTTP status codes, 100 to 999.
type StatusRange struct {
	Low  int `json:"low"`
	High int `json:"high"`
}

// String returns "200" or "200-299".
func (r StatusRange) String() string {
	if r.Low == r.High {
		return strconv.Itoa(r.Low)
	}
	return strconv.Itoa(r.Low) + "-" + strconv.Itoa(r.High)
}

// TLSSpec says whom an https check expects. Its zero value verifies the
// server's certificate against the system's authorities.
type TLSSpec struct {
	ServerName string `json:"server_name,omitempty"` // SNI and the name the certificate must carry; default the Host without its port, else the target's address
	SkipVerify bool   `json:"skip_verify,omitempty"` // take any certificate, as keepalived does
	CAFile     string `json:"ca_file,omitempty"`     // PEM file of the only authorities to trust
}
