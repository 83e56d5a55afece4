package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is the transport of a virtual service.
type Protocol string

// The transports that IPVS balances.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Family is an address family. Its zero value is IPv4.
type Family uint8

// The families that IPVS knows.
const (
	IPv4 Family = iota
	IPv6
)

// String returns "ipv4" or "ipv6".
func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// bits is the length of an address of the family.
func (f Family) bits() int {
	if f == IPv6 {
		return 128
	}
	return 32
}

func familyOf(a netip.Addr) Family {
	if a.Is6() && !a.Is4In6() {
		return IPv6
	}
	return IPv4
}

// ServiceKey is the identity of a virtual service in the kernel: protocol,
// address and port, or a firewall mark. Build it with [AddressKey] or
// [FWMarkKey], so that equal services have equal keys.
type ServiceKey struct {
	Protocol Protocol   // of an address service
	Address  netip.Addr // of an address service: not IPv4-mapped, without a zone
	Port     uint16     // of an address service; 0 is every port and needs persistence
	FWMark   uint32     // not 0: a firewall mark service, which has no other identity than this and Family
	Family   Family     // of a firewall mark service; an address service has its address's
}

// AddressKey returns the key of a service on an address and port.
func AddressKey(p Protocol, at netip.AddrPort) ServiceKey {
	return ServiceKey{Protocol: p, Address: at.Addr().Unmap().WithZone(""), Port: at.Port()}
}

// FWMarkKey returns the key of a service on packets that carry a firewall mark, 1…2³²−1.
func FWMarkKey(mark uint32, f Family) ServiceKey {
	return ServiceKey{FWMark: mark, Family: f}
}

// ParseServiceKey reads what [ServiceKey.String] prints.
func ParseServiceKey(s string) (ServiceKey, error) {
	fail := func(why string) (ServiceKey, error) {
		return ServiceKey{}, fmt.Errorf(`parse service %q: %s (want "tcp ADDRESS:PORT", udp, sctp, or "fwmark NUMBER [ipv6]")`, s, why)
	}
	word := strings.Fields(s)
	if len(word) < 2 || len(word) > 3 {
		return fail("not two or three words")
	}
	if word[0] == "fwmark" {
		mark, err := strconv.ParseUint(word[1], 10, 32)
		if err != nil || mark == 0 {
			return fail("the mark is not a number from 1 to 4294967295")
		}
		switch {
		case len(word) == 2 || word[2] == "ipv4":
			return FWMarkKey(uint32(mark), IPv4), nil
		case word[2] == "ipv6":
			return FWMarkKey(uint32(mark), IPv6), nil
		}
		return fail("the third word is not ipv6")
	}
	p := Protocol(word[0])
	if p != TCP && p != UDP && p != SCTP {
		return fail("unknown protocol")
	}
	if len(word) != 2 {
		return fail("a word too many")
	}
	at, err := netip.ParseAddrPort(word[1])
	if err != nil {
		return fail(err.Error())
	}
	return AddressKey(p, at), nil
}

// AF returns the family of the service's clients.
func (k ServiceKey) AF() Family {
	if k.FWMark != 0 {
		return k.Family
	}
	return familyOf(k.Address)
}

// String returns "tcp 192.168.16.200:80", "fwmark 7" or "fwmark 7 ipv6".
func (k ServiceKey) String() string {
	if k.FWMark == 0 {
		return string(k.Protocol) + " " + netip.AddrPortFrom(k.Address, k.Port).String()
	}
	s := "fwmark " + strconv.FormatUint(uint64(k.FWMark), 10)
	if k.Family == IPv6 {
		s += " ipv6"
	}
	return s
}

// MarshalText returns the bytes of String.
func (k ServiceKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseServiceKey.
func (k *ServiceKey) UnmarshalText(b []byte) (err error) {
	*k, err = ParseServiceKey(string(b))
	return err
}

// Compare orders address services by protocol (tcp, udp, sctp), address and
// port, and firewall mark services behind them by mark and family.
func (k ServiceKey) Compare(o ServiceKey) int {
	return cmp.Or(
		cmp.Compare(k.FWMark, o.FWMark),
		cmp.Compare(k.Family, o.Family),
		cmp.Compare(k.Protocol.rank(), o.Protocol.rank()),
		k.Address.Compare(o.Address),
		cmp.Compare(k.Port, o.Port))
}

func (p Protocol) rank() int {
	switch p {
	case TCP:
		return 0
	case UDP:
		return 1
	case SCTP:
		return 2
	}
	return 3
}

// canonical forgives keys that were not made by a constructor.
func (k ServiceKey) canonical() ServiceKey {
	if k.FWMark != 0 {
		return FWMarkKey(k.FWMark, k.Family)
	}
	return AddressKey(k.Protocol, netip.AddrPortFrom(k.Address, k.Port))
}

// ServerKey is the identity of a real server within its service.
type ServerKey struct {
	Address netip.Addr // not IPv4-mapped, without a zone
	Port    uint16     // DR and TUN cannot map ports: the service's; behind a firewall mark 0 is the port that the client asked for
}

// MakeServerKey returns the key of the real server at that address and port.
func MakeServerKey(at netip.AddrPort) ServerKey {
	return ServerKey{Address: at.Addr().Unmap().WithZone(""), Port: at.Port()}
}

// String returns "192.168.16.103:80" or "[2001:db8::3]:80".
func (k ServerKey) String() string { return netip.AddrPortFrom(k.Address, k.Port).String() }

// MarshalText returns the bytes of String.
func (k ServerKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String prints.
func (k *ServerKey) UnmarshalText(b []byte) error {
	at, err := netip.ParseAddrPort(string(b))
	if err != nil {
		return fmt.Errorf("parse real server %q: %w", b, err)
	}
	*k = MakeServerKey(at)
	return nil
}

// Compare orders by address, then port.
func (k ServerKey) Compare(o ServerKey) int {
	return cmp.Or(k.Address.Compare(o.Address), cmp.Compare(k.Port, o.Port))
}

func (k ServerKey) canonical() ServerKey {
	return MakeServerKey(netip.AddrPortFrom(k.Address, k.Port))
}
