package event

import "strings"

// Subsystem is a part of Baton whose level can be set by itself.
type Subsystem string

// The subsystems.
const (
	Director Subsystem = "director" // the daemon, its children, control socket, journal, notify scripts
	Config   Subsystem = "config"
	VRRP     Subsystem = "vrrp"   // elections, adverts, addresses, announcements, links
	Checks   Subsystem = "checks" // health checks, what they make of servers and services, tracking
	IPVS     Subsystem = "ipvs"
)

// Subsystems lists them all.
var Subsystems = []Subsystem{Director, Config, VRRP, Checks, IPVS}

// nouns say to whom the events of a noun belong; all others are the director's.
var nouns = map[string]Subsystem{
	"config": Config, "ipvs": IPVS,
	"vrrp": VRRP, "handover": VRRP, "relay": VRRP, "announce": VRRP, "address": VRRP, "route": VRRP, "vmac": VRRP, "link": VRRP,
	"check": Checks, "server": Checks, "service": Checks, "track": Checks, "script": Checks,
}

// SubsystemOf returns to whom an event belongs.
func SubsystemOf(n Name) Subsystem {
	noun, _, _ := strings.Cut(string(n), ".")
	if s, ok := nouns[noun]; ok {
		return s
	}
	return Director
}

// Levels lists the levels in rising order.
var Levels = []Level{LevelDebug, LevelInfo, LevelWarn, LevelError}

// Traced says whether an event is of the steady state: it exists only while the
// level of its subsystem is debug, and the journal does not keep it, for in
// minutes it would push out all that matters.
func Traced(n Name) bool {
	switch n {
	case VRRPAdvertSent, VRRPAdvertReceived, CheckResult, IPVSOperation, ConfigChange:
		return true
	}
	return false
}
