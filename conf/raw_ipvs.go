package conf

import "net/netip"

type rawVirtualServer struct {
	place
	Address                value[string]   `toml:"address" required:"\"192.168.16.200:80\""`
	Protocol               value[string]   `toml:"protocol" default:"TCP" enum:"TCP|UDP|SCTP"`
	LBAlgo                 value[string]   `toml:"lb_algo" default:"wlc" enum:"rr|wrr|lc|wlc|lblc|lblcr|sh|mh|dh|fo|ovf|sed|nq|twos"`
	LBKind                 value[string]   `toml:"lb_kind" enum:"DR|NAT|TUN" required:"\"DR\""`
	SHPort                 value[bool]     `toml:"sh-port" default:"false"`
	SHFallback             value[bool]     `toml:"sh-fallback" default:"false"`
	MHPort                 value[bool]     `toml:"mh-port" default:"false"`
	MHFallback             value[bool]     `toml:"mh-fallback" default:"false"`
	OPS                    value[bool]     `toml:"ops" default:"false"`
	PersistenceTimeout     value[duration] `toml:"persistence_timeout" default:"0s" range:"0s…744h"`
	PersistenceGranularity value[string]   `toml:"persistence_granularity" inherit:"each client by itself"`
	DelayLoop              value[duration] `toml:"delay_loop" default:"60s" range:"10ms…24h"`
	ConnectTimeout         value[duration] `toml:"connect_timeout" default:"5s" range:"1ms…1h"`
	Retry                  value[int]      `toml:"retry" default:"1" range:"0…1000"`
	DelayBeforeRetry       value[duration] `toml:"delay_before_retry" range:"0s…24h" inherit:"1s for tcp_check, 3s for http_get and https_get"`
	Rise                   value[int]      `toml:"rise" default:"1" range:"1…1000"`
	InhibitOnFailure       value[bool]     `toml:"inhibit_on_failure" default:"false"`
	rawChecks
	RealServers []rawRealServer `toml:"real_server"`
}

type rawRealServer struct {
	place
	Address          value[string]  `toml:"address" required:"\"192.168.16.103:80\""`
	Weight           nodeValue[int] `toml:"weight" default:"1" range:"0…65535"`
	LBKind           value[string]  `toml:"lb_kind" enum:"DR|NAT|TUN" inherit:"that of the virtual_server"`
	InhibitOnFailure value[bool]    `toml:"inhibit_on_failure" inherit:"that of the virtual_server"`
	UThreshold       value[int]     `toml:"uthreshold" default:"0" range:"0…4294967295"`
	LThreshold       value[int]     `toml:"lthreshold" default:"0" range:"0…4294967295"`
	rawTimings
	rawChecks
}

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
