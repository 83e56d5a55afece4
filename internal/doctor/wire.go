package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"baton/conf"
	"baton/internal/netif"
	"baton/vrrp"
)

// The bounds of listening.
const (
	listenLeast = time.Second
	listenMost  = 15 * time.Second
)

// listenFor is how long adverts are listened for on an interface: three of the
// slowest instance's, and a tenth.
func listenFor(cfg *conf.Config, iface string) time.Duration {
	most := time.Duration(0)
	for _, i := range cfg.Instances {
		if i.Interface == iface {
			most = max(most, i.AdvertInterval)
		}
	}
	return min(max(most*33/10, listenLeast), listenMost)
}

func (e *examination) wire() {
	listened := map[string]bool{}
	for k := range e.cfg.Instances {
		i := &e.cfg.Instances[k]
		seg, ok := e.f.Segments[i.Interface]
		if !ok || seg.Failed != "" {
			if !listened[i.Interface] && e.f.Links[i.Interface].Up {
				e.unknown("wire.listen", fmt.Sprintf("nobody could be heard on %s: %s", i.Interface, seg.Failed), "sudo baton doctor")
			}
			listened[i.Interface] = true
			continue
		}
		e.adverts(i, seg)
		e.claims(i, seg)
		if !listened[i.Interface] {
			listened[i.Interface] = true
			e.strangers(i.Interface, seg)
		}
	}
}

// rivals are those that send adverts of an instance's virtual router.
func rivals(i *vrrp.Config, seg Segment) []Heard {
	var out []Heard
	for _, h := range seg.Routers {
		if h.VRID == i.VRID && h.Source.Is4() == (i.Family() == vrrp.IPv4) {
			out = append(out, h)
		}
	}
	return out
}

// adverts: who else sends adverts with the VRID, and would be heard here.
func (e *examination) adverts(i *vrrp.Config, seg Segment) {
	var masters []string
	for _, h := range rivals(i, seg) {
		who := fmt.Sprintf("%s (%s)", h.Source, h.MAC)
		sends := fmt.Sprintf("%s sends VRID %d on %s with priority %d", who, h.VRID, i.Interface, h.Priority)
		alike, differ := compareAddresses(i, h)
		switch {
		case h.Count > 1 && h.Delivered == 0 && !e.f.failed("wire.delivery"):
			e.add(e.opens(vrrpIn(i, h.Source), Finding{ID: "firewall.vrrp_in", Severity: Critical,
				What:        fmt.Sprintf("%s, and the kernel hands none of it over", sends),
				Consequence: "a firewall on this node drops IP protocol 112: it does not hear the master, and makes itself a second one"}))
		case alike == 0:
			e.add(Finding{ID: "wire.duplicate_vrid", Severity: Critical,
				What:        fmt.Sprintf("%s for other addresses: %s", sends, list(h.Addresses)),
				Consequence: fmt.Sprintf("another virtual router has the VRID of %s: each takes the other's adverts for its own, and the lower one falls silent", i.Name),
				Mend:        fmt.Sprintf(`sed -i -E 's/^(\s*virtual_router_id\s*=\s*)%d\b/\1%d/' %s`, i.VRID, e.freeVRID(seg), e.cfg.File),
				On:          "both directors, and then baton check && baton reload"})
		case h.Drop != "":
			e.add(Finding{ID: "wire.mismatch", Severity: Critical,
				What:        fmt.Sprintf("%s, version %d every %s: dropped here (%s)", sends, h.Version, h.Interval, h.Drop),
				Consequence: fmt.Sprintf("the directors of %s do not understand one another, and both are master", i.Name),
				Mend:        fmt.Sprintf("baton explain %s", i.Name), On: "both directors: version, advert_int, authentication and unicast_peer must be the same"})
		case h.Priority > 0 && h.Count > 1:
			masters = append(masters, who)
			fallthrough
		default:
			if differ {
				e.add(Finding{ID: "wire.addresses_differ", Severity: Warning,
					What:        fmt.Sprintf("%s for %s", sends, list(h.Addresses)),
					Consequence: fmt.Sprintf("that is not the list of %s here: after a change of master addresses are missing or too many", i.Name),
					Mend:        "baton check && baton reload", On: "both directors, with the same file"})
				continue
			}
			e.ok("wire.adverts", sends)
		}
	}
	state := e.instance(i.Name)
	if state != nil && state.State == "MASTER" && len(masters) > 0 {
		masters = append(masters, "this node")
	}
	switch {
	case len(masters) > 1:
		e.add(Finding{ID: "wire.two_masters", Severity: Critical, What: fmt.Sprintf("%s has more than one master: %s", i.Name, strings.Join(masters, ", ")),
			Consequence: "each answers for the addresses; connections break whenever a neighbour hears the other one",
			Mend:        "baton doctor", On: "the other one: it does not hear this one's adverts"})
	case len(rivals(i, seg)) == 0:
		e.ok("wire.adverts", fmt.Sprintf("nobody else sends VRID %d on %s", i.VRID, i.Interface))
	}
}

// compareAddresses counts what an advert has in common with an instance and says
// whether anything differs.
func compareAddresses(i *vrrp.Config, h Heard) (alike int, differ bool) {
	for _, a := range i.Addresses {
		if slices.Contains(h.Addresses, a.Prefix.Addr()) {
			alike++
		}
	}
	return alike, alike != len(i.Addresses) || alike != len(h.Addresses)
}

// freeVRID is the lowest that nobody uses here or there, 0 if there is none.
func (e *examination) freeVRID(seg Segment) int {
	for id := 1; id <= 255; id++ {
		heard := slices.ContainsFunc(seg.Routers, func(h Heard) bool { return int(h.VRID) == id })
		ours := slices.ContainsFunc(e.cfg.Instances, func(c vrrp.Config) bool { return int(c.VRID) == id })
		if !heard && !ours {
			return id
		}
	}
	return 0
}

// strangers are the virtual routers on an interface that concern no instance.
func (e *examination) strangers(iface string, seg Segment) {
	var out []string
	for _, h := range seg.Routers {
		if !slices.ContainsFunc(e.cfg.Instances, func(c vrrp.Config) bool {
			return c.Interface == iface && c.VRID == h.VRID && h.Source.Is4() == (c.Family() == vrrp.IPv4)
		}) {
			out = append(out, fmt.Sprintf("%d from %s with priority %d", h.VRID, h.Source, h.Priority))
		}
	}
	if len(out) > 0 {
		e.ok("wire.others", fmt.Sprintf("other virtual routers on %s: VRID %s", iface, strings.Join(out, ", ")))
	}
}

// claims: who answers for a virtual address, and should not.
func (e *examination) claims(i *vrrp.Config, seg Segment) {
	quiet := true
	for _, a := range i.All() {
		if a.Device != "" && a.Device != i.Interface {
			continue // of another network
		}
		vip := a.Prefix.Addr()
		here := slices.ContainsFunc(e.f.Places[vip], func(p netif.Place) bool { return p.Interface == i.AddressDevice(a) })
		var right []string
		for _, c := range seg.Claims {
			switch {
			case c.VIP != vip:
			case !here && e.isMaster(i, seg, c.MAC):
				right = append(right, c.MAC)
			default:
				quiet = false
				e.add(e.wrongClaim(i, a, c, here))
			}
		}
		if len(right) > 1 {
			quiet = false
			e.add(Finding{ID: "wire.duplicate_vip", Severity: Critical, What: fmt.Sprintf("%s is answered for by %s on %s", vip, strings.Join(right, " and "), i.Interface),
				Consequence: "clients reach now one director, now the other", Mend: "baton doctor", On: "both directors"})
		}
	}
	if quiet {
		e.ok("wire.duplicate_vip", fmt.Sprintf("nobody but the master answers for the addresses of %s on %s", i.Name, i.Interface))
	}
}

// isMaster says whether a station was heard as a router of the instance.
func (e *examination) isMaster(i *vrrp.Config, seg Segment, mac string) bool {
	return mac == netif.VirtualMAC(i.Family() == vrrp.IPv6, i.VRID).String() ||
		slices.ContainsFunc(rivals(i, seg), func(h Heard) bool { return h.MAC == mac && h.Priority > 0 })
}

func (e *examination) wrongClaim(i *vrrp.Config, a vrrp.Address, c Claim, here bool) Finding {
	for _, s := range servers(e.cfg) {
		if r := e.f.Routes[s]; r.MAC == c.MAC && !r.Gateway.IsValid() {
			mend := "baton realserver up " + c.VIP.String()
			if forwardsTo(e.cfg, s, c.VIP) == "TUN" {
				mend += " --mode tun"
			}
			return Finding{ID: "wire.server_answers", Severity: Critical,
				What:        fmt.Sprintf("real server %s (%s) answers for %s on %s", s, c.MAC, c.VIP, i.Interface),
				Consequence: "it takes the address from the director: all clients whose router has heard it are served by it alone, or not at all",
				Mend:        mend, On: s.String()}
		}
	}
	f := Finding{ID: "wire.duplicate_vip", Severity: Critical,
		What:        fmt.Sprintf("%s answers for %s on %s", c.MAC, c.VIP, i.Interface),
		Consequence: "it sends no adverts that arrive here: a host that was given the same address, or a director that is not heard",
		Mend:        fmt.Sprintf("ip address del %s dev %s", a.Prefix, i.Interface), On: "the host with " + c.MAC + " (ip neighbour | grep " + c.MAC + ")"}
	if here {
		f.What += ", and this node holds it"
		f.Consequence = "two machines have the address: clients reach now one, now the other"
	}
	if e.isMaster(i, e.f.Segments[i.Interface], c.MAC) {
		f.Mend, f.On = "baton doctor", "both directors: one of them does not hear the other"
	}
	return f
}

// forwardsTo is how packets for an address reach a server.
func forwardsTo(cfg *conf.Config, server, vip netip.Addr) string {
	by := ""
	for _, vs := range cfg.Services {
		for _, rs := range vs.Servers {
			if rs.Server.Key.Address == server && (by == "" || vs.Service.Key.Address == vip) {
				by = string(rs.Server.Forward)
			}
		}
	}
	return by
}

// list joins addresses, a few of them.
func list(addrs []netip.Addr) string {
	const most = 4
	var out []string
	for _, a := range addrs[:min(len(addrs), most)] {
		out = append(out, a.String())
	}
	if n := len(addrs) - most; n > 0 {
		out = append(out, fmt.Sprintf("%d more", n))
	}
	return strings.Join(out, ", ")
}

// failed says whether gathering has told of a failure.
func (f *Facts) failed(id string) bool {
	return slices.ContainsFunc(f.Failures, func(x Failure) bool { return x.ID == id })
}
