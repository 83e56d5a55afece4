package control

// IPVS is what concerns the kernel's IPVS as a whole, as it was read last.
type IPVS struct {
	Daemons  []SyncDaemon `json:"sync_daemons,omitempty"` // that run or are configured, the master first
	Timeouts Timeouts     `json:"timeouts"`
	Sysctls  []Sysctl     `json:"sysctls,omitempty"` // those of the configuration, by name
	Problem  string       `json:"problem,omitempty"` // what could not be set, and what it needs
}

// SyncDaemon is one of the two daemons that synchronise connections.
type SyncDaemon struct {
	Role       string `json:"role"` // master, which tells, or backup, which listens
	Running    bool   `json:"running"`
	Configured bool   `json:"configured"` // false: it is not ours and never touched
	Interface  string `json:"interface"`
	SyncID     uint8  `json:"syncid"`
	MaxLen     int    `json:"maxlen,omitempty"`
	Port       uint16 `json:"port,omitempty"`
	TTL        uint8  `json:"ttl,omitempty"`
	Group      string `json:"group,omitempty"`
}

// Timeouts are how many seconds IPVS remembers connections.
type Timeouts struct {
	TCP    int64 `json:"tcp"`
	TCPFin int64 `json:"tcpfin"`
	UDP    int64 `json:"udp"`
}

// Sysctl is a parameter below net.ipv4.vs.
type Sysctl struct {
	Name       string `json:"name"`
	Configured string `json:"configured"`
	Value      string `json:"value,omitempty"` // the kernel's; "": it does not have the parameter
	Was        string `json:"was,omitempty"`   // before Baton; it comes back when the key leaves the configuration
}

// Counters are what has passed a service or a server since its entry was made,
// over all IPVS services of a group, and what passes now: the kernel averages
// over some seconds. Replies with DR and TUN do not pass the director.
type Counters struct {
	Connections uint64 `json:"connections"`
	InPackets   uint64 `json:"in_packets"`
	OutPackets  uint64 `json:"out_packets"`
	InBytes     uint64 `json:"in_bytes"`
	OutBytes    uint64 `json:"out_bytes"`
	Rates       Rates  `json:"rates"`
}

// Rates are Counters by the second.
type Rates struct {
	Connections uint64 `json:"connections"`
	InPackets   uint64 `json:"in_packets"`
	OutPackets  uint64 `json:"out_packets"`
	InBytes     uint64 `json:"in_bytes"`
	OutBytes    uint64 `json:"out_bytes"`
}
