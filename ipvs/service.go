package ipvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Service is a virtual service without its real servers. It is comparable.
type Service struct {
	Key               ServiceKey
	Scheduler         string        // one of [Schedulers]
	SchedFlags        SchedFlags    // what they mean depends on the scheduler
	OnePacket         bool          // each UDP packet is scheduled by itself (ipvsadm --ops)
	Persistence       time.Duration // 0: none; whole seconds, 1 s … 31 days (ipvsadm(8); near 2³² ÷ HZ seconds the kernel overflows), a fraction is rounded up
	PersistenceMask   Mask          // which clients persistence takes for one
	PersistenceEngine string        // "" or "sip"
}

// Schedulers returns the names that Linux has: module ip_vs_<name> each.
func Schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"}
}

// SchedFlags are the three bits that a scheduler interprets
// (IP_VS_SVC_F_SCHED1…3 in linux/ip_vs.h, shifted to bit 0).
type SchedFlags uint8

// The flags that schedulers define: sh and mh give both the same meaning.
const (
	SchedFlag1 SchedFlags = 1 << iota
	SchedFlag2
	SchedFlag3

	SHFallback = SchedFlag1 // another server when the chosen one is unavailable
	SHPort     = SchedFlag2 // the client's port is part of the hash
	MHFallback = SchedFlag1
	MHPort     = SchedFlag2
)

// flagName returns ipvsadm's name of flag number i (0…2) for a scheduler.
func flagName(scheduler string, i int) string {
	if (scheduler == "sh" || scheduler == "mh") && i < 2 {
		return scheduler + [...]string{"-fallback", "-port"}[i]
	}
	return "flag-" + strconv.Itoa(i+1)
}

// Names returns the flags in ipvsadm's words: "sh-port", "mh-fallback", "flag-3".
func (f SchedFlags) Names(scheduler string) []string {
	var names []string
	for i := range 3 {
		if f&(1<<i) != 0 {
			names = append(names, flagName(scheduler, i))
		}
	}
	return names
}

// ParseSchedFlag reads one flag in ipvsadm's words. The scheduler must be
// the one that the flag belongs to; "flag-1" … "flag-3" fit every scheduler.
func ParseSchedFlag(scheduler, name string) (SchedFlags, error) {
	valid := make([]string, 0, 6)
	for i := range 3 {
		own, plain := flagName(scheduler, i), "flag-"+strconv.Itoa(i+1)
		if name == own || name == plain {
			return 1 << i, nil
		}
		if own != plain {
			valid = append(valid, own)
		}
	}
	if len(valid) == 0 {
		return 0, fmt.Errorf("parse scheduler flag %q: scheduler %s has no flags", name, scheduler)
	}
	return 0, fmt.Errorf("parse scheduler flag %q: scheduler %s has the flags %s", name, scheduler, strings.Join(valid, ", "))
}

// Mask groups clients for persistence (ipvsadm -M): those that differ only in
// ignored bits of their address are sent to the same server. It holds what is
// ignored, so that the zero value keeps every client apart: for IPv4 the
// inverted netmask (0xff is 255.255.255.0), for IPv6 128 minus the prefix length.
type Mask uint32

// ParseMask reads "255.255.255.0" or "24" for IPv4 and "64" (1…128) for IPv6;
// a number may have a slash before it.
func ParseMask(f Family, s string) (Mask, error) {
	if f == IPv4 {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			b := a.As4()
			return Mask(^binary.BigEndian.Uint32(b[:])), nil
		}
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "/"), 10, 8)
	switch {
	case err != nil || int(n) > f.bits() || f == IPv6 && n == 0:
		want := "a netmask such as 255.255.255.0 or a prefix length from 0 to 32"
		if f == IPv6 {
			want = "a prefix length from 1 to 128"
		}
		return 0, fmt.Errorf("parse persistence mask %q: not %s", s, want)
	case f == IPv6:
		return Mask(128 - n), nil
	}
	return Mask(uint64(1)<<(32-n) - 1), nil
}

// Format returns the mask as ipvsadm -M takes it: "255.255.255.0", or "64" for IPv6.
func (m Mask) Format(f Family) string {
	if f == IPv6 {
		return strconv.Itoa(128 - int(m))
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ^uint32(m))
	return netip.AddrFrom4(b).String()
}

// canonical gives services that the kernel cannot tell apart the same value.
func (s Service) canonical(k ServiceKey) Service {
	s.Key = k
	s.Persistence = wholeSeconds(s.Persistence)
	if s.Persistence <= 0 {
		s.Persistence, s.PersistenceMask = 0, 0
	}
	return s
}
