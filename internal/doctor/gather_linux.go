package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/internal/control"
	"baton/internal/netif"
	"baton/internal/settings"
	"baton/ipvs"
	"baton/vrrp"
)

// statusWithin bounds how long the director is waited for.
const statusWithin = 5 * time.Second

// Options say how to look.
type Options struct {
	Client *control.Client
	// Progress hears what takes longer than a second, a sentence each; nil: nobody.
	Progress func(string)
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// gathering is the work of Gather.
type gathering struct {
	cfg *conf.Config
	h   *netlink.Handle
	m   *netif.Manager

	mu sync.Mutex
	f  Facts
}

func (g *gathering) failed(f Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.f.Failures = append(g.f.Failures, f)
}

// Gather looks at this machine as a director. It changes nothing; what cannot be
// found out is among the facts. The error is that of ctx, or that netlink cannot
// be had at all.
func Gather(ctx context.Context, cfg *conf.Config, o Options) (Facts, error) {
	g, err := newGathering(cfg)
	if err != nil {
		return Facts{}, err
	}
	defer g.close()
	g.status(ctx, o.Client)
	g.network()
	g.listen(ctx, o)
	g.stations(ctx)
	g.ipvs(ctx)
	g.f.Firewall = readFirewall(ctx, g.failed)
	g.f.Packager = readPackager()
	g.f.Clock = readClock()
	g.processes()
	g.again()
	return g.f, ctx.Err()
}

// Refresh reads again what a Fix may have changed.
func Refresh(ctx context.Context, cfg *conf.Config, f *Facts) error {
	g, err := newGathering(cfg)
	if err != nil {
		return err
	}
	defer g.close()
	g.f = *f
	g.f.Failures = slices.DeleteFunc(slices.Clone(f.Failures), func(x Failure) bool { return x.ID == "ipvs.table" })
	g.ipvs(ctx)
	g.again()
	*f = g.f
	return ctx.Err()
}

func newGathering(cfg *conf.Config) (*gathering, error) {
	g := &gathering{cfg: cfg}
	var err error
	if g.h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	if g.m, err = netif.New(netif.Options{}); err != nil {
		g.h.Close()
		return nil, err
	}
	return g, nil
}

func (g *gathering) close() {
	g.h.Close()
	g.m.Close()
}

// again reads what is cheap and may have been mended.
func (g *gathering) again() {
	g.f.Kernel.Release = release()
	g.f.Kernel.Modules = map[string]ModuleState{}
	for _, m := range modules(g.cfg) {
		g.f.Kernel.Modules[m] = moduleState(m)
	}
	v, err := netif.ReadSysctl("kernel/modules_disabled")
	g.f.Kernel.NoLoading = err == nil && v == "1"
	g.f.Kernel.NoIPv6, g.f.Kernel.ReadOnly = noIPv6(), readOnlySysctls()
	g.f.Sysctls = readSysctls(names(g.cfg, g.f))
}

func noIPv6() bool {
	_, err := netif.ReadSysctl("net/ipv6/conf/all/disable_ipv6")
	return errors.Is(err, fs.ErrNotExist)
}

// readOnlySysctls: who has no permission is not in a container for that.
func readOnlySysctls() bool {
	return errors.Is(netif.SysctlWritable("net/ipv4/conf/all/arp_ignore"), unix.EROFS)
}

func readSysctls(names []string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		if v, err := netif.ReadSysctl(n); err == nil {
			out[n] = v
		}
	}
	return out
}

// status asks the running director.
func (g *gathering) status(ctx context.Context, c *control.Client) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	st, err := c.Status(ctx)
	switch {
	case err == nil:
		g.f.Status = &st
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
	default:
		g.f.StatusErr = err.Error()
	}
}

// network reads interfaces, routes and where addresses stand.
func (g *gathering) network() {
	g.f.Links, g.f.Routes, g.f.Places = map[string]Link{}, map[netip.Addr]Route{}, map[netip.Addr][]netif.Place{}
	g.f.Default = map[string]Route{}
	names := map[string]bool{}
	for _, i := range g.cfg.Instances {
		names[i.Interface] = true
		for _, a := range i.All() {
			names[cmp.Or(a.Device, i.Interface)] = true
			places, err := netif.Places(g.h, a.Prefix.Addr())
			if err != nil {
				g.failed(Failure{ID: "address.place", What: err.Error()})
			}
			g.f.Places[a.Prefix.Addr()] = places
		}
	}
	for _, s := range servers(g.cfg) {
		if r, ok := g.route(s); ok {
			g.f.Routes[s] = r
			names[r.Interface] = true
		}
	}
	for family, to := range map[string]netip.Addr{"ipv4": netip.MustParseAddr("192.0.2.1"), "ipv6": netip.MustParseAddr("2001:db8::1")} {
		if r, ok := g.route(to); ok && r.Gateway.IsValid() {
			g.f.Default[family] = r
		}
	}
	for name := range names {
		if l, ok := g.link(name); ok {
			g.f.Links[name] = l
		}
	}
}

func (g *gathering) link(name string) (Link, bool) {
	s, err := g.m.Link(name)
	if err != nil {
		return Link{}, false
	}
	l := Link{Up: s.Up, MTU: s.MTU, MAC: s.MAC.String(), Primary: s.Primary, LinkLocal: s.LinkLocal}
	if a, err := g.h.LinkByName(name); err == nil {
		l.Admin = a.Attrs().RawFlags&unix.IFF_UP != 0
		if master, err := g.h.LinkByIndex(a.Attrs().MasterIndex); a.Attrs().MasterIndex != 0 && err == nil {
			l.Port = master.Type() != "vrf"
		}
	}
	return l, true
}

func (g *gathering) route(to netip.Addr) (Route, bool) {
	routes, err := g.h.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return Route{}, false
	}
	r := routes[0]
	out := Route{MTU: r.MTU, Local: r.Type == unix.RTN_LOCAL}
	if l, err := g.h.LinkByIndex(r.LinkIndex); err == nil {
		out.Interface = l.Attrs().Name
	}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		out.Gateway = gw.Unmap()
	}
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		out.Source = src.Unmap()
	}
	return out, true
}

// listen listens on all interfaces of instances at once.
func (g *gathering) listen(ctx context.Context, o Options) {
	g.f.Segments = map[string]Segment{}
	ears := map[string]*ear{}
	for k := range g.cfg.Instances {
		i := &g.cfg.Instances[k]
		l, there := g.f.Links[i.Interface]
		if !there || !l.Up {
			continue
		}
		e := ears[i.Interface]
		if e == nil {
			e = &ear{iface: i.Interface, own: l.LinkLocal, listener: &listener{own: []netip.Addr{l.Primary, l.LinkLocal}, source: g.source}}
			ears[i.Interface] = e
		}
		e.instances = append(e.instances, i)
		for _, a := range i.All() {
			if (a.Device == "" || a.Device == i.Interface) && len(e.vips) < maxAsk {
				e.vips = append(e.vips, a.Prefix.Addr())
			}
		}
		if i.Source.IsValid() {
			e.listener.own = append(e.listener.own, i.Source)
		}
	}
	var wait sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(ears)) {
		d := listenFor(g.cfg, name)
		o.progress("listening on %s for %s: adverts, and who answers for the addresses", name, d.Round(100*time.Millisecond))
		wait.Go(func() {
			s := ears[name].listen(ctx, d, g.failed)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.f.Segments[name] = s
		})
	}
	wait.Wait()
}

// source is what an instance sends from.
func (g *gathering) source(i *vrrp.Config) netip.Addr {
	l := g.f.Links[i.Interface]
	switch {
	case i.Source.IsValid():
		return i.Source
	case i.Family() == vrrp.IPv6:
		return l.LinkLocal
	}
	return l.Primary
}

// The bounds of asking for the servers' stations.
const (
	stationsWithin = 2 * time.Second
	maxStations    = 256
)

// stations finds the servers' MAC addresses where one of them may be who answers
// for a virtual address.
func (g *gathering) stations(ctx context.Context) {
	claimed := false
	for _, s := range g.f.Segments {
		claimed = claimed || len(s.Claims) > 0
	}
	if !claimed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stationsWithin)
	defer cancel()
	var wait sync.WaitGroup
	asked := 0
	for _, a := range servers(g.cfg) {
		r := g.f.Routes[a]
		if r.Interface == "" || r.Gateway.IsValid() || r.Local || asked == maxStations {
			continue
		}
		asked++
		wait.Go(func() {
			mac, err := g.m.Neighbour(ctx, r.Interface, a)
			if err != nil {
				return // then it is not told by name
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			r.MAC = mac.String()
			g.f.Routes[a] = r
		})
	}
	wait.Wait()
}

// ipvs reads the table, and what [ipvs] sets.
func (g *gathering) ipvs(ctx context.Context) {
	unread := func(err error) { g.failed(Failure{ID: "ipvs.table", What: err.Error(), Mend: "sudo baton doctor"}) }
	k, err := ipvs.OpenKernel()
	g.f.Kernel.NoIPVS = errors.Is(err, ipvs.ErrNoIPVS)
	if g.f.Kernel.NoIPVS {
		return
	}
	if err != nil {
		unread(err)
		return
	}
	defer k.Close()
	table, err := k.Read(ctx)
	if err != nil {
		unread(fmt.Errorf("read ipvs table: %w", err))
		return
	}
	ours := map[ipvs.ServiceKey]bool{}
	for _, vs := range g.cfg.Services {
		for _, key := range vs.Keys {
			ours[key] = true
		}
	}
	g.f.Foreign = nil
	for _, e := range table {
		if key := e.Service.Key; !ours[key] {
			g.f.Foreign = append(g.f.Foreign, key.String())
		}
	}
	rec, err := settings.ReadRecord(settings.RecordFile(g.cfg.Global.RuntimeDir))
	if err == nil {
		var now settings.State
		if now, err = settings.On(k).Read(ctx, g.cfg.IPVS, rec); err == nil {
			s := settings.Plan(g.cfg.IPVS, now, rec)
			g.f.Settings = &s
		}
	}
	if err != nil {
		unread(err)
	}
}
