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
