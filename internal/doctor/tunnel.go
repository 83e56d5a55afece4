package doctor

import (
	"cmp"
	"fmt"
	"net/netip"

	"baton/conf"
	"baton/ipvs"
	"baton/vrrp"
)

// overhead is what a tunnel adds to a packet, in bytes: the outer IP header
// (RFC 791, RFC 8200), and that of GRE (RFC 2784) or UDP and GUE.
func overhead(t ipvs.Tunnel, six bool) int {
	n := 20
	if six {
		n = 40
	}
	switch t.Type {
	case ipvs.GRE:
		n += 4
		if t.Flags&ipvs.TunnelChecksum != 0 {
			n += 4
		}
	case ipvs.GUE:
		n += 8 + 4
		if t.Flags&ipvs.TunnelRemoteChecksum != 0 {
			n += 8
		}
	}
	return n
}

// tunnels: clients' packets get larger on their way to a server behind a tunnel.
func (e *examination) tunnels() {
	for _, vs := range e.cfg.Services {
		in, mtu := e.ingress(vs)
		for _, rs := range vs.Servers {
			s := rs.Server
			r, ok := e.f.Routes[s.Key.Address]
			if s.Forward != ipvs.TUN || r.Local {
				continue
			}
			if !ok || r.Interface == "" {
				e.add(Finding{ID: "tunnel.route", Severity: Critical, What: fmt.Sprintf("there is no route to %s", s.Key.Address),
					Consequence: "what is for this real server is dropped", Mend: fmt.Sprintf("ip route get %s", s.Key.Address)})
				continue
			}
			out := r.MTU
			if out == 0 {
				out = e.f.Links[r.Interface].MTU
			}
			if out == 0 || mtu == 0 {
				continue
			}
			e.fits(s, r, in, vs.Keys[0].AF() == ipvs.IPv6, mtu, out-overhead(s.Tunnel, s.Key.Address.Is6()))
		}
	}
}

// fits judges the room that is left inside a tunnel.
func (e *examination) fits(s ipvs.Server, r Route, in string, vip6 bool, mtu, room int) {
	what := fmt.Sprintf("the tunnel to %s (%s) has room for %d bytes", s.Key.Address, s.Tunnel, room)
	family, mss := "ip", room-40 // the headers of IP and TCP
	if vip6 {
		family, mss = "ip -6", room-60
	}
	f := Finding{ID: "tunnel.mtu", Severity: Warning, What: fmt.Sprintf("%s, and clients may send %d", what, mtu),
		Mend: fmt.Sprintf("ip link set %s mtu %d", r.Interface, mtu+overhead(s.Tunnel, s.Key.Address.Is6())), On: "this host and every switch and router on the way; or on the real server: " + family + " route change default via GATEWAY advmss " + fmt.Sprint(mss)}
	switch {
	case room >= mtu:
		e.ok("tunnel.mtu", what)
	case room < 1280 && vip6:
		f.Severity = Critical
		f.Consequence = "IPv6 needs 1280 (RFC 8200 section 5): larger packets of clients are lost"
		e.add(f)
	case !vip6 && e.f.Sysctls["net/ipv4/vs/pmtu_disc"] == "0": // of IPv6 routers cut nothing up
		f.Consequence = "net.ipv4.vs.pmtu_disc is 0: the director cuts larger packets up, which costs time and is dropped by many firewalls"
		e.add(f)
	case e.rules().ask(icmpOut(in, vip6)) != nil:
		f.Severity = Critical
		f.Consequence = "the firewall drops the ICMP messages that tell clients so: uploads hang"
		e.add(f)
	default:
		e.ok("tunnel.mtu", fmt.Sprintf("%s; clients are told so by ICMP, or by advmss %d on the real server's route", what, mss))
	}
}

// ingress is the interface of the network that clients' packets come from, and
// its MTU.
func (e *examination) ingress(vs conf.VirtualServer) (string, int) {
	for _, k := range vs.Keys {
		if i, a := e.holder(k.Address); i != nil {
			dev := cmp.Or(a.Device, i.Interface)
			return dev, e.f.Links[dev].MTU
		}
	}
	return "", 0
}

// holder is the instance that has an address; nil: none.
func (e *examination) holder(vip netip.Addr) (*vrrp.Config, vrrp.Address) {
	for k := range e.cfg.Instances {
		i := &e.cfg.Instances[k]
		for _, a := range i.All() {
			if a.Prefix.Addr() == vip {
				return i, a
			}
		}
	}
	return nil, vrrp.Address{}
}
