package ipvs

import (
	"net/netip"
	"time"
)

// SyncDaemon is the connection synchronisation of a network namespace
// (ipvsadm --start-daemon). The kernel runs at most one as master, which tells
// the network of the connections here, and one as backup, which listens.
type SyncDaemon struct {
	Interface string     // that it sends and listens on
	SyncID    uint8      // 0 … 255; a backup takes only what has its own, 0 takes all
	MaxLen    int        // payload of a packet in bytes; 0: the kernel's, the interface's MTU less headers
	Port      uint16     // UDP, 0: 8848
	TTL       uint8      // of multicast, 0: 1
	Group     netip.Addr // multicast group, IPv4 or IPv6; the zero Addr: 224.0.0.81
}

// DaemonRole is a state of a SyncDaemon (IP_VS_STATE_* of linux/ip_vs.h).
type DaemonRole uint32

// The roles.
const (
	DaemonMaster DaemonRole = 1 // tells
	DaemonBackup DaemonRole = 2 // listens
)

// Timeouts are how long the kernel remembers connections (ipvsadm --set): whole
// seconds, 0 in a change leaves what is.
type Timeouts struct {
	TCP    time.Duration // established
	TCPFin time.Duration // after a FIN
	UDP    time.Duration
}
