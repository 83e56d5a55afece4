package conf

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"baton/ipvs"
	"baton/vrrp"
)

// ipvs reads what concerns the kernel's IPVS as a whole.
func (b *builder) ipvs(instances []vrrp.Config) IPVS {
	r := &b.raw.IPVS
	return IPVS{
		Timeouts: ipvs.Timeouts{
			TCP: b.wholeSeconds(&r.Timeouts.TCP), TCPFin: b.wholeSeconds(&r.Timeouts.TCPFin), UDP: b.wholeSeconds(&r.Timeouts.UDP),
		},
		Sync:    b.syncDaemon(r.Sync, instances),
		Sysctls: b.sysctls(&r.rawSysctls),
	}
}

// wholeSeconds is a span that the kernel counts in seconds.
func (b *builder) wholeSeconds(v *nodeValue[duration]) time.Duration {
	d := v.get(b.node).std()
	if v.given(b.node) && d%time.Second != 0 {
		b.errorf(v.at(b.node), "%s: the kernel counts whole seconds", format(d)).remedy("use %s", format(max(d.Round(time.Second), time.Second)))
	}
	return d
}

// syncDaemon resolves the connection synchronisation, nil without one.
func (b *builder) syncDaemon(r *rawSyncDaemon, instances []vrrp.Config) *ipvs.SyncDaemon {
	if r == nil {
		return nil
	}
	d := &ipvs.SyncDaemon{
		Interface: r.Interface.get(b.node), SyncID: uint8(r.SyncID.v), MaxLen: r.MaxLen.get(b.node),
		Port: uint16(r.Port.v), TTL: uint8(r.TTL.v), Group: r.Group.v,
	}
	if g := &r.Group; g.set && !g.bad && !g.v.IsMulticast() {
		b.errorf(g.path(), "%s is not a multicast address", g.v).remedy("use 224.0.0.81, the default, or another multicast address")
	}
	i := 0
	if r.Instance.set {
		if r.Instance.bad {
			return d
		}
		if i = slices.IndexFunc(instances, func(c vrrp.Config) bool { return c.Name == r.Instance.v }); i < 0 {
			b.missing(r.Instance.path(), "vrrp_instance", r.Instance.v, slices.Collect(maps.Keys(b.names)))
			return d
		}
	}
	switch {
	case i < len(instances):
		if !r.SyncID.set {
			d.SyncID = instances[i].VRID
		}
		if !r.Interface.set {
			d.Interface = instances[i].Interface
		}
	default:
		if !r.SyncID.set {
			b.errorf(r.path, "has no syncid, and there is no vrrp_instance to take it from").remedy("add syncid = 51 or the like")
		}
		if !r.Interface.set {
			b.errorf(r.path, "has no interface, and there is no vrrp_instance to take it from").remedy(`add interface = "eth0" or the like`)
		}
	}
	if r.Interface.given(b.node) {
		b.interfaceName(r.Interface.at(b.node), d.Interface)
	}
	return d
}

// sysctls reads the parameters that the file sets.
func (b *builder) sysctls(r *rawSysctls) []Sysctl {
	var out []Sysctl
	v := reflect.ValueOf(r).Elem()
	for _, k := range specOf(v.Type()).keys {
		var text string
		var given bool
		switch l := v.FieldByIndex(k.index).Addr().Interface().(type) {
		case *nodeValue[toggle]:
			given, text = l.given(b.node), "0"
			if l.get(b.node) {
				text = "1"
			}
		case *nodeValue[int]:
			given, text = l.given(b.node), strconv.Itoa(l.get(b.node))
		case *nodeValue[numbers]:
			given, text = l.given(b.node), strings.Trim(fmt.Sprint(l.get(b.node)), "[]")
		case *nodeValue[duration]:
			given, text = l.given(b.node), strconv.Itoa(int(b.wholeSeconds(l)/time.Second))
		}
		if given {
			out = append(out, Sysctl{k.name, text})
		}
	}
	if p := &r.SyncPorts; p.given(b.node) {
		if n := p.get(b.node); n&(n-1) != 0 {
			b.errorf(p.at(b.node), "%d is not a power of two", n).remedy("use 1, 2, 4, 8, 16, 32 or 64")
		}
	}
	b.syncThreshold(&r.SyncThreshold)
	slices.SortFunc(out, func(a, b Sysctl) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// syncThreshold checks the pair: of so many packets, those after the threshold
// send a message.
func (b *builder) syncThreshold(v *nodeValue[numbers]) {
	if !v.given(b.node) {
		return
	}
	switch n := v.get(b.node); {
	case len(n) != 2:
		b.errorf(v.at(b.node), "takes two numbers, not %d", len(n)).remedy("write [3, 50]: threshold and period in packets")
	case n[1] != 0 && n[0] >= n[1]:
		b.errorf(v.at(b.node), "threshold %d is not below period %d", n[0], n[1]).remedy("write [3, 50] or the like")
	}
}
