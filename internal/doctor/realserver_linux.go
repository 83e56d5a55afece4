package doctor

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"baton/conf"
	"baton/internal/realserver"
)

// askFor is how long a real server waits for answers.
const askFor = time.Second

// GatherServer looks at this machine as a real server.
func GatherServer(ctx context.Context, m *realserver.Manager, wants []realserver.Want, o Options) (Facts, error) {
	g, err := newGathering(&conf.Config{})
	if err != nil {
		return Facts{}, err
	}
	defer g.close()
	g.f.Default, g.f.Segments, g.f.Links = map[string]Route{}, map[string]Segment{}, map[string]Link{}
	if r, ok := g.route(netip.MustParseAddr("192.0.2.1")); ok && r.Gateway.IsValid() {
		ctx, cancel := context.WithTimeout(ctx, stationsWithin)
		defer cancel()
		if mac, err := g.m.Neighbour(ctx, r.Interface, r.Gateway); err == nil {
			r.MAC = mac.String()
		}
		g.f.Default["ipv4"] = r
	}
	g.inquire(ctx, wants, o)
	g.f.Firewall = readFirewall(ctx, g.failed)
	g.f.Packager = readPackager()
	g.f.Clock = readClock()
	if err := g.server(m, wants); err != nil {
		return g.f, err
	}
	return g.f, ctx.Err()
}

// RefreshServer reads again what a Fix may have changed.
func RefreshServer(ctx context.Context, m *realserver.Manager, wants []realserver.Want, f *Facts) error {
	g := &gathering{cfg: &conf.Config{}, f: *f}
	if err := g.server(m, wants); err != nil {
		return err
	}
	for name, s := range g.f.Segments {
		if len(s.Self) == 0 {
			continue
		}
		if self, err := askItself(ctx, name, vips(wants)); err == nil {
			s.Self = self
			g.f.Segments[name] = s
		}
	}
	*f = g.f
	return ctx.Err()
}

// server reads what is cheap and may have been mended.
func (g *gathering) server(m *realserver.Manager, wants []realserver.Want) error {
	var err error
	if g.f.RealServer, err = m.Status(wants); err != nil {
		return err
	}
	g.f.Kernel = KernelFacts{Release: release(), Modules: map[string]ModuleState{}, ReadOnly: readOnlySysctls()}
	for _, w := range wants {
		if mod := w.Module(); mod != "" {
			g.f.Kernel.Modules[mod] = moduleState(mod)
		}
	}
	names := []string{conf4("all", "rp_filter")}
	for dev := range g.f.Segments {
		names = append(names, conf4(dev, "rp_filter"))
	}
	g.f.Sysctls = readSysctls(names)
	return nil
}

// vips are the addresses, once each, as many as are asked for.
func vips(wants []realserver.Want) []netip.Addr {
	var out []netip.Addr
	for _, w := range wants {
		if !slices.Contains(out, w.VIP) && len(out) < maxAsk {
			out = append(out, w.VIP)
		}
	}
	return out
}

// inquire asks for the addresses on every Ethernet interface that has an address.
func (g *gathering) inquire(ctx context.Context, wants []realserver.Want, o Options) {
	all, err := net.Interfaces()
	if err != nil {
		g.failed(Failure{ID: "wire.listen", What: err.Error()})
		return
	}
	vips := vips(wants)
	var wait sync.WaitGroup
	segments := map[string]Segment{}
	for _, i := range all {
		l, ok := g.link(i.Name)
		if !ok || !l.Up || len(i.HardwareAddr) != 6 || i.Flags&net.FlagLoopback != 0 || !l.Primary.IsValid() && !l.LinkLocal.IsValid() || l.Port {
			continue
		}
		g.f.Links[i.Name] = l
		o.progress("asking on %s who answers for the addresses", i.Name)
		e := &ear{iface: i.Name, own: l.LinkLocal, vips: vips, listener: &listener{}}
		wait.Go(func() {
			s := e.listen(ctx, askFor, g.failed)
			g.mu.Lock()
			defer g.mu.Unlock()
			segments[i.Name] = s
		})
	}
	wait.Wait()
	for _, name := range slices.Sorted(maps.Keys(segments)) {
		s := segments[name]
		if self, err := askItself(ctx, name, vips); err == nil {
			s.Asked, s.Self = true, self
		}
		g.f.Segments[name] = s
	}
}
