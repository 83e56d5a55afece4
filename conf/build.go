package conf

import (
	"net/netip"
	"path/filepath"
	"strings"

	"baton/ipvs"
	"baton/vrrp"
)

// builder makes the typed configuration of one node out of the raw one.
type builder struct {
	*decoder
	raw   *rawFile
	node  string
	nodes []string

	names   map[string]string     // vrrp_instance name → path
	vrids   map[routerID]string   // → path of the instance
	vips    map[netip.Addr]string // → path of the address; a link-local one has its interface for zone
	links   map[string]string     // interface of an instance → path of the instance
	members map[string]string     // vrrp_instance name → path of its sync group

	scripts, files, processes map[string]*definition // by name

	groups map[string]*group          // virtual_server_group by name
	claims map[ipvs.ServiceKey]string // service → path of the address or mark

	namedUsed  map[string]bool // names of check tables that something uses
	serving    int             // index of the virtual_server that is being built
	individual bool            // the checks that are being built are not the same on all nodes
}

// routerID is what makes two virtual routers one on the wire.
type routerID struct {
	iface  string
	family vrrp.Family
	vrid   int
}

func (b *builder) config() *Config {
	b.names, b.vrids, b.vips = map[string]string{}, map[routerID]string{}, map[netip.Addr]string{}
	b.links, b.members = map[string]string{}, map[string]string{}
	cfg := &Config{Global: b.global()}
	for i := range b.raw.Instances {
		cfg.Instances = append(cfg.Instances, b.instance(&b.raw.Instances[i]))
	}
	b.vmacNames(cfg.Instances)
	b.claims = make(map[ipvs.ServiceKey]string, len(b.raw.VirtualServers))
	b.serverGroups()
	b.checkNames()
	for i := range b.raw.VirtualServers {
		b.serving = i
		if s, ok := b.virtualServer(&b.raw.VirtualServers[i]); ok {
			cfg.Services = append(cfg.Services, s)
		}
	}
	b.unusedGroups()
	b.unusedChecks()
	cfg.IPVS = b.ipvs(cfg.Instances)
	b.definitions()
	b.syncGroups(cfg)
	for i := range b.raw.Instances {
		r := &b.raw.Instances[i]
		cfg.Instances[i].Track = b.tracks(&r.rawTracks, cfg, r)
	}
	b.tracked(cfg)
	b.notifies(cfg)
	return cfg
}

func (b *builder) global() Global {
	r := &b.raw.Global
	g := Global{
		RouterID:        b.node,
		Nodes:           b.nodes,
		RuntimeDir:      b.directory(&r.RuntimeDir),
		StateDir:        b.directory(&r.StateDir),
		ControlGroup:    r.ControlGroup.get(b.node),
		ControlListen:   b.controlListen(&r.ControlListen),
		KeepalivedNames: r.KeepalivedNames.v,
		ProberUser:      r.ProberUser.get(b.node),
		ResyncInterval:  r.ResyncInterval.get(b.node).std(),
		StartupDelayMax: r.StartupDelayMax.get(b.node).std(),
		DrainTimeout:    r.DrainTimeout.get(b.node).std(),
		OnStop:          r.OnStop.get(b.node),
		LogFormat:       r.LogFormat.get(b.node),
		LogLevel:        r.LogLevel.get(b.node),
	}
	g.ControlSocket = filepath.Join(g.RuntimeDir, "control.sock")
	at := r.RuntimeDir.at(b.node)
	if r.ControlSocket.set {
		g.ControlSocket, at = b.directory(&r.ControlSocket), r.ControlSocket.at(b.node)
	}
	// sun_path of unix(7) holds 108 bytes, the last of them 0.
	if n := len(g.ControlSocket); n > 107 {
		b.errorf(at, "the control socket's path is %d bytes long", n).remedy("use 107 at most")
	}
	b.account(&r.ControlGroup, "group")
	b.runAs(&r.ScriptUser)
	for _, g := range []*value[netip.Addr]{&r.VRRPMcastGroup4, &r.VRRPMcastGroup6} {
		family := vrrp.IPv4
		if g == &r.VRRPMcastGroup6 {
			family = vrrp.IPv6
		}
		if g.set && !g.bad {
			b.multicastGroup(g, family)
		}
	}
	b.account(&r.ProberUser, "user")
	if r.ProberUser.ok(b.node) {
		const remedy = `name a user without rights, as in prober_user = "baton"`
		switch g.ProberUser {
		case "":
			b.errorf(r.ProberUser.at(b.node), "is empty").remedy(remedy)
		case "root":
			b.errorf(r.ProberUser.at(b.node), "health checks read what strangers send, and do not run as root").remedy(remedy)
		}
	}
	return g
}

// controlListen reads where strangers may look. Loopback is an address that a
// host can listen on, so this is not addrPort.
func (b *builder) controlListen(v *nodeValue[string]) netip.AddrPort {
	text := v.get(b.node)
	if !v.ok(b.node) || text == "" {
		return netip.AddrPort{}
	}
	at, err := netip.ParseAddrPort(text)
	path := v.at(b.node)
	switch {
	case err != nil:
		b.errorf(path, "%q is not an address with a port", clip(text)).remedy("write \"127.0.0.1:9112\", or an address of the network that you manage machines by; names are not looked up")
	case at.Addr().Zone() != "" || at.Addr().IsMulticast():
		b.errorf(path, "%s is not an address to listen on", at.Addr()).remedy("use 127.0.0.1, or an address of this machine")
	case at.Port() == 0:
		b.errorf(path, "has port 0").remedy("name a port that nothing else listens on, such as 9112")
	case at.Addr().IsUnspecified():
		b.warnf(path, "%s is every address, the virtual ones too: who reaches any of them may read the status", at.Addr()).remedy("name one address of this machine")
	}
	return at
}

// directory checks that a path is absolute: the working directory of a daemon
// is nobody's business.
func (b *builder) directory(v *nodeValue[string]) string {
	p := v.get(b.node)
	if v.ok(b.node) && !filepath.IsAbs(p) {
		b.errorf(v.at(b.node), "%q is not an absolute path", clip(p)).remedy("begin it with /")
	}
	return filepath.Clean(p)
}

// account checks the form of a user's or group's name; whether it exists is
// known only on the node itself.
func (b *builder) account(v *nodeValue[string], what string) {
	if s := v.get(b.node); v.ok(b.node) {
		b.accountName(v.at(b.node), s, what)
	}
}

func (b *builder) accountName(path, s, what string) bool {
	if strings.ContainsAny(s, " :/,\t") || strings.HasPrefix(s, "-") {
		b.errorf(path, "%q is not the name of a %s", clip(s), what).remedy("use letters, digits, _ and -")
		return false
	}
	return true
}

// runAs reads "user" or "user group", as keepalived has them.
func (b *builder) runAs(v *nodeValue[string]) (user, group string) {
	if !v.set || !v.ok(b.node) {
		return "", ""
	}
	path := v.at(b.node)
	switch words := strings.Fields(v.get(b.node)); len(words) {
	case 2:
		if !b.accountName(path, words[1], "group") {
			return "", ""
		}
		group = words[1]
		fallthrough
	case 1:
		if b.accountName(path, words[0], "user") {
			return words[0], group
		}
	default:
		b.errorf(path, "%q is not a user, nor a user and a group", clip(v.get(b.node))).remedy(`write "nobody" or "nobody nogroup"`)
	}
	return "", ""
}

// pick returns the first value that the file has, the last one's default
// otherwise.
func pick[T any](from ...*value[T]) *value[T] {
	for _, v := range from {
		if v.set && !v.bad {
			return v
		}
	}
	return from[len(from)-1]
}

// chosen returns the node's value of the first key that the file has, of the
// last one otherwise.
func chosen[T any](node string, from ...*nodeValue[T]) T {
	for _, v := range from {
		if v.set && v.ok(node) {
			return v.get(node)
		}
	}
	return from[len(from)-1].get(node)
}

// given says whether the file has the key, with a value for the node that can
// be reasoned about.
func (l *nodeValue[T]) given(node string) bool { return l.set && l.ok(node) }
