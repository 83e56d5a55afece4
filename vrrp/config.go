package vrrp

import (
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
	return GARP{MasterDelay: 5 * time.Second, MasterRefresh: time.Minute, MasterRepeat: 5, MasterRefreshRepeat: 1,
		LowerPrioDelay: 5 * time.Second, LowerPrioRepeat: 5}
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

// Family is an address family that adverts travel over.
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6 // version 3 only
)

// LinkState is what is known of an interface.
type LinkState struct {
	Interface string     `json:"interface"`
	Index     int        `json:"index"`
	Up        bool       `json:"up"`                  // it can carry packets
	Primary   netip.Addr `json:"primary,omitzero"`    // IPv4 address that adverts come from, never a virtual one
	LinkLocal netip.Addr `json:"link_local,omitzero"` // its IPv6 counterpart, without zone
}

// Address is one virtual address.
type Address struct {
	Prefix netip.Prefix `json:"prefix"`           // the address with the length of its on-link prefix
	Device string       `json:"device,omitempty"` // "": the instance's interface
	Label  string       `json:"label,omitempty"`
	Scope  string       `json:"scope,omitempty"` // as iproute2 writes it; "": global
}

// Route is one of virtual_routes: it is there while the instance is master.
type Route struct {
	Destination netip.Prefix `json:"destination"` // 0.0.0.0/0 and ::/0 are the default route
	Via         netip.Addr   `json:"via,omitzero"`
	Source      netip.Addr   `json:"source,omitzero"` // preferred source of what we send ourselves
	Device      string       `json:"device,omitempty"`
	Table       uint32       `json:"table,omitempty"`  // 0: main
	Metric      uint32       `json:"metric,omitempty"` // 0: the kernel's choice
	Scope       string       `json:"scope,omitempty"`  // as iproute2 writes it; "": the kernel's choice
	MTU         uint32       `json:"mtu,omitempty"`    // bytes; 0: the device's
}

// Rule is one of virtual_rules: a rule of policy routing that is there while
// the instance is master.
type Rule struct {
	Family   Family       `json:"family"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	IIF      string       `json:"iif,omitempty"`
	OIF      string       `json:"oif,omitempty"`
	Mark     uint32       `json:"fwmark,omitempty"`
	Priority uint32       `json:"priority"` // of the rule, 1…32765: the kernel's own choice could not be found again
	Table    uint32       `json:"table"`
}

// VMAC gives the instance an interface of its own, a macvlan in private mode on
// Config.Interface with the virtual router's MAC address (RFC 9568 section 7.3),
// which holds the addresses.
type VMAC struct {
	Name     string `json:"name"`      // of the macvlan, at most 15 bytes
	XmitBase bool   `json:"xmit_base"` // adverts leave from Config.Interface under its own MAC address
}

// TrackKind is what a Track looks at.
type TrackKind string

const (
	TrackInterface     TrackKind = "interface"
	TrackScript        TrackKind = "script"
	TrackFile          TrackKind = "file"
	TrackProcess       TrackKind = "process"
	TrackVirtualServer TrackKind = "virtual_server"
)

// Track lets something outside of the election bear on it. What fails with
// weight 0 puts the instance into FAULT. Else a positive weight is added to the
// priority while it is well, a negative one while it is not; a file's value
// times its weight is added, a product below -253 is a fault, and with weight 0
// any value but 0 is one. What was never told of counts as failed
// once a master down interval has passed. In a sync group it bears on all
// members.
type Track struct {
	Kind    TrackKind `json:"kind"`
	Name    string    `json:"name"`
	Weight  int       `json:"weight,omitempty"`  // -254…254; 0: a failure is a fault
	Reverse bool      `json:"reverse,omitempty"` // what is added is subtracted, and the reverse; with weight 0 what is up is the fault
}

// Key names what is tracked among all of a node: "script/chk_http".
func (t Track) Key() string { return string(t.Kind) + "/" + t.Name }

// TrackState is what is known of something tracked.
type TrackState struct {
	Up     bool   `json:"up"`
	Value  int    `json:"value,omitempty"`  // of a file
	Reason string `json:"reason,omitempty"` // why it is not up, for people
}

// SyncGroup is a vrrp_sync_group: its members become master, backup and faulty
// together.
type SyncGroup struct {
	Name    string   `json:"name"`
	Members []string `json:"members"` // names of instances, two or more; each is in one group at most
	Track   []Track  `json:"track,omitempty"`
}

// GARP is the timing of gratuitous ARP and of unsolicited neighbour
// advertisements, under keepalived's garp_ names.
type GARP struct {
	MasterDelay         time.Duration `json:"master_delay"`          // from becoming master to the second burst; 0: no second burst
	MasterRefresh       time.Duration `json:"master_refresh"`        // between refreshes while master; 0: none
	MasterRepeat        int           `json:"master_repeat"`         // announcements in the first and the second burst
	MasterRefreshRepeat int           `json:"master_refresh_repeat"` // announcements in a refresh
	LowerPrioDelay      time.Duration `json:"lower_prio_delay"`      // from the advert of a lower master to the second burst that answers it; 0: no second burst
	LowerPrioRepeat     int           `json:"lower_prio_repeat"`     // announcements in each burst that answers one
	Interval            time.Duration `json:"interval"`              // least time between two gratuitous ARPs on an interface, 0…1 s
	NAInterval          time.Duration `json:"na_interval"`           // the same for neighbour advertisements (gna_interval)
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
	Source           netip.Addr    `json:"source"`             // of adverts; zero: the interface's primary address, over IPv6 its link-local one
	Group            netip.Addr    `json:"group,omitzero"`     // that adverts are sent to; zero: Group or Group6
	Peers            []netip.Addr  `json:"peers,omitempty"`    // unicast_peer: adverts go to each of them and come from one of them; empty: multicast
	UnicastTTL       uint8         `json:"unicast_ttl"`        // of adverts to Peers, 1…255; 0: 255
	UnicastTTLMin    uint8         `json:"unicast_ttl_min"`    // least that is accepted of Peers, 1…255; 0: 255
	AnySource        bool          `json:"any_source"`         // unicast adverts of others than Peers are accepted too
	Password         string        `json:"password,omitempty"` // v2: authentication type 1 (RFC 2338), 1…8 bytes; "": none
	Checksum         ChecksumMode  `json:"checksum"`
	VMAC             *VMAC         `json:"vmac,omitempty"`
	NoAccept         bool          `json:"no_accept"`          // a master that is no owner drops what is for the addresses and no virtual service's
	Addresses        []Address     `json:"addresses"`          // 1…255, one family, which is that of the adverts; over IPv6 the first is link-local
	Excluded         []Address     `json:"excluded,omitempty"` // held like Addresses, of any family, but not in adverts
	Routes           []Route       `json:"routes,omitempty"`
	Rules            []Rule        `json:"rules,omitempty"`
	Track            []Track       `json:"track,omitempty"`
	GARP             GARP          `json:"garp"`
	HandoverLinger   time.Duration `json:"handover_linger"` // for how long Addresses lets an old master finish connections in flight
}

// Family is that of the adverts.
func (c *Config) Family() Family {
	if len(c.Addresses) > 0 && c.Addresses[0].Prefix.Addr().Is6() {
		return IPv6
	}
	return IPv4
}

// All returns every address that the master holds: Addresses and Excluded.
func (c *Config) All() []Address {
	return append(c.Addresses[:len(c.Addresses):len(c.Addresses)], c.Excluded...)
}

// AddressDevice returns the interface that an address belongs on.
func (c *Config) AddressDevice(a Address) string {
	switch {
	case a.Device != "":
		return a.Device
	case c.VMAC != nil:
		return c.VMAC.Name
	}
	return c.Interface
}

// Endpoint returns where the instance listens for adverts.
func (c *Config) Endpoint() Endpoint {
	e := Endpoint{Interface: c.Interface, Family: c.Family(), Group: c.Group}
	if !e.Group.IsValid() {
		e.Group = groupOf(e.Family == IPv6)
	}
	return e
}

// Wanted is what the virtual router accepts on a node whose own address is source.
func (c *Config) Wanted(source netip.Addr) Want {
	return Want{
		Version: c.Version, VRID: c.VRID, Interval: c.AdvertInterval, Source: source,
		Group: c.Endpoint().Group, Password: c.Password,
		Unicast: len(c.Peers) > 0, Peers: c.Peers, AnySource: c.AnySource, TTLMin: c.UnicastTTLMin,
	}
}

const centisecond = 10 * time.Millisecond

// MaxDelay bounds every delay of a Config.
const MaxDelay = 24 * time.Hour
