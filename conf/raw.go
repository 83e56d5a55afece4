package conf

import "net/netip"

// The raw layer: the file as it is written, one struct for each table. The
// tags are explained at keySpec; reference.toml and docs/config.md are tested
// against them.

type rawFile struct {
	Global         rawGlobal          `toml:"global"`
	Instances      []rawInstance      `toml:"vrrp_instance"`
	VirtualServers []rawVirtualServer `toml:"virtual_server"`
}

// place is embedded by the tables that must name themselves in a problem.
type place struct{ path string }

func (p *place) setPath(s string) { p.path = s }

type rawGlobal struct {
	RouterID         value[string]       `toml:"router_id" inherit:"the host name up to its first dot"`
	Nodes            value[[]string]     `toml:"nodes" inherit:"the names in the first per-node table"`
	VRRPVersion      value[int]          `toml:"vrrp_version" default:"3" range:"2…3"`
	VRRPStartupDelay nodeValue[duration] `toml:"vrrp_startup_delay" default:"0s" range:"0s…1h"`
	StartupDelayMax  nodeValue[duration] `toml:"startup_delay_max" default:"30s" range:"0s…10m"`
	ResyncInterval   nodeValue[duration] `toml:"resync_interval" default:"30s" range:"1s…1h"`
	DrainTimeout     nodeValue[duration] `toml:"drain_timeout" default:"1m" range:"0s…24h"`
	OnStop           nodeValue[string]   `toml:"on_stop" default:"keep" enum:"keep|remove"`
	LogFormat        nodeValue[string]   `toml:"log_format" default:"auto" enum:"auto|json|console"`
	LogLevel         nodeValue[string]   `toml:"log_level" default:"info" enum:"debug|info|warn|error"`
	RuntimeDir       nodeValue[string]   `toml:"runtime_dir" default:"/run/baton"`
	StateDir         nodeValue[string]   `toml:"state_dir" default:"/var/lib/baton"`
	ControlSocket    nodeValue[string]   `toml:"control_socket" inherit:"control.sock in runtime_dir"`
	ControlGroup     nodeValue[string]   `toml:"control_group" inherit:"the group that Baton runs as"`
	ProberUser       nodeValue[string]   `toml:"prober_user" default:"baton"`
}

type rawInstance struct {
	place
	Name                    value[string]         `toml:"name" required:"\"VI_1\""`
	Interface               nodeValue[string]     `toml:"interface" required:"\"eth0\""`
	VirtualRouterID         value[int]            `toml:"virtual_router_id" range:"1…255" required:"51"`
	Priority                nodeValue[int]        `toml:"priority" default:"100" range:"1…255"`
	AdvertInt               value[duration]       `toml:"advert_int" default:"1s" range:"10ms…4m15s"`
	Version                 value[int]            `toml:"version" range:"2…3" inherit:"vrrp_version of [global]"`
	Nopreempt               nodeValue[bool]       `toml:"nopreempt" default:"false"`
	PreemptDelay            nodeValue[duration]   `toml:"preempt_delay" default:"0s" range:"0s…1h"`
	DownTimerAdverts        value[int]            `toml:"down_timer_adverts" default:"3" range:"1…100"`
	McastSrcIP              nodeValue[netip.Addr] `toml:"mcast_src_ip" inherit:"the interface's first address"`
	Checksum                nodeValue[string]     `toml:"checksum" default:"auto" enum:"auto|rfc9568|pseudo-header"`
	GARPMasterDelay         nodeValue[duration]   `toml:"garp_master_delay" default:"5s" range:"0s…1h"`
	GARPMasterRepeat        nodeValue[int]        `toml:"garp_master_repeat" default:"5" range:"1…100"`
	GARPMasterRefresh       nodeValue[duration]   `toml:"garp_master_refresh" default:"60s" range:"0s…24h"`
	GARPMasterRefreshRepeat nodeValue[int]        `toml:"garp_master_refresh_repeat" default:"1" range:"1…100"`
	HandoverLinger          nodeValue[duration]   `toml:"handover_linger" default:"2s" range:"0s…1h"`
	VirtualIPAddress        []rawAddress          `toml:"virtual_ipaddress" required:"[\"192.168.16.200/24\"]"`
}

type rawAddress struct {
	place
	Address value[string]     `toml:"address" shorthand:"true" required:"\"192.168.16.200/24\""`
	Dev     nodeValue[string] `toml:"dev" inherit:"interface of the instance"`
	Label   nodeValue[string] `toml:"label" inherit:"none"`
	Scope   value[string]     `toml:"scope" default:"global" enum:"global|site|link"`
}

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
