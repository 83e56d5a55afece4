package conf

import "net/netip"

// rawIPVS is what concerns the kernel's IPVS as a whole.
type rawIPVS struct {
	place
	Timeouts rawTimeouts    `toml:"lvs_timeouts"`
	Sync     *rawSyncDaemon `toml:"lvs_sync_daemon" inherit:"none"`
	rawSysctls
}

type rawTimeouts struct {
	TCP    nodeValue[duration] `toml:"tcp" range:"1s…744h" inherit:"left as it is, 15m at boot"`
	TCPFin nodeValue[duration] `toml:"tcpfin" range:"1s…744h" inherit:"left as it is, 2m at boot"`
	UDP    nodeValue[duration] `toml:"udp" range:"1s…744h" inherit:"left as it is, 5m at boot"`
}

type rawSyncDaemon struct {
	place
	Interface nodeValue[string] `toml:"interface" inherit:"that of the vrrp_instance"`
	Instance  value[string]     `toml:"vrrp_instance" inherit:"the first one"`
	SyncID    value[int]        `toml:"syncid" range:"0…255" inherit:"virtual_router_id of the vrrp_instance"`
	MaxLen    nodeValue[int]    `toml:"maxlen" range:"1…65507" inherit:"what the interface's MTU holds"`
	Port      value[int]        `toml:"port" range:"1…65535" inherit:"8848"`
	TTL       value[int]        `toml:"ttl" range:"1…255" inherit:"1"`
	Group     value[netip.Addr] `toml:"group" inherit:"224.0.0.81"`
}

// rawSysctls are parameters below /proc/sys/net/ipv4/vs, by their own names and
// with the ranges of the kernel's Documentation/networking/ipvs-sysctl.rst.
// What the file does not have is left as it is.
type rawSysctls struct {
	AMDropRate              nodeValue[int]      `toml:"am_droprate" range:"1…2147483647" inherit:"left as it is, 10 at boot"`
	AMemThresh              nodeValue[int]      `toml:"amemthresh" range:"0…2147483647" inherit:"left as it is, 1024 at boot"`
	BackupOnly              nodeValue[toggle]   `toml:"backup_only" inherit:"left as it is, false at boot"`
	CacheBypass             nodeValue[toggle]   `toml:"cache_bypass" inherit:"left as it is, false at boot"`
	ConnReuseMode           nodeValue[int]      `toml:"conn_reuse_mode" range:"0…3" inherit:"left as it is, 1 at boot"`
	Conntrack               nodeValue[toggle]   `toml:"conntrack" inherit:"left as it is, false at boot"`
	DropEntry               nodeValue[int]      `toml:"drop_entry" range:"0…3" inherit:"left as it is, 0 at boot"`
	DropPacket              nodeValue[int]      `toml:"drop_packet" range:"0…3" inherit:"left as it is, 0 at boot"`
	ExpireNodestConn        nodeValue[toggle]   `toml:"expire_nodest_conn" inherit:"left as it is, false at boot"`
	ExpireQuiescentTemplate nodeValue[toggle]   `toml:"expire_quiescent_template" inherit:"left as it is, false at boot"`
	IgnoreTunneled          nodeValue[toggle]   `toml:"ignore_tunneled" inherit:"left as it is, false at boot"`
	NATICMPSend             nodeValue[toggle]   `toml:"nat_icmp_send" inherit:"left as it is, false at boot"`
	PMTUDisc                nodeValue[toggle]   `toml:"pmtu_disc" inherit:"left as it is, true at boot"`
	ScheduleICMP            nodeValue[toggle]   `toml:"schedule_icmp" inherit:"left as it is, false at boot"`
	RunEstimation           nodeValue[toggle]   `toml:"run_estimation" inherit:"left as it is, true at boot"`
	SecureTCP               nodeValue[int]      `toml:"secure_tcp" range:"0…3" inherit:"left as it is, 0 at boot"`
	SloppySCTP              nodeValue[toggle]   `toml:"sloppy_sctp" inherit:"left as it is, false at boot"`
	SloppyTCP               nodeValue[toggle]   `toml:"sloppy_tcp" inherit:"left as it is, false at boot"`
	SNATReroute             nodeValue[toggle]   `toml:"snat_reroute" inherit:"left as it is, true at boot"`
	SyncPersistMode         nodeValue[int]      `toml:"sync_persist_mode" range:"0…1" inherit:"left as it is, 0 at boot"`
	SyncPorts               nodeValue[int]      `toml:"sync_ports" range:"1…64" inherit:"left as it is, 1 at boot"`
	SyncQlenMax             nodeValue[int]      `toml:"sync_qlen_max" range:"0…2147483647" inherit:"left as it is, a share of the memory at boot"`
	SyncRefreshPeriod       nodeValue[duration] `toml:"sync_refresh_period" range:"0s…24h" inherit:"left as it is, 0s at boot"`
	SyncRetries             nodeValue[int]      `toml:"sync_retries" range:"0…3" inherit:"left as it is, 0 at boot"`
	SyncSockSize            nodeValue[int]      `toml:"sync_sock_size" range:"0…2147483647" inherit:"left as it is, 0 at boot"`
	SyncThreshold           nodeValue[numbers]  `toml:"sync_threshold" range:"0…2147483647" inherit:"left as it is, 3 50 at boot"`
}
