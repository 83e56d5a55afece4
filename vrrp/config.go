package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Version is the version of the protocol that an instance speaks.
type Version uint8

const (
	V2 Version = 2 // RFC 3768
	V3 Version = 3 // RFC 9568
)

// ChecksumMode says how the checksum of a version 3 advert over IPv4 is
// computed. RFC 9568 section 5.2.8 covers the message alone; keepalived and
// FRR add an IPv4 pseudo-header by default. Both forms are always received.
type ChecksumMode string

const (
	ChecksumAuto   ChecksumMode = "auto"          // send the form that was heard last, with the pseudo-header until one was
	ChecksumRFC    ChecksumMode = "rfc9568"       // send without pseudo-header
	ChecksumPseudo ChecksumMode = "pseudo-header" // send with pseudo-header
)

// What a Config holds where the operator says nothing.
const (
	DefaultVersion          = V3
	DefaultPriority         = 100
	DefaultAdvertInterval   = time.Second
	DefaultDownTimerAdverts = 3
)

// DefaultGARP returns keepalived's timing of announcements, with a refresh.
func DefaultGARP() GARP {
	return GARP{MasterDelay: 5 * time.Second, MasterRefresh: time.Minute, MasterRepeat: 5, MasterRefreshRepeat: 1}
}

// The ranges that Validate enforces.
const (
	PriorityOwner       = 255 // the router owns the addresses: master at once, always preempts
	MaxAddresses        = 255 // the address count is one byte
	MinAdvertIntervalV3 = 10 * time.Millisecond
	MaxAdvertIntervalV3 = 4095 * centisecond
	MinAdvertIntervalV2 = time.Second
	MaxAdvertIntervalV2 = 255 * time.Second
)

// Address is one virtual address.
type Address struct {
	Prefix netip.Prefix `json:"prefix"`           // the address with the length of its on-link prefix
	Device string       `json:"device,omitempty"` // "": the instance's interface
	Label  string       `json:"label,omitempty"`
	Scope  string       `json:"scope,omitempty"` // as iproute2 writes it; "": global
}

// GARP is the timing of gratuitous ARP, under keepalived's garp_ names.
type GARP struct {
	MasterDelay         time.Duration `json:"master_delay"`          // from becoming master to the second burst; 0: no second burst
	MasterRefresh       time.Duration `json:"master_refresh"`        // between refreshes while master; 0: none
	MasterRepeat        int           `json:"master_repeat"`         // announcements in the first and the second burst
	MasterRefreshRepeat int           `json:"master_refresh_repeat"` // announcements in a refresh
}

// Config is one virtual router on this node, complete: defaults are resolved
// and values that differ between nodes are chosen. Its identity is Name.
type Config struct {
	Name             string        `json:"name"`
	Interface        string        `json:"interface"`
	VRID             uint8         `json:"vrid"` // 1…255
	Version          Version       `json:"version"`
	Priority         uint8         `json:"priority"`   // 1…255; PriorityOwner: the owner
	AdvertInterval   time.Duration `json:"advert_int"` // v2: whole seconds, 1…255; v3: centiseconds, 10 ms…40.95 s
	Preempt          bool          `json:"preempt"`
	PreemptDelay     time.Duration `json:"preempt_delay"`      // from the first advert of a lower master until it is preempted
	StartupDelay     time.Duration `json:"startup_delay"`      // on top of the first master down interval
	DownTimerAdverts int           `json:"down_timer_adverts"` // adverts that may be lost, 1…100; RFC 9568 section 6.1 has 3
	Source           netip.Addr    `json:"source"`             // of adverts; zero: the interface's primary address
	Checksum         ChecksumMode  `json:"checksum"`
	Addresses        []Address     `json:"addresses"` // 1…255
	GARP             GARP          `json:"garp"`
	HandoverLinger   time.Duration `json:"handover_linger"` // for how long Addresses lets an old master finish connections in flight
}

const centisecond = 10 * time.Millisecond

// Validate returns nil, or every way in which c cannot run, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Name == "" {
		bad("the instance has no name")
	}
	if c.Interface == "" {
		bad("interface is empty: name the interface that adverts use")
	}
	if c.VRID == 0 {
		bad("virtual_router_id is 0: use 1 to 255")
	}
	if c.Priority == 0 {
		bad("priority is 0, which means resignation: use 1 to 255")
	}
	switch c.Version {
	case V2:
		if c.AdvertInterval < MinAdvertIntervalV2 || c.AdvertInterval > MaxAdvertIntervalV2 || c.AdvertInterval%time.Second != 0 {
			bad("advert_int is %v: version 2 has whole seconds from 1 to 255", c.AdvertInterval)
		}
	case V3:
		if c.AdvertInterval < MinAdvertIntervalV3 || c.AdvertInterval > MaxAdvertIntervalV3 || c.AdvertInterval%centisecond != 0 {
			bad("advert_int is %v: version 3 has multiples of 10ms from 10ms to 40.95s", c.AdvertInterval)
		}
	default:
		bad("version is %d: use 2 or 3", c.Version)
	}
	switch c.Checksum {
	case ChecksumAuto, ChecksumRFC, ChecksumPseudo:
	default:
		bad("checksum is %q: use %q, %q or %q", c.Checksum, ChecksumAuto, ChecksumRFC, ChecksumPseudo)
	}
	if c.DownTimerAdverts < 1 || c.DownTimerAdverts > 100 {
		bad("down_timer_adverts is %d: use 1 to 100", c.DownTimerAdverts)
	}
	for _, d := range []struct {
		key string
		v   time.Duration
	}{
		{"preempt_delay", c.PreemptDelay},
		{"startup_delay", c.StartupDelay},
		{"garp_master_delay", c.GARP.MasterDelay},
		{"garp_master_refresh", c.GARP.MasterRefresh},
		{"handover_linger", c.HandoverLinger},
	} {
		if d.v < 0 || d.v > MaxDelay {
			bad("%s is %v: use 0 to %v", d.key, d.v, MaxDelay)
		}
	}
	if r := c.GARP.MasterRepeat; r < 1 || r > 100 {
		bad("garp_master_repeat is %d: use 1 to 100", r)
	}
	if r := c.GARP.MasterRefreshRepeat; r < 1 || r > 100 {
		bad("garp_master_refresh_repeat is %d: use 1 to 100", r)
	}
	if c.Source.IsValid() && !c.Source.Is4() {
		bad("source %s is not an IPv4 address", c.Source)
	}
	if len(c.Addresses) == 0 || len(c.Addresses) > MaxAddresses {
		bad("there are %d virtual addresses: an advert carries 1 to %d", len(c.Addresses), MaxAddresses)
	}
	seen := make(map[netip.Addr]bool, len(c.Addresses))
	for _, a := range c.Addresses {
		ip := a.Prefix.Addr()
		switch {
		case !a.Prefix.IsValid() || !ip.Is4():
			bad("virtual address %q is not an IPv4 address with a prefix length", a.Prefix)
		case seen[ip]:
			bad("virtual address %s is there twice", ip)
		case ip == c.Source:
			bad("source %s is a virtual address: use an address that this node keeps", ip)
		}
		seen[ip] = true
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("use instance %q: %w", c.Name, errors.Join(errs...))
}

// MaxDelay bounds every delay of a Config.
const MaxDelay = 24 * time.Hour

// Validate checks each of cfgs and that no two of them have the same name or
// the same VRID on one interface.
func Validate(cfgs []Config) error {
	var errs []error
	type router struct {
		iface string
		vrid  uint8
	}
	names := make(map[string]bool, len(cfgs))
	routers := make(map[router]string, len(cfgs))
	for i := range cfgs {
		c := &cfgs[i]
		if err := c.Validate(); err != nil {
			errs = append(errs, err)
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("use instance %q: the name is there twice", c.Name))
		}
		names[c.Name] = true
		r := router{c.Interface, c.VRID}
		if other, ok := routers[r]; ok && other != c.Name {
			errs = append(errs, fmt.Errorf("use instance %q: %q has virtual_router_id %d on %s already", c.Name, other, c.VRID, c.Interface))
		}
		routers[r] = c.Name
	}
	return errors.Join(errs...)
}
