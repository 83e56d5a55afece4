package conf

import (
	"strings"
	"time"

	"baton/vrrp"
)

func (b *builder) instance(r *rawInstance) vrrp.Config {
	node, g := b.node, &b.raw.Global
	c := vrrp.Config{
		Name:             r.Name.v,
		Interface:        r.Interface.get(node),
		VRID:             uint8(r.VirtualRouterID.v),
		Priority:         uint8(r.Priority.get(node)),
		AdvertInterval:   r.AdvertInt.v.std(),
		Preempt:          !r.Nopreempt.get(node),
		PreemptDelay:     r.PreemptDelay.get(node).std(),
		StartupDelay:     g.VRRPStartupDelay.get(node).std(),
		DownTimerAdverts: r.DownTimerAdverts.v,
		Checksum:         vrrp.ChecksumMode(r.Checksum.get(node)),
		NoAccept:         r.NoAccept.get(node) || !r.Accept.get(node),
		GARP:             b.garp(r),
		HandoverLinger:   r.HandoverLinger.get(node).std(),
	}
	c.VMAC = b.vmac(r, c)
	b.addresses(r, &c)
	c.Version = b.version(r, c.Family())
	b.identity(r, c)
	b.timing(r, c)
	b.ownership(r, c)
	b.delivery(r, &c)
	b.password(r, &c)
	b.acceptance(r, c)
	if r.Checksum.given(node) && c.Version == vrrp.V2 && c.Checksum != vrrp.ChecksumAuto {
		b.errorf(r.Checksum.at(node), "has no effect in version 2, whose checksum has one form").remedy("remove it")
	}
	if r.Checksum.given(node) && c.Family() == vrrp.IPv6 && c.Checksum == vrrp.ChecksumRFC {
		b.warnf(r.Checksum.at(node), "has no effect over IPv6, where RFC 9568 includes the pseudo-header").remedy("remove it")
	}
	c.Routes, c.Rules = b.routes(r), b.rules(r, c.Family())
	return c
}

// garp takes what the instance does not say from [global], and the answer to a
// lower master from the burst of a new one, as keepalived does.
func (b *builder) garp(r *rawInstance) vrrp.GARP {
	node, g := b.node, &b.raw.Global
	return vrrp.GARP{
		MasterDelay:         chosen(node, &r.GARPMasterDelay, &g.GARPMasterDelay).std(),
		MasterRepeat:        chosen(node, &r.GARPMasterRepeat, &g.GARPMasterRepeat),
		MasterRefresh:       chosen(node, &r.GARPMasterRefresh, &g.GARPMasterRefresh).std(),
		MasterRefreshRepeat: chosen(node, &r.GARPMasterRefreshRepeat, &g.GARPMasterRefreshRepeat),
		LowerPrioDelay:      chosen(node, &r.GARPLowerPrioDelay, &g.GARPLowerPrioDelay, &r.GARPMasterDelay, &g.GARPMasterDelay).std(),
		LowerPrioRepeat:     chosen(node, &r.GARPLowerPrioRepeat, &g.GARPLowerPrioRepeat, &r.GARPMasterRepeat, &g.GARPMasterRepeat),
		Interval:            chosen(node, &r.GARPInterval, &g.GARPInterval).std(),
		NAInterval:          chosen(node, &r.GNAInterval, &g.GNAInterval).std(),
	}
}

// version is the instance's own, else that of [global], which speaks of IPv4
// only, as in keepalived: over IPv6 there is version 3.
func (b *builder) version(r *rawInstance, family vrrp.Family) vrrp.Version {
	own := &r.Version
	if family == vrrp.IPv4 {
		return vrrp.Version(pick(own, &b.raw.Global.VRRPVersion).v)
	}
	if own.set && !own.bad && own.v == int(vrrp.V2) {
		b.errorf(own.path(), "version 2 knows no IPv6").remedy("use version = 3, or remove it")
	}
	return vrrp.V3
}

// acceptance checks the two words for one thing.
func (b *builder) acceptance(r *rawInstance, c vrrp.Config) {
	accept, no := &r.Accept, &r.NoAccept
	switch {
	case accept.given(b.node) && no.given(b.node) && accept.get(b.node) == no.get(b.node):
		b.errorf(no.at(b.node), "contradicts accept in %s", b.where(accept.at(b.node))).remedy("remove one of the two")
	case no.given(b.node) && c.NoAccept && c.Priority == vrrp.PriorityOwner:
		b.warnf(no.at(b.node), "has no effect on an owner (priority 255), whose own the addresses are").remedy("remove it")
	}
}

// identity checks what must not occur twice on a node.
func (b *builder) identity(r *rawInstance, c vrrp.Config) {
	b.unique(&r.Name, "vrrp_instance", b.names)
	if !r.Interface.set || !r.Interface.ok(b.node) || !b.interfaceName(r.Interface.at(b.node), c.Interface) {
		return
	}
	if _, known := b.links[c.Interface]; !known {
		b.links[c.Interface] = r.path
	}
	if !r.VirtualRouterID.set || r.VirtualRouterID.bad {
		return
	}
	id := routerID{c.Interface, c.Family(), int(c.VRID)}
	if first, dup := b.vrids[id]; dup {
		b.errorf(r.VirtualRouterID.path(), "%d is used on %s by the vrrp_instance in %s already", c.VRID, c.Interface, b.where(first)).
			remedy("give each instance on an interface a virtual_router_id of its own")
	} else {
		b.vrids[id] = r.path
	}
}

// unique checks a name and that no other object of its kind has it.
func (b *builder) unique(name *value[string], kind string, known map[string]string) bool {
	if !name.set || name.bad {
		return false
	}
	n := name.v
	if n == "" || strings.ContainsAny(n, " \t/") || len(n) > 64 {
		b.errorf(name.path(), "%q is not a name", clip(n)).remedy("use 1 to 64 characters without spaces and slashes")
		return false
	}
	if first, dup := known[n]; dup {
		b.errorf(name.path(), "another %s in %s is called %q", kind, b.where(first), clip(n)).remedy("give each a name of its own")
		return false
	}
	known[n] = name.path()
	return true
}

// interfaceName checks what dev_valid_name of Linux would: 15 bytes, no slash,
// no colon, no white space.
func (b *builder) interfaceName(path, name string) bool {
	if name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t") {
		return true
	}
	b.errorf(path, "%q is not the name of an interface", clip(name)).remedy("use 1 to 15 characters, as ip link shows them")
	return false
}

// timing checks what a version can say in an advert.
func (b *builder) timing(r *rawInstance, c vrrp.Config) {
	if d := c.AdvertInterval; !r.AdvertInt.bad {
		at := r.AdvertInt.path()
		switch {
		case c.Version == vrrp.V2 && (d < vrrp.MinAdvertIntervalV2 || d%time.Second != 0):
			b.errorf(at, "version 2 cannot say %s: it counts whole seconds", format(d)).remedy(`use "1s" or more, or version = 3`)
		case c.Version == vrrp.V3 && d%(10*time.Millisecond) != 0:
			near := max(d.Round(10*time.Millisecond), 10*time.Millisecond)
			b.errorf(at, "version 3 cannot say %s: it counts centiseconds", format(d)).remedy("use a multiple of 10ms, such as %s", format(near))
		case c.Version == vrrp.V3 && d > vrrp.MaxAdvertIntervalV3:
			b.errorf(at, "version 3 cannot say %s", format(d)).remedy("use %s at most", format(vrrp.MaxAdvertIntervalV3))
		}
	}
	if r.DownTimerAdverts.set && !r.DownTimerAdverts.bad && c.DownTimerAdverts == 1 {
		b.warnf(r.DownTimerAdverts.path(), "1 takes a master for dead that loses a single advert").remedy("use 2 or more; for a quicker takeover a shorter advert_int")
	}
	if r.PreemptDelay.ok(b.node) && c.PreemptDelay > 0 && !c.Preempt && c.Priority != vrrp.PriorityOwner {
		b.warnf(r.PreemptDelay.at(b.node), "has no effect with nopreempt").remedy("remove one of the two")
	}
}

// ownership checks the rules of priority 255, the router whose own addresses the
// virtual ones are: it is always master when it is there (RFC 9568 §6.4.1).
func (b *builder) ownership(r *rawInstance, c vrrp.Config) {
	if c.Priority != vrrp.PriorityOwner || !r.Priority.ok(b.node) {
		return
	}
	if !c.Preempt {
		b.errorf(r.Nopreempt.at(b.node), "an owner (priority 255) always preempts").remedy("remove it, or use a priority of 254 at most")
	}
	if c.PreemptDelay > 0 {
		b.errorf(r.PreemptDelay.at(b.node), "an owner (priority 255) never waits").remedy("remove it, or use a priority of 254 at most")
	}
	owners := 0
	for _, n := range b.nodes {
		if r.Priority.get(n) == vrrp.PriorityOwner {
			owners++
		}
	}
	if owners > 1 {
		b.errorf(r.Priority.path(), "%d nodes have priority 255, but addresses have one owner", owners).
			remedy("use 254 at most on all but one of %s", strings.Join(b.nodes, ", "))
	}
}
