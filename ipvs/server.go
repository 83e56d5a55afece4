package ipvs

import "fmt"

// Forward is how packets reach a real server, in keepalived's words (lb_kind).
type Forward string

// The forwarding methods.
const (
	DR  Forward = "DR"  // direct routing: ipvsadm -g, listed as Route
	NAT Forward = "NAT" // ipvsadm -m, Masq
	TUN Forward = "TUN" // ipvsadm -i, Tunnel
)

// Server is one real server of a service.
type Server struct {
	Key            ServerKey
	Weight         int // 0…65535 by convention (the kernel takes 2³¹−1); 0 gets no new connection
	Forward        Forward
	Tunnel         Tunnel       // of Forward TUN
	UpperThreshold uint32       // connections above which the server gets no new one; 0: no limit
	LowerThreshold uint32       // connections below which it gets new ones again; 0: ¾ of the upper
	Stats          *ServerStats // observed, nil in a desired table; not part of the server's value, see Equal
}

// Equal says whether both are the same to the kernel; Stats do not count.
func (s Server) Equal(o Server) bool { return s.canonical(s.Key) == o.canonical(o.Key) }

// canonical gives servers that the kernel cannot tell apart the same value.
func (s Server) canonical(k ServerKey) Server {
	s.Key = k
	s.Stats = nil
	if s.Forward != TUN {
		s.Tunnel = Tunnel{}
	}
	return s
}

// Tunnel is the encapsulation of Forward TUN. The zero value is ipip.
type Tunnel struct {
	Type  TunnelType
	Port  uint16      // of gue, 1…65535
	Flags TunnelFlags // of gue and gre
}

// String returns "ipip", "gue port 5555 csum".
func (t Tunnel) String() string {
	s := t.Type.String()
	if t.Port != 0 {
		s += fmt.Sprintf(" port %d", t.Port)
	}
	if t.Flags&TunnelChecksum != 0 {
		s += " csum"
	}
	if t.Flags&TunnelRemoteChecksum != 0 {
		s += " remcsum"
	}
	return s
}

// TunnelType is IP_VS_CONN_F_TUNNEL_TYPE_* of linux/ip_vs.h.
type TunnelType uint8

// The encapsulations.
const (
	IPIP TunnelType = iota
	GUE
	GRE
)

var tunnelNames = [...]string{"ipip", "gue", "gre"}

// String returns ipvsadm's word: ipip, gue, gre.
func (t TunnelType) String() string {
	if int(t) < len(tunnelNames) {
		return tunnelNames[t]
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// ParseTunnelType reads ipip, gue or gre.
func ParseTunnelType(s string) (TunnelType, error) {
	for i, n := range tunnelNames {
		if s == n {
			return TunnelType(i), nil
		}
	}
	return 0, fmt.Errorf("parse tunnel type %q: not one of ipip, gue, gre", s)
}

// TunnelFlags is IP_VS_TUNNEL_ENCAP_FLAG_* of linux/ip_vs.h.
type TunnelFlags uint16

// The checksum flags; none of them is ipvsadm's --tun-nocsum.
const (
	TunnelChecksum       TunnelFlags = 1 << iota // --tun-csum, gue and gre
	TunnelRemoteChecksum                         // --tun-remcsum, gue
)
