package conf

import "net/netip"

type rawInstance struct {
	place
	Name             value[string]       `toml:"name" required:"\"VI_1\""`
	Interface        nodeValue[string]   `toml:"interface" required:"\"eth0\""`
	VirtualRouterID  value[int]          `toml:"virtual_router_id" range:"1…255" required:"51"`
	Priority         nodeValue[int]      `toml:"priority" default:"100" range:"1…255"`
	AdvertInt        value[duration]     `toml:"advert_int" default:"1s" range:"10ms…4m15s"`
	Version          value[int]          `toml:"version" range:"2…3" inherit:"vrrp_version of [global], 3 for IPv6"`
	Nopreempt        nodeValue[bool]     `toml:"nopreempt" default:"false"`
	PreemptDelay     nodeValue[duration] `toml:"preempt_delay" default:"0s" range:"0s…1h"`
	DownTimerAdverts value[int]          `toml:"down_timer_adverts" default:"3" range:"1…100"`
	Checksum         nodeValue[string]   `toml:"checksum" default:"auto" enum:"auto|rfc9568|pseudo-header"`
	HandoverLinger   nodeValue[duration] `toml:"handover_linger" default:"2s" range:"0s…1h"`

	VirtualIPAddress         []rawAddress `toml:"virtual_ipaddress" required:"[\"192.168.16.200/24\"]"`
	VirtualIPAddressExcluded []rawAddress `toml:"virtual_ipaddress_excluded" inherit:"none"`
	VirtualRoutes            []rawRoute   `toml:"virtual_routes" inherit:"none"`
	VirtualRules             []rawRule    `toml:"virtual_rules" inherit:"none"`

	McastSrcIP      nodeValue[netip.Addr]   `toml:"mcast_src_ip" inherit:"the interface's first address, over IPv6 its link-local one"`
	McastDstIP      value[netip.Addr]       `toml:"mcast_dst_ip" inherit:"vrrp_mcast_group4 or vrrp_mcast_group6 of [global]"`
	UnicastSrcIP    nodeValue[netip.Addr]   `toml:"unicast_src_ip" inherit:"the interface's first address, over IPv6 its link-local one"`
	UnicastPeer     nodeValue[[]netip.Addr] `toml:"unicast_peer" inherit:"adverts are multicast"`
	UnicastTTL      nodeValue[int]          `toml:"unicast_ttl" default:"255" range:"1…255"`
	UnicastTTLMin   nodeValue[int]          `toml:"unicast_ttl_min" default:"255" range:"1…255"`
	CheckUnicastSrc nodeValue[bool]         `toml:"check_unicast_src" default:"true"`
	Authentication  *rawAuthentication      `toml:"authentication" secret:"true"`

	UseVMAC      nodeValue[bool]   `toml:"use_vmac" default:"false"`
	VMACName     nodeValue[string] `toml:"vmac_name" inherit:"vrrp. and the virtual_router_id, as in vrrp.51; over IPv6 vrrp6.51"`
	VMACXmitBase nodeValue[bool]   `toml:"vmac_xmit_base" default:"false"`
	Accept       nodeValue[bool]   `toml:"accept" default:"true"`
	NoAccept     nodeValue[bool]   `toml:"no_accept" default:"false"`

	GARPMasterDelay         nodeValue[duration] `toml:"garp_master_delay" range:"0s…1h" inherit:"vrrp_garp_master_delay of [global]"`
	GARPMasterRepeat        nodeValue[int]      `toml:"garp_master_repeat" range:"1…100" inherit:"vrrp_garp_master_repeat of [global]"`
	GARPMasterRefresh       nodeValue[duration] `toml:"garp_master_refresh" range:"0s…24h" inherit:"vrrp_garp_master_refresh of [global]"`
	GARPMasterRefreshRepeat nodeValue[int]      `toml:"garp_master_refresh_repeat" range:"1…100" inherit:"vrrp_garp_master_refresh_repeat of [global]"`
	GARPLowerPrioDelay      nodeValue[duration] `toml:"garp_lower_prio_delay" range:"0s…1h" inherit:"vrrp_garp_lower_prio_delay of [global]"`
	GARPLowerPrioRepeat     nodeValue[int]      `toml:"garp_lower_prio_repeat" range:"0…100" inherit:"vrrp_garp_lower_prio_repeat of [global]"`
	GARPInterval            nodeValue[duration] `toml:"garp_interval" range:"0s…1s" inherit:"vrrp_garp_interval of [global]"`
	GNAInterval             nodeValue[duration] `toml:"gna_interval" range:"0s…1s" inherit:"vrrp_gna_interval of [global]"`

	rawTracks
	rawNotify
}

type rawAddress struct {
	place
	Address value[string]     `toml:"address" shorthand:"true" required:"\"192.168.16.200/24\""`
	Dev     nodeValue[string] `toml:"dev" inherit:"interface of the instance, with use_vmac its VMAC"`
	Label   nodeValue[string] `toml:"label" inherit:"none"`
	Scope   value[string]     `toml:"scope" default:"global" enum:"global|site|link"`
}

// rawRoute may also be written as ip route would: see expand.
type rawRoute struct {
	place
	broken bool                  // a text that made no sense, told already
	To     value[string]         `toml:"to" required:"\"192.0.2.0/24\""`
	Via    nodeValue[netip.Addr] `toml:"via" inherit:"the network is on dev itself"`
	Dev    nodeValue[string]     `toml:"dev" inherit:"the interface that via is reached by"`
	Src    nodeValue[netip.Addr] `toml:"src" inherit:"the kernel's choice"`
	Table  value[int]            `toml:"table" range:"1…4294967295" inherit:"254, which is main"`
	Metric value[int]            `toml:"metric" range:"1…4294967295" inherit:"the kernel's choice"`
	Scope  value[string]         `toml:"scope" enum:"global|site|link|host|nowhere" inherit:"the kernel's choice"`
	MTU    value[int]            `toml:"mtu" range:"68…65535" inherit:"that of the device"`
}

// rawRule may also be written as ip rule would: see expand.
type rawRule struct {
	place
	broken   bool              // as in rawRoute
	From     value[string]     `toml:"from" inherit:"any source"`
	To       value[string]     `toml:"to" inherit:"any destination"`
	IIF      nodeValue[string] `toml:"iif" inherit:"any interface"`
	OIF      nodeValue[string] `toml:"oif" inherit:"any interface"`
	FWMark   value[int]        `toml:"fwmark" range:"1…4294967295" inherit:"any mark"`
	Family   value[string]     `toml:"family" enum:"inet|inet6" inherit:"that of from or to, else that of the adverts"`
	Priority value[int]        `toml:"priority" range:"1…32765" required:"100"`
	Table    value[int]        `toml:"table" range:"1…4294967295" required:"100"`
}

type rawAuthentication struct {
	place
	AuthType value[string] `toml:"auth_type" default:"PASS" enum:"PASS"`
	AuthPass value[secret] `toml:"auth_pass" required:"\"…\""`
}
