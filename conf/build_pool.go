package conf

import (
	"baton/ipvs"
)

// sorry reads the server that stands in for the pool, nil if there is none.
func (b *builder) sorry(r *rawVirtualServer, on *served) *RealServer {
	if r.Sorry == nil {
		if r.SorryInhibit.set {
			b.errorf(r.SorryInhibit.path(), "has no effect without sorry_server").remedy("add one, or remove this key")
		}
		return nil
	}
	s := ipvs.Server{Weight: 1}
	if !b.server(&s, r, &r.Sorry.Address, &r.Sorry.rawForward, on) {
		return nil
	}
	return &RealServer{Server: s}
}

// pool checks what quorum and sorry server make of the servers' weights.
func (b *builder) pool(r *rawVirtualServer, vs *VirtualServer) {
	if vs.Hysteresis >= vs.Quorum && !r.Quorum.bad && !r.Hysteresis.bad {
		b.errorf(r.Hysteresis.path(), "hysteresis %d leaves nothing of quorum %d: it could be lost by no failure", vs.Hysteresis, vs.Quorum).
			remedy("use %d at most, or raise quorum", vs.Quorum-1)
		return
	}
	if r.NotifyTimeout.set && !r.commands() {
		b.warnf(r.NotifyTimeout.at(b.node), "has no effect without a notify or quorum command").remedy("add one, or remove it")
	}
	total, right := 0, len(vs.Servers) > 0 && len(vs.Servers) == len(r.RealServers)
	for i, s := range vs.Servers {
		total += s.Server.Weight
		right = right && r.RealServers[i].Weight.ok(b.node)
		if vs.Sorry != nil && vs.Sorry.Server.Key == s.Server.Key {
			b.warnf(r.Sorry.Address.path(), "%s is a real_server of this service as well: it cannot stand in for itself", s.Server.Key).
				remedy("use another server, or another port of it")
		}
	}
	switch {
	case !right:
	case total == 0:
		b.warnf(r.path, "every real_server has weight 0: none gets a client").remedy("give one of them a weight")
	case r.Quorum.bad || r.Hysteresis.bad:
	case total < vs.Quorum+vs.Hysteresis:
		at := r.Quorum.path()
		if !r.Quorum.set || total >= vs.Quorum {
			at = r.Hysteresis.path()
		}
		b.warnf(at, "the quorum is gained at weights of %d, and all servers together have %d", vs.Quorum+vs.Hysteresis, total).
			remedy("lower quorum or hysteresis, or raise weights")
	}
}

// commands says whether the service or one of its servers has a command.
func (r *rawVirtualServer) commands() bool {
	for i := range r.RealServers {
		if rs := &r.RealServers[i]; rs.NotifyUp != nil || rs.NotifyDown != nil {
			return true
		}
	}
	return r.QuorumUp != nil || r.QuorumDown != nil
}
