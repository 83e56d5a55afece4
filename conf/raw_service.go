package conf

import "baton/healthcheck"

// rawGroup is a virtual_server_group.
type rawGroup struct {
	place
	Name      value[string]  `toml:"name" required:"\"web\""`
	Addresses value[texts]   `toml:"addresses" inherit:"none"`
	FWMark    value[numbers] `toml:"fwmark" inherit:"none" range:"1…4294967295"`
}

type rawVirtualServer struct {
	place
	Address                value[texts]        `toml:"address" inherit:"fwmark or virtual_server_group says what is served"`
	FWMark                 value[int]          `toml:"fwmark" inherit:"address or virtual_server_group says what is served" range:"1…4294967295"`
	Group                  value[string]       `toml:"virtual_server_group" inherit:"address or fwmark says what is served"`
	IPFamily               value[string]       `toml:"ip_family" enum:"inet|inet6" inherit:"that of the first real_server"`
	Protocol               value[string]       `toml:"protocol" default:"TCP" enum:"TCP|UDP|SCTP"`
	LBAlgo                 value[string]       `toml:"lb_algo" default:"wlc" enum:"rr|wrr|lc|wlc|lblc|lblcr|sh|mh|dh|fo|ovf|sed|nq|twos"`
	LBKind                 value[string]       `toml:"lb_kind" enum:"DR|NAT|TUN" required:"\"DR\""`
	TunType                value[string]       `toml:"tun_type" default:"ipip" enum:"ipip|gue|gre"`
	TunPort                value[int]          `toml:"tun_port" range:"1…65535" inherit:"none, gue needs one"`
	TunCsum                value[string]       `toml:"tun_csum" default:"nocsum" enum:"nocsum|csum|remcsum"`
	SHPort                 value[bool]         `toml:"sh-port" default:"false"`
	SHFallback             value[bool]         `toml:"sh-fallback" default:"false"`
	MHPort                 value[bool]         `toml:"mh-port" default:"false"`
	MHFallback             value[bool]         `toml:"mh-fallback" default:"false"`
	OPS                    value[bool]         `toml:"ops" default:"false"`
	PersistenceTimeout     value[duration]     `toml:"persistence_timeout" default:"0s" range:"0s…744h"`
	PersistenceGranularity value[string]       `toml:"persistence_granularity" inherit:"each client by itself"`
	PersistenceEngine      value[string]       `toml:"persistence_engine" enum:"sip" inherit:"the client's address decides"`
	Alpha                  value[bool]         `toml:"alpha" default:"true"`
	Omega                  value[bool]         `toml:"omega" default:"false"`
	Quorum                 value[int]          `toml:"quorum" default:"1" range:"1…2147483647"`
	Hysteresis             value[int]          `toml:"hysteresis" default:"0" range:"0…2147483646"`
	QuorumUp               *rawCommand         `toml:"quorum_up" inherit:"none"`
	QuorumDown             *rawCommand         `toml:"quorum_down" inherit:"none"`
	NotifyTimeout          nodeValue[duration] `toml:"notify_timeout" range:"100ms…1h" inherit:"notify_timeout of [global]"`
	Sorry                  *rawSorryServer     `toml:"sorry_server" inherit:"none"`
	SorryInhibit           value[bool]         `toml:"sorry_server_inhibit" default:"false"`
	SlowStart              value[duration]     `toml:"slow_start" default:"0s" range:"0s…24h"`
	DrainTimeout           nodeValue[duration] `toml:"drain_timeout" range:"0s…24h" inherit:"drain_timeout of [global]"`
	PathCheck              value[bool]         `toml:"path_check" inherit:"true where a server has DR or TUN"`
	PathCheckInterval      value[duration]     `toml:"path_check_interval" default:"1m" range:"1s…24h"`
	DelayLoop              value[duration]     `toml:"delay_loop" default:"60s" range:"10ms…24h"`
	ConnectTimeout         value[duration]     `toml:"connect_timeout" default:"5s" range:"1ms…1h"`
	Retry                  value[int]          `toml:"retry" default:"1" range:"0…1000"`
	DelayBeforeRetry       value[duration]     `toml:"delay_before_retry" range:"0s…24h" inherit:"3s for http_get and https_get, else 1s"`
	Rise                   value[int]          `toml:"rise" default:"1" range:"1…1000"`
	Warmup                 value[duration]     `toml:"warmup" range:"1ms…24h" inherit:"the shorter of delay_loop and 1s"`
	LogAllFailures         value[bool]         `toml:"log_all_failures" default:"false"`
	Checks                 value[texts]        `toml:"checks" inherit:"none"`
	InhibitOnFailure       value[bool]         `toml:"inhibit_on_failure" default:"false"`
	rawChecks
	RealServers []rawRealServer `toml:"real_server"`

	alike   []likeness // the checks of servers that have nothing of their own
	alikeOn string     // node that they are for
}

type rawRealServer struct {
	place
	Address          value[string]   `toml:"address" required:"\"192.168.16.103:80\""`
	Weight           nodeValue[int]  `toml:"weight" default:"1" range:"0…65535"`
	InhibitOnFailure value[bool]     `toml:"inhibit_on_failure" inherit:"that of the virtual_server"`
	UThreshold       value[int]      `toml:"uthreshold" default:"0" range:"0…4294967295"`
	LThreshold       value[int]      `toml:"lthreshold" default:"0" range:"0…4294967295"`
	SlowStart        value[duration] `toml:"slow_start" range:"0s…24h" inherit:"that of the virtual_server"`
	NotifyUp         *rawCommand     `toml:"notify_up" inherit:"none"`
	NotifyDown       *rawCommand     `toml:"notify_down" inherit:"none"`
	Checks           value[texts]    `toml:"checks" inherit:"those of the virtual_server, none where checks stand here"`
	rawForward
	rawTimings
	rawChecks

	built  bool // its checks were, for another node: they are the same on all
	checks []healthcheck.Spec
}

type rawSorryServer struct {
	place
	Address value[string] `toml:"address" shorthand:"true" required:"\"192.168.16.250:80\""`
	rawForward
}

// rawForward is how a server is reached, where that is not as the
// virtual_server says.
type rawForward struct {
	LBKind  value[string] `toml:"lb_kind" enum:"DR|NAT|TUN" inherit:"that of the virtual_server"`
	TunType value[string] `toml:"tun_type" enum:"ipip|gue|gre" inherit:"that of the virtual_server"`
	TunPort value[int]    `toml:"tun_port" range:"1…65535" inherit:"that of the virtual_server"`
	TunCsum value[string] `toml:"tun_csum" enum:"nocsum|csum|remcsum" inherit:"that of the virtual_server"`
}
