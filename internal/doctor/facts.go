package doctor

import (
	"net/netip"
	"time"

	"baton/internal/control"
	"baton/internal/netif"
	"baton/internal/realserver"
	"baton/internal/settings"
)

// Facts are what was found on a machine. Their JSON is for tests only.
type Facts struct {
	Kernel    KernelFacts
	Packager  string                       // the program that installs packages: apt-get, dnf, zypper; "": not known
	Sysctls   map[string]string            // by name below /proc/sys; what the kernel does not have is not in it
	Settings  *settings.Outcome            // of [ipvs]; nil: not read
	Links     map[string]Link              // by name
	Routes    map[netip.Addr]Route         // to real servers
	Default   map[string]Route             // the default route, by "ipv4" and "ipv6"
	Places    map[netip.Addr][]netif.Place // of virtual addresses
	Segments  map[string]Segment           // by interface
	Firewall  FirewallFacts
	Clock     ClockFacts
	Self      ProcessFacts            // doctor itself
	Processes map[string]ProcessFacts // of the running director: director, speaker, prober
	Others    []ProcessFacts          // that meddle with IPVS or with virtual addresses, in this network namespace
	KubeIPVS  bool                    // the interface of kube-proxy's ipvs mode is here
	Foreign   []string                // services in the kernel's table that are not of the configuration
	Status    *control.Status         // nil: no director answers
	StatusErr string                  // why, when one should: it is there and does not answer

	RealServer []realserver.Finding // of a real server
	Failures   []Failure
}

// Failure is something that could not be found out.
type Failure struct{ ID, What, Mend string }

// KernelFacts are what the kernel can do.
type KernelFacts struct {
	Release   string
	NoIPVS    bool
	Modules   map[string]ModuleState // of those that are needed
	NoLoading bool                   // kernel.modules_disabled is 1
	NoIPv6    bool
	ReadOnly  bool // /proc/sys is
}

// ModuleState is whether a module is at hand.
type ModuleState string

// The states.
const (
	Loaded   ModuleState = "loaded" // or built in
	Loadable ModuleState = "loadable"
	Missing  ModuleState = "missing"
	Unlisted ModuleState = "unlisted" // not loaded, and the kernel's modules are not on this file system
)

// Link is an interface.
type Link struct {
	Up        bool // packets can pass
	Admin     bool // it is set up
	Port      bool // of a bridge or a bond, which takes what comes in by it
	MTU       int
	MAC       string
	Primary   netip.Addr // invalid: it has no IPv4 address of its own
	LinkLocal netip.Addr
}

// Route is how an address is reached.
type Route struct {
	Interface string
	Gateway   netip.Addr // invalid: the address itself is the neighbour
	Source    netip.Addr
	MTU       int    // 0: the interface's
	Local     bool   // it is this machine's
	MAC       string // of the address, or of the gateway; "": not known
}

// Segment is what was heard on an interface.
type Segment struct {
	Failed   string        // why it could not be listened to; "": it was
	Listened time.Duration // for which it was
	Routers  []Heard
	Claims   []Claim

	// Of a real server: whether it was asked by a cable of its own as if on this
	// interface, and what it answered for.
	Asked bool
	Self  []netip.Addr
}

// Heard is one virtual router that sends adverts.
type Heard struct {
	Source    netip.Addr
	MAC       string
	VRID      uint8
	Version   uint8
	Priority  uint8
	Interval  time.Duration
	Addresses []netip.Addr
	Count     int    // adverts on the wire
	Delivered int    // of these, that the kernel's IP has passed on
	Drop      string // the reason for which the instance with that VRID here drops them; "": it does not
}

// Claim is a station that says it has a virtual address.
type Claim struct {
	VIP netip.Addr
	MAC string
}

// ClockFacts is the state of the clock.
type ClockFacts struct {
	Failed       string
	Synchronised bool
}

// ProcessFacts are of one process.
type ProcessFacts struct {
	PID    int
	Name   string
	Failed string // why it could not be read
	Caps   uint64 // effective
	NoFile uint64 // hard limit of descriptors
	Policy int    // scheduling policy, sched(7)
	Locked uint64 // kB of locked memory
}
