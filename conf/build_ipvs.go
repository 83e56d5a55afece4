package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"baton/ipvs"
)

func (b *builder) virtualServer(r *rawVirtualServer, keys map[string]string) (VirtualServer, bool) {
	s := ipvs.Service{
		Scheduler:   r.LBAlgo.v,
		OnePacket:   r.OPS.v,
		Persistence: r.PersistenceTimeout.v.std(),
	}
	proto := ipvs.Protocol(strings.ToLower(r.Protocol.v))
	b.scheduler(r, &s, proto)
	if !r.Address.set || r.Address.bad {
		b.detached(r)
		return VirtualServer{}, false
	}
	at, ok := b.addrPort(r.Address.path, r.Address.v, -1)
	if !ok {
		b.detached(r)
		return VirtualServer{}, false
	}
	s.Key = ipvs.AddressKey(proto, at)
	b.persistence(r, &s)
	name := s.Key.String()
	if first, dup := keys[name]; dup && !r.Protocol.bad {
		b.errorf(r.Address.path, "the virtual_server in %s is %s already", b.where(first), name).remedy("merge the two")
	} else {
		keys[name] = r.path
	}
	if _, held := b.vips[s.Key.Address]; !held && len(b.raw.Instances) > 0 {
		b.warnf(r.Address.path, "no vrrp_instance has the address %s", s.Key.Address).
			remedy("add it to a virtual_ipaddress, or see to it that clients' packets for it arrive here")
	}
	return VirtualServer{
		Name: name, Service: s, Keys: []ipvs.ServiceKey{s.Key}, Servers: b.realServers(r, s.Key),
		Alpha: true, Quorum: 1, DrainTimeout: b.raw.Global.DrainTimeout.get(b.node).std(),
	}, true
}

// detached validates the servers of a service whose own address is wrong.
func (b *builder) detached(r *rawVirtualServer) {
	b.realServers(r, ipvs.ServiceKey{})
}

// scheduler checks the flags against the scheduler and the protocol.
func (b *builder) scheduler(r *rawVirtualServer, s *ipvs.Service, proto ipvs.Protocol) {
	for _, f := range []struct {
		key       *value[bool]
		scheduler string
		flag      ipvs.SchedFlags
	}{
		{&r.SHPort, "sh", ipvs.SHPort}, {&r.SHFallback, "sh", ipvs.SHFallback},
		{&r.MHPort, "mh", ipvs.MHPort}, {&r.MHFallback, "mh", ipvs.MHFallback},
	} {
		if !f.key.v {
			continue
		}
		s.SchedFlags |= f.flag
		if s.Scheduler != f.scheduler && !r.LBAlgo.bad {
			b.errorf(f.key.path, "is a flag of scheduler %s, but lb_algo is %s", f.scheduler, s.Scheduler).
				remedy("remove it, or use lb_algo = %q", f.scheduler)
		}
	}
	if s.OnePacket && proto != ipvs.UDP && !r.Protocol.bad {
		b.errorf(r.OPS.path, "one-packet scheduling is for UDP, but protocol is %s", r.Protocol.v).remedy(`remove it, or use protocol = "UDP"`)
	}
}

func (b *builder) persistence(r *rawVirtualServer, s *ipvs.Service) {
	if s.Persistence%time.Second != 0 {
		b.errorf(r.PersistenceTimeout.path, "%s: the kernel counts whole seconds", format(s.Persistence)).
			remedy("use %s", format(max(s.Persistence.Round(time.Second), time.Second)))
	}
	if g := &r.PersistenceGranularity; g.set && !g.bad {
		mask, err := ipvs.ParseMask(s.Key.AF(), g.v)
		switch {
		case err != nil && s.Key.AF() == ipvs.IPv6:
			b.errorf(g.path, "%q is not a prefix length", clip(g.v)).remedy(`write 1 to 128 in quotes, as in "64"`)
		case err != nil:
			b.errorf(g.path, "%q is not a netmask", clip(g.v)).remedy(`write "255.255.255.0" or "24"`)
		case uint32(mask)&(uint32(mask)+1) != 0 && s.Key.AF() == ipvs.IPv4:
			b.errorf(g.path, "%q is not a netmask: its ones are not contiguous", clip(g.v)).remedy(`write "255.255.255.0" or "24"`)
		case s.Persistence == 0 && !r.PersistenceTimeout.bad:
			b.errorf(g.path, "has no effect without persistence_timeout").remedy(`add persistence_timeout = "6m", or remove this key`)
		}
		s.PersistenceMask = mask
	}
	if s.Key.Port == 0 && s.Persistence == 0 && !r.PersistenceTimeout.bad {
		b.errorf(r.Address.path, "port 0 (every port) needs persistence").remedy("name a port, or set persistence_timeout")
	}
}

// addrPort reads ADDRESS:PORT; port is used where the text has none, -1 means
// that it must have one.
func (b *builder) addrPort(path, s string, port int) (netip.AddrPort, bool) {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		a, err := netip.ParseAddr(strings.Trim(s, "[]"))
		switch {
		case err != nil || a.Zone() != "":
			b.errorf(path, "%q is not an address with a port", clip(s)).remedy("%s", addressHint(s))
			return at, false
		case port < 0:
			b.errorf(path, "%q has no port", clip(s)).remedy("write %q", netip.AddrPortFrom(a, 80))
			return at, false
		}
		at = netip.AddrPortFrom(a, uint16(port))
	}
	if at.Addr().Zone() != "" || !unicast(at.Addr()) {
		b.errorf(path, "%s is not an address that a host can have", at.Addr()).remedy("use a unicast address")
		return at, false
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
}

// addressHint guesses what is wrong with something like an address.
func addressHint(s string) string {
	if f := strings.Fields(s); len(f) == 2 {
		if _, err := strconv.Atoi(f[1]); err == nil {
			return fmt.Sprintf("write a colon before the port: %q", f[0]+":"+f[1])
		}
	}
	if host, port, ok := strings.Cut(s, ":"); ok {
		if _, err := netip.ParseAddr(host); err == nil {
			return fmt.Sprintf("%q is not a port from 0 to 65535", clip(port))
		}
	}
	return `write "192.168.16.200:80" or "[2001:db8::200]:80"; names are not resolved`
}

func (b *builder) realServers(r *rawVirtualServer, key ipvs.ServiceKey) []RealServer {
	if len(r.RealServers) == 0 {
		b.warnf(r.path, "has no real_server: every client is refused").remedy("add a [[virtual_server.real_server]]")
	}
	seen := map[ipvs.ServerKey]string{}
	var out []RealServer
	for i := range r.RealServers {
		rs := &r.RealServers[i]
		s, ok := b.realServer(r, rs, key)
		if !ok {
			continue
		}
		if first, dup := seen[s.Server.Key]; dup {
			b.errorf(rs.Address.path, "%s is a real_server of this service in %s already", s.Server.Key, b.where(first)).remedy("remove one of the two")
			continue
		}
		seen[s.Server.Key] = rs.path
		out = append(out, s)
	}
	return out
}

func (b *builder) realServer(r *rawVirtualServer, rs *rawRealServer, key ipvs.ServiceKey) (RealServer, bool) {
	kind := pick(&rs.LBKind, &r.LBKind)
	s := ipvs.Server{
		Weight:         rs.Weight.get(b.node),
		Forward:        ipvs.Forward(kind.v),
		UpperThreshold: uint32(rs.UThreshold.v),
		LowerThreshold: uint32(rs.LThreshold.v),
	}
	if s.LowerThreshold > s.UpperThreshold && !rs.UThreshold.bad && !rs.LThreshold.bad {
		b.errorf(rs.LThreshold.path, "lower threshold %d is above the upper one, %d", s.LowerThreshold, s.UpperThreshold).
			remedy("raise uthreshold or lower this")
	}
	if !rs.Address.set || rs.Address.bad {
		return RealServer{}, false
	}
	at, ok := b.addrPort(rs.Address.path, rs.Address.v, int(key.Port))
	if !ok {
		return RealServer{}, false
	}
	s.Key = ipvs.MakeServerKey(at)
	if key.Address.IsValid() {
		ok = b.reachable(rs, s, key, kind)
	}
	return RealServer{
		Server:           s,
		InhibitOnFailure: pick(&rs.InhibitOnFailure, &r.InhibitOnFailure).v,
		Checks:           b.checks(r, rs, key, at),
	}, ok
}

// reachable checks that packets of the service can be forwarded to the server
// in the way that lb_kind says.
func (b *builder) reachable(rs *rawRealServer, s ipvs.Server, key ipvs.ServiceKey, kind *value[string]) bool {
	ok := true
	fail := func(format string, args ...any) *Problem {
		ok = false
		return b.errorf(rs.Address.path, format, args...)
	}
	if s.Key.Address == key.Address {
		fail("%s is the service's own address: packets would go in a circle", s.Key.Address).remedy("use the real server's own address")
	}
	if s.Key.Address.Is4() != key.Address.Is4() {
		fail("%s and the service's %s are of two families", s.Key.Address, key.Address).remedy("use servers of the service's family")
	}
	if !kind.bad && kind.set && s.Forward != ipvs.NAT && s.Key.Port != key.Port {
		fail("%s cannot change the port from %d to %d: the packet arrives as the client sent it", s.Forward, key.Port, s.Key.Port).
			remedy(`use port %d, or lb_kind = "NAT"`, key.Port)
	}
	return ok
}
