package ipvs

import (
	"encoding/binary"
	"fmt"
	"time"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

// Flags of a service, linux/ip_vs.h.
const (
	svcPersistent = 0x0001 // IP_VS_SVC_F_PERSISTENT
	svcOnePacket  = 0x0004 // IP_VS_SVC_F_ONEPACKET
	svcSchedShift = 3      // IP_VS_SVC_F_SCHED1 … 3
)

// IP_VS_CONN_F_* under IP_VS_CONN_F_FWD_MASK, linux/ip_vs.h.
var forwardBits = map[Forward]uint32{NAT: 0, TUN: 2, DR: 3}

func forwardOf(bits uint32) Forward {
	switch bits & 7 {
	case 0:
		return NAT
	case 2:
		return TUN
	case 3:
		return DR
	}
	return Forward(fmt.Sprintf("method-%d", bits&7)) // local node and bypass: kernels do not report them since 2.6.37
}

var protocolNumbers = map[Protocol]uint16{TCP: unix.IPPROTO_TCP, UDP: unix.IPPROTO_UDP, SCTP: unix.IPPROTO_SCTP}

func protocolOf(n uint16) Protocol {
	for p, number := range protocolNumbers {
		if n == number {
			return p
		}
	}
	return Protocol(fmt.Sprintf("protocol-%d", n))
}

func afNumber(f Family) uint16 {
	if f == IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// netmask is IPVS_SVC_ATTR_NETMASK: a mask in network byte order for IPv4, a
// prefix length for IPv6. The kernel refuses 0 for IPv6; for IPv4 it would
// take all clients for one.
func netmask(m Mask, f Family) uint32 {
	if f == IPv6 {
		return 128 - uint32(m)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ^uint32(m))
	return binary.NativeEndian.Uint32(b[:])
}

func maskOf(n uint32, f Family) Mask {
	if f == IPv6 {
		return Mask(128 - n)
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], n)
	return Mask(^binary.BigEndian.Uint32(b[:]))
}

func serviceFlags(s Service) uint32 {
	f := uint32(s.SchedFlags) << svcSchedShift
	if s.Persistence > 0 {
		f |= svcPersistent
	}
	if s.OnePacket {
		f |= svcOnePacket
	}
	return f
}

func mobyService(s Service) *moby.Service {
	f := s.Key.AF()
	m := &moby.Service{
		AddressFamily: afNumber(f),
		FWMark:        s.Key.FWMark,
		Port:          s.Key.Port,
		Protocol:      protocolNumbers[s.Key.Protocol],
		SchedName:     s.Scheduler,
		PEName:        s.PersistenceEngine,
		Flags:         serviceFlags(s),
		Timeout:       uint32(s.Persistence / time.Second),
		Netmask:       netmask(s.PersistenceMask, f),
	}
	if s.Key.FWMark == 0 {
		m.Address = s.Key.Address.AsSlice()
	}
	return m
}

// beyondMoby says whether moby/ipvs has no attribute for something in an
// operation on a server: another family than the service's, and tunnels
// that are not ipip.
func beyondMoby(op Op) bool {
	return op.Server.Tunnel != (Tunnel{}) || op.mixed()
}

func mobyDestination(s Server) (*moby.Destination, error) {
	bits, known := forwardBits[s.Forward]
	if !known && s.Forward != "" { // DeleteServer has only a key
		return nil, fmt.Errorf("unknown forwarding method %q", s.Forward)
	}
	return &moby.Destination{
		Address:         s.Key.Address.AsSlice(),
		Port:            s.Key.Port,
		Weight:          s.Weight,
		ConnectionFlags: bits,
		UpperThreshold:  s.UpperThreshold,
		LowerThreshold:  s.LowerThreshold,
	}, nil
}
