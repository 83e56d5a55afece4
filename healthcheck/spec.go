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
	HTTP  Kind = "http"  // HTTP requests are answered as wanted
	HTTPS Kind = "https" // the same over TLS
	DNS   Kind = "dns"   // a question is answered as wanted
	SMTP  Kind = "smtp"  // the server greets and takes commands
	UDP   Kind = "udp"   // a datagram is answered as wanted, or at least not refused
	Ping  Kind = "ping"  // an ICMP echo request is answered
	GRPC  Kind = "grpc"  // the standard health service says SERVING
	Exec  Kind = "exec"  // a program of the operator's says so
	File  Kind = "file"  // a number in a file says so
)

// Limits of a Spec's numbers.
const (
	MinInterval = 10 * time.Millisecond
	MaxInterval = 24 * time.Hour
	MaxTimeout  = time.Hour
	MaxCount    = 1000 // of Retry and Rise
	MaxRequests = 32   // of an HTTPSpec
	MaxDatagram = 1400 // bytes of a UDPSpec's Payload and Reply
	MaxWeight   = 65535
)

// Spec is one check of one server. It is a plain value: JSON keeps it whole
// and reflect.DeepEqual tells whether it changed. Each kind reads its own
// settings alone, and another kind's are a fault.
type Spec struct {
	ID         string         `json:"id"` // unique and stable, the caller's name for the check
	Kind       Kind           `json:"kind"`
	Target     netip.AddrPort `json:"target"`                // kinds ping, exec and file: the port may be 0
	Interval   time.Duration  `json:"interval"`              // from one check to the next (keepalived's delay_loop), MinInterval to MaxInterval
	Timeout    time.Duration  `json:"timeout"`               // of one attempt from first packet to last byte, above 0, up to MaxTimeout
	Retry      int            `json:"retry,omitempty"`       // attempts after the first failure before the server is down, 0 to MaxCount
	RetryDelay time.Duration  `json:"retry_delay,omitempty"` // before each of them (delay_before_retry), 0 to MaxInterval
	Rise       int            `json:"rise,omitempty"`        // passes in a row that bring a down server up, 1 to MaxCount; 0 means 1
	Warmup     time.Duration  `json:"warmup,omitempty"`      // bound of the random delay of the first attempt, 0 to MaxInterval; 0 means the shorter of Interval and a second

	// LogAllFailures: each failed attempt of a check that is up is told, not
	// only the one that brings it down.
	LogAllFailures bool `json:"log_all_failures,omitempty"`

	Socket SocketSpec `json:"socket,omitzero"` // not of kinds exec and file
	HTTP   *HTTPSpec  `json:"http,omitempty"`  // kinds http and https; nil asks for "/" and wants a status of 200 to 299
	DNS    *DNSSpec   `json:"dns,omitempty"`   // kind dns; nil asks for the root's SOA over UDP
	SMTP   *SMTPSpec  `json:"smtp,omitempty"`  // kind smtp; nil speaks without TLS
	UDP    *UDPSpec   `json:"udp,omitempty"`   // kind udp; nil sends an empty datagram and wants no reply
	GRPC   *GRPCSpec  `json:"grpc,omitempty"`  // kind grpc; nil asks for the server as a whole, without TLS
	Exec   *ExecSpec  `json:"exec,omitempty"`  // kind exec
	File   *FileSpec  `json:"file,omitempty"`  // kind file
}

// SocketSpec says from where a check reaches its server.
type SocketSpec struct {
	BindTo   netip.Addr `json:"bindto,omitzero"`     // source address, of the target's family
	BindPort uint16     `json:"bind_port,omitempty"` // source port, not of kind ping; 0: any
	BindIf   string     `json:"bind_if,omitempty"`   // interface, as SO_BINDTODEVICE takes it
	FWMark   uint32     `json:"fwmark,omitempty"`    // SO_MARK of every packet; 0: none
}

// HTTPSpec is what an http or https check asks and what the answers must be.
// Redirects are answers like any other and are not followed.
type HTTPSpec struct {
	HTTPRequest
	More    []HTTPRequest `json:"more,omitempty"`    // further requests, in this order, each on a connection of its own; up to MaxRequests in all
	Version string        `json:"version,omitempty"` // "1.1", the default, or "2": without TLS from the first byte on, with TLS by ALPN
	TLS     TLSSpec       `json:"tls,omitzero"`      // kind https
}

// HTTPRequest is one request and its answer. Every criterion that is set must hold.
type HTTPRequest struct {
	Method       string        `json:"method,omitempty"`         // default GET
	Path         string        `json:"path,omitempty"`           // path and query, default "/"
	Host         string        `json:"host,omitempty"`           // Host header, default the target's address
	Headers      []Header      `json:"headers,omitempty"`        // besides Host, User-Agent and Connection
	Status       []StatusRange `json:"status,omitempty"`         // default 200 to 299
	BodyContains string        `json:"body_contains,omitempty"`  // within the first MaxBody bytes
	BodyRegex    string        `json:"body_regex,omitempty"`     // RE2 syntax, matches anywhere within the first MaxBody bytes
	RegexNoMatch bool          `json:"regex_no_match,omitempty"` // BodyRegex must match nowhere
	BodySHA256   string        `json:"body_sha256,omitempty"`    // 64 hexadecimal digits, of the whole body, which must not exceed MaxBody
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

// TLSSpec says whom a check over TLS expects, and who it is itself. Its zero
// value verifies the server's certificate against the system's authorities.
// The files are read again when they change.
type TLSSpec struct {
	ServerName string `json:"server_name,omitempty"` // SNI and the name the certificate must carry; default the Host without its port, else the target's address
	SkipVerify bool   `json:"skip_verify,omitempty"` // take any certificate, as keepalived does
	CAFile     string `json:"ca_file,omitempty"`     // PEM file of the only authorities to trust
	CertFile   string `json:"cert_file,omitempty"`   // PEM file of the client's certificate and its intermediates
	KeyFile    string `json:"key_file,omitempty"`    // PEM file of its key, without a password
}

// DNSSpec is a question to a name server and what its answer must be.
type DNSSpec struct {
	Name   string   `json:"name,omitempty"`   // default "."
	Type   string   `json:"type,omitempty"`   // mnemonic of any type, or TYPE65280; default SOA
	TCP    bool     `json:"tcp,omitempty"`    // ask over TCP; else over UDP, and a truncated answer is good enough unless Answer is set
	RCode  []string `json:"rcode,omitempty"`  // response codes that pass, by mnemonic; default NOERROR
	Answer []string `json:"answer,omitempty"` // data that the answer section must have, each in a record of Type, as zone files write it: "192.0.2.1", "10 mx.example.org."
}

// How an SMTP check uses TLS.
const (
	SMTPPlain    = ""         // not at all
	SMTPStartTLS = "starttls" // by the command, RFC 3207
	SMTPImplicit = "tls"      // from the first byte on, RFC 8314
)

// SMTPSpec is the conversation of an smtp check: banner, EHLO (HELO where that
// is unknown), STARTTLS and EHLO again if wanted, QUIT.
type SMTPSpec struct {
	Helo     string  `json:"helo,omitempty"`     // name given with EHLO; default this host's name
	Security string  `json:"security,omitempty"` // SMTPPlain, SMTPStartTLS or SMTPImplicit
	TLS      TLSSpec `json:"tls,omitzero"`       // with the latter two; ServerName defaults to the target's address
}

// UDPSpec is a datagram and what must come back. Without RequireReply a server
// passes that sends no ICMP error within Timeout, which each attempt then takes.
type UDPSpec struct {
	Payload      []byte `json:"payload,omitempty"`       // up to MaxDatagram bytes
	RequireReply bool   `json:"require_reply,omitempty"` // a reply must come; implied by each of the following
	Reply        []byte `json:"reply,omitempty"`         // what the reply begins with, up to MaxDatagram bytes
	ReplyMask    []byte `json:"reply_mask,omitempty"`    // as long as Reply: the bits of it that count; nil: all
	MinReply     int    `json:"min_reply,omitempty"`     // least length in bytes, 0 to 65535
	MaxReply     int    `json:"max_reply,omitempty"`     // greatest length in bytes, 1 to 65535; 0: any
}

// GRPCSpec is a call of grpc.health.v1.Health/Check.
type GRPCSpec struct {
	Service   string  `json:"service,omitempty"`   // as the server has registered it; "": the server as a whole
	Authority string  `json:"authority,omitempty"` // :authority, default the target's address
	Secure    bool    `json:"secure,omitempty"`    // over TLS
	TLS       TLSSpec `json:"tls,omitzero"`        // with Secure; ServerName defaults to the Authority without its port
}

// ExecSpec is a program. Its exit status is the answer, as in keepalived's
// MISC_CHECK: 0 passes, all else fails; with Dynamic 2 to 255 passes with a
// weight of the status less 2. The environment names the server in
// BATON_ADDRESS, BATON_PORT and BATON_CHECK.
type ExecSpec struct {
	Args    []string `json:"args"` // Args[0] is an absolute path
	Dynamic bool     `json:"dynamic,omitempty"`
}

// FileSpec is a file with a decimal number. 0 passes and everything else fails,
// as in keepalived; a file that is missing counts as 0. With Dynamic the
// server's weight becomes Weight + number × Multiplier: below 0 the check
// fails, and MaxWeight is the most.
type FileSpec struct {
	Path       string `json:"path"` // absolute
	Dynamic    bool   `json:"dynamic,omitempty"`
	Multiplier int    `json:"multiplier,omitempty"` // −2³¹ + 1 to 2³¹ − 1; 0 means 1
	Weight     int    `json:"weight,omitempty"`     // the server's configured weight, 0 to MaxWeight
}
