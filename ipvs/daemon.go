package ipvs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// SyncDaemon is the connection synchronisation of a network namespace
// (ipvsadm --start-daemon). The kernel runs at most one as master, which tells
// the network of the connections here, and one as backup, which listens. While
// one runs, no service takes a server of another address family.
type SyncDaemon struct {
	Interface string     // that it sends and listens on; it must be up
	SyncID    uint8      // 0 … 255; a backup takes only what has its own, 0 takes all
	MaxLen    int        // payload of a packet in bytes, 1 … 65535, a backup listens for 1024 at least; 0: the kernel's, an MTU of 1500 (backup: the interface's, if more) less headers
	Port      uint16     // UDP, 0: 8848
	TTL       uint8      // of multicast, 0: 1
	Group     netip.Addr // multicast group, IPv4 or IPv6; the zero Addr: 224.0.0.81
}

// The kernel's own choices (DEFAULT_SYNC_PORT and others, ip_vs_sync.c).
const (
	defaultSyncPort = 8848
	defaultSyncTTL  = 1
	leastBackupLen  = 1024
	mostSyncLen     = 65535 // headers included
)

var defaultSyncGroup = netip.AddrFrom4([4]byte{224, 0, 0, 81})

// DaemonRole is a state of a SyncDaemon (IP_VS_STATE_* of linux/ip_vs.h).
type DaemonRole uint32

// The roles.
const (
	DaemonMaster DaemonRole = 1 // tells
	DaemonBackup DaemonRole = 2 // listens
)

// String returns ipvsadm's word: master or backup.
func (r DaemonRole) String() string {
	switch r {
	case DaemonMaster:
		return "master"
	case DaemonBackup:
		return "backup"
	}
	return fmt.Sprintf("role %d", uint32(r))
}

// StartCommand returns the ipvsadm(8) command line that starts the daemon.
func (r DaemonRole) StartCommand(d SyncDaemon) string {
	return fmt.Sprintf("ipvsadm --start-daemon %s %s", r, d)
}

// StopCommand returns the ipvsadm(8) command line that stops the daemon of the role.
func (r DaemonRole) StopCommand() string { return "ipvsadm --stop-daemon " + r.String() }

// String returns the daemon as ipvsadm's options:
// "--mcast-interface eth0 --syncid 51".
func (d SyncDaemon) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--mcast-interface %s --syncid %d", d.Interface, d.SyncID)
	if d.MaxLen != 0 {
		fmt.Fprintf(&b, " --sync-maxlen %d", d.MaxLen)
	}
	if d.Group.IsValid() {
		fmt.Fprintf(&b, " --mcast-group %s", d.Group)
	}
	if d.Port != 0 {
		fmt.Fprintf(&b, " --mcast-port %d", d.Port)
	}
	if d.TTL != 0 {
		fmt.Fprintf(&b, " --mcast-ttl %d", d.TTL)
	}
	return b.String()
}

// MetBy says whether a daemon that the kernel runs in the role is the one that
// d asks for. The kernel tells what it filled in for zero values and to what it
// cut MaxLen.
func (d SyncDaemon) MetBy(role DaemonRole, running SyncDaemon) bool {
	want := d.filled()
	running = running.filled()
	if d.MaxLen == 0 {
		want.MaxLen = running.MaxLen
	} else {
		want.MaxLen = cut(d.MaxLen, role, d.Group.Is6())
	}
	return want == running
}

// cut is what the kernel makes of a maximum length.
func cut(length int, role DaemonRole, ipv6 bool) int {
	headers := 20 + 8 // of IPv4 and UDP
	if ipv6 {
		headers = 40 + 8
	}
	if role == DaemonBackup {
		length = max(length, leastBackupLen)
	}
	return min(length, mostSyncLen-headers)
}

func (d SyncDaemon) filled() SyncDaemon {
	if d.Port == 0 {
		d.Port = defaultSyncPort
	}
	if d.TTL == 0 {
		d.TTL = defaultSyncTTL
	}
	if !d.Group.IsValid() {
		d.Group = defaultSyncGroup
	}
	return d
}

// Timeouts are how long the kernel remembers connections (ipvsadm --set): whole
// seconds, a fraction is rounded up; 0 in a change leaves what is.
type Timeouts struct {
	TCP    time.Duration // established
	TCPFin time.Duration // after a FIN
	UDP    time.Duration
}

// String returns the change as an ipvsadm(8) command line: "ipvsadm --set 900 120 300".
func (t Timeouts) String() string {
	w := t.whole()
	return fmt.Sprintf("ipvsadm --set %d %d %d", w.TCP/time.Second, w.TCPFin/time.Second, w.UDP/time.Second)
}

// Over returns what is in force after a change of t over was.
func (t Timeouts) Over(was Timeouts) Timeouts {
	w := t.whole()
	for _, f := range []struct{ is, was *time.Duration }{{&w.TCP, &was.TCP}, {&w.TCPFin, &was.TCPFin}, {&w.UDP, &was.UDP}} {
		if *f.is == 0 {
			*f.is = *f.was
		}
	}
	return w
}

func (t Timeouts) whole() Timeouts {
	return Timeouts{TCP: wholeSeconds(t.TCP), TCPFin: wholeSeconds(t.TCPFin), UDP: wholeSeconds(t.UDP)}
}

func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// Info is what the kernel says of its IPVS.
type Info struct {
	Version       string // "1.2.1"
	ConnTableSize int    // buckets of the connection table (ip_vs.conn_tab_bits)
}
