package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func validConfig(family Family) Config {
	c := Config{
		Name: "VI_1", Interface: "eth0", VRID: 51, Version: V3, Priority: 100, AdvertInterval: time.Second, Preempt: true,
		DownTimerAdverts: 3, Checksum: ChecksumAuto, GARP: DefaultGARP(),
		Addresses: []Address{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}},
	}
	if family == IPv6 {
		c.Addresses = []Address{{Prefix: netip.MustParsePrefix("fe80::1/64")}, {Prefix: netip.MustParsePrefix("2001:db8::1/64")}}
	}
	return c
}

// TestValidate breaks a configuration that runs, one thing at a time.
func TestValidate(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for want, breakIt := range map[string]func(c4, c6 *Config){
		"":                                func(c4, c6 *Config) {},
		"version 3 only":                  func(_, c6 *Config) { c6.Version = V2 },
		"password has 9 bytes":            func(c4, _ *Config) { c4.Version, c4.Password = V2, "123456789" },
		"no authentication":               func(c4, _ *Config) { c4.Password = "1" },
		"not link-local":                  func(_, c6 *Config) { c6.Addresses = c6.Addresses[1:] },
		"not of the first one's family":   func(c4, c6 *Config) { c4.Addresses = append(c4.Addresses, c6.Addresses...) },
		"192.0.2.1 is there twice":        func(c4, _ *Config) { c4.Excluded = c4.Addresses },
		"source 192.0.2.1 is a virtual":   func(c4, _ *Config) { c4.Source = addr("192.0.2.1") },
		"source fe80::2 is not of the":    func(c4, _ *Config) { c4.Source = addr("fe80::2") },
		"group ff02::12 is not":           func(c4, _ *Config) { c4.Group = Group6 },
		"group 192.0.2.9 is not":          func(c4, _ *Config) { c4.Group = addr("192.0.2.9") },
		"unicast_peer 192.0.2.9 is there": func(c4, _ *Config) { c4.Peers = []netip.Addr{addr("192.0.2.9"), addr("192.0.2.9")} },
		"unicast_peer 2001:db8::2 is not": func(c4, _ *Config) { c4.Peers = []netip.Addr{addr("2001:db8::2")} },
		"source of our own":               func(c4, _ *Config) { c4.Source = addr("192.0.2.9"); c4.Peers = []netip.Addr{c4.Source} },
		"garp_interval is 2s":             func(c4, _ *Config) { c4.GARP.Interval = 2 * time.Second },
		"garp_lower_prio_repeat is -1":    func(c4, _ *Config) { c4.GARP.LowerPrioRepeat = -1 },
		"VMAC \"eth0\" is not":            func(c4, _ *Config) { c4.VMAC = &VMAC{Name: "eth0"} },
		"source 224.0.0.5 is not a host":  func(c4, _ *Config) { c4.Source = addr("224.0.0.5") },
		"source 2001:db8::2 is not link":  func(_, c6 *Config) { c6.Source = addr("2001:db8::2") },
		"group ff0e::12 is not link":      func(_, c6 *Config) { c6.Group = addr("ff0e::12") },
		"256 unicast peers": func(c4, _ *Config) {
			for i := range 256 {
				c4.Peers = append(c4.Peers, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
			}
		},
		"unicast_peer 255.255.255.255 is":                       func(c4, _ *Config) { c4.Peers = []netip.Addr{addr("255.255.255.255")} },
		"unicast_peer fe80::2%eth0 is":                          func(_, c6 *Config) { c6.Peers = []netip.Addr{addr("fe80::2%eth0")} },
		"192.0.2.1 is a virtual address: use one that the peer": func(c4, _ *Config) { c4.Peers = []netip.Addr{addr("192.0.2.1")} },
		"2001:db8::2 is not link-local, our source":             func(_, c6 *Config) { c6.Peers = []netip.Addr{addr("2001:db8::2")} },
		"cannot leave from a VMAC": func(c4, _ *Config) {
			c4.VMAC, c4.Peers = &VMAC{Name: "vrrp.51"}, []netip.Addr{addr("192.0.2.9")}
		},
		"carries at most 90": func(_, c6 *Config) {
			c6.VMAC = &VMAC{Name: "vrrp6.51"}
			for i := range 90 {
				c6.Addresses = append(c6.Addresses, Address{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 64)})
			}
		},
		"the VMAC vrrp.51 is that of":    func(c4, c6 *Config) { c4.VMAC, c6.VMAC = &VMAC{Name: "vrrp.51"}, &VMAC{Name: "vrrp.51"} },
		"script/s has weight 255":        func(c4, _ *Config) { c4.Track = []Track{{Kind: TrackScript, Name: "s", Weight: 255}} },
		"\"bfd\" cannot be tracked":      func(c4, _ *Config) { c4.Track = []Track{{Kind: "bfd", Name: "b"}} },
		"neither a gateway nor a device": func(c4, _ *Config) { c4.Routes = []Route{{Destination: prefix("0.0.0.0/0")}} },
		"192.0.2.1/24\" is not to a":     func(c4, _ *Config) { c4.Routes = []Route{{Destination: prefix("192.0.2.1/24"), Device: "eth0"}} },
		"0.0.0.0/0 mixes two":            func(c4, _ *Config) { c4.Routes = []Route{{Destination: prefix("0.0.0.0/0"), Via: addr("fe80::1")}} },
		"priority 32766":                 func(c4, _ *Config) { c4.Rules = []Rule{{Family: IPv4, Priority: 32766, Table: 1}} },
		"rule 1 mixes two":               func(c4, _ *Config) { c4.Rules = []Rule{{Family: IPv4, Priority: 1, Table: 1, From: prefix("::/0")}} },
		"rule 1 leads to no table":       func(c4, _ *Config) { c4.Rules = []Rule{{Family: IPv4, Priority: 1}} },
		"instance \"VI_1\": the name is": func(_, c6 *Config) { c6.Name = "VI_1" },
		"already":                        func(_, c6 *Config) { c6.Addresses = []Address{{Prefix: prefix("192.0.2.2/24")}} },
	} {
		c4, c6 := validConfig(IPv4), validConfig(IPv6)
		c6.Name = "VI_6"
		breakIt(&c4, &c6)
		checkRefusal(t, want, Validate([]Config{c4, c6}, nil))
	}
}

func TestValidateGroups(t *testing.T) {
	c4, c6 := validConfig(IPv4), validConfig(IPv6)
	c6.Name = "VI_6"
	both := []string{"VI_1", "VI_6"}
	for want, groups := range map[string][]SyncGroup{
		"":                            {{Name: "G", Members: both}},
		"there are 1 members":         {{Name: "G", Members: both[:1]}},
		"there is no instance \"X\"":  {{Name: "G", Members: []string{"VI_1", "X"}}},
		"in sync group \"G\" already": {{Name: "G", Members: both}, {Name: "H", Members: both}},
		"there twice":                 {{Name: "G", Members: both}, {Name: "G", Members: both}},
		"interface/eth0 has weight":   {{Name: "G", Members: both, Track: []Track{{Kind: TrackInterface, Name: "eth0", Weight: -255}}}},
	} {
		checkRefusal(t, want, Validate([]Config{c4, c6}, groups))
	}
}

func checkRefusal(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("refusal %v, want %q", err, want)
	}
}
