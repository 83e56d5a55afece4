package conf

import "net/netip"

// The raw layer: the file as it is written, one struct for each table. The
// tags are explained at keySpec; reference.toml and docs/config.md are tested
// against them.

type rawFile struct {
	Global         rawGlobal            `toml:"global"`
	Instances      []rawInstance        `toml:"vrrp_instance"`
	SyncGroups     []rawSyncGroup       `toml:"vrrp_sync_group"`
	Scripts        []rawScript          `toml:"vrrp_script"`
	TrackFiles     []rawTrackFile       `toml:"vrrp_track_file"`
	TrackProcesses []rawTrackProcess    `toml:"vrrp_track_process"`
	IPVS           rawIPVS              `toml:"ipvs"`
	Groups         []rawGroup           `toml:"virtual_server_group"`
	VirtualServers []rawVirtualServer   `toml:"virtual_server"`
	Checks         map[string]*rawNamed `toml:"check" inherit:"none"`
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
	ControlListen    nodeValue[string]   `toml:"control_listen" inherit:"none"`
	KeepalivedNames  value[bool]         `toml:"keepalived_names" default:"false"`
	ProberUser       nodeValue[string]   `toml:"prober_user" default:"baton"`
	ScriptUser       nodeValue[string]   `toml:"script_user" inherit:"prober_user"`
	NotifyTimeout    nodeValue[duration] `toml:"notify_timeout" default:"30s" range:"100ms…1h"`

	VRRPMcastGroup4 value[netip.Addr] `toml:"vrrp_mcast_group4" inherit:"224.0.0.18"`
	VRRPMcastGroup6 value[netip.Addr] `toml:"vrrp_mcast_group6" inherit:"ff02::12"`

	GARPMasterDelay         nodeValue[duration] `toml:"vrrp_garp_master_delay" default:"5s" range:"0s…1h"`
	GARPMasterRepeat        nodeValue[int]      `toml:"vrrp_garp_master_repeat" default:"5" range:"1…100"`
	GARPMasterRefresh       nodeValue[duration] `toml:"vrrp_garp_master_refresh" default:"60s" range:"0s…24h"`
	GARPMasterRefreshRepeat nodeValue[int]      `toml:"vrrp_garp_master_refresh_repeat" default:"1" range:"1…100"`
	GARPLowerPrioDelay      nodeValue[duration] `toml:"vrrp_garp_lower_prio_delay" range:"0s…1h" inherit:"garp_master_delay of the instance"`
	GARPLowerPrioRepeat     nodeValue[int]      `toml:"vrrp_garp_lower_prio_repeat" range:"0…100" inherit:"garp_master_repeat of the instance"`
	GARPInterval            nodeValue[duration] `toml:"vrrp_garp_interval" default:"0s" range:"0s…1s"`
	GNAInterval             nodeValue[duration] `toml:"vrrp_gna_interval" default:"0s" range:"0s…1s"`
}
