package conf

import "net/netip"

// rawTimings are the keys that a real_server and each of its checks may have:
// what is not given comes from the next table outwards.
type rawTimings struct {
	DelayLoop        value[duration] `toml:"delay_loop" range:"10ms…24h" inherit:"that of the table around it"`
	ConnectTimeout   value[duration] `toml:"connect_timeout" range:"1ms…1h" inherit:"that of the table around it"`
	Retry            value[int]      `toml:"retry" range:"0…1000" inherit:"that of the table around it"`
	DelayBeforeRetry value[duration] `toml:"delay_before_retry" range:"0s…24h" inherit:"that of the table around it"`
	Rise             value[int]      `toml:"rise" range:"1…1000" inherit:"that of the table around it"`
	Warmup           value[duration] `toml:"warmup" range:"1ms…24h" inherit:"that of the table around it"`
	LogAllFailures   value[bool]     `toml:"log_all_failures" inherit:"that of the table around it"`
}

// rawNamed is a [check.NAME].
type rawNamed struct {
	place
	rawChecks
}

// rawChecks stand in a virtual_server as templates, in a real_server as its own.
type rawChecks struct {
	TCPCheck  []rawTCPCheck  `toml:"tcp_check" single:"true"`
	HTTPGet   []rawHTTPGet   `toml:"http_get" single:"true"`
	HTTPSGet  []rawHTTPSGet  `toml:"https_get" single:"true"`
	DNSCheck  []rawDNSCheck  `toml:"dns_check" single:"true"`
	SMTPCheck []rawSMTPCheck `toml:"smtp_check" single:"true"`
	UDPCheck  []rawUDPCheck  `toml:"udp_check" single:"true"`
	PingCheck []rawPingCheck `toml:"ping_check" single:"true"`
	GRPCCheck []rawGRPCCheck `toml:"grpc_check" single:"true"`
	MiscCheck []rawMiscCheck `toml:"misc_check" single:"true"`
	FileCheck []rawFileCheck `toml:"file_check" single:"true"`
}

// rawCheck is what every check has.
type rawCheck struct {
	place
	rawTimings
}

// rawReach is where a check goes to and comes from, rawPorts its ports.
type rawReach struct {
	ConnectIP value[netip.Addr]     `toml:"connect_ip" inherit:"the real server's address"`
	BindTo    nodeValue[netip.Addr] `toml:"bindto" inherit:"the kernel's choice"`
	BindIf    nodeValue[string]     `toml:"bind_if" inherit:"the one that the route says"`
	FWMark    value[int]            `toml:"fwmark" range:"1…4294967295" inherit:"none"`
}

type rawPorts struct {
	ConnectPort value[int] `toml:"connect_port" range:"1…65535" inherit:"the real server's port"`
	BindPort    value[int] `toml:"bind_port" range:"1…65535" inherit:"any"`
}

type rawTCPCheck struct {
	rawCheck
	rawReach
	rawPorts
}

type rawHTTPGet struct {
	rawCheck
	rawReach
	rawPorts
	rawHTTP
}

type rawHTTPSGet struct {
	rawCheck
	rawReach
	rawPorts
	rawHTTP
	rawTLS
}

// rawHTTP is one request, or with url several to which its other keys apply
// where they say nothing themselves.
type rawHTTP struct {
	Protocol value[string] `toml:"http_protocol" default:"1.1" enum:"1.1|2"`
	rawRequest
	URLs []rawURL `toml:"url" single:"true"`
}

type rawURL struct {
	place
	rawRequest
}

type rawRequest struct {
	Method       value[string]   `toml:"method" inherit:"GET"`
	Path         value[string]   `toml:"path" inherit:"/"`
	VirtualHost  value[string]   `toml:"virtualhost" inherit:"the address that is checked"`
	Headers      value[[]header] `toml:"headers" inherit:"none"`
	StatusCode   value[[]status] `toml:"status_code" inherit:"200-299"`
	BodyContains value[string]   `toml:"body_contains" inherit:"any body"`
	Regex        value[string]   `toml:"regex" inherit:"any body"`
	RegexNoMatch value[bool]     `toml:"regex_no_match" inherit:"false"`
	SHA256       value[string]   `toml:"sha256" inherit:"any body"`
}

type rawTLS struct {
	ServerName value[string] `toml:"server_name" inherit:"virtualhost or authority, else the address"`
	Verify     value[bool]   `toml:"verify" default:"true"`
	CAFile     value[string] `toml:"ca_file" inherit:"the system's authorities"`
	CertFile   value[string] `toml:"cert_file" inherit:"none"`
	KeyFile    value[string] `toml:"key_file" inherit:"none"`
}

type rawDNSCheck struct {
	rawCheck
	rawReach
	rawPorts
	Name   value[string] `toml:"name" inherit:". (the root)"`
	Type   value[string] `toml:"type" inherit:"SOA"`
	TCP    value[bool]   `toml:"tcp" default:"false"`
	RCode  value[texts]  `toml:"rcode" inherit:"NOERROR"`
	Answer value[texts]  `toml:"answer" inherit:"any answer"`
}

type rawSMTPCheck struct {
	rawCheck
	rawReach
	rawPorts
	Helo     value[string] `toml:"helo_name" inherit:"this host's name"`
	Security value[string] `toml:"security" default:"plain" enum:"plain|starttls|tls"`
	rawTLS
}

type rawUDPCheck struct {
	rawCheck
	rawReach
	rawPorts
	Payload      value[string] `toml:"payload" inherit:"an empty datagram"`
	RequireReply value[bool]   `toml:"require_reply" default:"false"`
	Reply        value[string] `toml:"reply" inherit:"any reply"`
	MinReplyLen  value[int]    `toml:"min_reply_len" default:"0" range:"0…65535"`
	MaxReplyLen  value[int]    `toml:"max_reply_len" range:"1…65535" inherit:"no limit"`
}

type rawPingCheck struct {
	rawCheck
	rawReach
}

type rawGRPCCheck struct {
	rawCheck
	rawReach
	rawPorts
	Service   value[string] `toml:"service" inherit:"the server as a whole"`
	Authority value[string] `toml:"authority" inherit:"the address that is checked"`
	TLS       value[bool]   `toml:"tls" default:"false"`
	rawTLS
}

type rawMiscCheck struct {
	rawCheck
	Path    value[command]  `toml:"misc_path" inherit:"that of the virtual_server's misc_check"`
	Timeout value[duration] `toml:"misc_timeout" range:"1ms…1h" inherit:"connect_timeout"`
	Dynamic value[bool]     `toml:"misc_dynamic" default:"false"`
}

type rawFileCheck struct {
	rawCheck
	File   value[string] `toml:"file" inherit:"that of the virtual_server's file_check"`
	Weight value[int]    `toml:"weight" default:"0" range:"-2147483647…2147483647"`
}
