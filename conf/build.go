package conf

import (
	"net/netip"
	"path/filepath"
	"strings"
)

// builder makes the typed configuration of one node out of the raw one.
type builder struct {
	*decoder
	raw   *rawFile
	node  string
	nodes []string

	names map[string]string     // vrrp_instance name → path
	vrids map[routerID]string   // → path of the instance
	vips  map[netip.Addr]string // → path of the address
}

// routerID is what makes two virtual routers one on the wire.
type routerID struct {
	iface string
	vrid  int
}

func (b *builder) config() *Config {
	b.names, b.vrids, b.vips = map[string]string{}, map[routerID]string{}, map[netip.Addr]string{}
	cfg := &Config{Global: b.global()}
	for i := range b.raw.Instances {
		cfg.Instances = append(cfg.Instances, b.instance(&b.raw.Instances[i]))
	}
	keys := map[string]string{}
	for i := range b.raw.VirtualServers {
		if s, ok := b.virtualServer(&b.raw.VirtualServers[i], keys); ok {
			cfg.Services = append(cfg.Services, s)
		}
	}
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
	b.account(&r.ProberUser, "user")
	if r.ProberUser.ok(b.node) && g.ProberUser == "" {
		b.errorf(r.ProberUser.at(b.node), "is empty").remedy(`name a user without rights, as in prober_user = "baton"`)
	}
	return g
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
	s := v.get(b.node)
	if v.ok(b.node) && (strings.ContainsAny(s, " :/,\t") || strings.HasPrefix(s, "-")) {
		b.errorf(v.at(b.node), "%q is not the name of a %s", clip(s), what).remedy("use letters, digits, _ and -")
	}
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
