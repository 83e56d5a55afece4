package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Paths are the files of one node.
type Paths struct {
	Socket  string // control socket: of the director, or of the real server
	Runtime string // runtime_dir
	State   string // state_dir
	Log     string
}

// Paths returns where a node keeps its files.
func (l *Lab) Paths(node string) Paths { return PathsIn(l.opts.Dir, node) }

// PathsIn returns where a node of a lab in that state directory keeps its
// files: what Options.Config must name.
func PathsIn(dir, node string) Paths {
	base := filepath.Join(dir, node)
	return Paths{
		Socket: filepath.Join(base, "control.sock"), Runtime: filepath.Join(base, "run"),
		State: filepath.Join(base, "state"), Log: filepath.Join(base, "log"),
	}
}

// ConfigText is the configuration file that Up writes for these options.
func ConfigText(o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	return configText(o), nil
}

// configText is the one file that serves both directors, except where Config
// replaces it.
func configText(o Options) string {
	if o.Config != "" {
		return o.Config
	}
	a, b := PathsIn(o.Dir, LVSA), PathsIn(o.Dir, LVSB)
	var t strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&t, format+"\n", args...) }
	block := func(lines string) {
		if lines != "" {
			line("%s", strings.TrimRight(lines, "\n"))
		}
	}
	perNode := func(key, onA, onB string) { line("%s = { %s = %q, %s = %q }", key, LVSA, onA, LVSB, onB) }

	line("[global]")
	perNode("control_socket", a.Socket, b.Socket)
	perNode("runtime_dir", a.Runtime, b.Runtime)
	perNode("state_dir", a.State, b.State)
	block(o.GlobalTOML)

	for i, in := range instancesOf(o) {
		line("\n[[vrrp_instance]]")
		line("name = %q", in.name)
		line("interface = %q", in.iface)
		line("virtual_router_id = %d", 51+i)
		if !in.vips[0].Addr().Is6() {
			line("version = %d", o.Version)
		}
		line("priority = { %s = %d, %s = %d }", LVSA, o.Priorities[LVSA], LVSB, o.Priorities[LVSB])
		line("advert_int = %q", o.AdvertInterval)
		if o.NoPreempt {
			line("nopreempt = true")
		}
		line("virtual_ipaddress = %s", list(in.vips))
		if !strings.Contains(o.InstanceTOML, "handover_linger") {
			// The client's requests are short, and a drill waits for the old master's end.
			line("handover_linger = \"3s\"")
		}
		block(o.InstanceTOML)
	}
	if o.Topology == NAT {
		// Whoever has the VIP must be the real servers' gateway.
		line("\n[[vrrp_sync_group]]")
		line("name = \"VG_1\"")
		line("group = [\"VI_1\", \"VI_2\"]")
	}

	vips := []netip.Addr{VIP}
	if o.IPv6 {
		vips = append(vips, VIP6)
	}
	for _, vip := range vips {
		line("\n[[virtual_server]]")
		line("address = %q", netip.AddrPortFrom(vip, ServicePort))
		line("lb_algo = \"rr\"")
		line("lb_kind = %q", o.Topology.layout().kind)
		line("delay_loop = %q", o.CheckInterval)
		block(o.ServerTOML)
		if !strings.Contains(o.ServerTOML, "[virtual_server.") {
			line("\n[virtual_server.http_get]")
			line("path = %q", "/healthz")
			line("connect_timeout = %q", max(o.CheckInterval, time.Second))
			line("retry = 1")
			line("delay_before_retry = %q", o.CheckInterval/2)
		}
		for _, rs := range []string{RS1, RS2} {
			at := o.Topology.ServerAddress(rs)
			if vip.Is6() {
				at = netip.AddrPortFrom(ipv6Of(at.Addr()), at.Port())
			}
			line("\n[[virtual_server.real_server]]")
			line("address = %q", at)
			line("weight = 1")
		}
	}
	if o.ExtraTOML != "" {
		line("")
		block(o.ExtraTOML)
	}
	return t.String()
}

// instance is a virtual router of the lab's configuration.
type instance struct {
	name, iface string
	vips        []netip.Prefix
}

func instancesOf(o Options) []instance {
	all := []instance{{"VI_1", LANInterface, []netip.Prefix{netip.PrefixFrom(VIP, 24)}}}
	if o.Topology == NAT {
		all = append(all, instance{"VI_2", InnerInterface, []netip.Prefix{netip.PrefixFrom(InnerVIP, 24)}})
	}
	if o.IPv6 {
		// RFC 9568 section 5.2.9: the first address is link-local. With /128 the
		// director does not send from the other one by itself: a real server,
		// which holds it too, would answer itself.
		all = append(all, instance{"VI_6", LANInterface, []netip.Prefix{netip.MustParsePrefix("fe80::200/64"), netip.PrefixFrom(VIP6, 128)}})
	}
	return all
}

func list(prefixes []netip.Prefix) string {
	var quoted []string
	for _, p := range prefixes {
		quoted = append(quoted, strconv.Quote(p.String()))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
