package realserver

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"baton/internal/netif"
)

// silentIgnore are the values of arp_ignore that keep silent about an address on
// another interface: 8 answers for none at all, as where neighbours are told by
// hand. Of 3 it depends on the address's scope, and 4 to 7 are like 0.
var silentIgnore = []string{"1", "2", "8"}

// silentAnnounce is the value of arp_announce that never names an address of
// another interface. The kernel knows none above it.
const silentAnnounce = 2

// silence keeps the host from answering ARP for addresses that are not on the
// interface that is asked (arp_ignore), and from naming them when it asks for
// others (arp_announce). Of the value for all interfaces and an interface's
// own the kernel takes the larger (Documentation/networking/ip-sysctl.rst), so
// an interface's own is set too where it would outweigh the one for all. One
// that is down counts: it can be set up any time.
func (m *Manager) silence() error {
	if err := m.silent(arpIgnore, "1", silentIgnore...); err != nil {
		return err
	}
	if err := m.silent(arpAnnounce, "2", "2"); err != nil {
		return err
	}
	links, err := m.h.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		if !asked(l.Attrs()) {
			continue
		}
		dev := l.Attrs().Name
		ignore, announce, err := inForce(dev)
		if err == nil && !ignoresSilently(ignore) {
			err = m.silent(conf4(dev, "arp_ignore"), "1")
		}
		if err == nil && announce != silentAnnounce {
			err = m.silent(conf4(dev, "arp_announce"), "2")
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the interface has just gone, or has no IPv4
			return err
		}
	}
	return m.audible()
}

// silent sets one parameter unless it has a value that does.
func (m *Manager) silent(name, value string, fine ...string) error {
	if err := m.sysctl(name, value, append(fine, value)...); err != nil {
		return fmt.Errorf("%w (mend with: %s)", err, Finding{}.set(name, value).Mend)
	}
	return nil
}

// audible is an error while the network would hear of an address. It looks at
// what counts once everything is set, for others set the same parameters.
func (m *Manager) audible() error {
	f, err := m.facts(nil)
	if err != nil {
		return err
	}
	if wrong := judgeSilence(f); len(wrong) > 0 {
		return fmt.Errorf("keep silent: %s: %s (mend with: %s)", wrong[0].What, wrong[0].Consequence, wrong[0].Mend)
	}
	return nil
}

// inForce is what the kernel goes by on an interface.
func inForce(dev string) (ignore, announce int, err error) {
	if ignore, err = netif.Conf4(dev, "arp_ignore"); err == nil {
		announce, err = netif.Conf4(dev, "arp_announce")
	}
	return ignore, announce, err
}

func ignoresSilently(n int) bool { return slices.Contains(silentIgnore, strconv.Itoa(n)) }

// judgeSilence returns what is wrong with it.
func judgeSilence(f facts) (wrong []Finding) {
	for _, dev := range sortedKeys(f.ignore) {
		if v := f.ignore[dev]; !ignoresSilently(v) {
			wrong = append(wrong, Finding{About: AboutSilence, What: fmt.Sprintf("arp_ignore is %d on %s", v, dev),
				Consequence: "the server answers ARP for the virtual address and takes it from the director",
			}.set(f.atLarge(dev, "arp_ignore", v), "1"))
		}
	}
	for _, dev := range sortedKeys(f.announce) {
		if v := f.announce[dev]; v != silentAnnounce {
			wrong = append(wrong, Finding{About: AboutSilence, What: fmt.Sprintf("arp_announce is %d on %s", v, dev),
				Consequence: "the server names the virtual address when it asks for others, and they learn that it is here",
			}.set(f.atLarge(dev, "arp_announce", v), "2"))
		}
	}
	return wrong
}

// silences says whether a parameter is one of those that silence sets.
func silences(name string) bool {
	return strings.HasPrefix(name, "net/ipv4/conf/") &&
		(strings.HasSuffix(name, "/arp_ignore") || strings.HasSuffix(name, "/arp_announce"))
}

// heardAgain tells of addresses that stay where the silence about them has been
// taken back.
func (m *Manager) heardAgain(stays []netif.Place) error {
	f, err := m.facts(nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(judgeSilence(f), func(g Finding) bool { return strings.HasSuffix(g.Sysctl, "/arp_ignore") }) {
		return nil
	}
	for _, p := range stays {
		if p.Prefix.Addr().Is4() {
			m.say("the network hears of %s again, which stays on %s: ip address del %s dev %s", p.Prefix.Addr(), p.Interface, p.Prefix, p.Interface)
		}
	}
	return nil
}
