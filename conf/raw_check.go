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
}

// rawChecks stand in a virtual_server as templates, in a real_server as its own.
type rawChecks struct {
	TCPCheck *rawTCPCheck `toml:"tcp_check"`
	HTTPGet  *rawHTTPGet  `toml:"http_get"`
	HTTPSGet *rawHTTPSGet `toml:"https_get"`
}

type rawTCPCheck struct {
	place
	rawTarget
	rawTimings
}

type rawHTTPGet struct {
	place
	rawTarget
	rawRequest
	rawTimings
}

type rawHTTPSGet struct {
	place
	rawTarget
	rawRequest
	rawTLS
	rawTimings
}

type rawTarget struct {
	ConnectIP   value[netip.Addr] `toml:"connect_ip" inherit:"the real server's address"`
	ConnectPort value[int]        `toml:"connect_port" range:"1…65535" inherit:"the real server's port"`
}

type rawRequest struct {
	Method       value[string]   `toml:"method" default:"GET"`
	Path         value[string]   `toml:"path" default:"/"`
	VirtualHost  value[string]   `toml:"virtualhost" inherit:"the address that is checked"`
	Headers      value[[]header] `toml:"headers" inherit:"none"`
	StatusCode   value[[]status] `toml:"status_code" inherit:"200-299"`
	BodyContains value[string]   `toml:"body_contains" inherit:"any body"`
	Regex        value[string]   `toml:"regex" inherit:"any body"`
	SHA256       value[string]   `toml:"sha256" inherit:"any body"`
}

type rawTLS struct {
	ServerName value[string] `toml:"server_name" inherit:"virtualhost, else the address"`
	Verify     value[bool]   `toml:"verify" default:"true"`
	CAFile     value[string] `toml:"ca_file" inherit:"the system's authorities"`
}
