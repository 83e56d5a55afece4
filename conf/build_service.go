package conf

import (
	"strings"
	"time"

	"baton/ipvs"
)

func (b *builder) virtualServer(r *rawVirtualServer) (VirtualServer, bool) {
	s := ipvs.Service{
		Scheduler:         r.LBAlgo.v,
		OnePacket:         r.OPS.v,
		Persistence:       r.PersistenceTimeout.v.std(),
		PersistenceEngine: r.PersistenceEngine.v,
	}
	proto := ipvs.Protocol(strings.ToLower(r.Protocol.v))
	b.schedulerFlags(r, &s)
	on, ok := b.served(r, proto)
	if !ok {
		b.realServers(r, &served{}) // told as well
		b.sorry(r, &served{})
		return VirtualServer{}, false
	}
	s.Key = on.keys[0]
	b.udpOnly(r, &on)
	b.persistence(r, &s, &on)
	b.held(&on)
	b.namedChecks(&r.Checks, true) // told, even if every server has its own
	vs := VirtualServer{
		Name: on.name, Service: s, Keys: on.keys, Servers: b.realServers(r, &on),
		Alpha: r.Alpha.v, Omega: r.Omega.v, Quorum: r.Quorum.v, Hysteresis: r.Hysteresis.v,
		QuorumUp: b.command(r.QuorumUp, &r.NotifyTimeout), QuorumDown: b.command(r.QuorumDown, &r.NotifyTimeout),
		Sorry: b.sorry(r, &on), SorryInhibit: r.SorryInhibit.v,
		DrainTimeout: chosen(b.node, &r.DrainTimeout, &b.raw.Global.DrainTimeout).std(),
	}
	vs.PathCheck = b.pathCheck(r, &vs, &on)
	b.pool(r, &vs)
	b.tunnelKeys(r, &vs)
	return vs, true
}

// pathCheck returns how often the way to the servers is checked: those that get
// clients' packets as they are must have the service's address themselves.
func (b *builder) pathCheck(r *rawVirtualServer, vs *VirtualServer, on *served) time.Duration {
	k := &r.PathCheck
	direct := len(vs.Servers) < len(r.RealServers)
	for _, s := range vs.Servers {
		direct = direct || s.Server.Forward != ipvs.NAT
	}
	switch {
	case k.set && !k.v:
		if r.PathCheckInterval.set {
			b.errorf(r.PathCheckInterval.path(), "has no effect with path_check = false").remedy("remove one of the two")
		}
		return 0
	case direct && len(on.own) > 0:
		return r.PathCheckInterval.v.std()
	}
	why := "it is for servers with DR or TUN, and none here has one of them"
	if direct {
		why = "a firewall mark says no address that servers should have"
	}
	if k.set && !k.bad {
		b.errorf(k.path(), "has no effect: %s", why).remedy("remove it")
	}
	if i := &r.PathCheckInterval; i.set {
		b.errorf(i.path(), "has no effect: %s", why).remedy("remove it")
	}
	return 0
}

// held warns of an address that no instance has.
func (b *builder) held(on *served) {
	if len(b.raw.Instances) == 0 {
		return
	}
	missing, which := 0, ipvs.ServiceKey{}
	for _, k := range on.keys {
		if _, held := b.vips[k.Address]; !held && k.FWMark == 0 {
			if missing++; missing == 1 {
				which = k
			}
		}
	}
	const remedy = "add it to a virtual_ipaddress, or see to it that clients' packets for it arrive here"
	switch {
	case missing == 1:
		b.warnf(on.path, "no vrrp_instance has the address %s", which.Address).remedy(remedy)
	case missing > 1:
		b.warnf(on.path, "no vrrp_instance has the address %s, nor those of %d more services", which.Address, missing-1).remedy(remedy)
	}
}

// schedulerFlags checks the flags against the scheduler.
func (b *builder) schedulerFlags(r *rawVirtualServer, s *ipvs.Service) {
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
			b.errorf(f.key.path(), "is a flag of scheduler %s, but lb_algo is %s", f.scheduler, s.Scheduler).
				remedy("remove it, or use lb_algo = %q", f.scheduler)
		}
	}
}

// udpOnly checks what the kernel does for UDP alone. Behind a firewall mark
// there may be UDP.
func (b *builder) udpOnly(r *rawVirtualServer, on *served) {
	addresses := len(on.own) > 0 && !r.Protocol.bad && r.Protocol.v != "UDP"
	if r.OPS.v && addresses {
		b.errorf(r.OPS.path(), "one-packet scheduling is for UDP, but protocol is %s", r.Protocol.v).remedy(`remove it, or use protocol = "UDP"`)
	}
	e := &r.PersistenceEngine
	if !e.set || e.bad {
		return
	}
	if addresses {
		b.errorf(e.path(), "%s is for UDP, but protocol is %s: the kernel would drop every packet", e.v, r.Protocol.v).remedy(`remove it, or use protocol = "UDP"`)
	}
	if r.PersistenceTimeout.v == 0 && !r.PersistenceTimeout.bad {
		b.errorf(e.path(), "has no effect without persistence_timeout").remedy(`add persistence_timeout = "6m", or remove this key`)
	}
}

func (b *builder) persistence(r *rawVirtualServer, s *ipvs.Service, on *served) {
	if s.Persistence%time.Second != 0 {
		b.errorf(r.PersistenceTimeout.path(), "%s: the kernel counts whole seconds", format(s.Persistence)).
			remedy("use %s", format(max(s.Persistence.Round(time.Second), time.Second)))
	}
	if g := &r.PersistenceGranularity; g.set && !g.bad {
		mask, err := ipvs.ParseMask(on.af, g.v)
		switch {
		case err != nil && on.af == ipvs.IPv6:
			b.errorf(g.path(), "%q is not a prefix length", clip(g.v)).remedy(`write 1 to 128 in quotes, as in "64"`)
		case err != nil:
			b.errorf(g.path(), "%q is not a netmask", clip(g.v)).remedy(`write "255.255.255.0" or "24"`)
		case uint32(mask)&(uint32(mask)+1) != 0 && on.af == ipvs.IPv4:
			b.errorf(g.path(), "%q is not a netmask: its ones are not contiguous", clip(g.v)).remedy(`write "255.255.255.0" or "24"`)
		case s.Persistence == 0 && !r.PersistenceTimeout.bad:
			b.errorf(g.path(), "has no effect without persistence_timeout").remedy(`add persistence_timeout = "6m", or remove this key`)
		}
		s.PersistenceMask = mask
	}
	if s.Persistence > 0 || r.PersistenceTimeout.bad {
		b.quiescent(r, s)
		return
	}
	for _, k := range on.keys {
		if k.FWMark == 0 && k.Port == 0 {
			b.errorf(on.path, "port 0 (every port) needs persistence").remedy("name a port, or set persistence_timeout")
			return
		}
	}
}

// quiescent warns of clients that persistence keeps on a server that failed.
func (b *builder) quiescent(r *rawVirtualServer, s *ipvs.Service) {
	key := &b.raw.IPVS.ExpireQuiescentTemplate
	if s.Persistence == 0 || bool(key.get(b.node)) || !key.ok(b.node) {
		return
	}
	for i := -1; i < len(r.RealServers); i++ {
		k := &r.InhibitOnFailure
		if i >= 0 {
			k = &r.RealServers[i].InhibitOnFailure
		}
		if k.v && !k.bad {
			b.warnf(k.path(), "a client that persistence_timeout binds to a server is sent there even after it has failed, because it keeps its entry").
				remedy("set expire_quiescent_template = true in [ipvs], or remove this key")
			return
		}
	}
}
