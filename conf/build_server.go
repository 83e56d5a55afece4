package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"baton/ipvs"
)

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

func (b *builder) realServers(r *rawVirtualServer, on *served) []RealServer {
	if len(r.RealServers) == 0 {
		b.warnf(r.path, "has no real_server: every client is refused").remedy("add a [[virtual_server.real_server]]")
	}
	seen := make(map[ipvs.ServerKey]string, len(r.RealServers))
	out := make([]RealServer, 0, len(r.RealServers))
	for i := range r.RealServers {
		rs := &r.RealServers[i]
		s, ok := b.realServer(r, rs, on)
		if !ok {
			continue
		}
		if first, dup := on.taken(seen, s.Server.Key); dup {
			b.errorf(rs.Address.path(), "%s is a real_server of this service in %s already", s.Server.Key, b.where(first)).remedy("remove one of the two")
			continue
		}
		seen[s.Server.Key] = rs.path
		out = append(out, s)
	}
	return out
}

// taken looks for a server that would be the same entry in one of the services.
// One without a port has each service's.
func (on *served) taken(seen map[ipvs.ServerKey]string, k ipvs.ServerKey) (string, bool) {
	if first, dup := seen[k]; dup {
		return first, true
	}
	for _, s := range on.keys {
		if on.port != 0 || s.Port == 0 {
			continue // no server is without a port, or the service has none
		}
		other := ipvs.ServerKey{Address: k.Address}
		switch k.Port {
		case 0:
			other.Port = s.Port
		case s.Port:
		default:
			continue
		}
		if first, dup := seen[other]; dup {
			return first, true
		}
	}
	return "", false
}

func (b *builder) realServer(r *rawVirtualServer, rs *rawRealServer, on *served) (RealServer, bool) {
	s := ipvs.Server{
		Weight:         rs.Weight.get(b.node),
		UpperThreshold: uint32(rs.UThreshold.v),
		LowerThreshold: uint32(rs.LThreshold.v),
	}
	if s.LowerThreshold > s.UpperThreshold && !rs.UThreshold.bad && !rs.LThreshold.bad {
		b.errorf(rs.LThreshold.path(), "lower threshold %d is above the upper one, %d", s.LowerThreshold, s.UpperThreshold).
			remedy("raise uthreshold or lower this")
	}
	ok := b.server(&s, r, &rs.Address, &rs.rawForward, on)
	if !s.Key.Address.IsValid() {
		return RealServer{}, false
	}
	return RealServer{
		Server:           s,
		InhibitOnFailure: pick(&rs.InhibitOnFailure, &r.InhibitOnFailure).v,
		SlowStart:        pick(&rs.SlowStart, &r.SlowStart).v.std(),
		Checks:           b.checksOnce(r, rs, on, s.Key),
		NotifyUp:         b.command(rs.NotifyUp, &r.NotifyTimeout),
		NotifyDown:       b.command(rs.NotifyDown, &r.NotifyTimeout),
	}, ok
}

// server fills in where a server is and how it is reached. Without an address
// that can be read, the key stays empty.
func (b *builder) server(s *ipvs.Server, r *rawVirtualServer, address *value[string], f *rawForward, on *served) bool {
	kind := pick(&f.LBKind, &r.LBKind)
	s.Forward = ipvs.Forward(kind.v)
	s.Tunnel = b.tunnel(r, f, s.Forward)
	if !address.set || address.bad {
		return false
	}
	at, ok := b.loopback(address, r.Sorry, s.Forward, on)
	if !ok {
		at, ok = b.addrPort(address.path(), address.v, int(on.port))
	}
	if !ok {
		return false
	}
	s.Key = ipvs.MakeServerKey(at)
	return len(on.keys) == 0 || b.reachable(address.path(), *s, on, kind)
}

// loopback reads a sorry server on this node itself. The kernel hands the packet
// up as it is, except that it lets no NAT lead to 127.0.0.1.
func (b *builder) loopback(address *value[string], sorry *rawSorryServer, forward ipvs.Forward, on *served) (netip.AddrPort, bool) {
	if sorry == nil || address != &sorry.Address {
		return netip.AddrPort{}, false
	}
	a, port, ok := splitAddress(address.v)
	if !ok || !a.IsLoopback() {
		return netip.AddrPort{}, false
	}
	if forward == ipvs.NAT {
		b.errorf(address.path(), "%s is out of reach for NAT: the kernel drops such packets", a).remedy(`use another address of this node, or lb_kind = "DR" for it`)
	}
	if port == 0 {
		port = on.port
	}
	return netip.AddrPortFrom(a.Unmap(), port), true
}

// reachable checks that packets of the services can be forwarded to the server
// in the way that lb_kind says.
func (b *builder) reachable(path string, s ipvs.Server, on *served, kind *value[string]) bool {
	ok := true
	fail := func(format string, args ...any) *Problem {
		ok = false
		return b.errorf(path, format, args...)
	}
	if on.own[s.Key.Address] {
		fail("%s is the service's own address: packets would go in a circle", s.Key.Address).remedy("use the real server's own address")
	}
	if kind.bad || !kind.set {
		return ok
	}
	if s.Key.Address.Is4() != (on.af == ipvs.IPv4) {
		switch {
		case s.Forward != ipvs.TUN:
			fail("%s and %s are of two families", s.Key.Address, on.keys[0]).
				remedy(`use servers of the service's family; only lb_kind = "TUN" can mix them`)
		case b.raw.IPVS.Sync != nil:
			fail("%s and %s are of two families, which the kernel does not synchronise", s.Key.Address, on.keys[0]).
				remedy("use servers of the service's family, or remove lvs_sync_daemon")
		}
	}
	if s.Forward == ipvs.NAT || s.Key.Port == 0 {
		return ok
	}
	for _, k := range on.keys {
		switch {
		case k.FWMark != 0:
			fail("%s cannot change the port, and %s takes whatever port the client asked for", s.Forward, k).remedy(`leave out the port, or use lb_kind = "NAT"`)
		case k.Port == s.Key.Port:
			continue
		case on.port != 0:
			fail("%s cannot change the port from %d to %d: the packet arrives as the client sent it", s.Forward, k.Port, s.Key.Port).
				remedy(`use port %d, or lb_kind = "NAT"`, k.Port)
		default:
			fail("%s cannot change the port from %d to %d: the packet arrives as the client sent it", s.Forward, k.Port, s.Key.Port).
				remedy(`leave out the port, which is then that of each service, or use lb_kind = "NAT"`)
		}
		break
	}
	return ok
}

// tunnel resolves the encapsulation of a server with lb_kind TUN. What a server
// says itself must fit; what the virtual_server says is for those that it fits.
func (b *builder) tunnel(r *rawVirtualServer, f *rawForward, forward ipvs.Forward) ipvs.Tunnel {
	if forward != ipvs.TUN {
		for _, k := range []struct {
			set  bool
			path string
		}{{f.TunType.set, f.TunType.path()}, {f.TunPort.set, f.TunPort.path()}, {f.TunCsum.set, f.TunCsum.path()}} {
			if k.set && forward != "" {
				b.errorf(k.path, "is for lb_kind TUN, but this server has %s", forward).remedy(`remove it, or use lb_kind = "TUN"`)
			}
		}
		return ipvs.Tunnel{}
	}
	kind := pick(&f.TunType, &r.TunType)
	t := ipvs.Tunnel{}
	t.Type, _ = ipvs.ParseTunnelType(kind.v)
	if kind.bad {
		return t
	}
	port := pick(&f.TunPort, &r.TunPort)
	switch {
	case t.Type == ipvs.GUE && port.set && !port.bad:
		t.Port = uint16(port.v)
	case t.Type == ipvs.GUE && !port.set:
		b.errorf(kind.path(), "gue needs a port").remedy("add tun_port, the UDP port on which the server has set up fou")
	case t.Type != ipvs.GUE && f.TunPort.set:
		b.errorf(f.TunPort.path(), "is for gue, but tun_type is %s", t.Type).remedy(`remove it, or use tun_type = "gue"`)
	}
	csum := pick(&f.TunCsum, &r.TunCsum)
	switch {
	case csum.v == "csum" && t.Type != ipvs.IPIP:
		t.Flags = ipvs.TunnelChecksum
	case csum.v == "remcsum" && t.Type == ipvs.GUE:
		t.Flags = ipvs.TunnelRemoteChecksum
	case csum.v != "nocsum" && csum == &f.TunCsum && !csum.bad:
		b.errorf(csum.path(), "%s has no %s", t.Type, csum.v).remedy("remove it; csum is for gue and gre, remcsum for gue")
	}
	return t
}

// tunnelKeys tells of keys of the virtual_server that fit none of its servers.
func (b *builder) tunnelKeys(r *rawVirtualServer, vs *VirtualServer) {
	used := func(fits func(ipvs.Server) bool) bool {
		for _, s := range vs.Servers {
			if fits(s.Server) {
				return true
			}
		}
		return vs.Sorry != nil && fits(vs.Sorry.Server) || len(vs.Servers) < len(r.RealServers)
	}
	tun := func(s ipvs.Server) bool { return s.Forward == ipvs.TUN }
	if r.TunType.set && !r.TunType.bad && !used(tun) {
		b.errorf(r.TunType.path(), `is for lb_kind "TUN", and no server here has it`).remedy("remove it")
	}
	if r.TunPort.set && !r.TunPort.bad && !used(func(s ipvs.Server) bool { return tun(s) && s.Tunnel.Type == ipvs.GUE }) {
		b.errorf(r.TunPort.path(), "is for tun_type gue, and no server here has it").remedy(`remove it, or use tun_type = "gue"`)
	}
	if c := &r.TunCsum; c.set && !c.bad && c.v != "nocsum" && !used(func(s ipvs.Server) bool { return s.Tunnel.Flags != 0 }) {
		b.errorf(c.path(), "%s fits no server here", c.v).remedy("remove it; csum is for tun_type gue and gre, remcsum for gue")
	}
}
