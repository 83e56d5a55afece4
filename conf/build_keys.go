package conf

import (
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"baton/ipvs"
)

// Bounds on what ranges may expand to: an IPVS table gets slow before that.
const (
	maxKeys    = 4096    // of one virtual_server
	maxAllKeys = 1 << 16 // of the file
)

// served is what a virtual_server serves.
type served struct {
	name  string // of the virtual_server
	path  string // of the key that says it: address, fwmark or virtual_server_group
	keys  []ipvs.ServiceKey
	af    ipvs.Family
	port  uint16              // that all of them have; 0: every port, several, or a firewall mark
	marks bool                // one of them is a firewall mark
	own   map[netip.Addr]bool // the addresses
}

// addressRange is "192.168.16.200-205:80,8000-8010": addresses that differ in
// their last part, with ports.
type addressRange struct {
	first, last netip.Addr
	ports       [][2]uint16 // first and last of each run
}

// count says how many services the range has.
func (r addressRange) count() int {
	n := 0
	for _, p := range r.ports {
		n += int(p[1]) - int(p[0]) + 1
	}
	return n * (lastPart(r.last) - lastPart(r.first) + 1)
}

// all goes through them, by address.
func (r addressRange) all() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for a := r.first; ; a = a.Next() {
			for _, p := range r.ports {
				for port := int(p[0]); port <= int(p[1]); port++ {
					if !yield(netip.AddrPortFrom(a, uint16(port))) {
						return
					}
				}
			}
			if a == r.last {
				return
			}
		}
	}
}

// lastPart is what a range of addresses counts: the last byte of an IPv4
// address, the last two of an IPv6 one.
func lastPart(a netip.Addr) int {
	if a.Is4() {
		b := a.As4()
		return int(b[3])
	}
	b := a.As16()
	return int(b[14])<<8 | int(b[15])
}

// withLastPart is the address with another one.
func withLastPart(a netip.Addr, n int) netip.Addr {
	if a.Is4() {
		b := a.As4()
		b[3] = byte(n)
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	b[14], b[15] = byte(n>>8), byte(n)
	return netip.AddrFrom16(b)
}

// rangeOf reads an address, or a range of them, with a port or several.
func (b *builder) rangeOf(path, s string) (addressRange, bool) {
	fail := func(format string, args ...any) *Problem { return b.errorf(path, format, args...) }
	host, ports := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, ports = s[:i], s[i+1:]
	}
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if strings.Count(host, ":") > 0 && !bracketed || !strings.ContainsAny(host+ports, "-,") {
		at, ok := b.addrPort(path, s, -1)
		return addressRange{at.Addr(), at.Addr(), [][2]uint16{{at.Port(), at.Port()}}}, ok
	}
	if bracketed {
		host = host[1 : len(host)-1]
	}
	from, to, several := strings.Cut(host, "-")
	first, err := netip.ParseAddr(from)
	if err != nil || first.Zone() != "" || first.Is4In6() {
		fail("%q is not an address", clip(from)).remedy("%s", rangeHint)
		return addressRange{}, false
	}
	if ports == "" {
		fail("%q has no port", clip(s)).remedy("%s", rangeHint)
		return addressRange{}, false
	}
	r := addressRange{first: first, last: first}
	if several {
		base, bits := 10, 8
		if first.Is6() {
			base, bits = 16, 16
		}
		n, err := strconv.ParseUint(to, base, bits)
		if err != nil {
			fail("%q is not the last part of an address", clip(to)).remedy("%s", rangeHint)
			return r, false
		}
		if int(n) < lastPart(first) {
			fail("the range ends at %s, before it begins at %s", withLastPart(first, int(n)), first).remedy("write the lower end first")
			return r, false
		}
		r.last = withLastPart(first, int(n))
	}
	for _, a := range []netip.Addr{r.first, r.last} {
		if !unicast(a) {
			fail("%s is not an address that a host can have", a).remedy("use unicast addresses")
			return r, false
		}
	}
	var ok bool
	r.ports, ok = b.ports(path, ports)
	return r, ok
}

const rangeHint = `write "192.168.16.200-205:80", "192.168.16.200:80,443,8000-8010" or "[2001:db8::10-1f]:80"`

// ports reads "80,443,8000-8010".
func (b *builder) ports(path, s string) ([][2]uint16, bool) {
	var out [][2]uint16
	for _, part := range strings.Split(s, ",") {
		from, to, several := strings.Cut(part, "-")
		if !several {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		switch {
		case err1 != nil || err2 != nil || several && low == 0:
			b.errorf(path, "%q is not a port nor a range of them", clip(part)).remedy("%s", rangeHint)
			return nil, false
		case high < low:
			b.errorf(path, "the range ends at port %d, before it begins at %d", high, low).remedy("write the lower port first")
			return nil, false
		}
		out = append(out, [2]uint16{uint16(low), uint16(high)})
	}
	return out, true
}

// served resolves what the virtual_server serves. Problems are told; without
// a single right key it is not ok.
func (b *builder) served(r *rawVirtualServer, proto ipvs.Protocol) (served, bool) {
	s := served{}
	var said []string
	for _, k := range []struct {
		set  bool
		path string
	}{{r.Address.set, r.Address.path()}, {r.FWMark.set, r.FWMark.path()}, {r.Group.set, r.Group.path()}} {
		if !k.set {
			continue
		}
		said = append(said, k.path)
		s.path = k.path
	}
	switch {
	case len(said) == 0 && !b.recovered:
		b.errorf(r.path, "says nothing that it serves").remedy(`add address = "192.168.16.200:80", or fwmark, or virtual_server_group`)
		return s, false
	case len(said) > 1:
		b.errorf(said[1], "the virtual_server has another key that says what it serves in %s already", b.where(said[0])).
			remedy("remove one; a [[virtual_server_group]] may have both addresses and marks")
		return s, false
	}
	switch {
	case r.Address.set && !r.Address.bad:
		b.addressKeys(&s, r.Address.path(), r.Address.v, proto)
	case r.FWMark.set && !r.FWMark.bad:
		b.markKeys(&s, r, r.FWMark.path(), numbers{r.FWMark.v})
	case r.Group.set && !r.Group.bad:
		g, known := b.groups[r.Group.v]
		if !known {
			b.missing(r.Group.path(), "virtual_server_group", r.Group.v, b.groupNames())
			return s, false
		}
		use := r.Group.v + " " + string(proto)
		if first, dup := g.used[use]; dup && !r.Protocol.bad {
			b.errorf(r.Group.path(), "the virtual_server in %s has this group for %s already", b.where(first), r.Protocol.v).remedy("merge the two")
			return s, false
		}
		g.used[use] = r.path
		s.name = "group " + r.Group.v
		if proto != ipvs.TCP {
			s.name += " " + string(proto)
		}
		b.addressKeys(&s, g.raw.Addresses.path(), g.raw.Addresses.v, proto)
		b.markKeys(&s, r, g.raw.FWMark.path(), g.raw.FWMark.v)
	}
	if len(s.keys) == 0 {
		return s, false
	}
	if s.name == "" {
		s.name = s.keys[0].String()
	}
	s.own = make(map[netip.Addr]bool, len(s.keys))
	s.port = s.keys[0].Port
	for _, k := range s.keys {
		if k.Port != s.port || k.FWMark != 0 {
			s.port = 0
		}
		if k.FWMark == 0 {
			s.own[k.Address] = true
		}
	}
	b.family(&s, r)
	return s, true
}

// addressKeys adds the services of a list of addresses and ranges.
func (b *builder) addressKeys(s *served, path string, list texts, proto ipvs.Protocol) {
	for i, text := range list {
		at := element(path, i)
		r, ok := b.rangeOf(at, text)
		if !ok || !b.bounded(s, at, r.count()) {
			continue
		}
		for a := range r.all() {
			if !b.claim(s, at, ipvs.AddressKey(proto, a)) {
				break
			}
		}
	}
	if list != nil && len(list) == 0 {
		b.errorf(path, "is empty").remedy(`add an address, as in ["192.168.16.200:80"], or remove the key`)
	}
}

// markKeys adds the services of firewall marks.
func (b *builder) markKeys(s *served, r *rawVirtualServer, path string, list numbers) {
	if len(list) == 0 || !b.bounded(s, path, len(list)) {
		return
	}
	s.marks = true
	for i, mark := range list {
		b.claim(s, element(path, i), ipvs.FWMarkKey(uint32(mark), b.markFamily(s, r)))
	}
	if r.Protocol.set && !r.Protocol.bad && len(s.own) == 0 && r.FWMark.set {
		b.warnf(r.Protocol.path(), "has no effect: whatever carries the mark is taken").remedy("remove it")
	}
}

// markFamily is that of packets with a mark: a mark itself says nothing of it.
func (b *builder) markFamily(s *served, r *rawVirtualServer) ipvs.Family {
	switch {
	case r.IPFamily.set && !r.IPFamily.bad:
		if r.IPFamily.v == "inet6" {
			return ipvs.IPv6
		}
	case len(s.keys) > 0:
		return s.keys[0].AF()
	case len(r.RealServers) > 0:
		if a, _, ok := splitAddress(r.RealServers[0].Address.v); ok && a.Is6() && !a.Is4In6() {
			return ipvs.IPv6
		}
	}
	return ipvs.IPv4
}

// bounded refuses what expands to more than a table can reasonably hold.
func (b *builder) bounded(s *served, path string, more int) bool {
	switch {
	case len(s.keys)+more > maxKeys:
		b.errorf(path, "makes %d services of one virtual_server", len(s.keys)+more).
			remedy("use %d at most; a fwmark and a firewall rule serve any number of addresses and ports as one", maxKeys)
	case len(b.claims)+more > maxAllKeys:
		b.errorf(path, "makes more than %d services in all", maxAllKeys).remedy("a fwmark and a firewall rule serve any number of addresses and ports as one")
	default:
		return true
	}
	return false
}

// claim adds a service, unless another one is it already.
func (b *builder) claim(s *served, path string, k ipvs.ServiceKey) bool {
	if first, dup := b.claims[k]; dup {
		p := b.errorf(path, "%s is served in %s already", k, b.where(first))
		if first == path {
			p.remedy("name it once")
		} else {
			p.remedy("merge the two")
		}
		return false
	}
	b.claims[k] = path
	s.keys = append(s.keys, k)
	return true
}

// family checks that all services have clients of one family: they share one
// pool, one mask of persistence and one scheduler.
func (b *builder) family(s *served, r *rawVirtualServer) {
	s.af = s.keys[0].AF()
	for _, k := range s.keys {
		if k.AF() != s.af {
			b.errorf(s.path, "%s and %s are of two families", s.keys[0], k).remedy("use a virtual_server for each family")
			return
		}
	}
	if f := &r.IPFamily; f.set && !f.bad && (f.v == "inet6") != (s.af == ipvs.IPv6) {
		b.errorf(f.path(), "is %s, but %s is %s", f.v, s.keys[0], familyWord(s.af)).remedy("remove it: the address tells")
	}
}

// familyWord is keepalived's ip_family.
func familyWord(f ipvs.Family) string {
	if f == ipvs.IPv6 {
		return "inet6"
	}
	return "inet"
}

// group is a virtual_server_group by its name.
type group struct {
	raw  *rawGroup
	used map[string]string // name and protocol → path of the virtual_server
	rest bool              // one that is not in the text has it
}

// serverGroups notes the groups by their names.
func (b *builder) serverGroups() {
	b.groups = map[string]*group{}
	names := map[string]string{}
	for i := range b.raw.Groups {
		r := &b.raw.Groups[i]
		if b.unique(&r.Name, "virtual_server_group", names) {
			b.groups[r.Name.v] = &group{raw: r, used: map[string]string{}}
		}
		if !r.Addresses.set && !r.FWMark.set {
			b.errorf(r.path, "has nothing in it").remedy(`add addresses = ["192.168.16.200-205:80"] or fwmark = [1]`)
		}
	}
	for _, s := range b.rest {
		if g := b.groups[s.group]; g != nil {
			g.rest = true
		}
	}
}

func (b *builder) groupNames() []string {
	out := make([]string, 0, len(b.groups))
	for name := range b.groups {
		out = append(out, name)
	}
	return out
}

// unusedGroups tells of groups that no virtual_server has: nobody looked at
// what is in them.
func (b *builder) unusedGroups() {
	for i := range b.raw.Groups {
		r := &b.raw.Groups[i]
		if g := b.groups[r.Name.v]; g != nil && g.raw == r && len(g.used) == 0 && !g.rest {
			b.warnf(r.path, "no virtual_server has this group").remedy("add virtual_server_group = %q to one, or remove it", r.Name.v)
		}
	}
}

// splitAddress reads an address with or without a port.
func splitAddress(s string) (a netip.Addr, port uint16, ok bool) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr(), at.Port(), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a, 0, err == nil
}

// several says how many services there are, for messages.
func (s *served) several() string {
	switch {
	case len(s.keys) == 1 && s.marks:
		return "a firewall mark says no port"
	case s.marks:
		return "the group has firewall marks, which say no port"
	case len(s.keys) == 1:
		return "the service has every port"
	}
	return fmt.Sprintf("the virtual_server has %d services with several ports", len(s.keys))
}
