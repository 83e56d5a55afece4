package ipvs

// Counters is IPVS_SVC_ATTR_STATS64 or IPVS_DEST_ATTR_STATS64: totals since
// the entry was made or zeroed, and rates that the kernel averages over the
// last seconds (ip_vs_est.c).
type Counters struct {
	Connections uint64 // scheduled
	PacketsIn   uint64
	PacketsOut  uint64 // always 0 with DR and TUN: replies do not pass the director
	BytesIn     uint64
	BytesOut    uint64

	ConnectionRate uint64 // per second, like all rates
	PacketInRate   uint64
	PacketOutRate  uint64
	ByteInRate     uint64
	ByteOutRate    uint64
}

// ServerStats is what the kernel knows of a real server beyond its configuration.
type ServerStats struct {
	Active     uint32 // connections in state ESTABLISHED (ipvsadm: ActiveConn)
	Inactive   uint32 // connections in any other state (InActConn)
	Persistent uint32 // persistence templates that point here
	Counters   Counters
}
