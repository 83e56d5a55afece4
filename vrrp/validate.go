package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// complaints collects what is wrong with one object.
type complaints []error

func (cs *complaints) add(format string, args ...any) { *cs = append(*cs, fmt.Errorf(format, args...)) }

func (cs complaints) of(kind, name string) error {
	if len(cs) == 0 {
		return nil
	}
	return fmt.Errorf("use %s %q: %w", kind, name, errors.Join(cs...))
}

// Validate returns nil, or every way in which c cannot run, joined.
func (c *Config) Validate() error {
	var bad complaints
	if c.Name == "" {
		bad.add("the instance has no name")
	}
	if c.Interface == "" {
		bad.add("interface is empty: name the interface that adverts use")
	}
	if c.VRID == 0 {
		bad.add("virtual_router_id is 0: use 1 to 255")
	}
	if c.Priority == 0 {
		bad.add("priority is 0, which means resignation: use 1 to 255")
	}
	c.validateProtocol(&bad)
	c.validateTiming(&bad)
	c.validateAddresses(&bad)
	c.validateDelivery(&bad)
	c.validateRouting(&bad)
	validateTrack(&bad, c.Track)
	return bad.of("instance", c.Name)
}

func (c *Config) validateProtocol(bad *complaints) {
	switch c.Version {
	case V2:
		if c.AdvertInterval < MinAdvertIntervalV2 || c.AdvertInterval > MaxAdvertIntervalV2 || c.AdvertInterval%time.Second != 0 {
			bad.add("advert_int is %v: version 2 has whole seconds from 1 to 255", c.AdvertInterval)
		}
		if c.Family() == IPv6 {
			bad.add("version is 2: over IPv6 there is version 3 only")
		}
		if len(c.Password) > authLen {
			bad.add("the password has %d bytes: use %d at most", len(c.Password), authLen)
		}
	case V3:
		if c.AdvertInterval < MinAdvertIntervalV3 || c.AdvertInterval > MaxAdvertIntervalV3 || c.AdvertInterval%centisecond != 0 {
			bad.add("advert_int is %v: version 3 has multiples of 10ms from 10ms to 40.95s", c.AdvertInterval)
		}
		if c.Password != "" {
			bad.add("there is a password: version 3 has no authentication")
		}
	default:
		bad.add("version is %d: use 2 or 3", c.Version)
	}
	switch c.Checksum {
	case ChecksumAuto, ChecksumRFC, ChecksumPseudo:
	default:
		bad.add("checksum is %q: use %q, %q or %q", c.Checksum, ChecksumAuto, ChecksumRFC, ChecksumPseudo)
	}
}

func (c *Config) validateTiming(bad *complaints) {
	if c.DownTimerAdverts < 1 || c.DownTimerAdverts > 100 {
		bad.add("down_timer_adverts is %d: use 1 to 100", c.DownTimerAdverts)
	}
	for _, d := range []struct {
		key    string
		v, max time.Duration
	}{
		{"preempt_delay", c.PreemptDelay, MaxDelay},
		{"startup_delay", c.StartupDelay, MaxDelay},
		{"garp_master_delay", c.GARP.MasterDelay, MaxDelay},
		{"garp_master_refresh", c.GARP.MasterRefresh, MaxDelay},
		{"garp_lower_prio_delay", c.GARP.LowerPrioDelay, MaxDelay},
		{"garp_interval", c.GARP.Interval, time.Second},
		{"gna_interval", c.GARP.NAInterval, time.Second},
		{"handover_linger", c.HandoverLinger, MaxDelay},
	} {
		if d.v < 0 || d.v > d.max {
			bad.add("%s is %v: use 0 to %v", d.key, d.v, d.max)
		}
	}
	for _, r := range []struct {
		key    string
		v, min int
	}{
		{"garp_master_repeat", c.GARP.MasterRepeat, 1},
		{"garp_master_refresh_repeat", c.GARP.MasterRefreshRepeat, 1},
		{"garp_lower_prio_repeat", c.GARP.LowerPrioRepeat, 0},
	} {
		if r.v < r.min || r.v > 100 {
			bad.add("%s is %d: use %d to 100", r.key, r.v, r.min)
		}
	}
}

func (c *Config) validateAddresses(bad *complaints) {
	if len(c.Addresses) == 0 || len(c.Addresses) > MaxAddresses {
		bad.add("there are %d virtual addresses: an advert carries 1 to %d", len(c.Addresses), MaxAddresses)
	}
	family := c.Family()
	seen := make(map[netip.Addr]bool, len(c.Addresses)+len(c.Excluded))
	for i, a := range c.All() {
		ip := a.Prefix.Addr()
		switch {
		case !a.Prefix.IsValid() || ip.Zone() != "" || ip.Is4In6():
			bad.add("virtual address %q is not an address with a prefix length", a.Prefix)
		case i < len(c.Addresses) && familyOf(ip) != family:
			bad.add("virtual address %s is not of the first one's family, that of the adverts", ip)
		case i == 0 && family == IPv6 && !ip.IsLinkLocalUnicast():
			bad.add("virtual address %s is not link-local: over IPv6 the first one is (RFC 9568 section 5.2.9)", ip)
		case seen[ip]:
			bad.add("virtual address %s is there twice", ip)
		case ip == c.Source:
			bad.add("source %s is a virtual address: use an address that this node keeps", ip)
		}
		seen[ip] = true
	}
}

func (c *Config) validateRouting(bad *complaints) {
	for _, r := range c.Routes {
		to := r.Destination
		switch {
		case !to.IsValid() || to != to.Masked():
			bad.add("route to %q is not to a network", to)
		case r.Via.IsValid() && familyOf(r.Via) != familyOf(to.Addr()), r.Source.IsValid() && familyOf(r.Source) != familyOf(to.Addr()):
			bad.add("route to %s mixes two families", to)
		case !r.Via.IsValid() && r.Device == "":
			bad.add("route to %s has neither a gateway nor a device", to)
		}
	}
	for _, r := range c.Rules {
		switch {
		case r.Family != IPv4 && r.Family != IPv6:
			bad.add("rule %d has no family", r.Priority)
		case r.From.IsValid() && familyOf(r.From.Addr()) != r.Family, r.To.IsValid() && familyOf(r.To.Addr()) != r.Family:
			bad.add("rule %d mixes two families", r.Priority)
		case r.Priority < 1 || r.Priority > 32765:
			bad.add("rule has priority %d: use 1 to 32765", r.Priority)
		case r.Table == 0:
			bad.add("rule %d leads to no table", r.Priority)
		}
	}
}

func validateTrack(bad *complaints, tracks []Track) {
	for _, t := range tracks {
		switch t.Kind {
		case TrackInterface, TrackScript, TrackFile, TrackProcess, TrackVirtualServer:
		default:
			bad.add("%q cannot be tracked", t.Kind)
		}
		if t.Name == "" {
			bad.add("a tracked %s has no name", t.Kind)
		}
		if t.Weight < -254 || t.Weight > 254 {
			bad.add("%s has weight %d: use -254 to 254", t.Key(), t.Weight)
		}
	}
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Validate checks each of cfgs and that no two of them have the same name or
// the same VRID at one endpoint; and each of groups against them.
func Validate(cfgs []Config, groups []SyncGroup) error {
	var errs []error
	type router struct {
		at   Endpoint
		vrid uint8
	}
	names := make(map[string]bool, len(cfgs))
	routers := make(map[router]string, len(cfgs))
	vmacs := map[string]string{}
	for i := range cfgs {
		c := &cfgs[i]
		if err := c.Validate(); err != nil {
			errs = append(errs, err)
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("use instance %q: the name is there twice", c.Name))
		}
		names[c.Name] = true
		r := router{c.Endpoint(), c.VRID}
		if other, ok := routers[r]; ok && other != c.Name {
			errs = append(errs, fmt.Errorf("use instance %q: %q has virtual_router_id %d on %s already", c.Name, other, c.VRID, c.Interface))
		}
		routers[r] = c.Name
		if v := c.VMAC; v != nil {
			if other, ok := vmacs[v.Name]; ok && other != c.Name {
				errs = append(errs, fmt.Errorf("use instance %q: the VMAC %s is that of %q", c.Name, v.Name, other))
			}
			vmacs[v.Name] = c.Name
		}
	}
	member := map[string]string{}
	known := map[string]bool{}
	for _, g := range groups {
		var bad complaints
		if g.Name == "" || known[g.Name] {
			bad.add("the name is empty or there twice")
		}
		known[g.Name] = true
		if len(g.Members) < 2 {
			bad.add("there are %d members: a group has two or more", len(g.Members))
		}
		for _, m := range g.Members {
			if other, ok := member[m]; ok {
				bad.add("%q is in sync group %q already", m, other)
			} else if !names[m] {
				bad.add("there is no instance %q", m)
			}
			member[m] = g.Name
		}
		validateTrack(&bad, g.Track)
		if err := bad.of("sync group", g.Name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
