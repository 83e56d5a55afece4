package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"baton/internal/control"
	"baton/internal/netif"
	"baton/vrrp"
)

func (e *examination) addresses() {
	for i := range e.cfg.Instances {
		inst := &e.cfg.Instances[i]
		e.link(inst)
		held := 0
		for _, a := range inst.All() {
			for _, p := range e.f.Places[a.Prefix.Addr()] {
				if onAnotherLink(inst, a, p) {
					continue
				}
				if e.place(inst, a, p) {
					held++
				}
			}
		}
		if state := e.instance(inst.Name); held == 0 && (state == nil || state.State != "MASTER") {
			e.ok("address.place", fmt.Sprintf("%s: this node is not master and holds none of its %d addresses", inst.Name, len(inst.All())))
		} else if state != nil && state.State == "MASTER" {
			e.holds(inst, held)
		}
	}
}

// onAnotherLink: each link has link-local addresses of its own, so that the same
// one on another link is another address: fe80::1 is often every network's router.
func onAnotherLink(i *vrrp.Config, a vrrp.Address, p netif.Place) bool {
	ip := a.Prefix.Addr()
	return ip.Is6() && ip.IsLinkLocalUnicast() && p.Interface != i.Interface && p.Interface != i.AddressDevice(a)
}

// instance is what the running director says of an instance.
func (e *examination) instance(name string) *control.Instance {
	if e.f.Status == nil {
		return nil
	}
	for i, s := range e.f.Status.Instances {
		if s.Name == name {
			return &e.f.Status.Instances[i]
		}
	}
	return nil
}

// link: an election needs an interface that carries packets and has an address.
func (e *examination) link(i *vrrp.Config) {
	l, there := e.f.Links[i.Interface]
	own := l.Primary
	if i.Family() == vrrp.IPv6 {
		own = l.LinkLocal
	}
	switch {
	case !there:
		e.add(Finding{ID: "address.interface", Severity: Critical, What: fmt.Sprintf("interface %s does not exist", i.Interface),
			Consequence: i.Name + " is in FAULT until it appears", Mend: "ip link show"})
	case !l.Admin:
		e.add(Finding{ID: "address.interface", Severity: Critical, What: fmt.Sprintf("interface %s is down", i.Interface),
			Consequence: i.Name + " is in FAULT until it is up", Mend: "ip link set " + i.Interface + " up"})
	case !l.Up:
		e.add(Finding{ID: "address.interface", Severity: Critical, What: fmt.Sprintf("interface %s has no carrier", i.Interface),
			Consequence: i.Name + " is in FAULT: look at the cable and at the switch's port", Mend: "ip link show " + i.Interface})
	case !own.IsValid() && !i.Source.IsValid():
		family := "IPv4"
		if i.Family() == vrrp.IPv6 {
			family = "link-local IPv6"
		}
		e.add(Finding{ID: "address.interface", Severity: Critical, What: fmt.Sprintf("interface %s has no %s address of its own", i.Interface, family),
			Consequence: i.Name + " has nothing to send adverts from, and is in FAULT: give it one of its network that nobody else has", Mend: "ip address show dev " + i.Interface})
	default:
		e.ok("address.interface", fmt.Sprintf("interface %s is up and has %s", i.Interface, own))
	}
}

// place judges where a virtual address stands, and says whether it is in force
// there.
func (e *examination) place(i *vrrp.Config, a vrrp.Address, p netif.Place) bool {
	device, state := i.AddressDevice(a), e.instance(i.Name)
	remove := fmt.Sprintf("ip address del %s dev %s", p.Prefix, p.Interface)
	f := Finding{ID: "address.place", Severity: Critical, What: fmt.Sprintf("%s is on %s", p.Prefix, p.Interface), Mend: remove}
	switch {
	case p.Interface == "lo" && p.Interface != device:
		f.What += ", as on a real server"
		f.Consequence = "a director takes packets for it there also while the other one is master, and balances what should not come here"
		if e.isServer() {
			f.Severity = Warning
			f.Consequence += "; it is a real server as well: as a backup it balances what the master sent it, and packets go in circles"
		}
	case p.Interface != device:
		f.What += ", not on " + device
		f.Consequence = "two interfaces answer for it, and VRRP watches over one"
	case state == nil && e.f.Status == nil:
		f.Severity = Warning
		f.What += ", and no director runs here"
		f.Consequence = "nobody gives it up when another director takes it: two machines then answer for it"
	case state != nil && state.State != "MASTER" && !state.Handover:
		f.Severity = Warning
		f.What += fmt.Sprintf(", and %s is %s here", i.Name, state.State)
		f.Consequence = "this node and the master both answer for it"
	default:
		return true
	}
	e.add(f)
	return p.Interface == device
}

// holds: a master has all of its addresses.
func (e *examination) holds(i *vrrp.Config, held int) {
	if all := len(i.All()); held < all {
		e.add(Finding{ID: "address.place", Severity: Critical, What: fmt.Sprintf("%s is MASTER here and holds %d of its %d addresses", i.Name, held, all),
			Consequence: "nobody answers for the others", Mend: "baton events --since 10m"})
		return
	}
	e.ok("address.place", fmt.Sprintf("%s is MASTER here and holds its addresses", i.Name))
}

// isServer says whether this node is one of its own real servers.
func (e *examination) isServer() bool {
	return slices.ContainsFunc(servers(e.cfg), func(a netip.Addr) bool { return e.f.Routes[a].Local })
}
